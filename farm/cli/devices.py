"""The devices that workers are started on: the cards that the operator may use, or the CPU.

Nothing here loads torch: a process of its own asks it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal

import click

from farm.fleet import nvidia_smi
from farm.fleet.nvidia_smi import Unanswered

TORCH_SECONDS = 180.0  # for torch, which a cold disk takes long to load

CARD = re.compile(r"GPU \d+: .*\(UUID: (\S+)\)")
SLICE = re.compile(r"\s+MIG .*\(UUID: (\S+)\)")  # of the card in a line above


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
        return use_cards(entries or ["0"])
    if wanted == "cuda":
        raise click.ClickException(f"FARM_DEVICE=cuda, but {obstacle}.")
    report(f"No GPU is used: {obstacle}.")
    return [CPU]


def use_cards(entries: list[str]) -> list[WorkerDevice]:
    """Return the devices of entries of CUDA_VISIBLE_DEVICES, each by its number, whoever else has which:
    workers that are started one by one have names of their own. None may turn to the CPU."""
    known = _list_uuids() if any(not entry.isdecimal() for entry in entries) else []
    numbers = [_find_number(entry, known) for entry in entries]
    if None in numbers or len(set(numbers)) < len(numbers):  # no nvidia-smi knows them
        numbers = list(range(len(entries)))
    return [
        WorkerDevice(f"gpu {number}", {"CUDA_VISIBLE_DEVICES": entry, "FARM_DEVICE": "cuda"})
        for number, entry in zip(numbers, entries, strict=True)
    ]


def _list_uuids() -> list[str]:
    try:
        return parse_listing(nvidia_smi.list_cards())
    except Unanswered:
        return []


def _find_number(entry: str, known: list[str]) -> int | None:
    """Return a card's number; None: it is not known. UUIDs may be cut off."""
    if entry.isdecimal():
        return int(entry)
    return next((number for number, uuid in enumerate(known) if uuid.startswith(entry)), None)


def list_entries() -> list[str]:
    """List the operator's entries of CUDA_VISIBLE_DEVICES; where it is unset, all cards by their UUIDs,
    and the slices of those that are cut up.

    Raises:
        Unanswered: nvidia-smi fails, or does not answer.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return parse_listing(nvidia_smi.list_cards())
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


def find_obstacle(entry: str | None) -> str | None:
    """Return why torch cannot use the card of an entry (None: any card); None: it can.

    Raises:
        Unanswered: torch fails, or takes longer than `TORCH_SECONDS`.
    """
    chosen = {} if entry is None else {"CUDA_VISIBLE_DEVICES": entry}
    command = [sys.executable, "-m", "farm.engine.cuda"]
    return nvidia_smi.run("torch", command, TORCH_SECONDS, chosen).strip() or None
