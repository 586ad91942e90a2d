"""Limits and meanings of the fields of a job that a client sends, whichever way it sends them.

The form, the API's document and the command line read them from here. The recipe describes its own.
"""

from __future__ import annotations

NAME_LENGTH = 120  # characters
NAME_MEANS = "Name in lists."
PRIORITIES = range(-100, 101)
PRIORITY_MEANS = "Higher goes first."
WEBHOOK_MEANS = "An address that is told, by a POST of JSON, how the job ended."
