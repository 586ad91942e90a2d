"""Authentication, where the farm asks for tokens: programs by their bearer token (RFC 6750), people by
signing in once. Only the sign-in page, the static files and /healthz are open to all; /metrics also to
FARM_METRICS_TOKEN.

Each request has a visitor (`get_visitor`). An address that names a job, an exploration or a film, by
`<job_id>`, `<exploration_id>` or `<film_id>`, answers 404 to whoever may not see it, before its view
begins; what is for operators alone is decorated with `require_operator` and answers 403.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import structlog
from flask import Flask, Response, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from limits import parse
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized

from farm.addresses import is_loopback
from farm.database import sessions
from farm.database.people import Token
from farm.errors import OperatorsOnly, WrongState
from farm.people import tokens, visitors
from farm.people.visitors import ANYBODY, Visitor
from farm.settings import settings
from web.middleware.counters import Counter
from web.middleware.headers import SAFE_METHODS, get_own_address

OPEN = frozenset(
    {"static", "bootstrap.static", "health.check_health", "pages.sign_in", "pages.check_token"}
)
METRICS = "metrics.show_metrics"
SIGNED_IN = "token"  # in the session: the digest of the token, which may be revoked at any time
BY_PROGRAM = "Send a token of this farm as `Authorization: Bearer ...`; its operator makes them."
BY_PROMETHEUS = "Send FARM_METRICS_TOKEN, or the token of an operator, as `Authorization: Bearer ...`."
NO_ACCOUNTS = "This farm asks for no token, so nobody has an account to have tokens of."
BY_PERSON = "Sign in first, in another tab if there is something on this one to keep; then try again."
WRONG = "This token is not, or no longer, one of this farm's."
WRONG_TOKENS = parse("20 per minute")  # of one address, that are looked at and logged
TOO_MANY_WRONG = "Too many wrong tokens came from your address. Wait a minute; a right one is taken."

P = ParamSpec("P")
R = TypeVar("R")

log = structlog.get_logger()


def init_app(app: Flask) -> None:
    """Ask for a token at every address of this application that is not open."""
    app.extensions["wrong_tokens"] = Counter("wrong tokens")
    if not settings().require_token:
        if not is_loopback(settings().host):
            log.warning("whoever reaches this machine can use the farm: FARM_REQUIRE_TOKEN=0 is set")
        return
    app.before_request(_admit)
    app.before_request(_hide_jobs_of_others)
    app.after_request(_keep_out_of_caches)
    with sessions.read_session() as reader:
        if not tokens.list_all(reader):
            log.warning(
                "nobody has signed in yet: the start printed the operator's link, and "
                "`farm people sign-in NAME` prints another"
            )


def identify_client() -> str:
    """Return who asks, for limits: the person, whichever token it is, or the address."""
    person_id = get_visitor().person_id
    return f"address {request.remote_addr}" if person_id is None else f"person {person_id}"


def get_visitor() -> Visitor:
    """Return who asks; anybody, who may do everything, where the farm asks for no token."""
    visitor: Visitor = g.get("visitor", ANYBODY)
    return visitor


def may_operate() -> bool:
    """Check that whoever asks was let in and is an operator."""
    return is_let_in() and get_visitor().is_operator


def is_let_in() -> bool:
    """Check that whoever asks showed a token, or that the farm asks for none."""
    return "visitor" in g or not settings().require_token


def get_person_id() -> int:
    """Return the account of whoever asks.

    Raises:
        WrongState: the farm asks for no token.
    """
    person_id = get_visitor().person_id
    if person_id is None:
        raise WrongState(NO_ACCOUNTS)
    return person_id


def require_operator(view: Callable[P, R]) -> Callable[P, R]:
    """Decorate a view that is for operators alone.

    Raises:
        OperatorsOnly: by the view, to a user.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not get_visitor().is_operator:
            raise OperatorsOnly()
        return view(*args, **kwargs)

    return guarded


