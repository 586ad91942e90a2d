"""A network on a device, in the number format the device is fast in, with memory to use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from farm.engine import device as devices
from farm.engine import precision, weights
from farm.engine.vgg import VGG
from farm.recipe import Recipe
from farm.recipe.memory_choice import choose
from farm.recipe.memory_estimates import Work
from farm.recipe.memory_plan import Plan, choose_tile
from farm.recipe.picture_sizes import PictureSizes

# Of the memory that there is, unless a budget is given. Of a card's only what is free counts, so what is
# left is for the workspaces of its libraries and for holes between buffers.
MEMORY_SHARE = {"cpu": 0.75, "cuda": 0.9}


@dataclass(frozen=True)
class Engine:
    """A network on a device, ready for any number of pictures."""

    vgg: VGG
    device: torch.device
    # Of weights and activations.
    number_format: precision.Format
    # The weights' cache.
    folder: Path
    # Memory that a rendering may use.
    budget_bytes: int

    @classmethod
    def load(
        cls,
        network: str,
        setting: str,
        folder: Path,
        report: weights.Report,
        device: torch.device | None = None,
        memory_gb: float = 0,
    ) -> Engine:
        """Resolve and load a network's weights; choose the device and the number format.

        Args:
            network: its name, or auto. setting: auto, float32, winograd or mixed.
            folder: the weights' cache. report: takes one line with the network that was chosen, and why.
            memory_gb: what a rendering may use; 0: see `compute_budget`.

        Raises:
            WeightsUnavailable, InvalidInput: see `weights.resolve` and `precision.choose`.
        """
        device = device or devices.choose()
        devices.keep_freed_memory(device)
        devices.limit_threads()
        devices.fix_results(device)
        number_format = precision.choose(setting, device)
        name = weights.resolve(network, folder, report)
        budget = compute_budget(memory_gb, device)
        return cls._build(name, device, number_format, folder, budget)

    @classmethod
    def _build(
        cls,
        network: str,
        device: torch.device,
        number_format: precision.Format,
        folder: Path,
        budget: int,
    ) -> Engine:
        tensors = weights.load(network, folder)
        vgg = VGG(network, tensors, device, number_format.dtype, number_format.winograd)
        return cls(vgg, device, number_format, folder, budget)

    def to_float32(self) -> Engine:
        """Return the same engine in plain float32."""
        return self._build(
            self.vgg.network, self.device, precision.FLOAT32, self.folder, self.budget_bytes
        )

    def with_budget(self, memory_gb: float) -> Engine:
        """Return the same engine with the budget of now: who else uses a card comes and goes."""
        return replace(self, budget_bytes=compute_budget(memory_gb, self.device))

    def resolve(self, recipe: Recipe) -> Recipe:
        """Return the recipe with what `auto` chose here, as a result carries it."""
        chosen = {"features": self.vgg.network, "precision": self.number_format.setting}
        return recipe.model_copy(update=chosen)

    def choose_plan(
        self, recipe: Recipe, height: int, width: int, sizes: PictureSizes | None = None
    ) -> Plan:
        """Choose the plan for a picture of this size, px, made of pictures of those sizes.

        Raises:
            DoesNotFit: none does.
        """
        return choose(self.work(recipe, sizes), height, width, self.budget_bytes, self.tile)

    @property
    def tile(self) -> int:
        """Side of the tiles that suit the device, px."""
        return choose_tile(self.device.type, self.number_format.dtype.itemsize)

    def work(self, recipe: Recipe, sizes: PictureSizes | None = None) -> Work:
        """Describe a recipe's work to the planner.

        Args:
            sizes: of photograph and paintings; None: these are not counted.
        """
        itemsize, winograd = self.number_format.dtype.itemsize, self.number_format.winograd
        network = self.vgg.network
        return Work.from_recipe(recipe, network, itemsize, winograd, self.device.type, sizes)


def compute_budget(memory_gb: float, device: torch.device) -> int:
    """Return the bytes that a rendering may use: `memory_gb`, or where that is 0 a share of what is
    there."""
    if memory_gb:
        return int(memory_gb * 1e9)
    return int(devices.read_available_memory(device) * MEMORY_SHARE[device.type])
