"""Photographs for a farm: one, or each in a folder, sent with the same paintings and settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.cli.client import Client
from farm.cli.refusals import Rejected
from farm.cli.sent_files import NO_GUIDES, Guides, read_picture
from farm.errors import InvalidInput, Problem
from farm.recipe import Recipe
from farm.recipe.formats import UPLOADED

PHOTOGRAPHS = tuple(suffix for suffixes in UPLOADED.values() for suffix in suffixes)


def list_photographs(content: Path) -> list[Path]:
    """Return the file itself, or each picture in a folder, by name, but for hidden files, such as the
    `._x.jpg` that macOS leaves beside pictures on foreign disks.

    Raises:
        InvalidInput: the folder has no picture, or cannot be read.
    """
    if not content.is_dir():
        return [content]
    try:
        found = sorted(path for path in content.iterdir() if _is_photograph(path))
    except OSError as error:
        raise InvalidInput(Problem("content", f"{content} cannot be read: {error.strerror}")) from error
    if not found:
        message = f"{content} has no picture in it; they end in {', '.join(PHOTOGRAPHS)}"
        raise InvalidInput(Problem("content", message))
    return found


def _is_photograph(path: Path) -> bool:
    visible = not path.name.startswith(".")
    return visible and path.suffix.lower() in PHOTOGRAPHS and not path.is_dir()


@dataclass
class Batch:
    """Jobs that differ in their photograph alone."""

    farm: Client
    styles: list[Path]
    recipe: Recipe
    # Of each job; empty: the farm takes the photograph's file name.
    name: str
    priority: int
    webhook_url: str
    # That a worker must have; empty: any takes them.
    tag: str = ""
    # Files that steer each of them.
    guides: Guides = NO_GUIDES
    # Jobs that the farm has accepted, as the API serialises them.
    sent: list[dict[str, Any]] = field(default_factory=list)
    # Reasons by photograph.
    refused: dict[Path, str] = field(default_factory=dict)

    def send_one(self, photograph: Path) -> dict[str, Any]:
        """Send a photograph as a new job and return it.

        Raises:
            Refused: the farm refuses, or does not answer. InvalidInput: a file cannot be read.
        """
        return self._submit(photograph, key="")

    def send(self, photograph: Path, *, again: bool) -> dict[str, Any] | None:
        """Send a photograph of a folder and return its job; None: this photograph was refused.

        Args:
            again: as a new job; else what was sent before is the same job.

        Raises:
            Refused: nothing could be sent, whatever the photograph. InvalidInput: a painting is wrong.
        """
        try:
            key = "" if again else self._compute_key(photograph)
            return self._submit(photograph, key)
        except (Rejected, InvalidInput) as error:
            if _concerns_all(error):
                raise
            self.refused[photograph] = "; ".join(str(error).splitlines())
            return None

    def _submit(self, photograph: Path, key: str) -> dict[str, Any]:
        job = self.farm.submit(
            photograph,
            self.styles,
            self.recipe,
            self.name,
            self.priority,
            self.webhook_url,
            key,
            self.tag,
            self.guides,
        )
        self.sent.append(job)
        return job

    def _compute_key(self, photograph: Path) -> str:
        """Return what tells this request from others: a digest of pictures, names and settings."""
        pictures = [read_picture("content", photograph)]
        pictures += [read_picture("style", style) for style in self.styles]
        names = [photograph.name, *(style.name for style in self.styles), self.name, self.webhook_url]
        settings = [self.recipe.model_dump_json(exclude_unset=True), str(self.priority)]
        settings += [f"tag {self.tag}"] if self.tag else []
        parts = [*pictures, *(text.encode(errors="surrogateescape") for text in names + settings)]
        for field_name, path in self.guides.list_files():
            parts += [field_name.encode(), read_picture(field_name, path)]
        digests = b"".join(hashlib.sha256(part).digest() for part in parts)
        return f"batch-{hashlib.sha256(digests).hexdigest()}"


def _concerns_all(error: Rejected | InvalidInput) -> bool:
    """Check that no other photograph would be accepted: only the paintings are wrong."""
    if isinstance(error, Rejected):
        fields = error.fields
    else:
        fields = frozenset(problem.field for problem in error.problems)
    return bool(fields) and all(field.startswith("style") for field in fields)
