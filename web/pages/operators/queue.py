"""The queue, for operators: what waits, for whom and how long, what is at work, priorities, pause."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.models import WorkClass
from farm.errors import InvalidInput, NotFound, Problem, WrongState
from farm.fleet import queue
from farm.jobs import actions, backlog
from farm.jobs.backlog import Waiting
from farm.jobs.fields import PRIORITIES
from web.middleware.authentication import get_visitor, require_operator
from web.pages import blueprint
from web.pages.fragments import send_fragment
from web.words import describe_error

PAGE = 50  # jobs that wait, in one page
MOST_PEOPLE = 30  # that are shown
BAR_WIDTH = 1000.0  # of the longest bar, in a bar's own units
FRONT = PRIORITIES[-1]


@dataclass(frozen=True)
class Bar:
    """Picture of what one person has waiting, beside the others'."""

    of: Waiting
    # Class, where its part begins, and how wide it is, of `BAR_WIDTH`.
    parts: list[tuple[WorkClass, float, float]]


@blueprint.get("/operators/queue")
@require_operator
def show_queue() -> str:
    """Show what waits and what is at work; `?cursor=` for those that wait further behind."""
    return render_template("operators/queue.html", **_read())


@blueprint.get("/operators/queue/now")
@require_operator
def refresh_queue() -> Response:
    """Return the part of it that changes, alone."""
    return send_fragment("operators/_queue.html", **_read())


def _read() -> dict[str, Any]:
    cursor = request.args.get("cursor")
    with sessions.read_session() as session:
        found = backlog.read(session)
        page = backlog.list_waiting(session, cursor, PAGE)
        held = backlog.list_at_work(session)
        shown = [*page.jobs, *(job for job, _ in held)]
        names = backlog.read_names(session, [job.owner_id for job in shown])
    return {
        "backlog": found,
        "bars": draw([found.everybody])[:1],
        "people": draw(found.people[:MOST_PEOPLE]),
        "page": page,
        "held": held,
        "names": names,
        "cursor": cursor,
        "priorities": PRIORITIES,
        "front": FRONT,
    }


def draw(people: list[Waiting]) -> list[Bar]:
    """Return a bar for each of these, to one scale."""
    most = max((each.total for each in people), default=0) or 1
    bars = []
    for each in people:
        counts = {kind: count for kind, count in each.waiting.items() if count}
        widths = [BAR_WIDTH * count / most for count in counts.values()]
        starts = accumulate(widths, initial=0.0)
        parts = [
            (kind, round(start, 2), round(width, 2))
            for kind, start, width in zip(counts, starts, widths, strict=False)
        ]
        bars.append(Bar(each, parts))
    return bars


@blueprint.post("/operators/queue/pause")
@require_operator
def pause_queue() -> ResponseReturnValue:
    """Let no worker take a job until the farm is resumed."""
    with sessions.write_session() as session:
        queue.pause(session, get_visitor().name)
    return redirect(url_for("pages.show_queue"), 303)


@blueprint.post("/operators/queue/resume")
@require_operator
def resume_queue() -> ResponseReturnValue:
    """Let workers take jobs again."""
    actions.resume_queue(get_visitor().name)
    return redirect(url_for("pages.show_queue"), 303)


@blueprint.post("/operators/queue/jobs/<job_id:job_id>/priority")
@require_operator
def set_priority(job_id: str) -> ResponseReturnValue:
    """Give a job another priority, or the highest."""
    try:
        job = actions.set_priority(job_id, _read_priority(), get_visitor(), get_visitor().name)
    except (InvalidInput, NotFound, WrongState) as error:
        flash(describe_error(error))
    else:
        flash(f"{job.name} has priority {job.priority} now.")
    return redirect(url_for("pages.show_queue", cursor=request.form.get("cursor") or None), 303)


def _read_priority() -> int:
    """Read the priority that the form asks for.

    Raises:
        InvalidInput: it is no number.
    """
    if "front" in request.form:
        return FRONT
    try:
        return int(request.form.get("priority", "")[:20])
    except ValueError:
        raise InvalidInput(Problem("priority", "must be a whole number")) from None
