"""Pictures decoded in child processes: real ones, which are killed, stopped, starved and left alone.

Tests that start a parent for them, too, or keep them at work for seconds are no part of the fast lane.
"""