def _admit() -> ResponseReturnValue | None:
    """Let a request pass if whoever asks may.

    Raises:
        Unauthorized: without a token of this farm. Forbidden: by a cookie, and not from a page of ours.
    """
    if request.endpoint in OPEN:
        return None
    sent = _read_bearer()
    if sent is not None and request.endpoint == METRICS and _is_metrics_token(sent):
        return None
    if sent is not None:
        found = _find_visitor(tokens.compute_digest(sent))
        if found is None:
            note_wrong_token()
            raise Unauthorized(WRONG, www_authenticate=_build_challenge("invalid_token"))
    else:
        found = _find_visitor(session.get(SIGNED_IN))
        if found is None:
            return _ask()
        _check_own_page()
    token, g.visitor = found
    tokens.note_use(token)
    return None


def _hide_jobs_of_others() -> None:
    """Hide what this visitor may not see, wherever an address names it.

    Raises:
        NotFound: it is another person's job, exploration or film.
    """
    named = request.view_args or {}
    if job_id := named.get("job_id"):
        visitors.check_job(get_visitor(), job_id)
    if exploration_id := named.get("exploration_id"):
        visitors.check_exploration(get_visitor(), exploration_id)
    if film_id := named.get("film_id"):
        visitors.check_film(get_visitor(), film_id)


def note_wrong_token() -> None:
    """Log and count a wrong token. A right one passes whatever the count, so nobody locks others out.

    Raises:
        TooManyRequests: too many came from this address.
    """
    counted: Counter = current_app.extensions["wrong_tokens"]
    if not counted.hit(WRONG_TOKENS, request.remote_addr or ""):
        raise TooManyRequests(TOO_MANY_WRONG, retry_after=60)
    log.warning("wrong token", client=request.remote_addr, path=request.path)


def _keep_out_of_caches(response: Response) -> Response:
    """Keep pages out of caches, so that after signing out a browser's Back shows none of them."""
    if "visitor" in g and response.mimetype == "text/html":
        response.headers["Cache-Control"] = "no-store"
    return response


def _read_bearer() -> str | None:
    """Return the token that a program sent; another scheme is as good as none."""
    given = request.authorization
    return given.token if given and given.type == "bearer" else None


def _find_visitor(sha256: str | None) -> tuple[Token, Visitor] | None:
    """Return the token of this digest and whose it is; None: there is none, or it was revoked."""
    if sha256 is None:
        return None
    with sessions.read_session() as reader:
        found = tokens.find_with_person(reader, sha256)
    return None if found is None else (found[0], Visitor.from_rows(*found))


def _is_metrics_token(sent: str) -> bool:
    """Check for the token that Prometheus sends, which is nobody's and opens /metrics alone."""
    wanted = settings().metrics_token
    return bool(wanted) and hmac.compare_digest(wanted.encode(), sent.encode())


def _ask() -> ResponseReturnValue:
    """Lead a browser that goes somewhere to the sign-in page; refuse everybody else.

    Raises:
        Unauthorized: no page was asked for.
    """
    if request.path.startswith("/api/"):
        raise Unauthorized(BY_PROGRAM, www_authenticate=_build_challenge())
    goes = request.method in SAFE_METHODS and "text/html" in request.headers.get("Accept", "")
    if not goes and request.endpoint == METRICS:
        raise Unauthorized(BY_PROMETHEUS, www_authenticate=_build_challenge())
    if not goes:
        raise Unauthorized(BY_PERSON, www_authenticate=_build_challenge())
    return redirect(url_for("pages.sign_in", next=get_own_address()))


def _check_own_page() -> None:
    """Refuse a cookie that not a page of ours sent, since a browser sends it whoever asks it to.

    Forms carry a CSRF token; scripts of our own pages call the API, and their browser says so.
    (`refuse_other_sites` lets programs pass, which say nothing.)

    Raises:
        Forbidden: by cookie, and not from a page of ours.
    """
    if request.method in SAFE_METHODS or not request.path.startswith("/api/"):
        return
    if "Sec-Fetch-Site" not in request.headers and "Origin" not in request.headers:
        raise Forbidden("A program shows its token by `Authorization: Bearer ...`, not by a cookie.")


def _build_challenge(error: str | None = None) -> WWWAuthenticate:
    values: dict[str, str | None] = {"realm": "style-farm"}
    if error:
        values["error"] = error
    return WWWAuthenticate("bearer", values)
