"""The geometry of tiles, and what a tape holds."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from farm.engine.bits import pack, unpack
from farm.engine.convolution import HAS_PACKED, Direct, Packed, Winograd, adjoint
from farm.engine.pooling import max_pool
from farm.engine.tiles import Region, compute_block_sizes, cut_side, cut_tiles

COUNTS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}


@pytest.mark.parametrize("length", [1, 2, 3, 5, 63, 64, 65, 129, 1000])
@pytest.mark.parametrize("tile", [2, 22, 64, None])
def test_a_side_is_cut_into_even_places_without_gap(length: int, tile: int | None) -> None:
    pieces = cut_side(length, tile)
    assert (pieces[0][0], pieces[-1][1]) == (0, length)
    assert all(end == start for (_, end), (start, _) in pairwise(pieces))
    assert all(start % 2 == 0 for start, _ in pieces)
    assert all(end - start >= min(2, length) for start, end in pieces)
    if tile:
        assert max(end - start for start, end in pieces) <= tile + 2


@pytest.mark.parametrize("size", [(131, 257), (16, 203), (64, 64), (1, 9)])
@pytest.mark.parametrize("segment", [(1,), (3,), (1, 2), (1, 2, 3)])
def test_inner_regions_share_out_every_block(size: tuple[int, int], segment: tuple[int, ...]) -> None:
    sizes = compute_block_sizes(*size, 5)
    found = cut_tiles(segment, sizes, COUNTS, 10)
    for block in segment:
        count = torch.zeros(*sizes[block], 1, dtype=torch.int64)
        for tile in found:
            patch = tile[block]
            patch.inner.crop(count).add_(1)
            assert patch.outer.expand(0, sizes[block]) == patch.outer  # within the picture
            for side in ("top", "left"):  # as wide as the convolutions need, or at the edge
                halo = getattr(patch.inner, side) - getattr(patch.outer, side)
                assert halo >= COUNTS[block] or getattr(patch.outer, side) == 0
        assert (count == 1).all()


def test_one_tile_is_the_whole_picture() -> None:
    sizes = compute_block_sizes(37, 50, 5)
    (tile,) = cut_tiles((1, 2), sizes, COUNTS, None)
    assert tile[1].outer == tile[1].inner == Region(0, 0, 37, 50)
    assert tile[2].outer == tile[2].inner == Region(0, 0, 18, 25)


def test_a_packed_mask_is_an_eighth_as_large_and_the_same() -> None:
    mask = torch.rand(5, 7, 64, generator=torch.Generator().manual_seed(1)) > 0.5
    packed = pack(mask)
    assert packed.numel() * 8 == mask.numel()
    assert packed.dtype == torch.uint8
    assert torch.equal(unpack(packed, (5, 7, 64)), mask)


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 6), (6, 1), (1, 1), (2, 2)])
def test_pooling_goes_back_to_where_the_largest_was(size: tuple[int, int], coded: bool) -> None:
    # Given a picture with zeros, where ReLU left nothing
    x = torch.relu(torch.randn(*size, 64, generator=torch.Generator().manual_seed(2)))
    y = x.permute(2, 0, 1)[None].clone().requires_grad_()
    window = (min(2, size[0]), min(2, size[1]))
    expected = torch.nn.functional.max_pool2d(y, window)
    values, pooling = max_pool(x, coded)
    assert torch.equal(values.permute(2, 0, 1)[None], expected)
    # Then the gradient is autograd's, through the ReLU as well
    d = torch.randn(values.shape, generator=torch.Generator().manual_seed(3))
    alive = d.permute(2, 0, 1)[None] * (expected > 0)
    (gradient,) = torch.autograd.grad(expected, y, alive)
    assert torch.equal(pooling.spread(d, *size).permute(2, 0, 1)[None], gradient)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9), (17, 3), (64, 50)])
def test_winograds_convolution_is_the_direct_one(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(24, 16, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(24, generator=generator, dtype=torch.float64)
    x = torch.randn(*size, 16, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(Winograd(weight)(x), Direct(weight)(x))
    torch.testing.assert_close(Winograd(weight)(x, bias), Direct(weight)(x, bias))
    assert Direct(weight)(x, bias).min() == 0  # rectified


@pytest.mark.skipif(not HAS_PACKED, reason="a torch without oneDNN")
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_laid_out_for_one_size_give_the_same_bits_at_another(
    padding: int, dtype: torch.dtype
) -> None:
    weight, bias = torch.randn(32, 64, 3, 3).to(dtype), torch.randn(32).to(dtype)
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 on this processor")
    packed = Packed(weight)
    rounding = 1e-4 if dtype == torch.float32 else 1e-2
    for size in [(9, 7), (24, 33), (24, 33), (3, 4)]:
        x = torch.randn(*size, 64).to(dtype)
        for each in (bias, None):
            found, expected = packed(x, each, padding), Direct(weight)(x, each, padding)
            assert torch.equal(found, Packed(weight)(x, each, padding))
            torch.testing.assert_close(found, expected, rtol=rounding, atol=10 * rounding)


def test_winograd_works_in_strips_of_any_height(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(8, 8, 3, 3, generator=generator, dtype=torch.float64)
    x = torch.randn(30, 11, 8, generator=generator, dtype=torch.float64)
    expected = Direct(weight)(x)
    for size in (1, 10_000, 30_000):
        monkeypatch.setattr("farm.engine.convolution.BUFFER_BYTES", size)
        torch.testing.assert_close(Winograd(weight)(x), expected)


def test_the_adjoint_of_a_convolution_is_its_transpose() -> None:
    # <K x, y> = <x, K' y> for any x and y
    generator = torch.Generator().manual_seed(6)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    weight, x, y = draw(5, 3, 3, 3), draw(7, 6, 3), draw(7, 6, 5)
    forward, back = (Direct(weight)(x) * y).sum(), (x * Direct(adjoint(weight))(y)).sum()
    torch.testing.assert_close(forward, back)
