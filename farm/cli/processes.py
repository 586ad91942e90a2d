"""The farm's processes: all of them on one machine, or one by one."""

from __future__ import annotations

import os
import sys

import click

from farm.cli.root import main
from farm.database import schema, sessions
from farm.fleet import registry
from farm.settings import settings


@main.command()
def up() -> None:
    """The whole farm on this machine; Ctrl-C stops it."""
    from farm.cli.supervisor import up

    up()


@main.command()
def web() -> None:
    """The web part alone, in this process."""
    schema.check_version()
    _become("gunicorn", "--config", "python:web.server", "web:create_app()")


@main.command()
@click.option("--queues", default="preview,standard,large", show_default=True)
def worker(queues: str) -> None:
    """One worker, on the first GPU it may see or the CPU."""
    from farm.cli.supervisor import bring_weights

    schema.check_version()
    bring_weights(settings())
    name = settings().worker_name
    os.environ["FARM_WORKER_NAME"] = name
    options = ["--hostname", name, "--queues", queues, "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    _become("celery", "--quiet", "--app", "workers.tasks", "worker", *options)


@main.command("worker-alive")
def worker_alive() -> None:
    """Exit status 1 unless the worker FARM_WORKER_NAME was seen lately; for health checks."""
    with sessions.reading() as session:
        alive = [worker.name for worker in registry.list_alive(session)]
    if settings().worker_name not in alive:
        raise click.ClickException(f"{settings().worker_name} was not seen lately.")


@main.command()
def janitor() -> None:
    """The janitor: tickets for waiting jobs, jobs whose worker was lost, webhooks."""
    schema.check_version()
    _become("workers.janitor")


def _become(module: str, *arguments: str) -> None:
    """Replace this process by a Python module's, so that signals reach it and nothing else."""
    command = [sys.executable, "-m", module, *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - the farm's own commands
