"""Commands for operators of a fleet: `farm ops`."""

from __future__ import annotations

from collections.abc import Callable

import click
from rich.table import Table
from sqlalchemy.orm import Session

from farm.cli.root import main
from farm.cli.screen import output
from farm.counts import format_count
from farm.database import schema, sessions
from farm.database.films import Film
from farm.database.fleet import Worker
from farm.fleet import operations, queue, registry
from farm.jobs import actions, backlog
from farm.jobs.backlog import Backlog
from farm.jobs.fields import PRIORITIES
from farm.people import audit
from farm.people.visitors import ANYBODY


@main.group("ops")
def operators() -> None:
    """Run the farm: its workers, its queue, priorities, events."""
    schema.check_version()


@operators.command("workers")
def list_workers() -> None:
    """List the workers that are alive."""
    with sessions.read_session() as session:
        found = registry.list_alive(session)
    table = Table("name", "state", "device", "memory", "takes", "job", box=None)
    for worker in found:
        takes = ", ".join([*(worker.classes or ["all"]), *(f"#{tag}" for tag in worker.tags)])
        table.add_row(
            worker.name, _describe_state(worker), worker.device, _describe_memory(worker), takes,
            worker.job_id or "",
        )  # fmt: skip
    output.print(table if found else "No worker is alive.")


def _describe_state(worker: Worker) -> str:
    reason = f": {worker.state_reason}" if worker.state_reason else ""
    return f"{worker.state.value}{reason}"


def _describe_memory(worker: Worker) -> str:
    """Return `12 of 80 GB free`, or `80 GB` of a worker that does not tell how much is free."""
    whole = f"{worker.memory_bytes / 1e9:.0f} GB"
    return whole if worker.free_bytes is None else f"{worker.free_bytes / 1e9:.0f} of {whole} free"


@operators.command("drain")
@click.argument("name")
def drain(name: str) -> None:
    """Let the worker NAME end after its job."""
    _run_operation(operations.drain, name)


@operators.command("pause")
@click.argument("name")
def pause(name: str) -> None:
    """Let the worker NAME take no job until it is resumed; it finishes the one at work."""
    _run_operation(operations.pause, name)


@operators.command("resume")
@click.argument("name")
def resume(name: str) -> None:
    """Let the worker NAME take jobs again that is paused, sick or draining."""
    _run_operation(operations.resume, name)


def _run_operation(operation: Callable[[Session, str, str], Worker], name: str) -> None:
    with sessions.write_session() as session:
        worker = operation(session, name, audit.COMMAND_LINE)
    output.print(f"{worker.name} is {_describe_state(worker)}.")


@operators.command("queue")
@click.option("--pause", "change", flag_value="pause", help="Let no worker take a job.")
@click.option("--resume", "change", flag_value="resume", help="Let workers take jobs again.")
def show_queue(change: str | None) -> None:
    """Show what waits; pause or resume the queue."""
    if change == "pause":
        with sessions.write_session() as session:
            queue.pause(session, audit.COMMAND_LINE)
    elif change == "resume":
        actions.resume_queue(audit.COMMAND_LINE)
    with sessions.read_session() as session:
        found = backlog.read(session)
        pauser = queue.find_pauser(session)
    for work_class, count in found.everybody.waiting.items():
        output.print(f"{work_class.value}: {count} waiting")
    output.print(_describe_end(found))
    for person in found.people:
        if person.name:
            output.print(f"{person.name}: {person.total} waiting, {person.running} at work")
    for each in found.obstacles:
        output.print(f"{each.count} that no worker takes, such as {each.job_id}: {each.reason}")
    output.print(f"Paused by {pauser}." if pauser else "Workers take jobs.")


def _describe_end(found: Backlog) -> str:
    """Return what is at work, and when all of the backlog is done: `3 at work, all done in 12 minutes or
    so`."""
    running = f"{found.everybody.running} at work"
    if not found.seconds and not (found.everybody.running or found.everybody.total):
        return f"{running}, nothing to do"
    if found.seconds is None:
        return f"{running}, nobody knows until when: no worker has measured its speed"
    minutes = max(1, round(found.seconds / 60))
    return f"{running}, all done in {format_count(minutes, 'minute')} or so"


@operators.command("priority")
@click.argument("job_id")
@click.argument("priority", type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]))
def change_priority(job_id: str, priority: int) -> None:
    """Change the priority of a job or a film that has not ended: higher goes first."""
    with sessions.read_session() as session:
        is_film = session.get(Film, job_id) is not None
    change = actions.set_priority_of_film if is_film else actions.set_priority
    changed = change(job_id, priority, ANYBODY, audit.COMMAND_LINE)
    output.print(f"{changed.name} has priority {priority}.")


@operators.command("events")
@click.argument("search", default="")
@click.option(
    "--limit", type=click.IntRange(1, audit.SHOWN), default=20, show_default=True, help="Lines."
)
def list_events(search: str, limit: int) -> None:
    """List what operators did, newest first; with SEARCH, of one person, action or subject."""
    with sessions.read_session() as session:
        found = audit.list_newest(session, limit, q=search)
    table = Table("when (UTC)", "who", "did", "to", "", box=None)
    for line in found.lines:
        moment = f"{line.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(moment, line.person, line.action, line.subject, line.detail)
    output.print(table if found.lines else "There is no such line.")
