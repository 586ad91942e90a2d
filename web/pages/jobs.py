"""All jobs."""

from __future__ import annotations

from flask import render_template, request

import farm.board
from farm import db, machines
from farm.errors import InvalidInput, Problem
from farm.models import State
from web.pages import blueprint

PAGE = 24  # jobs in one list


@blueprint.get("/jobs")
def index() -> str:
    """Jobs, newest first; `?state=` of one state only."""
    state = _asked_state(request.args.get("state", ""))
    with db.reading() as session:
        found, cursor = farm.board.newest(
            session, cursor=request.args.get("cursor"), limit=PAGE, state=state
        )
        counts = farm.board.counts(session)
        workers = machines.alive(session)
    return render_template(
        "jobs.html", jobs=found, next_cursor=cursor, state=state, counts=counts, workers=workers
    )


def _asked_state(text: str) -> State | None:
    try:
        return State(text) if text else None
    except ValueError:
        raise InvalidInput(Problem("state", f"is one of {', '.join(State)}")) from None
