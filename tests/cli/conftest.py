"""Commands talk to a farm that the pages' tests make, too."""

from tests.web.conftest import (
    app,
    checked_clips,
    compiled_templates,
    counted_without_timers,
    home,
    make_job,
    quick_streams,
    served,
)

__all__ = [
    "app",
    "checked_clips",
    "compiled_templates",
    "counted_without_timers",
    "home",
    "make_job",
    "quick_streams",
    "served",
]
