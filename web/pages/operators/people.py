"""People, for operators: accounts, what they use of their quotas, roles, sign-in links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.people import Person, Role, Token
from farm.errors import FarmError, InvalidInput, NotFound, Problem, WrongState
from farm.people import accounts, quotas, sign_in
from farm.people.quotas import Limits, Quota, Quotas, describe_amount
from farm.settings import settings
from farm.storage import format_bytes
from web.middleware.authentication import get_visitor, require_operator
from web.pages import blueprint
from web.pages.fragments import send_fragment
from web.words import describe_error


@dataclass(frozen=True)
class Gauge:
    """A quota as it is shown."""

    title: str
    quota: Quota
    describe: Callable[[float], str] = describe_amount

    @property
    def share(self) -> float | None:
        """Part of it that is used, 0..1; None: there is no limit."""
        limit = self.quota.limit
        return None if limit is None else min(1.0, self.quota.used / limit)

    @property
    def words(self) -> str:
        """`3 of 10`, or `3` where there is no limit."""
        used, limit = self.describe(self.quota.used), self.quota.limit
        return used if limit is None else f"{used} of {self.describe(limit)}"


@dataclass(frozen=True)
class Account:
    """A person with what is shown of them."""

    person: Person
    gauges: list[Gauge]
    limits: Limits
    # When a token of theirs was last used; None: never.
    seen_at: datetime | None


@blueprint.get("/operators/people")
@require_operator
def list_people() -> str:
    """Show all accounts."""
    return _show()


@blueprint.get("/operators/people/list")
@require_operator
def refresh_people() -> Response:
    """Return the part of it that changes, alone."""
    return send_fragment("operators/_people.html", **_read())


@blueprint.post("/operators/people")
@require_operator
def add_person() -> ResponseReturnValue:
    """Add an account, and show this once a link that signs its person in."""
    name, by = request.form.get("name", ""), get_visitor().name
    try:
        role = Role.OPERATOR if request.form.get("role") == Role.OPERATOR else Role.USER
        with sessions.write_session() as session:
            made = accounts.add(session, name, role, by=by).name
            secret = sign_in.make_link(session, made, by)
    except InvalidInput as error:
        return _show(error=describe_error(error)), error.status
    return _show(link=(made, _build_link(secret))), 201


@blueprint.post("/operators/people/link")
@require_operator
def make_link() -> ResponseReturnValue:
    """Make a link that signs a person in, and show it this once."""
    name = request.form.get("name", "")
    try:
        with sessions.write_session() as session:
            secret = sign_in.make_link(session, name, get_visitor().name)
    except NotFound as error:
        return _go_back(error)
    return _show(link=(name, _build_link(secret))), 201


@blueprint.post("/operators/people/role")
@require_operator
def change_role() -> ResponseReturnValue:
    """Give a person the other role."""
    role = Role.OPERATOR if request.form.get("role") == Role.OPERATOR else Role.USER
    try:
        with sessions.write_session() as session:
            person = accounts.change_role(
                session, request.form.get("name", ""), role, by=get_visitor().name
            )
    except (NotFound, WrongState) as error:
        return _go_back(error)
    flash(f"{person.name} is {'an operator' if role is Role.OPERATOR else 'a user'} now.")
    return _go_back()


@blueprint.post("/operators/people/quota")
@require_operator
def change_quota() -> ResponseReturnValue:
    """Set a person's own limits; what is left empty is the farm's."""
    try:
        limits = Limits(
            _read_count("running"),
            _read_count("waiting"),
            _read_number("megapixels_a_day"),
            _read_number("storage_gb"),
        )
        with sessions.write_session() as session:
            person = quotas.change_limits(
                session, request.form.get("name", ""), limits, by=get_visitor().name
            )
    except (InvalidInput, NotFound) as error:
        return _go_back(error)
    flash(f"{person.name} has other quotas now.")
    return _go_back()


@blueprint.post("/operators/people/remove")
@require_operator
def remove_person() -> ResponseReturnValue:
    """Remove an account and its tokens; its jobs stay, and operators see them."""
    name = request.form.get("name", "")
    try:
        with sessions.write_session() as session:
            accounts.remove(session, name, by=get_visitor().name)
    except (NotFound, WrongState) as error:
        return _go_back(error)
    flash(f"{name} has no account any more.")
    return _go_back()


def _go_back(error: FarmError | None = None) -> ResponseReturnValue:
    if error is not None:
        flash(describe_error(error))
    return redirect(url_for("pages.list_people"), 303)


def _build_link(secret: str) -> str:
    return sign_in.build_url(settings().public_url or request.url_root.rstrip("/"), secret)


def _read_count(name: str) -> int | None:
    """Read a whole number from the form; None: it is empty.

    Raises:
        InvalidInput: something else.
    """
    number = _read_number(name)
    if number is not None and number != int(number):
        raise InvalidInput(Problem(name, "must be a whole number"))
    return None if number is None else int(number)


def _read_number(name: str) -> float | None:
    """Read a number from the form; None: it is empty.

    Raises:
        InvalidInput: something else.
    """
    text = request.form.get(name, "").strip()
    try:
        number = float(text) if text else None
    except ValueError:
        number = float("nan")
    if number is not None and not 0 <= number <= quotas.HIGHEST:
        raise InvalidInput(Problem(name, f"must be 0 (no limit) to {quotas.HIGHEST}, or empty"))
    return number


def _show(error: str | None = None, link: tuple[str, str] | None = None) -> str:
    return render_template("operators/people.html", error=error, link=link, **_read())


def _read() -> dict[str, Any]:
    with sessions.read_session() as session:
        people = accounts.list_all(session)
        used = quotas.measure_all(session, people)
        seen = _find_last_uses(session)
    return {
        "accounts": [
            Account(each, _list_gauges(used[each.id]), Limits.from_row(each), seen.get(each.id))
            for each in people
        ],
        "asks_for_tokens": settings().require_token,
        "farm": settings(),
        "me": get_visitor().person_id,
    }


def _list_gauges(found: Quotas) -> list[Gauge]:
    return [
        Gauge("At work", found.running),
        Gauge("Waiting", found.waiting),
        Gauge("Megapixels today", found.megapixels_a_day),
        Gauge("Stored", found.stored_bytes, format_bytes),
    ]


def _find_last_uses(session: Session) -> dict[int, datetime]:
    """Return when each person was last heard of, by their ids."""
    newest = select(Token.person_id, func.max(Token.used_at)).where(Token.used_at.is_not(None))
    rows = session.execute(newest.group_by(Token.person_id))
    return {person_id: moment for person_id, moment in rows if moment}
