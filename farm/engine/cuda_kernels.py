"""Passes over activations as kernels of our own, where torch needs several calls and reads each value
as often.

They are CUDA C, compiled for the card when they are first used by NVIDIA's own runtime compiler, which
torch brings along; no other compiler is needed. What they write is what torch's operations write, over a
picture but for rounding; these stand in wherever there is no kernel: on a CPU, for another number
format, without that compiler.

Their code is in `cuda_code.py`; here they are compiled, loaded and launched, each by a method.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from farm.engine.cuda_code import DEVICE_CODE, FORMATS, KERNEL_CODE, NAMES

log = logging.getLogger(__name__)

PACK_BYTES = 16
THREADS = 256  # of a block
SUMMING_THREADS = 1 << 18  # at work on one sum: as many as the largest cards hold at once
TAPS = 32  # 3 x 3 pixels of 3 channels, filled up with zeros to what tensor cores like


def find_kernels(x: Tensor) -> Kernels | None:
    """Return the kernels that take activations such as x (H, W, C), with contiguous channels; None:
    there are none, so that torch has to do it."""
    C = x.shape[2]
    if (
        not x.is_cuda
        or x.dtype not in FORMATS
        or C * x.itemsize % PACK_BYTES
        or x.stride()[1:] != (C, 1)
    ):
        return None
    return _load(x.device, x.dtype)


def find_picture_kernels(picture: Tensor) -> Kernels | None:
    """Return the kernels that take a picture such as this (1, 3, H, W); None: there are none."""
    if not picture.is_cuda or picture.dtype != torch.float32 or not picture.is_contiguous():
        return None
    return _load(picture.device, picture.dtype)


def takes_as_gradient(gradient: Tensor) -> bool:
    """Check whether the kernels of a picture take this gradient (1, 3, H, W): as the network leaves it,
    float32, the colours of a pixel side by side."""
    return gradient.dtype == torch.float32 and gradient.stride(1) == 1


def add_activations(d: Tensor, g: Tensor) -> None:
    """Add g (H, W, C), contiguous, to d, of the same shape."""
    kernels = find_kernels(d)
    if kernels:
        kernels.add(d, g)
    else:
        d += g


@lru_cache(maxsize=8)
def _load(device: torch.device, dtype: torch.dtype) -> Kernels | None:
    try:
        return Kernels(device, dtype)
    except Exception as error:  # whatever is amiss with it, there is another way
        log.warning("The card's own kernels are not used: %s: %s", type(error).__name__, error)
        return None


def compile_kernels(dtype: torch.dtype, architecture: str) -> bytes:
    """Compile the kernels for a number format and a card's architecture, such as `sm_90`: a CUDA binary.

    Raises:
        RuntimeError, ImportError: what the compiler says, or that there is none.
    """
    from cuda.bindings import nvrtc

    source = (DEVICE_CODE + FORMATS[dtype] + KERNEL_CODE).encode()
    status, program = nvrtc.nvrtcCreateProgram(source, b"activations.cu", 0, [], [])
    _check(status)
    options = [b"--gpu-architecture=" + architecture.encode()]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if int(status):
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        told = b" " * size
        nvrtc.nvrtcGetProgramLog(program, told)
        raise RuntimeError(told.decode())
    status, size = nvrtc.nvrtcGetCUBINSize(program)
    _check(status)
    binary = b" " * size
    _check(*nvrtc.nvrtcGetCUBIN(program, binary))
    return bytes(binary)


class Kernels:
    """The kernels of one number format, loaded on one card.

    Raises:
        RuntimeError, ImportError: they cannot be.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        from cuda.bindings import driver

        self._driver = driver
        major, minor = torch.cuda.get_device_capability(device)
        binary = compile_kernels(dtype, f"sm_{major}{minor}")
        status, self._module = driver.cuModuleLoadData(binary)
        _check(status)
        self._functions: dict[str, Any] = {}
        for name in NAMES:
            status, self._functions[name] = driver.cuModuleGetFunction(self._module, name.encode())
            _check(status)

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pool (H, W, C), sides of at least 2, by the maximum of 2 x 2: (H // 2, W // 2, C), and each
        value's code, see `pooling.py`."""
        (h, w), C = (side // 2 for side in x.shape[:2]), _count_packs(x)
        values = x.new_empty(h, w, x.shape[2])
        codes = torch.empty_like(values, dtype=torch.uint8)
        self._launch("pool", h, w * C, x, values, codes, w, C, _count_row(x))
        return values, codes

    def spread(self, d: Tensor, codes: Tensor, height: int, width: int) -> Tensor:
        """Apply the adjoint of pooling and of the ReLU below: d (h, w, C) -> (height, width, C)."""
        (h, w), C = d.shape[:2], _count_packs(d)
        out = d.new_empty(height, width, d.shape[2])
        rows, columns = -(-height // 2), -(-width // 2)
        self._launch("spread", rows, columns * C, d, codes, out, height, width, h, w, C, _count_row(d))
        return out

    def mask(self, d: Tensor, features: Tensor, g: Tensor | None = None) -> Tensor:
        """Return d (H, W, C), and g added to it, where features are above zero; zero elsewhere.

        Args:
            features: contiguous. g: of the same shape, contiguous; the result is written into it.
        """
        out = torch.empty_like(features) if g is None else g
        width = d.shape[1] * _count_packs(d)
        self._launch("mask", len(d), width, d, g, features, out, width, _count_row(d))
        return out

    def add(self, d: Tensor, g: Tensor) -> None:
        """Add g (H, W, C), contiguous, to d, of the same shape."""
        width = d.shape[1] * _count_packs(d)
        self._launch("add", len(d), width, d, g, width, _count_row(d))

    def sum(self, x: Tensor) -> Tensor:
        """Sum x (positions, C), contiguous, in a number of groups: (groups, C) float32."""
        positions, C = x.shape
        packs = C * x.itemsize // PACK_BYTES
        groups = max(1, min(positions, SUMMING_THREADS // packs))
        sums = x.new_empty(groups, C, dtype=torch.float32)
        self._launch("sum", 1, groups * packs, x, sums, positions, groups, packs)
        return sums

    def pad(self, x: Tensor) -> Tensor:
        """Repeat the border of x (H, W, C), contiguous, once around it: (H + 2, W + 2, C)."""
        (H, W), C = x.shape[:2], _count_packs(x)
        out = x.new_empty(H + 2, W + 2, x.shape[2])
        self._launch("pad", H + 2, (W + 2) * C, x, out, H, W, C)
        return out

    def gather(self, x: Tensor) -> Tensor:
        """Gather the 3 x 3 pixels of 3 channels around each position of x (H, W, C), contiguous, its
        border repeated: (H W, `TAPS`), row by row of the pixels, the last ones zero."""
        H, W, C = x.shape
        out = x.new_empty(H * W, TAPS)
        self._launch("gather", H, W * TAPS * x.itemsize // PACK_BYTES, x, out, H, W, C, TAPS)
        return out

    def add_variation(
        self,
        picture: Tensor,
        gradient: Tensor | None,
        weight: float,
        across: float,
        down: float,
        chroma: float,
    ) -> Tensor:
        """Add the gradient of total variation, see `losses.tv_loss`, times `weight` to `gradient`.

        Args:
            picture: (1, 3, H, W), contiguous. gradient: see `takes_as_gradient`; None: there is none.
            across, down: weights of neighbours. chroma: of what is not grey.

        Returns:
            Terms whose sum is twice the loss, (H, W) float32.
        """
        _, _, H, W = picture.shape
        products = picture.new_empty(H, W)
        strides = (0, 0) if gradient is None else gradient.stride()[2:]
        weights = (across, down, chroma, weight)
        self._launch("variation", H, W, picture, gradient, products, H, W, *strides, *weights)
        return products

    def step_by_adam(
        self, state: Sequence[Tensor], gradient: Tensor, new: Sequence[float], *factors: float
    ) -> None:
        """Take a step of Adam, see `optimisers.Adam`.

        Args:
            state: the picture, both moments and the mean, each (1, 3, H, W), contiguous.
            gradient: see `takes_as_gradient`. new: the shares of the gradient in both moments.
            factors: the rate, epsilon, and the picture's share in the mean.
        """
        _, _, H, W = gradient.shape
        strides = gradient.stride()[2:]
        self._launch("adam", H, W, *state, gradient, H, W, *strides, *new, *factors)

    def _launch(self, name: str, rows: int, width: int, *arguments: Tensor | float | None) -> None:
        """Launch a kernel on the current stream with a thread for each of `width` in each row."""
        values = tuple(get_value(a) for a in arguments)
        kinds = tuple(choose_kind(a) for a in arguments)
        blocks, stream = -(-width // THREADS), torch.cuda.current_stream().cuda_stream
        where = (blocks, rows, 1, THREADS, 1, 1, 0, stream)
        _check(*self._driver.cuLaunchKernel(self._functions[name], *where, (values, kinds), 0))


def get_value(argument: Tensor | float | None) -> float:
    """Return what C takes for an argument: a tensor's address, 0 for none."""
    if argument is None:
        return 0
    return argument.data_ptr() if isinstance(argument, Tensor) else argument


def choose_kind(argument: Tensor | float | None) -> type[Any]:
    """Choose the C type of an argument."""
    if argument is None or isinstance(argument, Tensor):
        return ctypes.c_void_p
    return ctypes.c_int if isinstance(argument, int) else ctypes.c_float


def _count_packs(x: Tensor) -> int:
    """Count the packs of a position."""
    return x.shape[2] * x.itemsize // PACK_BYTES


def _count_row(x: Tensor) -> int:
    """Count the packs between the beginnings of two rows."""
    return x.stride(0) * x.itemsize // PACK_BYTES


def _check(status: Any) -> None:
    """Raise RuntimeError unless a call of NVIDIA's libraries went well."""
    if int(status):
        raise RuntimeError(str(status))
