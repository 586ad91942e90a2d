"""Parts of pages that change by themselves.

A part is a template of its own, which the whole page includes and an address of its own returns alone;
`web/static/live.js` swaps it in.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

from flask import Response, g, make_response, render_template

from web.middleware.conditions import make_conditional


def send_fragment(template: str, tag: str | None = None, /, **values: Any) -> Response:
    """Return a part alone, with an ETag; 304 to whoever has it already.

    Args:
        tag: changes whenever the part does; None: a digest of the part.
    """
    text = render_template(template, alone=True, **values)
    response = make_response(text)
    response.cache_control.private = True
    response.cache_control.no_cache = True
    response.set_etag(tag or _compute_digest(text))
    return make_conditional(response)


def send_unchanged(tag: str) -> Response:
    """Return 304 for a part whose tag is known without rendering it."""
    response = Response(status=HTTPStatus.NOT_MODIFIED)
    response.set_etag(tag)
    return response


def _compute_digest(text: str) -> str:
    """Return a digest of all but the token of its forms, which differs each second."""
    token = g.get("csrf_token")
    return hashlib.sha256((text.replace(token, "") if token else text).encode()).hexdigest()[:16]
