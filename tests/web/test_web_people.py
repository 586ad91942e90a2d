"""Accounts: a user sees and changes their own, an operator everything; what is hidden is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update
from werkzeug.routing import Rule

from farm.database import sessions
from farm.database.people import Person, Role
from farm.people import tokens
from tests.conftest import fresh_settings
from web import create_app
from web.middleware.authentication import require_operator

Headers = dict[str, str]


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app that is made after this asks for a token."""
    monkeypatch.setenv("FARM_REQUIRE_TOKEN", "1")
    fresh_settings()


def make_person(name: str, role: Role) -> Headers:
    """An account with a token: the header that shows it."""
    with sessions.write_session() as session:
        text = tokens.create(session, name)
        session.execute(update(Person).where(Person.name == name).values(role=role))
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def ada(closed: None) -> Headers:
    return make_person("Ada", Role.USER)


@pytest.fixture
def bob(closed: None) -> Headers:
    return make_person("Bob", Role.USER)


@pytest.fixture
def operator(closed: None) -> Headers:
    return make_person("Olga", Role.OPERATOR)


def list_rules(app: Flask) -> Iterator[tuple[str, Rule]]:
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield method, rule


def test_each_address_that_names_a_job_is_guarded(app: Flask) -> None:
    for _method, rule in list_rules(app):
        for name in re.findall(r"<job_id:([^>]*)>", rule.rule):
            assert name in ("job_id", "exploration_id"), f"{rule.rule}: nobody checks whose {name} it is"


def test_what_is_for_operators_is_refused_to_others_in_words(
    ada: Headers, operator: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app()
    app.add_url_rule("/api/v1/only", view_func=require_operator(lambda: "done"))
    client = app.test_client()
    refused = client.get("/api/v1/only", headers=ada)
    assert refused.status_code == 403
    assert "for the farm's operators" in refused.get_json()["detail"]
    assert client.get("/api/v1/only", headers=operator).text == "done"
    assert client.get("/api/v1/only").status_code == 401
