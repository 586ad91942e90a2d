"""What every answer carries, and who may change things through the API."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Request, Response
from werkzeug.exceptions import Forbidden

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
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def init_app(app: Flask) -> None:
    """Put the headers on every answer of this application, errors and static files included."""
    app.after_request(_add_headers)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def refuse_other_sites(request: Request) -> None:
    """The API asks for no token, so another site's page must not be able to use it from a browser.

    Browsers tell on the page that asks; programs send neither header and pass.

    Raises:
        Forbidden: a page of another site asks for a change.
    """
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if foreign or (origin is not None and urlsplit(origin).netloc != request.host):
        raise Forbidden("A page of another site may not change anything here.")
