"""The device's own ways: what its errors mean, what it cannot do at once, and what is asked of it.

A card is played by the CPU: a policy that is chosen by the kind of device is given to it, or an error
is raised as CUDA words it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.nn import functional

from farm.engine import device, loaded, precision, pyramid
from farm.engine.initial_picture import make_initial_picture
from farm.engine.loaded import Engine
from farm.engine.pyramid import Level, resize
from farm.engine.vgg import VGG
from farm.errors import DoesNotFit, OutOfMemory, StorageAway
from farm.recipe import Recipe

# Errors


@pytest.mark.parametrize(
    "message",
    [
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you"
        " tried to allocate 99 bytes. Error code 12 (Cannot allocate memory)",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes.",
        "CUDA out of memory. Tried to allocate 20.00 MiB.",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA driver error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        "FIND was unable to find an engine to execute this computation",
    ],
)
def test_a_failed_allocation_is_known_by_its_message(message: str) -> None:
    assert device.is_out_of_memory(RuntimeError(message))
    assert device.is_out_of_memory(torch.AcceleratorError(message))


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), OutOfMemory("with a plan")]
)
def test_a_failed_allocation_is_known_by_its_class(error: Exception) -> None:
    assert device.is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        torch._C._LinAlgError("linalg.eigh: The algorithm failed to converge"),  # type: ignore[attr-defined]
        DoesNotFit("7680 x 4320 needs 9 GB"),
        StorageAway("there is not enough memory on the storage's side"),
    ],
    ids=str,
)
def test_other_errors_are_no_failed_allocation(error: Exception) -> None:
    assert not device.is_out_of_memory(error)


# Policies

CUDA = torch.device("cuda")


def list_flags() -> list[bool]:
    """List the flags that decide whether a card gives the same bits each time, in plain float32."""
    return [
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    ]


@pytest.fixture
def flags() -> Iterator[None]:
    """Set the flags as torch has them by default, and again after the test."""

    def reset() -> None:
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = False
        # torch's own function loads its compiler, which takes a second.
        torch._C._set_deterministic_algorithms(False, warn_only=False)
        torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]

    reset()
    yield
    reset()


@pytest.mark.slow  # torch loads its compiler, 2 s
@pytest.mark.xdist_group("compiler")
@pytest.mark.usefixtures("flags")
def test_a_card_computes_float32_in_float32_and_the_same_bits_each_time() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True  # as some library may have left it
    device.fix_results(CUDA)
    assert list_flags() == [False, False, False, True, True, True, False]
    # before torch could make a context
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.usefixtures("flags")
@pytest.mark.parametrize(("threads", "words"), [(1, "CPU, 1 thread"), (2, "CPU, 2 threads")])
def test_a_cpu_is_described_by_its_threads(
    threads: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert device.describe(torch.device("cpu")) == words


def test_nothing_is_changed_for_a_cpu() -> None:
    before = list_flags()
    device.fix_results(torch.device("cpu"))
    assert list_flags() == before


@pytest.mark.parametrize("asked", ["float32", "winograd"])
def test_winograd_is_float32_on_a_card(asked: str) -> None:
    assert precision.choose(asked, CUDA) is precision.FLOAT32


def test_a_cards_budget_is_what_is_free_now_and_what_torch_holds_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a card of 80 GB, of which others hold 50 and this process 10
    free = {"bytes": 20 * 10**9}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free["bytes"], 80 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 10 * 10**9)
    engine = Engine(cast(VGG, None), CUDA, precision.FLOAT32, Path(), budget_bytes=0)
    assert engine.with_budget(0).budget_bytes == 27 * 10**9
    # When others take more before the next job
    free["bytes"] = 0
    # Then that has less, unless the operator has said how much it may use
    assert engine.with_budget(0).budget_bytes == 9 * 10**9
    assert engine.with_budget(12).budget_bytes == 12 * 10**9


def test_a_cpus_budget_is_a_share_of_all_it_has() -> None:
    cpu = torch.device("cpu")
    assert loaded.compute_budget(0, cpu) == int(device.read_total_memory(cpu) * 0.75)


# Sizes


def paint_gradient(height: int, width: int) -> torch.Tensor:
    """Return a smooth picture with a fine pattern, (1, 3, height, width) in [0, 1]."""
    y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    fine = 0.2 * ((torch.arange(height)[:, None] // 7 + torch.arange(width) // 5) % 2)
    waves = [0.4 + 0.3 * torch.sin(f * x + 3 * y) + fine for f in (5.0, 9.0, 14.0)]
    return torch.stack(waves)[None]


def test_a_photograph_of_9000_px_starts_at_128_in_two_steps_that_look_like_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a device that shrinks fortyfold at most, and one that shrinks at once
    photograph, level = paint_gradient(300, 9000), Level(4, 128, 1)
    recipe = Recipe(size=128, version="0.1")
    at_once = make_initial_picture(recipe, photograph, [], level)
    sizes = []
    interpolate = functional.interpolate

    def count(picture: torch.Tensor, size: tuple[int, int], **given: Any) -> torch.Tensor:
        sizes.append((tuple(picture.shape[-2:]), size))
        return interpolate(picture, size=size, **given)

    monkeypatch.setitem(pyramid.MAX_SHRINK, "cpu", pyramid.MAX_SHRINK["cuda"])
    monkeypatch.setattr(functional, "interpolate", count)
    # When the first level is started
    in_steps = make_initial_picture(recipe, photograph, [], level)
    # Then no step shrinks a side more than that, and the picture is the same to the eye
    assert sizes == [((300, 9000), (160, 5120)), ((160, 5120), (4, 128))]
    assert (in_steps - at_once).abs().max() < 0.5 / 255


def test_on_a_cpu_a_picture_shrinks_at_once() -> None:
    wide = paint_gradient(90, 9000)
    expected = functional.interpolate(wide, (1, 100), mode="bicubic", antialias=True)
    assert torch.equal(resize(wide, 1, 100), expected)
