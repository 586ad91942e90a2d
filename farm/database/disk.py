"""Disks that the farm fills: that of local pictures, and that of a SQLite database.

Below a reserve of free bytes a disk is nearly full: the farm takes nothing new, and what is under way
goes on. With pictures in S3 and rows in PostgreSQL there is no disk to watch here.
"""

from __future__ import annotations

import enum
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farm.database import reserve
from farm.errors import NoRoom
from farm.settings import settings
from farm.storage import find_local_folder, format_bytes

MOST_OF_A_DISK = 4  # a reserve is at most this part of a small disk
AGAIN = 1.25  # times the reserve, free before a disk that was nearly full is taken for roomy again
REMEDY = "Deleting finished pictures makes room."

_nearly_full: set[Path] = set()  # folders whose disk was, when this process looked last


class Room(enum.StrEnum):
    """Room on the disks, in the words of /healthz."""

    OK = "ok"
    NEARLY_FULL = "nearly full"  # nothing new is taken
    FULL = "full"  # nothing can be written


@dataclass(frozen=True)
class Disk:
    """Disk below one of the farm's folders."""

    folder: Path
    # Bytes that the farm may still write.
    free: int
    # Bytes of the whole.
    total: int
    # Bytes that stay free for what is under way; 0: none.
    reserve: int


def list_disks() -> list[Disk]:
    """Return the disks that the farm fills, each once; none where all lies elsewhere."""
    disks: dict[int, Disk] = {}
    for folder in (find_local_folder(settings().storage), reserve.find_folder()):
        if folder is not None:
            with suppress(OSError):  # whoever reads or writes there says what is wrong
                disks.setdefault(folder.stat().st_dev, _measure(folder))
    return list(disks.values())


def find_room() -> Room:
    """Return how much room there is, by the disk that has the least."""
    short = [disk for disk in list_disks() if _is_nearly_full(disk)]  # each is looked at
    if reserve.is_disk_full():
        return Room.FULL
    return Room.NEARLY_FULL if short else Room.OK


def describe_shortage() -> str | None:
    """Return for a person that a disk is full or nearly so; None: there is room."""
    room = find_room()
    if room is Room.OK:
        return None
    if room is Room.FULL:
        return f"The farm's disk is full. It takes no new pictures. {REMEDY}"
    disk = min(list_disks(), key=lambda each: each.free - each.reserve)
    return (
        f"The farm's disk is nearly full: {format_bytes(disk.free)} are free. It takes no new pictures;"
        f" those that wait or are being painted go on. {REMEDY}"
    )


def check_room(needed: int = 0) -> None:
    """Check that there is room for something new.

    Args:
        needed: bytes that its files will take, where that is known and much.

    Raises:
        NoRoom: a disk is nearly full, or would be.
    """
    if shortage := describe_shortage():
        raise NoRoom(shortage)
    folder = find_local_folder(settings().storage)
    if needed and folder is not None:
        disk = _measure(folder)
        if disk.free - disk.reserve < needed:
            raise NoRoom(
                f"The farm's disk has {format_bytes(max(0, disk.free - disk.reserve))} for new pictures,"
                f" and this may take {format_bytes(needed)}. {REMEDY}"
            )


def _measure(folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    wanted = int(settings().disk_reserve_gb * 1e9)
    return Disk(folder, usage.free, usage.total, min(wanted, usage.total // MOST_OF_A_DISK))


def _is_nearly_full(disk: Disk) -> bool:
    """Check a disk. One that was nearly full has to have a little more room than it takes, so that the
    farm does not take a picture, refuse the next, and so on."""
    least = disk.reserve * (AGAIN if disk.folder in _nearly_full else 1.0)
    if disk.free >= least:
        _nearly_full.discard(disk.folder)
        return False
    _nearly_full.add(disk.folder)
    return True
