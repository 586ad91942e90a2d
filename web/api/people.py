"""People and their quotas, for operators; oneself and one's own tokens, for everybody."""

from __future__ import annotations

from datetime import datetime

from flask import request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.people import NAME_LENGTH, Person, Role, Token
from farm.people import accounts, quotas, sign_in, tokens
from farm.people.quotas import GIGABYTE, Limits, Quota, Quotas
from farm.recipe.problems import Untrusted
from farm.settings import settings
from web.api import answers, blueprint
from web.api.schemas import Moment
from web.middleware.authentication import get_person_id, get_visitor, require_operator

NO_PERSON = {404: "No such person."}
NO_ACCOUNTS = {409: "The farm asks for no token, so there are no accounts to act for."}
LAST_OPERATOR = {409: "It is the last operator."}


class QuotaOut(BaseModel):
    """Quota of a person."""

    limit: float | None = Field(description="Null: none.")
    used: float
    left: float | None = Field(description="Null: without limit.")

    @classmethod
    def from_quota(cls, quota: Quota, unit: int = 1) -> QuotaOut:
        """Describe a quota, by units of so much."""
        known = [None if each is None else each / unit for each in (quota.limit, quota.left)]
        return cls(limit=known[0], used=quota.used / unit, left=known[1])


class QuotasOut(BaseModel):
    """Quotas of a person."""

    running: QuotaOut = Field(description="Jobs that are rendered at once; others wait.")
    waiting: QuotaOut = Field(description="Jobs that wait.")
    megapixels_a_day: QuotaOut = Field(description="Of results submitted today, UTC.")
    storage_gb: QuotaOut = Field(description="Of jobs' files and of uploads.")
    day_ends_at: Moment = Field(description="When megapixels are counted anew.")

    @classmethod
    def from_quotas(cls, found: Quotas) -> QuotasOut:
        """Describe all quotas."""
        return cls(
            running=QuotaOut.from_quota(found.running),
            waiting=QuotaOut.from_quota(found.waiting),
            megapixels_a_day=QuotaOut.from_quota(found.megapixels_a_day),
            storage_gb=QuotaOut.from_quota(found.stored_bytes, GIGABYTE),
            day_ends_at=found.day_ends_at,
        )


class Me(BaseModel):
    """Whoever asks."""

    name: str | None = Field(description="Null where the farm asks for no token.")
    role: Role = Field(description="Operators see and change everything.")
    shared: bool = Field(description="This person sees and changes all jobs, not their own alone.")
    quotas: QuotasOut | None = Field(description="Null where the farm asks for no token.")


@blueprint.get("/me")
@blueprint.output(Me)
@blueprint.doc(tags=["People"])
def get_me() -> Me:
    """Return who you are to this farm, and what is left of your quotas."""
    visitor = get_visitor()
    shared = visitor.limited_to is None
    if visitor.person_id is None:
        return Me(name=None, role=visitor.role, shared=shared, quotas=None)
    with sessions.read_session() as session:
        found = quotas.measure(session, session.get_one(Person, visitor.person_id))
    return Me(name=visitor.name, role=visitor.role, shared=shared, quotas=QuotasOut.from_quotas(found))


class TokenOut(BaseModel):
    """Token, without its text."""

    name: str
    created_at: Moment
    used_at: Moment | None = Field(description="Null: never.")
    current: bool = Field(description="This request shows it.")

    @classmethod
    def from_row(cls, row: Token) -> TokenOut:
        """Describe a token by its row."""
        current = row.sha256 == get_visitor().token_sha256
        return cls(name=row.name, created_at=row.created_at, used_at=row.used_at, current=current)


class TokensOut(BaseModel):
    """One's own tokens, newest first; signed-in browsers have one each."""

    items: list[TokenOut]


class TokenIn(Untrusted):
    """Request for a token."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_LENGTH, description="What it is for.")


class NewToken(BaseModel):
    """Token that was just made."""

    name: str = Field(description="Yours, a slash, and the name that was asked for.")
    token: str = Field(description="Its text, which is kept nowhere.")


@blueprint.get("/tokens")
@blueprint.output(TokensOut)
@blueprint.doc(tags=["People"], responses=NO_ACCOUNTS)
def list_tokens() -> TokensOut:
    """List your own tokens."""
    with sessions.read_session() as session:
        found = tokens.list_own(session, get_person_id())
    return TokensOut(items=[TokenOut.from_row(row) for row in found])


@blueprint.post("/tokens")
@blueprint.input(TokenIn, location="json")
@blueprint.output(NewToken, 201, description="Made; its text is not shown again.")
@blueprint.doc(tags=["People"], responses=answers.BAD_JSON | NO_ACCOUNTS)
def create_token(json_data: TokenIn) -> NewToken:
    """Make a token of your own, which lets a program do what you may do."""
    with sessions.write_session() as session:
        person = session.get_one(Person, get_person_id())
        name, text = tokens.create_own(session, person, json_data.name)
    return NewToken(name=name, token=text)


@blueprint.delete("/tokens/<path:name>")
@blueprint.output({}, 204, description="It is refused from now on.")
@blueprint.doc(
    tags=["People"], responses=answers.OTHER_SITE | NO_ACCOUNTS | {404: "You have no such token."}
)
def revoke_token(name: str) -> ResponseReturnValue:
    """Revoke a token of your own. Sessions that it opened end."""
    with sessions.write_session() as session:
        tokens.revoke_own(session, get_person_id(), name)
    return "", 204


class LimitsOut(Untrusted):
    """Limits of an account's own; null: the farm's holds, 0: none does."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    running: int | None = Field(None, ge=0, le=quotas.HIGHEST)
    waiting: int | None = Field(None, ge=0, le=quotas.HIGHEST)
    megapixels_a_day: float | None = Field(None, ge=0, le=quotas.HIGHEST, allow_inf_nan=False)
    storage_gb: float | None = Field(None, ge=0, le=quotas.MAX_BYTES / GIGABYTE, allow_inf_nan=False)


