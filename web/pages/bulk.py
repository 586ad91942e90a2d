"""One act on the jobs that were selected: first a page that asks, then the act."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.models import Job, State
from farm.jobs import bulk, lists
from farm.jobs.bulk import Action, Outcome
from farm.jobs.lists import ListQuery
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.pages.jobs import parse_choice

OUR_LISTS = re.compile(r"/jobs(?P<job>/[0-9a-f]{32})?(\?[\w.~%&=+-]*)?", re.ASCII)


@dataclass(frozen=True)
class _Words:
    """Words for one act on many jobs."""

    # With a place for its jobs.
    act: str
    # Title of the page where no job can take it.
    nothing: str
    # After "3 will".
    will: str
    # After the number of jobs.
    done: str
    # A sentence below the number: the consequences.
    means: str
    # Name of an icon of the pages.
    icon: str
    # Class of the button.
    button: str = "btn-primary"

    def describe(self, jobs: list[Job]) -> str:
        """Return the act as a button has it: one job by its name, more by their number."""
        return self.act.format(f"“{jobs[0].name}”" if len(jobs) == 1 else f"{len(jobs)} jobs")

    def ask(self, jobs: list[Job]) -> str:
        """Return the act as the question of its page."""
        return f"{self.describe(jobs)}?" if jobs else self.nothing


WORDS = {
    Action.CANCEL: _Words(
        "Cancel {}",
        "Nothing to cancel",
        "be cancelled",
        "cancelled",
        "What is being painted stops as soon as its worker notices.",
        "stop",
    ),
    Action.RETRY: _Words(
        "Try {} again",
        "Nothing to try again",
        "wait again",
        "waiting again",
        "From the beginning, in their turn.",
        "again",
    ),
    Action.DELETE: _Words(
        "Delete {}",
        "Nothing to delete",
        "be deleted",
        "deleted",
        "With the pictures and all that is known of them. This cannot be undone.",
        "bin",
        "btn-danger",
    ),
}


@blueprint.get("/jobs/bulk")
def return_to_list() -> ResponseReturnValue:
    """Redirect to the list: whoever comes here by address has selected nothing."""
    return redirect(url_for("pages.list_jobs"), 303)


@blueprint.post("/jobs/bulk")
def confirm_bulk() -> ResponseReturnValue:
    """Show what would happen, job by job, and ask whether it shall."""
    ids = read_ids()
    if not ids:
        flash("No job was selected.")
        return redirect(read_origin(), 303)
    action = _read_action()
    outcomes = bulk.plan(action, ids, get_visitor())
    return render_template(
        "bulk.html",
        action=action,
        words=WORDS[action],
        would=[outcome.job for outcome in outcomes if not outcome.refusal],
        refused=_group_by_reason(outcomes),
        back=read_origin(),
    )


@blueprint.post("/jobs/bulk/confirmed")
def carry_out_bulk() -> ResponseReturnValue:
    """Carry it out, report the outcomes, and redirect to the page that asked."""
    action = _read_action()
    outcomes = bulk.carry_out(action, request.form.getlist("ids"), get_visitor())
    flash(_describe_outcomes(action, outcomes))
    back = read_origin()
    found = OUR_LISTS.fullmatch(back.removeprefix(request.script_root))
    gone = action is Action.DELETE and found is not None and found["job"] is not None
    return redirect(url_for("pages.list_jobs") if gone else back, 303)


def read_ids() -> list[str]:
    """Return the jobs that the form names, each or all of a list."""
    return _list_all() if request.form.get("all") else request.form.getlist("ids")


def _list_all() -> list[str]:
    """Return the jobs of the whole list that the form names by its search, as many as go at once."""
    state = request.form.get("state", "")
    asked = ListQuery(
        parse_choice(State, "state", state) if state else None,
        request.form.get("q", ""),
        owner_id=get_visitor().limited_to,
    )
    with sessions.read_session() as session:
        return lists.list_ids(session, asked, bulk.MAX_JOBS)


def _read_action() -> Action:
    return parse_choice(Action, "action", request.form.get("action", ""))


def read_origin() -> str:
    """Return the page that the request came from: a list or a job of ours, never another site's."""
    asked = request.form.get("back", "")
    return (
        asked
        if OUR_LISTS.fullmatch(asked.removeprefix(request.script_root))
        else url_for("pages.list_jobs")
    )


def _group_by_reason(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.refusal:
            found[outcome.refusal].append(outcome)
    return found


def _describe_outcomes(action: Action, outcomes: list[Outcome]) -> str:
    """Return `3 cancelled; 1 not: already ended.`"""
    done = sum(outcome.refusal is None for outcome in outcomes)
    word = WORDS[action].done
    not_done = "not" if done else f"not {word}"
    parts = [f"{done} {word}"] if done else []
    parts += [f"{len(jobs)} {not_done}: {why}" for why, jobs in _group_by_reason(outcomes).items()]
    return "; ".join(parts) + "."
