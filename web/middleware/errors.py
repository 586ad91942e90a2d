"""Errors: a page in the site's look for people, problem details (RFC 9457) for programs.

Every one is logged; a traceback goes to the log only.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from apiflask import HTTPError
from flask import Flask, Response, current_app, jsonify, make_response, render_template, request
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from sqlalchemy.exc import DataError, OperationalError
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    RequestEntityTooLarge,
)

from farm.errors import Busy, FarmError, InvalidInput, NoRoom, Problem, QuotaReached, StorageAway
from farm.recipe.json_limits import MAX_BYTES
from farm.recipe.problems import list_problems
from farm.settings import settings
from web.middleware.bodies import BODY, MAX_READ

DETAILS = {
    400: "The request cannot be understood.",
    404: "There is nothing at this address. It may have been mistyped.",
    405: "This address does not answer to that kind of request.",
    416: "The file ends before that range.",
    500: "Something broke on our side. It has been logged; trying again may help.",
    503: "The farm's database does not answer just now. Try again in a moment.",
}
STORAGE_AWAY = "The farm cannot store or fetch pictures just now. Try again in a moment."
RETRY_SECONDS = 5

log = structlog.get_logger()


def init_app(app: Flask) -> None:
    """Answer every error of this application from here."""
    app.register_error_handler(FarmError, _handle_farm_error)
    app.register_error_handler(HTTPException, _handle_http_error)
    app.register_error_handler(CSRFError, _handle_csrf_error)
    app.register_error_handler(RateLimitExceeded, _handle_rate_limit)
    app.register_error_handler(RequestEntityTooLarge, _handle_too_large)
    app.register_error_handler(ClientDisconnected, _handle_disconnect)
    app.register_error_handler(ParseException, _handle_bad_transfer)
    app.register_error_handler(HTTPError, _handle_invalid_query)
    app.register_error_handler(DataError, _handle_unstorable)
    app.register_error_handler(OperationalError, _handle_database_away)
    app.register_error_handler(StorageAway, _handle_storage_away)
    app.register_error_handler(Busy, _handle_busy)
    app.register_error_handler(NoRoom, _handle_no_room)
    app.register_error_handler(RecursionError, _handle_recursion)
    app.register_error_handler(Exception, _handle_unexpected)


def _handle_farm_error(error: FarmError) -> Response:
    if error.status >= 500:
        return _handle_unexpected(error)
    problems = error.problems if isinstance(error, InvalidInput) else ()
    response = _respond(error.status, str(error), problems)
    response.headers.update(list_headers(error))
    return response


def list_headers(error: FarmError) -> dict[str, str]:
    """Return the headers that go with an error's answer: when to come again, if waiting helps."""
    if isinstance(error, QuotaReached) and error.retry_seconds is not None:
        return {"Retry-After": str(error.retry_seconds)}
    return {}


