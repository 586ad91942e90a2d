"""Headers of every answer, the names that the farm answers to, and the refusal of other sites."""

from __future__ import annotations

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Request, Response, request
from werkzeug.exceptions import Forbidden
from werkzeug.middleware.proxy_fix import ProxyFix

from farm.settings import settings

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",  # blob: thumbnails of files not sent yet; data: Bootstrap's own
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
STAY_SECURE_SECONDS = 365 * 24 * 3600
HOST = re.compile(r"([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")  # and its port
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OnlyOurHosts:
    """WSGI middleware that answers only under the farm's own names, before anything reads the Host."""

    def __init__(self, inner: WSGIApplication, hosts: frozenset[str] | None) -> None:
        self._inner, self._hosts = inner, hosts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").lower()
        if HOST.fullmatch(host) and self._allows(HOST.sub(r"\1", host)):
            return self._inner(environ, start_response)
        text = "This farm does not answer under that name. Its operator can set FARM_TRUSTED_HOSTS.\n"
        return Response(text, 400, HEADERS, mimetype="text/plain")(environ, start_response)

    def _allows(self, name: str) -> bool:
        return self._hosts is None or name in self._hosts


def init_app(app: Flask) -> None:
    """Put the headers on every answer of this application, errors and static files included."""
    app.wsgi_app = OnlyOurHosts(app.wsgi_app, settings().hosts)  # type: ignore[method-assign]
    if proxies := settings().proxies:  # each adds a line to X-Forwarded-For; more than these lie
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=0)  # type: ignore[method-assign]
    app.after_request(_add_headers)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={STAY_SECURE_SECONDS}")
    return response


def refuse_other_sites(request: Request) -> None:
    """Refuse changes by another site's page, since the API takes no CSRF token.

    Browsers name the page that asks; programs send neither header and pass.

    Raises:
        Forbidden: a page of another site asks for a change.
    """
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if foreign or (origin is not None and origin.partition("://")[2] != request.host):
        raise Forbidden("A page of another site may not change anything here.")
