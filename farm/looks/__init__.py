"""Looks, named settings that make a picture's manner: the farm's, each a file here, and people's own.

Knows recipes and whose a look is; may use the database's tables, visitors and the audit.
"""
