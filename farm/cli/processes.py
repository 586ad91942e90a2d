"""Commands for the farm's processes: all of them on one machine, or one by one."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from farm import log
from farm.cli.root import main
from farm.database import schema, sessions
from farm.database.fleet import Worker
from farm.fleet import instances, registry
from farm.fleet.nvidia_smi import Unanswered
from farm.jobs import losses
from farm.jobs.tickets import name_own_queue
from farm.settings import Settings, SettingsInvalid, settings, split_list

if TYPE_CHECKING:
    from farm.cli.devices import WorkerDevice

VARIABLES = {"--classes": "FARM_CLASSES", "--tags": "FARM_TAGS", "--name": "FARM_WORKER_NAME"}
TWIN_POLL_SECONDS = 1.0  # between two looks at a worker that may be alive


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
@click.option(
    "--devices", metavar="LIST", help="GPUs or slices, by number or UUID, with commas; or cpu."
)
@click.option(
    "--classes", "--queues", "classes", metavar="LIST", help="preview,standard,large; default: all."
)
@click.option("--tags", metavar="LIST", help="It takes jobs that ask for one of them, and for none.")
@click.option("--name", help="Its own in the whole farm; default: such as gpu0@HOST.")
def run_worker(devices: str | None, classes: str | None, tags: str | None, name: str | None) -> None:
    """Run a worker on each GPU that this process may use, or one on the CPU.

    Options go before FARM_CLASSES, FARM_TAGS, FARM_WORKER_NAME and CUDA_VISIBLE_DEVICES.
    """
    from farm.cli.supervisor import build_workers, ensure_weights, run_workers

    options = {"--classes": classes, "--tags": tags, "--name": name}
    given = {option: text for option, text in options.items() if text is not None}
    chosen = _choose_devices(devices) if devices is not None else {}
    os.environ.update({VARIABLES[option]: text for option, text in given.items()} | chosen)
    settings.cache_clear()
    config = _read_settings(given)
    schema.check_version()
    workers = build_workers(_list_devices(config), config)
    if len(workers) > 1:
        ensure_weights(config)
        sys.exit(run_workers(workers))
    os.environ.update(workers[0].environment)
    settings.cache_clear()
    _take_name(settings().worker_name)
    ensure_weights(config)
    _run_celery(settings())


def _read_settings(options: Collection[str]) -> Settings:
    """Return the settings.

    Args:
        options: those given, which stand in the environment.

    Raises:
        BadParameter: one of them is wrong. SettingsInvalid: something else is.
    """
    try:
        return settings()
    except SettingsInvalid as error:
        for option in options:
            for problem in error.problems:
                variable, _, message = problem.partition(": ")
                if variable == VARIABLES[option]:
                    raise click.BadParameter(message, param_hint=option) from None
        raise


def _choose_devices(devices: str) -> dict[str, str]:
    """Return the variables of a choice of devices.

    Raises:
        BadParameter: it is none.
    """
    entries = [entry.strip() for entry in devices.split(",")]
    if entries == ["cpu"]:
        return {"FARM_DEVICE": "cpu"}
    for entry in entries:
        if not re.fullmatch(r"[0-9]{1,4}|(GPU|MIG)-[A-Za-z0-9/-]+", entry):
            message = f"{entry!r} is no device: a number, a UUID such as GPU-5f0c.. or MIG-.., or cpu"
            raise click.BadParameter(message, param_hint="--devices")
    return {"CUDA_VISIBLE_DEVICES": ",".join(entries), "FARM_DEVICE": "cuda"}


def _list_devices(config: Settings) -> list[WorkerDevice]:
    """List the devices. One card that is asked for is not tried here: its worker does, and says why it
    cannot be used."""
    from farm.cli.devices import list_devices, list_entries, use_cards
    from farm.cli.supervisor import warn

    with suppress(Unanswered):
        if config.device == "cuda" and len(entries := list_entries()) < 2:
            return use_cards(entries or ["0"])
    return list_devices(config.device, warn)


def _take_name(name: str) -> None:
    """Take a worker's name for this process, and requeue the job of a dead one before it. Another that
    may be alive, on a machine of which nothing is known here, is watched until it is known.

    Raises:
        Twin: another process is the worker of this name.
    """
    from farm.cli.supervisor import warn

    instance = instances.identify(os.getpid())
    seen_at = None
    while True:
        with sessions.write_session() as session:
            other = registry.take_name(session, name, instance)
            if other is None:
                losses.requeue_by_workers(session, [name])
                return
        if seen_at is None and not instances.is_alive(other.instance):
            warn(f"{name} was seen lately, on {other.host or 'some machine'}: is it alive?")
            seen_at = other.seen_at
        elif other.seen_at != seen_at:
            raise Twin(name, other)
        time.sleep(TWIN_POLL_SECONDS)


class Twin(click.ClickException):
    """Another process is the worker of this name."""

    exit_code = registry.TWIN_STATUS

    def __init__(self, name: str, other: Worker) -> None:
        where = f"on {other.host}, " if other.host else ""
        super().__init__(
            f"There is a worker {name} already ({where}seen {other.seen_at:%H:%M:%S} UTC). Give this one"
            " a name of its own by --name or FARM_WORKER_NAME, or end the other."
        )


def _run_celery(config: Settings) -> None:
    name = config.worker_name
    queues = ",".join([*split_list(config.classes), name_own_queue(name)])
    options = ["--hostname", name, "--queues", queues, "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    _replace_process("celery", "--quiet", "--app", "workers.tasks", "worker", *options)


@main.command("worker-alive")
def check_worker_alive() -> None:
    """Exit with status 1 unless the worker FARM_WORKER_NAME was seen lately, or, where that is not set,
    one of this host; for health checks."""
    sessions.check_exists()
    name, host = settings().worker_name, socket.gethostname()
    with sessions.read_session() as session:
        alive = registry.list_alive(session)
    if settings().names_worker and name not in {worker.name for worker in alive}:
        raise click.ClickException(f"{name} was not seen lately.")
    if not settings().names_worker and host not in {worker.host for worker in alive}:
        raise click.ClickException(f"No worker of {host} was seen lately.")


@main.command("janitor")
def run_janitor() -> None:
    """Run the janitor: tickets for waiting jobs, jobs whose worker was lost, webhooks."""
    schema.check_version()
    _replace_process("workers.janitor")


def _replace_process(module: str, *arguments: str) -> None:
    """Replace this process by a Python module's, so that signals reach it and nothing else."""
    command = [sys.executable, "-m", module, *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - the farm's own commands
