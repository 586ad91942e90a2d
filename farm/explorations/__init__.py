"""Grids of small pictures in which one setting varies across and another down.

Each cell is a job, so this room stands on `farm.jobs` and may use all below it.
"""
