"""A rendering saved in a file, from which another run resumes as if nothing had happened.

A safetensors file: the optimiser's tensors, and one JSON text of all else. It appears under its name by
rename, so that there is always a whole one: the old or the new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from farm.engine.colours import GRID
from farm.engine.guides import Guides, Source
from farm.errors import InvalidInput, Problem, RenderFailed
from farm.files import replace_file
from farm.recipe import Recipe
from farm.recipe.memory_plan import SMALLEST_TILE

VERSION = 2
KEY = "style-farm checkpoint"
LARGEST_COPY = 10**9  # bytes of a state in the CPU's memory that is held twice while it is written
STRIP = 64  # rows of a picture that are hashed at once


class Facts(BaseModel):
    """The JSON part of a checkpoint: all but the tensors."""

    model_config = ConfigDict(frozen=True)

    # Of this layout.
    version: int = VERSION
    # With what `auto` chose.
    recipe: dict[str, Any]
    # Digest of the pictures and guides.
    inputs: str
    # Whether they were decoded to what the recipe uses; up to 0.2 they were decoded whole.
    scaled: bool = False
    # Digest of the tensors, set when they are written.
    tensors: str = ""
    # The level, counted from 1, and its iterations that are done; 0: it was left while its targets were
    # computed.
    level: int = Field(ge=1)
    iteration: int = Field(ge=0)
    # Rendered so far.
    seconds: float = Field(ge=0, allow_inf_nan=False)
    # The plans of this level and those to come follow from these three.
    budget_bytes: int = Field(ge=0)
    tile: int | None = Field(ge=SMALLEST_TILE)
    lowered: int = Field(ge=0)
    # Of the optimiser.
    scalars: dict[str, Any]
    # Of a float16 loss.
    scale: float = Field(gt=0, allow_inf_nan=False)
    # Iterations since the scale last changed.
    good: int = Field(ge=0)
    # See `optimise.Plateau`.
    plateau: list[float] = Field(max_length=2)
    # The optimiser's kept colours, row by row; None: none, or those of the picture it began from.
    colours: list[float] | None = Field(None, min_length=3 * GRID**2, max_length=3 * GRID**2)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a rendering after an iteration."""

    facts: Facts
    # The optimiser's, by name: contiguous, on the CPU.
    tensors: dict[str, Tensor]
    # Whether the tensors are the optimiser's own, which the next step changes; else copies.
    lent: bool = False

    @classmethod
    def from_state(cls, facts: Facts, tensors: dict[str, Tensor]) -> Checkpoint:
        """Make a checkpoint of an optimiser's tensors, on whatever device.

        They are copied, so that a thread may write them while the next steps run; from a GPU always.
        What lies in the CPU's memory and is large is lent: it may not fit twice, and an iteration there
        takes many times as long as the writing that is waited for.
        """
        on_host = all(tensor.device.type == "cpu" for tensor in tensors.values())
        if on_host and sum(tensor.nbytes for tensor in tensors.values()) > LARGEST_COPY:
            return cls(facts, {name: tensor.contiguous() for name, tensor in tensors.items()}, lent=True)
        return cls(facts, _copy_to_host(tensors))

    @property
    def network(self) -> str:
        """The name of the network whose losses it minimises."""
        return str(self.facts.recipe.get("features"))

    @property
    def version(self) -> str:
        """The version of the farm whose rules its recipe follows."""
        return str(_fill_defaults(self.facts.recipe).get("version"))

    def replace_precision(self, precision: str) -> Checkpoint:
        """Return the checkpoint with another precision to resume in: the last bits will differ."""
        recipe = self.facts.recipe | {"precision": precision}
        return Checkpoint(self.facts.model_copy(update={"recipe": recipe}), self.tensors)

    def write(self, path: Path) -> None:
        """Write to a file, whole or not at all.

        Raises:
            RenderFailed: it cannot be written; an older file of that name is as it was.
        """
        try:
            facts = self.facts.model_copy(update={"tensors": _hash_tensors(self.tensors)})
            with replace_file(path) as part:
                save_file(self.tensors, part, metadata={KEY: facts.model_dump_json()})
        except (OSError, SafetensorError) as error:
            raise RenderFailed(f"The checkpoint {path} could not be written: {error}.") from error

    def check_matches(self, recipe: Recipe, inputs: str) -> None:
        """Check that it is of this recipe, with `auto` resolved, and of pictures with this digest.

        Raises:
            InvalidInput: it is of another rendering.
        """
        ours = json.loads(recipe.model_dump_json())
        theirs = _fill_defaults(self.facts.recipe)
        differ = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
        if differ:
            differences = "; ".join(f"{n} was {theirs.get(n)} and is {ours.get(n)}" for n in differ[:4])
            raise unusable(f"is of another recipe: {differences}")
        if inputs != self.facts.inputs:
            raise unusable("is of other pictures than these")


