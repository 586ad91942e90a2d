"""Counting what an iteration asks of a GPU, without one: the engine runs on torch's `meta` device, where
tensors have a shape and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from farm.engine.fallbacks import compute_finite_gradient
from farm.engine.gradient import Objective
from farm.engine.optimisers import Adam
from farm.engine.precision import BFLOAT16, LossScale
from farm.engine.pyramid import Level
from farm.engine.vgg import VGG
from farm.recipe import Recipe
from farm.recipe.memory_estimates import Work, estimate_peak_bytes
from farm.recipe.memory_plan import EVERYTHING
from farm.recipe.networks import CHANNELS, list_layer_names, parse_block
from farm.recipe.recipe import StyleLoss

META = torch.device("meta")
aten = torch.ops.aten
CONVOLUTIONS = {aten.convolution.default, aten.cudnn_convolution_relu.default}
PRODUCTS = {
    overload
    for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "dot")
    for overload in (getattr(getattr(aten, name), o) for o in getattr(aten, name).overloads())
}
# No kernel runs for these: views, and memory that is allocated and not written.
FREE = {
    aten.empty.memory_format,
    aten.new_empty.default,
    aten.empty_like.default,
    aten._reshape_alias.default,
    aten.lift_fresh.default,
    aten._unsafe_view.default,
}
FILLS = {aten.new_zeros.default, aten.zeros_like.default}  # these read nothing


@dataclass
class Count(TorchDispatchMode):
    """Calls of kernels, waits of the host, bytes that pass, and the most that were held at once.

    A call of an operator that makes no view counts as one kernel, as for most of them is true; its
    tensors count once each as bytes that are read or written, except in convolutions and products,
    whose time is not that of memory.
    """

    launches: int = 0
    waits: int = 0
    passed_bytes: int = 0
    held_bytes: int = 0
    peak_bytes: int = 0
    # The planner's figure for the same.
    foretold_bytes: int = 0
    # By operator.
    calls: Counter[str] = field(default_factory=Counter)
    passed_by: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__()
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count one call, and answer it without computing."""
        kwargs = kwargs or {}
        if func is aten._to_copy.default and kwargs.get("device") == torch.device("cpu"):
            self.waits += 1
            return torch.zeros(args[0].shape, dtype=args[0].dtype)
        if func is aten._local_scalar_dense.default:
            self.waits += 1
            return 1.0
        out = _convolve(func, args) if func in CONVOLUTIONS else func(*args, **kwargs)
        outputs = [*_list_tensors((out,))]
        for tensor in outputs:
            self._hold(tensor)
        if func.is_view or func in FREE or not any(t.device.type == "meta" for t in outputs):
            return out
        self.launches += 1
        self.calls[str(func)] += 1
        if func not in CONVOLUTIONS | PRODUCTS:
            written = outputs if not _writes_in_place(func) else []
            read = [] if func in FILLS else [*_list_tensors((args, kwargs))]
            passed = sum(map(_count_bytes, [*read, *written]))
            self.passed_bytes += passed
            self.passed_by[str(func)] += passed
        return out

    def _hold(self, tensor: Tensor) -> None:
        """Follow a tensor's memory from its making to its end."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if tensor.device.type != "meta" or key in self._known:
            return
        self._known.add(key)
        self.held_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held_bytes -= size


def _convolve(func: Any, args: tuple[Any, ...]) -> Tensor:
    """Return a convolution's result in the memory format that cuDNN gives it, its weight's."""
    if func is aten.cudnn_convolution_relu.default:
        args = (*args[:6], False, [0, 0], args[6])
    out: Tensor = aten.convolution.default(*args)
    last = torch.channels_last
    return out.contiguous(memory_format=last) if args[1].is_contiguous(memory_format=last) else out


def _list_tensors(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, tuple | list):
        for each in given:
            yield from _list_tensors(each)
    elif isinstance(given, dict):
        yield from _list_tensors([*given.values()])


def _count_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _writes_in_place(func: Any) -> bool:
    """Check whether an operator's result is one of its arguments."""
    return any(
        argument.is_write for argument in (a.alias_info for a in func._schema.arguments) if argument
    )


def count(function: Callable[[], Any]) -> Count:
    """Run a function on `meta` tensors and count."""
    counted = Count()
    with counted:
        function()
    return counted


def count_iteration(
    network: str,
    height: int,
    width: int,
    dtype: torch.dtype = torch.bfloat16,
    style_loss: StyleLoss = "wasserstein",
) -> Count:
    """Count the second iteration of a level of this size, px, with Adam, as a GPU with memory for all
    features runs it."""
    vgg = VGG(network, _make_weights(network), META, dtype)
    photograph = torch.empty(1, 3, height, width, device=META)
    painting = torch.empty(1, 3, 600, 800, device=META)
    level, recipe = Level(height, width, 100), Recipe(style_loss=style_loss)
    optimiser = Adam(photograph.clone(), level)
    made: list[Objective] = []

    def iterate() -> None:
        losses, gradient = compute_finite_gradient(made[0], optimiser.image, LossScale(BFLOAT16))
        optimiser.step(gradient, losses.total)

    count(lambda: made.append(Objective(vgg, recipe, photograph, [painting], level, EVERYTHING)))
    count(iterate)  # the first one prepares weights and indices
    counted = count(iterate)
    work = Work.from_recipe(recipe, network, dtype.itemsize, winograd=False, device="cuda")
    counted.foretold_bytes = estimate_peak_bytes(EVERYTHING, work, height, width)
    return counted


def _make_weights(network: str) -> dict[str, Tensor]:
    weights, before = {}, 3
    for layer in list_layer_names(network):
        channels = CHANNELS[parse_block(layer) - 1]
        weights[f"conv{layer[4:]}.weight"] = torch.empty(channels, before, 3, 3, device=META)
        weights[f"conv{layer[4:]}.bias"] = torch.empty(channels, device=META)
        before = channels
    return weights