class PersonOut(BaseModel):
    """Account of a person."""

    name: str
    role: Role
    created_at: Moment
    limits: LimitsOut
    quotas: QuotasOut

    @classmethod
    def from_row(cls, session: Session, row: Person) -> PersonOut:
        """Describe an account by its row, and measure what it uses."""
        return cls(
            name=row.name,
            role=row.role,
            created_at=row.created_at,
            limits=LimitsOut.model_validate(Limits.from_row(row)),
            quotas=QuotasOut.from_quotas(quotas.measure(session, row)),
        )


class People(BaseModel):
    """All accounts, by name."""

    items: list[PersonOut]


class PersonIn(Untrusted):
    """Request for an account."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_LENGTH)
    role: Role = Role.USER


class PersonChange(Untrusted):
    """Changes of an account; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    limits: LimitsOut | None = Field(None, description="All four of them at once.")


class SignInLinkOut(BaseModel):
    """Link that signs a person in, once."""

    url: str
    ends_at: Moment


@blueprint.get("/people")
@require_operator
@blueprint.output(People)
@blueprint.doc(tags=["People"], responses=answers.OPERATORS)
def list_people() -> People:
    """List all accounts, and what they use of their quotas."""
    with sessions.read_session() as session:
        return People(items=[PersonOut.from_row(session, row) for row in accounts.list_all(session)])


@blueprint.post("/people")
@require_operator
@blueprint.input(PersonIn, location="json")
@blueprint.output(PersonOut, 201, description="Added.")
@blueprint.doc(tags=["People"], responses=answers.BAD_JSON | answers.OPERATORS)
def add_person(json_data: PersonIn) -> PersonOut:
    """Add an account. A sign-in link lets its person in."""
    with sessions.write_session() as session:
        made = accounts.add(session, json_data.name, json_data.role, by=get_visitor().name)
        return PersonOut.from_row(session, made)


@blueprint.patch("/people/<path:name>")
@require_operator
@blueprint.input(PersonChange, location="json")
@blueprint.output(PersonOut)
@blueprint.doc(
    tags=["People"],
    responses=answers.BAD_JSON | answers.OPERATORS | NO_PERSON | LAST_OPERATOR,
)
def change_person(name: str, json_data: PersonChange) -> PersonOut:
    """Give an account another role, or limits of its own."""
    by = get_visitor().name
    with sessions.write_session() as session:
        if json_data.role is not None:
            accounts.change_role(session, name, json_data.role, by=by)
        if json_data.limits is not None:
            quotas.change_limits(session, name, Limits(**json_data.limits.model_dump()), by=by)
        return PersonOut.from_row(session, accounts.get(session, name))


@blueprint.delete("/people/<path:name>")
@require_operator
@blueprint.output({}, 204, description="It is gone, with its tokens; its jobs are nobody's.")
@blueprint.doc(tags=["People"], responses=answers.OPERATORS | NO_PERSON | LAST_OPERATOR)
def remove_person(name: str) -> ResponseReturnValue:
    """Remove an account and its tokens. Its jobs stay, and operators see them."""
    with sessions.write_session() as session:
        accounts.remove(session, name, by=get_visitor().name)
    return "", 204


@blueprint.post("/people/<path:name>/sign-in-link")
@require_operator
@blueprint.output(SignInLinkOut, 201, description="Made; it is not shown again.")
@blueprint.doc(tags=["People"], responses=answers.OPERATORS | NO_PERSON)
def make_sign_in_link(name: str) -> SignInLinkOut:
    """Make a link that signs a person in once, within a day."""
    with sessions.write_session() as session:
        secret = sign_in.make_link(session, name, get_visitor().name)
        ends_at: datetime = sessions.read_clock(session) + sign_in.LINK_GOOD_FOR
    base = settings().public_url or request.url_root.rstrip("/")
    return SignInLinkOut(url=sign_in.build_url(base, secret), ends_at=ends_at)
