"""Option `-o` of commands that write pictures: a file, or a folder to name them in."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import click

from farm.files import build_file_name


class OutputPath(click.Path):
    """Path of a picture or a folder; one that ends with a slash is a folder, which is made."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, as a Path."""
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]  # by path_type
        if str(value).endswith((os.sep, os.altsep or os.sep)):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self.fail(f"{path} cannot be a folder: {error.strerror}.", param, ctx)
        return path


OUTPUT = OutputPath()


def is_folder(path: Path) -> bool:
    """Check whether there is a folder; a name that cannot be one's, such as one too long, names none."""
    return os.path.isdir(path)  # noqa: PTH112 - `Path.is_dir` raises for such a name


def find_free_name(folder: Path, name: str, suffix: str) -> Path:
    """Return the path of a file that a folder lacks: NAME, or NAME-2, NAME-3 and so on."""
    endings = (suffix if number == 1 else f"-{number}{suffix}" for number in count(1))
    paths = (folder / build_file_name(name, ending) for ending in endings)
    return next(path for path in paths if not path.exists())
