"""A network on a device, in the number format the device is fast in, with memory to use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from farm.engine import device as devices
from farm.engine import precision, weights
from farm.engine.vgg import VGG
from farm.recipe import Recipe
from farm.recipe.memory_plan import Plan, Work, choose, default_tile

MEMORY_SHARE = 0.75  # of the device, unless a budget is given


@dataclass(frozen=True)
class Engine:
    """A network on a device, ready for any number of pictures."""

    vgg: VGG
    device: torch.device
    form: precision.Format
    folder: Path
    budget_bytes: int

    @classmethod
    def ready(
        cls,
        features: str,
        wanted: str,
        folder: Path,
        say: weights.Say,
        device: torch.device | None = None,
        memory_gb: float = 0,
    ) -> Engine:
        """Weights resolved and loaded, device and number format chosen.

        Args:
            features: a network's name, or auto. wanted: auto, float32, winograd or mixed.
            folder: the weights' cache. say: told which network was taken, and why.
            memory_gb: what a rendering may use; 0: three quarters of what the device has.

        Raises:
            WeightsUnavailable, InvalidInput: see `weights.resolve` and `precision.choose`.
        """
        device = device or devices.choose()
        devices.keep_freed_memory(device)
        form = precision.choose(wanted, device)
        name = weights.resolve(features, folder, say)
        budget = budget_bytes(memory_gb, devices.memory_bytes(device))
        return cls._loaded(name, device, form, folder, budget)

    @classmethod
    def _loaded(
        cls, name: str, device: torch.device, form: precision.Format, folder: Path, budget: int
    ) -> Engine:
        vgg = VGG(name, weights.load(name, folder), device, form.dtype, form.winograd)
        return cls(vgg, device, form, folder, budget)

    def in_float32(self) -> Engine:
        """The same in plain float32."""
        return self._loaded(
            self.vgg.features, self.device, precision.FLOAT32, self.folder, self.budget_bytes
        )

    def settled(self, recipe: Recipe) -> Recipe:
        """The recipe with what `auto` chose here, as a result carries it."""
        return recipe.model_copy(update={"features": self.vgg.features, "precision": self.form.setting})

    def plan(self, recipe: Recipe, height: int, width: int) -> Plan:
        """What suits a picture of this size.

        Raises:
            DoesNotFit: none does.
        """
        return choose(self.work(recipe), height, width, self.budget_bytes, self.tile)

    @property
    def tile(self) -> int:
        """Side of the tiles that suit the device, px."""
        return default_tile(self.device.type, self.form.dtype.itemsize)

    def work(self, recipe: Recipe) -> Work:
        """What the planner asks."""
        form = self.form
        return Work.of(recipe, self.vgg.features, form.dtype.itemsize, form.winograd, self.device.type)


def budget_bytes(memory_gb: float, there: int) -> int:
    """What a rendering may use: `memory_gb`, or where that is 0 a share of the bytes that are there."""
    return int(memory_gb * 1e9 if memory_gb else there * MEMORY_SHARE)
