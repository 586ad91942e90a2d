"""The CUDA kernels: compiled by NVIDIA's compiler for the cards there are, and run thread by thread on a
CPU, by this machine's C++ compiler, against torch's operations."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine import cuda_kernels, optimisers
from farm.engine.bits import mask_dead
from farm.engine.border import pad_by_repeating
from farm.engine.cuda_code import FORMATS, KERNEL_CODE, NAMES
from farm.engine.cuda_kernels import TAPS, Kernels, compile_kernels
from farm.engine.losses import _weigh_neighbours, tv_loss
from farm.engine.optimisers import Adam
from farm.engine.pooling import CodedPooling, max_pool
from farm.engine.pyramid import Level
from tests.conftest import once

CPU_CODE = """
#include <algorithm>
#include <cmath>
#include <cstring>
using std::max; using std::min;
#define DEVICE static inline
#define KERNEL static void
static struct { int x, y; } blockIdx, blockDim, threadIdx;
DEVICE float as_float(unsigned x) { float f; memcpy(&f, &x, 4); return f; }
DEVICE unsigned as_bits(float f) { unsigned x; memcpy(&x, &f, 4); return x; }
DEVICE float from_half(unsigned short x) { _Float16 h; memcpy(&h, &x, 2); return h; }
DEVICE unsigned short to_half(float f) { _Float16 h = f; unsigned short x; memcpy(&x, &h, 2); return x; }
"""
RUN_CODE = """
extern "C" void run_{name}(int blocks, int rows, int threads, {parameters}) {{
  blockDim.x = threads;
  for (blockIdx.y = 0; blockIdx.y < rows; blockIdx.y++)
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
      for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) {name}({names});
}}
"""
SIZES = [(2, 2), (5, 4), (8, 11), (7, 7)]


class OnCpu(Kernels):
    """The same kernels, launched as loops."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def _launch(self, name: str, rows: int, width: int, *arguments: Tensor | float | None) -> None:
        threads = cuda_kernels.THREADS
        values = [cuda_kernels.choose_kind(a)(cuda_kernels.get_value(a)) for a in arguments]
        self._library[f"run_{name}"](-(-width // threads), rows, threads, *values)


@pytest.fixture(params=list(FORMATS), ids=str)
def dtype(request) -> torch.dtype:
    return request.param


@pytest.fixture
def kernels(dtype, shared_folder) -> OnCpu:
    """Those of a number format, which the first test of a run that asks for them compiles."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("no C++ compiler")
    library = shared_folder / f"{dtype}.so"
    with once(shared_folder, f"kernels-{dtype}") as first:
        if first:
            compile_on_cpu(compiler, dtype, library)
    return OnCpu(library)


def compile_on_cpu(compiler: str, dtype: torch.dtype, library: Path) -> None:
    runs = ""
    for name, parameters in re.findall(r"KERNEL (\w+)\(([^)]*)\)", KERNEL_CODE):
        names = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
        runs += RUN_CODE.format(name=name, parameters=parameters, names=names)
    source = library.with_suffix(".cpp")
    source.write_text(CPU_CODE + FORMATS[dtype] + KERNEL_CODE + runs)
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)


def make_features(H: int, W: int, C: int, dtype: torch.dtype) -> Tensor:
    """Make features as a ReLU leaves them: half of them zero, many equal."""
    generator = torch.Generator().manual_seed(H * W)
    return torch.randint(-4, 5, (H, W, C), generator=generator).clamp(min=0).div(4).to(dtype)


def make_gradient(H: int, W: int, C: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(H, W, C, generator=torch.Generator().manual_seed(W)).to(dtype)


def cut(H: int, W: int, C: int, dtype: torch.dtype) -> Tensor:
    """Cut a gradient out of a larger one, as the adjoint of the border's repetition leaves it."""
    return make_gradient(H + 2, W + 2, C, dtype)[1:-1, 1:-1]


# Each format and each architecture; only for the oldest cards each format, as they lack the most.
COMPILED = [*((dtype, "sm_75") for dtype in FORMATS), (torch.float16, "sm_80")]
COMPILED += [(torch.bfloat16, "sm_90"), (torch.float32, "sm_120")]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "architecture"), COMPILED, ids=str)
def test_the_kernels_compile_for_the_cards_that_torch_knows(dtype, architecture) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    binary = compile_kernels(dtype, architecture)
    assert binary.startswith(b"\x7fELF")
    assert all(name.encode() in binary for name in NAMES)


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize("C", [8, 64])
def test_pooling_and_its_adjoint_are_those_of_the_views(kernels, dtype, H, W, C) -> None:
    x = make_features(H, W, C, dtype)
    expected, pooling = max_pool(x, coded=True)
    assert isinstance(pooling, CodedPooling)
    values, codes = kernels.pool(x)
    assert torch.equal(values, expected)
    assert torch.equal(codes, pooling.code)
    d = cut(H // 2, W // 2, C, dtype)
    assert torch.equal(kernels.spread(d, codes, H, W), pooling.spread(d, H, W))


def test_a_number_that_is_none_goes_through_the_pooling(kernels, dtype) -> None:
    for corner in range(4):
        x = torch.ones(2, 2, 8, dtype=dtype)
        x[corner // 2, corner % 2] = torch.nan
        assert bool(kernels.pool(x)[0].isnan().all())


@pytest.mark.parametrize(("H", "W"), [(1, 1), *SIZES])
def test_masks_and_borders_are_torchs(kernels, dtype, H, W) -> None:
    x, d = make_features(H, W, 16, dtype), cut(H, W, 16, dtype)
    assert torch.equal(kernels.mask(d, x), mask_dead(d, x))
    g = make_gradient(H, W, 16, dtype) * 3
    expected = mask_dead(d, x, g.clone())
    assert torch.equal(kernels.mask(d, x, g), expected)
    assert torch.equal(g, expected), "the result lies where g was"
    assert torch.equal(kernels.pad(x), pad_by_repeating(x))
    added, g = d.clone(), make_gradient(H, W, 16, dtype) * 3
    kernels.add(d, g)  # d is a part of what it was cut out of
    assert torch.equal(d, added + g)


@pytest.mark.parametrize("positions", [1, 5, 1000])
def test_sums_of_groups_are_those_of_all_positions(kernels, dtype, positions, monkeypatch) -> None:
    monkeypatch.setattr(cuda_kernels, "SUMMING_THREADS", 64)
    x = make_features(1, positions, 32, dtype)[0]
    sums = kernels.sum(x)
    assert len(sums) == min(positions, 64 // (32 * x.itemsize // 16))
    assert torch.equal(sums.sum(dim=0), x.float().sum(dim=0))


@pytest.mark.parametrize(("H", "W"), [(1, 1), (1, 7), (6, 5)])
def test_total_variation_is_the_convolutions(kernels, dtype, H, W) -> None:
    if dtype != torch.float32:
        return  # pictures have no other
    picture = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros_like(picture)
    value = tv_loss(picture, expected, weight=0.5, chroma=1.5)
    found = make_picture_gradient(H, W)
    expected += found
    weights = (0.5, *_weigh_neighbours(H, W), 1.5)
    products = kernels.add_variation(picture, found, *weights)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert float(products.sum()) / 2 == pytest.approx(float(value), rel=1e-5, abs=1e-6)
    assert torch.equal(kernels.add_variation(picture, None, *weights), products)


def make_picture_gradient(H: int, W: int) -> Tensor:
    """Make a gradient (1, 3, H, W) as the network leaves it: cut out of more pixels and channels."""
    return cut(H, W, 8, torch.float32)[..., :3].permute(2, 0, 1)[None]


def test_a_step_of_adam_is_torchs(kernels, dtype) -> None:
    if dtype != torch.float32:
        return  # pictures have no other
    picture = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    expected, found = (Adam(picture.clone(), Level(5, 7, 20)) for _ in range(2))
    for number in range(1, 5):
        gradient = make_picture_gradient(5, 7) * 1e-4 * number
        expected.step(gradient, 0.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optimisers, "find_picture_kernels", lambda picture: kernels)
            found.step(gradient, 0.0)
    for name, each in expected.get_tensors().items():
        torch.testing.assert_close(found.get_tensors()[name], each, rtol=1e-5, atol=1e-7)
    assert found.scalars == expected.scalars
    assert 0 < float((expected.image == 1).float().mean()) < 1, "some pixels are clamped"


@pytest.mark.parametrize(("H", "W"), [(1, 1), (6, 5)])
def test_a_product_of_gathered_pixels_is_the_first_convolution(kernels, dtype, H, W) -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(H, W, 8, generator=generator).to(dtype)
    weight = torch.randn(4, 3, 3, 3, generator=generator).to(dtype)
    padded = F.pad(picture[..., :3].permute(2, 0, 1)[None].double(), (1, 1, 1, 1), mode="replicate")
    taps = F.pad(weight.permute(0, 2, 3, 1).flatten(1), (0, TAPS - 27)).double()
    found = kernels.gather(picture).double() @ taps.T
    expected = F.conv2d(padded, weight.double())[0].permute(1, 2, 0)
    torch.testing.assert_close(found.view(H, W, 4), expected, rtol=1e-12, atol=1e-12)
