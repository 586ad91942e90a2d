"""Pages of operators, rendered as those of the pages' tests."""

from tests.web.conftest import compiled_templates, counted_without_timers

__all__ = ["compiled_templates", "counted_without_timers"]
