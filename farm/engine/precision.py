"""The number formats of the convolutions, and the loss scale that float16 needs.

Statistics, losses and the picture stay float32 in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from farm.errors import InvalidInput, Problem


@dataclass(frozen=True)
class Format:
    """A number format of the convolutions."""

    dtype: torch.dtype
    # Whether wide layers are convolved after Winograd.
    winograd: bool
    # For people.
    name: str
    # The value of a recipe's `precision` that selects it.
    setting: str


FLOAT32 = Format(torch.float32, False, "float32", "float32")
WINOGRAD = Format(torch.float32, True, "float32 (Winograd)", "winograd")
BFLOAT16 = Format(torch.bfloat16, False, "mixed (bfloat16)", "mixed")
FLOAT16 = Format(torch.float16, False, "mixed (float16)", "mixed")


def choose(precision: str, device: torch.device) -> Format:
    """Choose the format of a recipe's precision; for `auto` the one this device is fastest in.

    CUDA: bfloat16 where the card has it, else float16. CPU: bfloat16 where the processor has
    AVX512-BF16 or AMX (elsewhere it is emulated, at a tenth of float32's speed), else float32 after
    Winograd. `winograd` is float32 on CUDA, where its small products would be thousands of calls.

    Raises:
        InvalidInput: `mixed` on a CPU that has no fast half precision.
    """
    if precision == "float32" or (precision == "winograd" and device.type == "cuda"):
        return FLOAT32
    if precision == "winograd":
        return WINOGRAD
    if device.type == "cuda":
        return BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else FLOAT16
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return BFLOAT16
    if precision == "mixed":
        message = "mixed needs a GPU or a processor with AVX512-BF16 or AMX; use auto or float32"
        raise InvalidInput(Problem("precision", message))
    return WINOGRAD


class LossScale:
    """Dynamic loss scaling for float16 (Micikevicius et al. 2017, arXiv 1710.03740, section 3.2).

    Small gradients vanish in float16; so the loss is multiplied before the backward pass and the
    gradient divided after. A step whose gradient overflowed is skipped and the scale halved; after
    200 good steps it doubles. Other formats keep a scale of 1.

    Differs from the paper: it follows the picture's size, since the loss is a mean over positions.
    """

    GROW_AFTER = 200  # good steps
    # A pixel, to begin with: at 127 x 113 px a gradient of two usual losses is off by 4 % then; by 30 %
    # at a 16th of a pixel; at 1024 it overflows.
    FIRST = 64.0

    def __init__(self, number_format: Format) -> None:
        self.adapts = number_format is FLOAT16
        self.value = self.FIRST if self.adapts else 1.0
        self.good = 0
        self._pixels = 1

    def follow(self, pixels: int) -> None:
        """Follow the picture to a size of so many pixels."""
        if self.adapts:
            self.value *= 2.0 ** round(math.log2(pixels / self._pixels))
            self._pixels = pixels

    def restore(self, value: float, good: int, pixels: int) -> None:
        """Restore what a checkpoint tells of a picture of so many pixels."""
        self.value, self.good, self._pixels = value, good, pixels

    def update(self, finite: bool) -> None:
        """Adapt to whether the last gradient was finite."""
        if not self.adapts:
            return
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self.good == self.GROW_AFTER:
            self.value, self.good = self.value * 2, 0

    @property
    def exhausted(self) -> bool:
        """True when no scale is left to try: the gradient is not finite for another reason."""
        return not self.adapts or self.value < 2.0**-10
