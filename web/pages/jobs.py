"""All jobs and films: the list as a page, and the part of it that changes by itself."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Response, render_template, request

from farm.database import sessions
from farm.database.models import State
from farm.errors import InvalidInput, Problem
from farm.films import lists as film_lists
from farm.fleet import registry
from farm.jobs import bulk, lists
from farm.jobs.lists import ListQuery, Sort
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.pages.fragments import send_fragment

Choice = TypeVar("Choice", bound=enum.StrEnum)


class View(enum.StrEnum):
    """Look of the list."""

    CARDS = "cards"
    TABLE = "table"


PAGES = {View.CARDS: 24, View.TABLE: 50}  # jobs in one page
SORTS = {Sort.NEWEST: "Newest", Sort.OLDEST: "Oldest", Sort.NAME: "Name"}


@blueprint.get("/jobs")
def list_jobs() -> str:
    """List jobs and films; `?state=` of one, `?q=` in their name, `?sort=`, `?view=`, `?cursor=`."""
    return render_template("jobs.html", **_load_list(), sorts=SORTS, views=View, bulk=bulk)


@blueprint.get("/jobs/list")
def refresh_list() -> Response:
    """Return the part of the same page that changes by itself; with its ETag, only if it has changed."""
    return send_fragment("_jobs.html", **_load_list())


def read_question(state: State | None = None) -> ListQuery:
    """Read the question in this request's address.

    Raises:
        InvalidInput: names what is none.
    """
    return ListQuery(
        state or read_choice(State, "state"),
        request.args.get("q", ""),
        read_choice(Sort, "sort") or Sort.NEWEST,
        get_visitor().limited_to,
    )


def read_choice(kind: type[Choice], name: str) -> Choice | None:
    """Read which of these the address names; None: none.

    Raises:
        InvalidInput: something else.
    """
    text = request.args.get(name, "")
    return parse_choice(kind, name, text) if text else None


def parse_choice(kind: type[Choice], name: str, text: str) -> Choice:
    """Return the one of these that a text names.

    Raises:
        InvalidInput: it names none.
    """
    try:
        return kind(text)
    except ValueError:
        raise InvalidInput(Problem(name, f"is one of {', '.join(kind)}")) from None


def keep_question(question: ListQuery, **more: Any) -> Mapping[str, str | None]:
    """Return the arguments that links carry on: the question, without its defaults."""
    sort = None if question.sort is Sort.NEWEST else question.sort.value
    return {"q": question.q or None, "sort": sort, **more}


def _load_list() -> dict[str, Any]:
    question = read_question()
    view = read_choice(View, "view") or View.CARDS
    with sessions.read_session() as session:
        cursor = request.args.get("cursor")
        page = film_lists.page(session, question, cursor=cursor, limit=PAGES[view])
        jobs, films = (
            count(session, question.q, question.owner_id)
            for count in (lists.count_by_state, film_lists.count_by_state)
        )
        workers = registry.list_alive(session)
    state = question.state.value if question.state else None
    return {
        "asked": question,
        "page": page,
        "counts": {each: jobs[each] + films[each] for each in State},
        "job_counts": jobs,
        "workers": workers,
        "view": view,
        "kept": keep_question(question, state=state, view=None if view is View.CARDS else view.value),
    }
