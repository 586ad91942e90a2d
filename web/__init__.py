"""The web part: pages for people, a REST API for programs, one health check. Knows nothing of torch."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apiflask import APIFlask
from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFProtect
from werkzeug.routing import BaseConverter

from farm import log
from farm.database import shared_secrets
from farm.settings import settings
from web import api, files, film_files, filters, health, metrics, pages, streams
from web.api import document
from web.middleware import authentication, bodies, conditions, errors, headers, rate_limits

SIGNED_IN_FOR = timedelta(days=30)  # since the last visit
MAX_FORM_PARTS = 100  # every setting, and more paintings than are allowed, to say so


class _JobId(BaseConverter):
    """Ids of jobs in addresses; anything else is no page of ours and never reaches a query."""

    regex = "[0-9a-f]{32}"


class _SessionsBelowPath(SecureCookieSessionInterface):
    """Sessions whose cookie goes to this farm alone, and not to what else is on its host."""

    def get_cookie_path(self, app: Flask) -> str:
        return request.script_root or "/"


def create_app() -> APIFlask:
    """Build an application with the settings of the environment."""
    log.configure()
    app = APIFlask(
        __name__, title="Style Farm", version="1", docs_path=None, json_errors=False, spec_path=None
    )
    app.config.update(_list_settings())
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.session_interface = _SessionsBelowPath()
    app.url_map.converters["job_id"] = _JobId
    Bootstrap5(app)
    for part in (bodies, authentication, rate_limits):  # before anything reads what was sent
        part.init_app(app)
    CSRFProtect(app).exempt(api.blueprint)
    for part in (pages, files, film_files, api, health, metrics, document):
        app.register_blueprint(part.blueprint)
    for part in (conditions, errors, headers, document, filters, streams, metrics):
        part.init_app(app)
    return app


def _list_settings() -> dict[str, Any]:
    """Return the configuration of Flask and its extensions."""
    return {
        "SECRET_KEY": shared_secrets.read_secret_key(),
        # Farms below different paths of one host must not take each other's.
        "SESSION_COOKIE_NAME": "style_farm" + settings().public_path.replace("/", "_"),
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings().public_url.startswith("https://"),
        "PERMANENT_SESSION_LIFETIME": SIGNED_IN_FOR,
        "MAX_CONTENT_LENGTH": settings().max_upload_mb * 1_000_000,
        "MAX_FORM_PARTS": MAX_FORM_PARTS,
        "MAX_FORM_MEMORY_SIZE": bodies.MAX_READ,
        "WTF_CSRF_SSL_STRICT": False,  # browsers and proxies strip the Referer that it compares
        "WTF_CSRF_TIME_LIMIT": None,  # a form may stay open all day; the token lives with the session
        "BOOTSTRAP_SERVE_LOCAL": True,
    }
