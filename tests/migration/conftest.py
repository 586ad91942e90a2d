"""Pages of a home that was brought to this version, rendered as those of the pages' tests."""

from tests.web.conftest import shared_by_pages

__all__ = ["shared_by_pages"]
