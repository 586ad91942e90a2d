"""Commands talk to a farm that the pages' tests make, too."""

from tests.web.conftest import app, compiled_templates, home, make_job, served

__all__ = ["app", "compiled_templates", "home", "make_job", "served"]
