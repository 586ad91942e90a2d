"""A rendering put down in a file, to be taken up again as if nothing had happened.

A safetensors file: the optimiser's tensors, and one JSON text of all else. It appears under its name by
rename, so that there is always a whole one: the old or the new.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from farm.engine.colours import GRID
from farm.errors import InvalidInput, Problem, RenderFailed
from farm.recipe import Recipe
from farm.recipe.memory_plan import SMALLEST_TILE

VERSION = 2
KEY = "style-farm checkpoint"


class Facts(BaseModel):
    """All but the tensors.

    version: of this layout. recipe: with what `auto` chose. inputs: digest of the pictures. tensors:
    digest of the tensors, set when they are written. level, iteration: the last one done, from 1.
    seconds: worked so far. budget_bytes, tile, lowered: what the plans of this and the coming levels
    follow from. scalars: the optimiser's. scale: of a float16 loss. good: iterations since it last
    changed. plateau: see `optimise.Plateau`. colours: the optimiser's kept ones, row by row.
    """

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    recipe: dict[str, Any]
    inputs: str
    tensors: str = ""
    level: int = Field(ge=1)
    iteration: int = Field(ge=1)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    budget_bytes: int = Field(ge=0)
    tile: int | None = Field(ge=SMALLEST_TILE)
    lowered: int = Field(ge=0)
    scalars: dict[str, Any]
    scale: float = Field(gt=0, allow_inf_nan=False)
    good: int = Field(ge=0)
    plateau: list[float] = Field(max_length=2)
    colours: list[float] | None = Field(None, min_length=3 * GRID**2, max_length=3 * GRID**2)


@dataclass(frozen=True)
class Checkpoint:
    """A rendering as it stood after an iteration. tensors: the optimiser's, by name."""

    facts: Facts
    tensors: dict[str, Tensor]

    @property
    def features(self) -> str:
        """The network whose losses it goes down."""
        return str(self.facts.recipe.get("features"))

    @property
    def version(self) -> str:
        """The version of the farm whose rules its recipe follows."""
        return str(_whole(self.facts.recipe).get("version"))

    def with_precision(self, precision: str) -> Checkpoint:
        """The same, to be gone on from with other number formats: the last bits will differ."""
        recipe = self.facts.recipe | {"precision": precision}
        return Checkpoint(self.facts.model_copy(update={"recipe": recipe}), self.tensors)

    def write(self, path: Path) -> None:
        """To a file, whole or not at all.

        Raises:
            RenderFailed: it cannot be written; an older file of that name is as it was.
        """
        part = path.with_name(f".{path.name}.part")
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.tensors.items()}
        try:
            facts = self.facts.model_copy(update={"tensors": _digest_of(tensors)})
            save_file(tensors, part, metadata={KEY: facts.model_dump_json()})
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except (OSError, SafetensorError) as error:
            part.unlink(missing_ok=True)
            raise RenderFailed(f"The checkpoint {path} could not be written: {error}.") from error

    def goes_with(self, recipe: Recipe, inputs: str) -> None:
        """Raises InvalidInput if it is of another rendering than this recipe (settled) and pictures."""
        ours = json.loads(recipe.model_dump_json())
        theirs = _whole(self.facts.recipe)
        differ = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
        if differ:
            told = "; ".join(f"{n} was {theirs.get(n)} and is {ours.get(n)}" for n in differ[:4])
            raise unusable(f"is of another recipe: {told}")
        if inputs != self.facts.inputs:
            raise unusable("is of other pictures than these")


def read(path: Path) -> Checkpoint:
    """From a file.

    Raises:
        InvalidInput: it is no checkpoint, not whole, or of a newer version; `checkpoint` is its field.
    """
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
    if _digest_of(tensors) != facts.tensors:
        raise unusable(f"{path} is damaged: its numbers are not those that were written")
    return Checkpoint(facts, tensors)


def digest(pictures: list[Any]) -> str:
    """Of the input pictures, float32 (H, W, 3) each."""
    whole = hashlib.sha256()
    for picture in pictures:
        whole.update(str(picture.shape).encode())
        whole.update(memoryview(picture).cast("B"))
    return whole.hexdigest()


def _whole(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe as this version of the farm writes it, if it is one."""
    try:
        whole: dict[str, Any] = Recipe.parse(recipe).model_dump(mode="json")
    except InvalidInput:
        return recipe
    return whole


def _digest_of(tensors: dict[str, Tensor]) -> str:
    """Of contiguous tensors on the CPU, with their names, shapes and types."""
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        numbers: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        whole.update(numbers)
    return whole.hexdigest()


def unusable(message: str) -> InvalidInput:
    """What to raise of a checkpoint that cannot be gone on from."""
    return InvalidInput(Problem("checkpoint", message))
