"""The devices that `farm up` starts workers on: the cards that the operator may use, or the CPU.

Nothing here loads torch: a process of its own asks it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from tempfile import TemporaryFile
from typing import Literal

import click

SMI_SECONDS = 20.0  # for nvidia-smi, which a driver in trouble lets wait for ever
TORCH_SECONDS = 180.0  # for torch, which a cold disk takes long to load

CARD = re.compile(r"GPU \d+: .*\(UUID: (\S+)\)")
SLICE = re.compile(r"\s+MIG .*\(UUID: (\S+)\)")  # of the card in a line above


class Unanswered(Exception):
    """nvidia-smi or torch gave no answer; the message says why."""


@dataclass(frozen=True)
class WorkerDevice:
    """A device that gets a worker of its own."""

    # Shown to people, and with the host the worker's name.
    name: str
    # Variables of the worker's process.
    environment: dict[str, str] = field(default_factory=dict)


CPU = WorkerDevice("cpu")


def list_devices(
    wanted: Literal["auto", "cpu", "cuda"], report: Callable[[str], None]
) -> list[WorkerDevice]:
    """List the devices: each card or slice of one (MIG) that this process may use, or the CPU.

    Args:
        wanted: FARM_DEVICE. report: takes a line where there are cards that cannot be used.

    Raises:
        ClickException: FARM_DEVICE is `cuda`, and no card can be used.
    """
    if wanted == "cpu":
        return [CPU]
    try:
        entries = list_entries()
        if not entries and wanted == "auto":
            return [CPU]
        obstacle = find_obstacle(entries[0] if entries else None)
    except Unanswered as error:
        obstacle = str(error)
    if obstacle is None:
        return [_use_card(number, entry) for number, entry in enumerate(entries or ["0"])]
    if wanted == "cuda":
        raise click.ClickException(f"FARM_DEVICE=cuda, but {obstacle}.")
    report(f"No GPU is used: {obstacle}.")
    return [CPU]


def _use_card(number: int, entry: str) -> WorkerDevice:
    """Return the device of an entry; it may not turn to the CPU under the card's name."""
    name = f"gpu {entry if entry.isdigit() else number}"
    return WorkerDevice(name, {"CUDA_VISIBLE_DEVICES": entry, "FARM_DEVICE": "cuda"})


def list_entries() -> list[str]:
    """List the operator's entries of CUDA_VISIBLE_DEVICES; where it is unset, all cards by their UUIDs,
    and the slices of those that are cut up.

    Raises:
        Unanswered: nvidia-smi fails, or does not answer.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return parse_listing(_run_nvidia_smi())
    entries = (entry.strip() for entry in visible.split(","))
    valid = takewhile(lambda entry: entry and not entry.startswith("-"), entries)  # as CUDA reads it
    return list(dict.fromkeys(valid))


def parse_listing(listing: str) -> list[str]:
    """Return the UUIDs in the output of `nvidia-smi -L`; of a card with slices those, not its own."""
    cards: list[list[str]] = []
    for line in listing.splitlines():
        if card := CARD.match(line):
            cards.append([card[1]])
        elif (found := SLICE.match(line)) and cards:
            cards[-1].append(found[1])
    return [uuid for card in cards for uuid in card[1:] or card]


def _run_nvidia_smi() -> str:
    """Return the output of `nvidia-smi -L`; "" where there is no such program.

    Raises:
        Unanswered: it fails, or takes longer than `SMI_SECONDS`.
    """
    try:
        return _run("nvidia-smi", ["nvidia-smi", "-L"], SMI_SECONDS)
    except FileNotFoundError:
        return ""


def find_obstacle(entry: str | None) -> str | None:
    """Return why torch cannot use the card of an entry (None: any card); None: it can.

    Raises:
        Unanswered: torch fails, or takes longer than `TORCH_SECONDS`.
    """
    chosen = {} if entry is None else {"CUDA_VISIBLE_DEVICES": entry}
    command = [sys.executable, "-m", "farm.engine.cuda"]
    return _run("torch", command, TORCH_SECONDS, chosen).strip() or None


def _run(
    name: str, command: list[str], seconds: float, environment: dict[str, str] | None = None
) -> str:
    """Return a command's output; name: in messages.

    Raises:
        FileNotFoundError: there is no such program. Unanswered: it fails, or does not end in time.
    """
    given = os.environ | (environment or {})
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=given, stdout=output, stderr=errors)  # noqa: S603
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # a driver in trouble holds it even so
                process.wait(1.0)
            raise Unanswered(f"{name} did not answer within {seconds:g} s") from None
        output.seek(0)
        errors.seek(0)
        if not status:
            return output.read()
        said = (errors.read().strip() or output.read().strip()).splitlines()
        raise Unanswered(f"{name} failed: {said[-1] if said else f'exit status {status}'}")
