"""Events, for operators: the audit's lines, newest first, searched."""

from __future__ import annotations

from typing import Any

from flask import Response, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.films import Film
from farm.database.models import Job
from farm.errors import InvalidInput, Problem
from farm.people import audit
from farm.people.audit import Lines
from web.middleware.authentication import require_operator
from web.pages import blueprint
from web.pages.fragments import send_fragment

PAGE = 50  # lines
MOST_DIGITS = 18  # of a line's number


@blueprint.get("/operators/events")
@require_operator
def list_events() -> str:
    """Show what operators did; `?q=` of one person or thing only, `?before=` older than a line."""
    return render_template("operators/events.html", **_read())


@blueprint.get("/operators/events/list")
@require_operator
def refresh_events() -> Response:
    """Return the part of it that changes, alone."""
    return send_fragment("operators/_events.html", **_read())


def _read() -> dict[str, Any]:
    q, before = request.args.get("q", ""), _read_before()
    with sessions.read_session() as session:
        found = audit.list_newest(session, PAGE, q=q, before=before)
        links = _find_links(session, found)
    return {"events": found, "links": links, "q": " ".join(q.split()), "before": before}


def _read_before() -> int | None:
    """Read the number of a line in this request's address.

    Raises:
        InvalidInput: it is none.
    """
    text = request.args.get("before")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise InvalidInput(Problem("before", "is not the number of a line"))
    return int(text)


def _find_links(session: Session, events: Lines) -> dict[str, tuple[str, str]]:
    """Return the names and pages of the jobs and films, by their ids, that these lines are about."""
    subjects = {line.subject for line in events.lines}
    jobs = session.execute(select(Job.id, Job.name).where(Job.id.in_(subjects))).all()
    films = session.execute(select(Film.id, Film.name).where(Film.id.in_(subjects))).all()
    return {
        **{job_id: (name, url_for("pages.show_job", job_id=job_id)) for job_id, name in jobs},
        **{film_id: (name, url_for("pages.show_film", film_id=film_id)) for film_id, name in films},
    }
