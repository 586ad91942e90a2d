"""Films' flow, frames held to painted neighbours, and parts painted frame by frame."""
