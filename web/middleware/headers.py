"""Headers of every answer, the names and the path that the farm answers to, and the refusal of other
sites.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Request, Response, request
from werkzeug.exceptions import Forbidden
from werkzeug.middleware.proxy_fix import ProxyFix

from farm.settings import PATH_PREFIX, settings

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
HEALTH = "/healthz"  # asked for by addresses and under any name, and tells no secret
METRICS = "/metrics"  # likewise, where a token is asked for
PORT = re.compile(r":[0-9]{1,5}$")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
LONGEST_ORIGIN = 200  # characters of it in an answer


class OnlyOurHosts:
    """WSGI middleware that answers only under the farm's own names, before anything reads the Host."""

    def __init__(self, inner: WSGIApplication, hosts: frozenset[str] | None) -> None:
        self._inner, self._hosts = inner, hosts
        self._under_any_name = {HEALTH, METRICS} if settings().require_token else {HEALTH}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").lower()
        if environ.get("PATH_INFO") in self._under_any_name:
            return self._inner(environ | {"HTTP_HOST": "localhost"}, start_response)
        if HOST.fullmatch(host) and self._allows(HOST.sub(r"\1", host)):
            return self._inner(environ, start_response)
        text = "This farm does not answer under that name. Its operator can set FARM_TRUSTED_HOSTS.\n"
        return Response(text, 400, HEADERS, mimetype="text/plain")(environ, start_response)

    def _allows(self, name: str) -> bool:
        return self._hosts is None or name in self._hosts


class UnderPrefix:
    """WSGI middleware for a farm that a proxy shows below a path, whether it passes the path on or not.

    Args:
        prefix: that path, such as /farm; "": none of the farm's own.
        trusted: take it from X-Forwarded-Prefix, where the farm has none of its own.
    """

    def __init__(self, inner: WSGIApplication, prefix: str, *, trusted: bool) -> None:
        self._inner, self._prefix, self._trusted = inner, prefix, trusted

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = environ.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/") if self._trusted else ""
        prefix = self._prefix or (sent if PATH_PREFIX.fullmatch(sent) else "")
        if prefix:
            environ["SCRIPT_NAME"] = prefix
            path = environ.get("PATH_INFO", "")
            if f"{path}/".startswith(f"{prefix}/"):
                environ["PATH_INFO"] = path.removeprefix(prefix) or "/"
        return self._inner(environ, start_response)


def init_app(app: Flask) -> None:
    """Put the headers on every answer of this application, errors and static files included."""
    app.wsgi_app = OnlyOurHosts(app.wsgi_app, settings().hosts)  # type: ignore[method-assign]
    prefix, trusted = settings().public_path, settings().proxies > 0
    app.wsgi_app = UnderPrefix(app.wsgi_app, prefix, trusted=trusted)  # type: ignore[method-assign]
    if proxies := settings().proxies:  # each adds a line to X-Forwarded-For; more than these lie
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=0)  # type: ignore[method-assign]
    app.after_request(_add_headers)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={STAY_SECURE_SECONDS}")
    return response


def get_own_address() -> str:
    """Return the path and query of this request as a browser has them, below the proxy's path."""
    return request.script_root + (request.full_path if request.query_string else request.path)


def refuse_other_sites(request: Request) -> None:
    """Refuse changes by another site's page, since the API takes no CSRF token.

    Browsers name the page that asks; programs send neither header and pass.

    Raises:
        Forbidden: a page of another site asks for a change.
    """
    site = request.headers.get("Sec-Fetch-Site")  # by the browser itself, on https and on loopback
    if request.method in SAFE_METHODS or site == "same-origin":
        return
    if site in ("cross-site", "same-site"):
        raise Forbidden("A page of another site may not change anything here.")
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own_origin(origin, request.host):
        raise Forbidden(
            f"This page is at {origin[:LONGEST_ORIGIN]}, and the farm takes itself to be at "
            f"{settings().public_url or request.host}, so it may not change anything here. If that is "
            "the farm's own address, its operator sets FARM_PUBLIC_URL to it."
        )


def _is_own_origin(origin: str, host: str) -> bool:
    """Check whether an Origin is the farm's address, by FARM_PUBLIC_URL or by the request's Host.

    Where there is a proxy the Host may come without its port: nginx's `$host` is so.
    """
    scheme, _, place = origin.lower().partition("://")
    port = DEFAULT_PORTS.get(scheme, "")
    place, host = place.removesuffix(port), host.lower().removesuffix(port)
    if place == host:
        return True
    public = urlsplit(settings().public_url.lower())
    if public.netloc and (scheme, place) == (public.scheme, public.netloc.removesuffix(port)):
        return True
    return settings().proxies > 0 and PORT.sub("", place) == host
