"""All jobs: a list to find and to tidy, a gallery to look at."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

import farm.board
from farm import bulk, db, machines
from farm.errors import InvalidInput, Problem
from farm.models import State
from web.pages import blueprint

PAGE = 24  # jobs in one list
VIEWS = ("cards", "table")
SORTS = {"newest": "Newest first", "oldest": "Oldest first", "name": "By name"}
DONE = {"cancel": "cancelled", "retry": "sent again", "delete": "deleted"}
ACTIONS = {"cancel": "Cancel", "retry": "Try again", "delete": "Delete"}


@blueprint.get("/jobs")
def index() -> str:
    """Jobs; `?state=`, `?q=`, `?sort=`, `?view=` choose which and how, `?cursor=` a page of them."""
    asked = _asked()
    view = _one_of("view", VIEWS)
    with db.reading() as session:
        page = farm.board.listed(session, cursor=request.args.get("cursor"), limit=PAGE, **asked)
        counts = farm.board.counts(session, asked["search"])
        workers = machines.alive(session)
    return render_template(
        "jobs.html",
        page=page,
        here=_here("state", "q", "sort", "view"),
        any_state=_here("q", "sort", "view"),
        any_view=_here("state", "q", "sort", "cursor"),
        view=view,
        sorts=SORTS,
        actions=ACTIONS,
        counts=counts,
        workers=workers,
        **asked,
    )


@blueprint.get("/gallery")
def gallery() -> str:
    """Finished pictures, to be looked at."""
    asked = _asked() | {"state": State.SUCCEEDED}
    with db.reading() as session:
        page = farm.board.listed(session, cursor=request.args.get("cursor"), limit=PAGE, **asked)
    return render_template("gallery.html", page=page, here=_here("q", "sort"), sorts=SORTS, **asked)


def _asked() -> dict[str, Any]:
    """What the address asks for, as `farm.board.listed` takes it."""
    return {
        "state": _asked_state(request.args.get("state", "")),
        "search": " ".join(request.args.get("q", "").split()),
        "sort": _one_of("sort", get_args(farm.board.Sort)),
    }


def _here(*names: str) -> dict[str, str]:
    """What stays in the address when something else of it changes."""
    return {name: request.args[name] for name in names if request.args.get(name)}


def _one_of(field: str, words: tuple[str, ...]) -> str:
    """The first where none is asked for."""
    asked = request.args.get(field) or words[0]
    if asked not in words:
        raise InvalidInput(Problem(field, f"is one of {', '.join(words)}"))
    return asked


def _asked_state(text: str) -> State | None:
    try:
        return State(text) if text else None
    except ValueError:
        raise InvalidInput(Problem("state", f"is one of {', '.join(State)}")) from None


@blueprint.post("/jobs/bulk")
def plan_bulk() -> ResponseReturnValue:
    """What would be done to the jobs that were chosen, to be confirmed."""
    action, ids = _chosen()
    if not ids:
        flash("No picture was chosen.")
        return redirect(url_for("pages.index"), 303)
    outcomes = bulk.plan(action, ids)
    does = [each for each in outcomes if each.refusal is None]
    does_not = [each for each in outcomes if each.refusal is not None]
    return render_template(
        "bulk.html",
        action=action,
        title=ACTIONS[action],
        done=DONE[action],
        does=does,
        does_not=does_not,
    )


@blueprint.post("/jobs/bulk/do")
def do_bulk() -> ResponseReturnValue:
    """Do it."""
    action, ids = _chosen()
    outcomes = bulk.act(action, ids)
    told = Counter(each.refusal or DONE[action] for each in outcomes)
    gone = len(set(ids)) - len(outcomes)
    if gone:
        told["gone already"] = gone
    flash("; ".join(f"{count} {words}" for words, count in told.items()) + ".")
    return redirect(url_for("pages.index"), 303)


def _chosen() -> tuple[bulk.Action, list[str]]:
    action = request.form.get("action", "")
    if action not in ACTIONS:
        raise InvalidInput(Problem("action", f"is one of {', '.join(ACTIONS)}"))
    return action, request.form.getlist("ids")  # type: ignore[return-value]
