"""The pictures that come with the farm, for a first try. Asked for by name, never by path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

import farm

FOLDER = Path(farm.__file__).resolve().parent.parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A photograph to paint, or a painting to learn from."""

    # As in addresses and of its file.
    name: str
    # As people read it.
    title: str

    @property
    def path(self) -> Path:
        """Path of its file."""
        return FOLDER / f"{self.name}.jpg"

    @property
    def sha256(self) -> str:
        """Digest of its file."""
        return _hash_file(self.path, self.path.stat().st_mtime_ns)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return _read_size(self.path)


@cache
def _hash_file(path: Path, _changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _read_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


CONTENTS = (Sample("mountain_lake", "Mountain lake"), Sample("street", "Street"))
STYLES = (
    Sample("brushwork", "Brushwork"),
    Sample("ink_wash", "Ink wash"),
    Sample("mosaic", "Mosaic"),
)


def list_offered(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Return those that are there: a package without them still works."""
    return tuple(sample for sample in samples if sample.path.is_file())


def find(name: str) -> Sample | None:
    """Return the sample of this name if it is offered, else None."""
    return next((sample for sample in list_offered(CONTENTS + STYLES) if sample.name == name), None)
