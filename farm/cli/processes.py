"""Commands for the farm's processes: all of them on one machine, or one by one."""

from __future__ import annotations

import os
import sys

import click

from farm import log
from farm.cli.root import main
from farm.database import schema, sessions
from farm.fleet import registry
from farm.jobs.tickets import name_own_queue
from farm.settings import settings, split_list


@main.command("up")
def start_farm() -> None:
    """Run the whole farm on this machine; Ctrl-C stops it."""
    from farm.cli.supervisor import run_farm

    run_farm()


@main.command("web")
@click.option("--link/--no-link", default=True, help="Print a sign-in link while nobody has a token.")
def serve_web(link: bool) -> None:
    """Run the web part alone, in this process."""
    from farm.cli.supervisor import report_first_link

    schema.check_version()
    if link:
        log.configure()
        report_first_link(settings())
    _replace_process("gunicorn", "--config", "python:web.server", "web:create_app()")


@main.command("worker")
@click.option("--queues", default="", hidden=True, help="What FARM_CLASSES says, for old scripts.")
def run_worker(queues: str) -> None:
    """Run one worker, on the first GPU that this process may use or on the CPU."""
    from farm.cli.supervisor import ensure_weights

    schema.check_version()
    ensure_weights(settings())
    name = settings().worker_name
    os.environ["FARM_WORKER_NAME"] = name
    if queues:
        os.environ["FARM_CLASSES"] = queues
    queues = ",".join([*split_list(queues or settings().classes), name_own_queue(name)])
    options = ["--hostname", name, "--queues", queues, "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    _replace_process("celery", "--quiet", "--app", "workers.tasks", "worker", *options)


@main.command("worker-alive")
def check_worker_alive() -> None:
    """Exit with status 1 unless the worker FARM_WORKER_NAME was seen lately; for health checks."""
    sessions.check_exists()
    with sessions.read_session() as session:
        alive = [worker.name for worker in registry.list_alive(session)]
    if settings().worker_name not in alive:
        raise click.ClickException(f"{settings().worker_name} was not seen lately.")


@main.command("janitor")
def run_janitor() -> None:
    """Run the janitor: tickets for waiting jobs, jobs whose worker was lost, webhooks."""
    schema.check_version()
    _replace_process("workers.janitor")


def _replace_process(module: str, *arguments: str) -> None:
    """Replace this process by a Python module's, so that signals reach it and nothing else."""
    command = [sys.executable, "-m", module, *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - the farm's own commands
