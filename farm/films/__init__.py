"""Films: a clip's frames painted by jobs of their own, its parts, and joined by the last of them.

Stands on `farm.jobs`, like the explorations, and may use all below it.
"""
