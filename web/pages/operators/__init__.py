"""Pages for operators: how the farm stands, and what they do about it."""
