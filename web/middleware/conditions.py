"""Conditional requests and ranges by RFC 9110, where Werkzeug goes another way."""

from __future__ import annotations

import re

from flask import Flask, Response, request
from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import is_resource_modified, parse_date

ONE_RANGE = re.compile(  # of bytes; Python reads no more than some 4000 digits
    r"bytes=[ \t]*(?:(?P<first>[0-9]{1,4000})-(?P<last>[0-9]{0,4000})|-(?P<suffix>[0-9]{1,4000}))[ \t]*",
    re.IGNORECASE,
)
CONDITIONS = {
    f"HTTP_IF_{name}" for name in ("MATCH", "NONE_MATCH", "MODIFIED_SINCE", "UNMODIFIED_SINCE")
}  # but If-Range, which is one of the range alone


def init_app(app: Flask) -> None:
    """Leave out of this application's requests what a server ignores, and files of refusals."""
    app.before_request(_leave_out_ignored)
    app.after_request(_withhold_file)


def make_conditional(response: Response, size: int | None = None) -> Response:
    """Turn an answer with an ETag into 304 or a part of it, as the request asks.

    Conditions come before ranges (section 13.2.2).

    Args:
        size: of the whole, bytes, where parts of it are served.

    Raises:
        PreconditionFailed: the client wants another version. RequestedRangeNotSatisfiable: it is past
            the end.
    """
    etag = response.headers.get("ETag")
    if not is_resource_modified(request.environ, etag):
        if request.if_match:
            raise PreconditionFailed("This is not, or no longer, the version that was asked for.")
        request.environ.pop("HTTP_RANGE", None)
    if size and _is_whole(request.environ.get("HTTP_RANGE", ""), size):
        request.environ["HTTP_RANGE"] = "bytes=0-"
    response.make_conditional(request, accept_ranges=size is not None, complete_length=size)
    return response


def _leave_out_ignored() -> None:
    """Leave out ranges that a server ignores, and `If-Match: *`, which any file meets that is there.

    Of static files Werkzeug looks at the range first and then at no condition: those that come with one
    are sent whole.
    """
    headers = request.environ
    if headers.get("HTTP_IF_MATCH", "").strip() == "*":
        del headers["HTTP_IF_MATCH"]
    if "HTTP_RANGE" in headers and (request.method != "GET" or _is_ignored(headers["HTTP_RANGE"])):
        del headers["HTTP_RANGE"]
    if not CONDITIONS.isdisjoint(headers) and _is_static():
        headers.pop("HTTP_RANGE", None)
    if "HTTP_IF_RANGE" in headers and not _is_strong(headers["HTTP_IF_RANGE"]):
        headers.pop("HTTP_RANGE", None)


def _is_static() -> bool:
    """Check for a file of this application or of an extension, which Flask sends by itself."""
    return (request.endpoint or "").rpartition(".")[2] == "static"


def _withhold_file(response: Response) -> Response:
    """Leave the file out of 412, with which Werkzeug would send it."""
    if response.status_code == PreconditionFailed.code and response.direct_passthrough:
        response.close()
        response.direct_passthrough = False
        response.data = b""
    return response


def _is_ignored(text: str) -> bool:
    """Check for another unit, several ranges at once, and what is no range (section 14.2)."""
    found = ONE_RANGE.fullmatch(text)
    return found is None or bool(found["last"] and int(found["last"]) < int(found["first"]))


def _is_whole(text: str, size: int) -> bool:
    """Check for the last bytes of a file that has no more (14.1.2)."""
    found = ONE_RANGE.fullmatch(text)
    return bool(found and found["suffix"] and int(found["suffix"]) > size)


def _is_strong(validator: str) -> bool:
    """Check that a validator is a strong tag or a date: a weak one compares with nothing (13.1.5)."""
    return validator.startswith('"') or parse_date(validator) is not None
