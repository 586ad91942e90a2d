"""Commands talk to a farm that the pages' tests make, too."""

from tests.web.conftest import app, checked_clips, home, make_job, served, shared_by_pages

__all__ = ["app", "checked_clips", "home", "make_job", "served", "shared_by_pages"]
