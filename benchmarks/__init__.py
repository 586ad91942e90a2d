"""Measurements, each a command of its own: `make bench-engine` and its like."""