def read(path: Path) -> Checkpoint:
    """Read a checkpoint from a file; once more, where another took its place meanwhile.

    Raises:
        InvalidInput: it is no checkpoint, not whole, or of a newer version; `checkpoint` is its field.
    """
    while True:
        before = _identify(path)
        try:
            return _read(path)
        except InvalidInput:  # safetensors opens a file again for each tensor
            if _identify(path) == before:
                raise


def _identify(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of its name; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise unusable(f"{path} is not a checkpoint of this farm")
            whole = json.loads(text)
            version = whole.get("version") if isinstance(whole, dict) else None
            if version != VERSION:
                raise unusable(f"{path} has layout {version}; this version of the farm reads {VERSION}")
            facts = Facts.model_validate_json(text)
            tensors = {k: file.get_tensor(k).clone() for k in file.keys()}  # noqa: SIM118
    except ValidationError as error:
        wrong = ", ".join(str(item["loc"][0]) for item in error.errors()[:4])
        raise unusable(f"{path} is damaged: {wrong} cannot be right") from error
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise unusable(f"{path} is damaged or not whole ({error})") from error
    if _hash_tensors(tensors) != facts.tensors:
        raise unusable(f"{path} is damaged: its numbers are not those that were written")
    return Checkpoint(facts, tensors)


def _copy_to_host(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors into the CPU's memory.

    From a GPU they come into pinned memory, which is many times as fast, and which torch keeps for the
    next time; it is waited for once, after all of them.
    """
    copies = {name: _copy(tensor) for name, tensor in tensors.items()}
    for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
        torch.cuda.current_stream(device).synchronize()
    return copies


def _copy(tensor: Tensor) -> Tensor:
    """Begin to copy a tensor, contiguous; on CUDA the copy is there after a synchronisation."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
    return copy.copy_(tensor, non_blocking=True)


def hash_inputs(pictures: Iterable[Source], guides: Guides) -> str:
    """Return the SHA-256 of pictures (H, W, 3) and guides as float32 in [0, 1], be they bytes or that.

    Without guides it is that of the versions before there were any.
    """
    whole = hashlib.sha256()
    for picture in pictures:
        _hash_array(whole, picture)
    for name, array in guides.iterate_named():
        whole.update(name.encode())
        _hash_array(whole, array)
    return whole.hexdigest()


def _hash_array(whole: hashlib._Hash, array: NDArray[Any]) -> None:
    whole.update(str(array.shape).encode())
    for top in range(0, len(array), STRIP):
        rows: Any = array[top : top + STRIP]
        if rows.dtype == np.uint8:
            rows = np.divide(rows, np.float32(255), dtype=np.float32)
        rows = np.ascontiguousarray(rows)
        whole.update(memoryview(rows).cast("B"))


def _fill_defaults(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe as this version of the farm writes it; unchanged if it is not a valid one."""
    try:
        whole: dict[str, Any] = Recipe.parse(recipe).model_dump(mode="json")
    except InvalidInput:
        return recipe
    return whole


def _hash_tensors(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of contiguous tensors on the CPU, with their names, shapes and types."""
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        numbers: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        whole.update(numbers)
    return whole.hexdigest()


def unusable(message: str) -> InvalidInput:
    """Return the error for a checkpoint that cannot be resumed from."""
    return InvalidInput(Problem("checkpoint", message))