def _handle_http_error(error: HTTPException) -> Response:
    own = error.description if error.code in (401, 403, 412, 415, 429, 503) else None
    status = error.code or 500
    response = _respond(status, own or DETAILS.get(status) or error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() in ("allow", "content-range", "retry-after", "www-authenticate"):
            response.headers[name] = value
    return response


def _handle_csrf_error(error: CSRFError) -> Response:
    return _respond(400, _explain_csrf_error(str(error.description)))


def _explain_csrf_error(reason: str) -> str:
    """Return what keeps a form from being sent, and what helps.

    Args:
        reason: flask-wtf's own words.
    """
    if "session token is missing" not in reason:
        return "This form is from before you signed in or out, or is not ours. Reload it, send it again."
    if current_app.config["SESSION_COOKIE_SECURE"] and not request.is_secure:
        address = settings().public_url
        return f"The farm's cookie goes over https alone: open {address} and send the form there."
    return "The browser sent no cookie of this farm. Allow cookies, reload the form, send it again."


def _handle_rate_limit(error: RateLimitExceeded) -> Response:
    """Answer 429; the limiter itself sets `Retry-After`."""
    return _respond(429, f"Too many requests: this farm takes {error.description}. Wait a little.")


def _handle_too_large(error: RequestEntityTooLarge) -> Response:
    """Answer for the body as a whole or the number of its parts; pictures are judged elsewhere."""
    sent, most = request.content_length or 0, current_app.config["MAX_CONTENT_LENGTH"]
    if sent > (with_clip := request.max_content_length or most):
        most = with_clip
    if request.max_content_length == MAX_READ:
        detail = f"The JSON has more than {MAX_BYTES // 1000} kB, the limit of this farm."
    elif sent > most:
        detail = f"The files together are larger than {most // 1_000_000} MB, the limit of this farm."
    else:
        parts = current_app.config["MAX_FORM_PARTS"]
        detail = f"The form has more than {parts} parts, or too much text in one of them."
    return _respond(413, detail, [Problem(BODY, detail)])


def _handle_disconnect(error: ClientDisconnected) -> Response:
    """Answer a sender who is gone, or was silent for too long."""
    detail = "The request broke off in the middle. Nothing of it was kept; send it again."
    response = _respond(408, detail)
    response.headers["Connection"] = "close"  # whatever else comes belongs to what is given up
    return response


def _handle_bad_transfer(error: ParseException) -> Response:
    """Answer a body whose chunks or trailers are none."""
    log.info("bad transfer coding", path=request.path, error=str(error))
    response = _respond(400, "The body's chunks or trailers are not valid HTTP.")
    response.headers["Connection"] = "close"
    return response


def _handle_invalid_query(error: HTTPError) -> Response:
    cause = error.__cause__
    problems = list_problems(cause, BODY) if isinstance(cause, ValidationError) else ()
    named = [_translate_problem(problem) for problem in problems]
    return _respond(error.status_code, str(InvalidInput(*named)), named)


def _translate_problem(problem: Problem) -> Problem:
    """Put a problem into words for a query or a body, which is not always a recipe."""
    if problem.field == BODY and problem.message == "input should be an object":
        return Problem(BODY, "must be a JSON object")
    return Problem(problem.field, problem.message.replace("setting of a recipe", "parameter"))


def _handle_unstorable(error: DataError) -> Response:
    """Answer a value that the database cannot hold, and that no check before it had found."""
    log.error("value refused by the database", path=request.path, exc_info=error)
    return _respond(400, "Something in the request cannot be stored or searched, such as a zero byte.")


def _handle_database_away(error: OperationalError) -> Response:
    log.error("database does not answer", path=request.path, error=str(error.orig))
    return _respond_unavailable(DETAILS[503])


def _handle_storage_away(error: StorageAway) -> Response:
    log.error("storage refused", path=request.path, exc_info=error)
    return _respond_unavailable(STORAGE_AWAY)


def _handle_busy(error: Busy) -> Response:
    log.warning("busy", path=request.path)
    return _respond_unavailable(str(error))


def _handle_no_room(error: NoRoom) -> Response:
    log.warning("no room", path=request.path)
    return _respond(error.status, str(error))


def _handle_recursion(error: RecursionError) -> Response:
    """Answer JSON within JSON, thousands of levels deep."""
    return _respond(400, DETAILS[400])


def _handle_unexpected(error: Exception) -> Response:
    log.error("request failed", method=request.method, path=request.path, exc_info=error)
    return _respond(500, DETAILS[500])


def _respond_unavailable(detail: str) -> Response:
    """Answer 503, and when to come again."""
    response = _respond(503, detail)
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _respond(status: int, detail: str, problems: Sequence[Problem] = ()) -> Response:
    if status < 500:
        log.info("refused", method=request.method, path=request.path, status=status, detail=detail)
    title = HTTPStatus(status).phrase
    if not request.path.startswith("/api/"):
        page = render_template("error.html", status=status, title=title, detail=detail)
        return make_response(page, status)
    errors = [{"field": p.field, "message": p.message} for p in problems]
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    response = jsonify(body | {"errors": errors})
    response.status_code = status
    response.mimetype = "application/problem+json"
    return response
