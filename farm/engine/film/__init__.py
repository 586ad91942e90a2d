"""Frames of a film: how things move between them, and each held to those already painted."""
