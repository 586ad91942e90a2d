"""Masks as weights of positions: at a level, in deeper layers, and cut by tiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from farm.engine.guides import Guides, Mask
from farm.engine.kept import Kept
from farm.engine.losses import OpaqueVariation, tv_loss
from farm.engine.maps import (
    LevelMaps,
    compute_reach,
    count_positions,
    erode,
    list_block_maps,
    resize_map,
)
from farm.engine.pyramid import Level
from farm.engine.regions import Everywhere, Masked, Part, choose_step, cover
from farm.engine.tiles import Region, compute_block_sizes, cut_tiles
from farm.recipe.networks import CONVOLUTIONS

CPU = torch.device("cpu")
VGG16 = dict(enumerate(CONVOLUTIONS["vgg16"], start=1))
LAYERS = ("relu1_1", "relu3_1", "relu5_1")


def halves(height: int, width: int) -> tuple[Mask, Mask]:
    """The left half and the right one."""
    left = np.zeros((height, width), np.uint8)
    left[:, : width // 2] = 255
    return left, 255 - left


def discs(height: int, width: int) -> tuple[Mask, Mask, Mask]:
    """A soft disc in the middle, what is around it, and a stripe over both."""
    down, across = np.mgrid[:height, :width]
    far = np.hypot(down - height / 2, across - width / 2) / min(height, width)
    disc = np.clip((0.4 - far) * 2000, 0, 255).astype(np.uint8)
    stripe = np.where(abs(down - height / 3) < 9, 200, 0).astype(np.uint8)
    return disc, 255 - disc, stripe


def make_maps(guides: Guides, height: int, width: int, shares: tuple[float, ...] = ()) -> LevelMaps:
    masks = max(1, len(guides.masks))
    maps = LevelMaps.from_guides(guides, Level(height, width, 1), shares or (1 / masks,) * masks)
    assert maps is not None
    return maps


def test_without_maps_there_are_none() -> None:
    start = Guides(start=np.zeros((4, 4, 3), np.uint8))
    assert LevelMaps.from_guides(start, Level(8, 8, 1), (1.0,)) is None


def test_masks_of_any_size_come_to_the_levels_size_by_averages() -> None:
    checkerboard = np.indices((64, 96)).sum(axis=0) % 2 * 255
    small = resize_map(checkerboard.astype(np.uint8), 8, 12)
    assert small.shape == (8, 12)
    assert int((small.int() - 128).abs().max()) <= 1
    assert torch.equal(resize_map(np.full((3, 4), 255, np.uint8), 30, 40), torch.full((30, 40), 255))


def test_masks_that_overlap_share_by_the_blend_and_others_stay() -> None:
    first, second = np.zeros((2, 1, 4), np.uint8)
    first[0], second[0] = (255, 255, 128, 0), (0, 255, 0, 0)
    maps = make_maps(Guides(masks=(first, second)), 1, 4, (0.75, 0.25))
    assert maps.regions.tolist() == [[[255, 191, 128, 0]], [[0, 64, 0, 0]]]


def test_nobody_paints_what_is_kept_or_transparent() -> None:
    keep, opaque = np.array([[255, 128, 0, 0]], np.uint8), np.array([[255, 255, 255, 0]], np.uint8)
    maps = make_maps(Guides(keep=keep, opaque=opaque), 1, 4)
    assert maps.regions.tolist() == [[[0, 127, 255, 0]]]
    assert maps.stays is not None
    assert maps.stays.tolist() == [[255, 128, 0, 255]]
    assert maps.opaque_positions == 3


def test_maps_are_averaged_as_the_network_pools() -> None:
    weights = torch.tensor([[255, 255, 0, 7], [255, 0, 0, 7], [9, 9, 9, 9]], dtype=torch.uint8)
    first, second, third = list_block_maps(weights, 3)
    assert first is weights
    assert second.tolist() == [[191, 4]]
    assert third.tolist() == [[98]]
    sizes = compute_block_sizes(33, 47, 5)
    maps = list_block_maps(torch.zeros(33, 47, dtype=torch.uint8), 5)
    assert [tuple(each.shape) for each in maps] == list(sizes.values())


def test_a_map_is_eroded_from_within_but_not_from_the_border() -> None:
    weights = torch.zeros(6, 8, dtype=torch.uint8)
    weights[:, 3:] = 200
    assert erode(weights, 2)[0].tolist() == [0, 0, 0, 0, 0, 200, 200, 200]


def test_the_reach_of_a_layer_is_its_receptive_field() -> None:
    # Half of 3, 10, 24, 60 and 132 px, in positions of 1, 2, 4, 8 and 16 px.
    layers = [f"relu{block}_1" for block in range(1, 6)]
    expected = [1.0, 4.5 / 2, 11.5 / 4, 29.5 / 8, 65.5 / 16]
    assert [compute_reach(layer, VGG16) for layer in layers] == expected


def test_parts_of_all_tiles_add_up_to_the_region() -> None:
    sizes = compute_block_sizes(131, 203, 5)
    maps = make_maps(Guides(masks=discs(131, 203)), *sizes[1], (1 / 3,) * 3)
    regions = Masked(maps, LAYERS, VGG16, CPU, spare_values=1024)
    assert len(regions.targets) == 9
    for side in (None, 22):
        found = {name: torch.zeros(sizes[int(name[4])]) for name in regions.targets}
        for layer in LAYERS:
            block = int(layer[4])
            for tile in cut_tiles((block,), sizes, VGG16, side):
                inner = tile[block].inner
                for part in regions.find_parts(layer, inner):
                    weights = part.get_weights(torch.float32)
                    part.where.crop(inner.crop(found[part.target])).add_(
                        1.0 if weights is None else weights
                    )
        for name, weights in found.items():
            assert torch.equal((weights * 255).round().to(torch.uint8), regions.maps[name])


@pytest.mark.parametrize("step", [1, 2, 4])
def test_tiles_see_the_rows_and_columns_that_the_whole_sees(step: int) -> None:
    layer = torch.arange(23 * 31.0).view(23, 31, 1)
    rectangles = (Region(0, 0, 9, 31), Region(9, 0, 10, 31), Region(10, 0, 23, 7), Region(10, 7, 23, 31))
    seen: list[float] = []
    for where in (Region(0, 0, 11, 31), Region(11, 0, 23, 13), Region(11, 13, 23, 31)):
        for rectangle in rectangles:
            if both := rectangle.intersect(where):
                part = Part("relu1_1", both.relative_to(where), both.crop(layer[..., 0]).byte())
                found, weights = part.crop(where.crop(layer), where, step)
                assert weights is not None
                assert weights.shape == found.shape[:2]
                seen += found.flatten().tolist()
    assert sorted(seen) == layer[::step, ::step].flatten().tolist()


def test_as_many_positions_are_looked_at_as_are_enough() -> None:
    everywhere = Everywhere(["relu1_1"])
    assert choose_step(everywhere, "relu1_1", (10**4, 10**4), math.inf) == 1
    found = [choose_step(everywhere, "relu1_1", (40, 40), enough) for enough in (401, 400, 101, 100)]
    assert found == [1, 2, 2, 4]


def test_of_a_mask_with_its_weight_between_the_rows_all_positions_are_looked_at() -> None:
    # Given two masks of stripes, each as wide as a pixel
    odd = np.zeros((64, 64), np.uint8)
    odd[1::2] = 255
    maps = make_maps(Guides(masks=(odd, 255 - odd)), 64, 64, (0.5, 0.5))
    regions = Masked(maps, ["relu1_1"], VGG16, CPU, spare_values=1024)
    # Then every second row would see nothing of the first, and all of the second
    assert [regions.count(f"relu1_1/{number}", (64, 64), 2) for number in (0, 1)] == [0, 1024]
    assert [choose_step(regions, f"relu1_1/{number}", (64, 64), 600) for number in (0, 1)] == [1, 2]


def test_rectangles_cover_a_region_without_overlap_and_leave_out_most_of_the_rest() -> None:
    weights = torch.from_numpy(discs(300, 400)[1])
    seen = torch.zeros(300, 400)
    boxes = cover(weights, spare=100)
    for box in boxes:
        box.crop(seen).add_(1)
    assert float(seen.max()) == 1
    assert float(seen[weights > 0].min()) == 1
    assert seen.sum() < 1.1 * (weights > 0).sum()
    assert cover(weights, spare=1 << 20) == [Region(0, 0, 300, 400)]
    assert cover(torch.zeros(5, 7, dtype=torch.uint8), spare=0) == []


def test_a_half_counts_half_and_ends_sooner_in_deep_layers() -> None:
    regions = Masked(make_maps(Guides(masks=halves(64, 128)), 64, 128), LAYERS, VGG16, CPU, 64)
    assert {target.share for target in regions.targets.values()} == {0.5}
    assert regions.targets["relu3_1/1"].paintings == (1,)
    columns = [int((regions.maps[f"{layer}/0"][0] > 0).sum()) for layer in LAYERS]
    assert columns == [64, 15, 2]


def test_a_region_too_small_for_a_deep_layer_is_left_out_there() -> None:
    masks = np.zeros((2, 128, 128), np.uint8)
    masks[0, 60:67, 60:67] = 255
    masks[1] = 255 - masks[0]
    regions = Masked(make_maps(Guides(masks=(masks[0], masks[1])), 128, 128), LAYERS, VGG16, CPU, 64)
    assert set(regions.targets) == {"relu1_1/0", *(f"{layer}/1" for layer in LAYERS)}
    assert count_positions(regions.maps["relu1_1/0"]) == 49


@pytest.mark.parametrize("chroma", [1.0, 4.0])
def test_the_variation_of_an_opaque_picture_is_total_variation(chroma: float) -> None:
    picture = torch.rand(1, 3, 9, 13, dtype=torch.float64)
    whole = OpaqueVariation(torch.ones(9, 13, dtype=torch.float64))
    gradients = torch.zeros(2, *picture.shape, dtype=torch.float64)
    ours = whole(picture, gradients[0], 3.0, chroma)
    torch.testing.assert_close(ours, tv_loss(picture, gradients[1], 3.0, chroma))
    torch.testing.assert_close(*gradients)


def test_what_is_transparent_does_not_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.engine.losses.STRIP_PIXELS", 30)  # several strips
    opaque = torch.rand(9, 13, dtype=torch.float64).round(decimals=1)
    opaque[:, 6:] = 0
    picture = torch.rand(1, 3, 9, 13, dtype=torch.float64, requires_grad=True)
    loss, found = OpaqueVariation(opaque), torch.zeros(1, 3, 9, 13, dtype=torch.float64)
    value = loss(picture.detach(), found, 2.0)
    down, across = picture.diff(dim=2).square(), picture.diff(dim=3).square()
    down_weights, across_weights = opaque[1:] * opaque[:-1], opaque[:, 1:] * opaque[:, :-1]
    expected = (down * down_weights).mean(dim=1).sum() / down_weights.sum()
    expected = expected + (across * across_weights).mean(dim=1).sum() / across_weights.sum()
    (gradient,) = torch.autograd.grad(2 * expected, picture)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(found, gradient)
    assert float(found[..., 6:].abs().max()) == 0


def test_what_stays_is_the_photographs_own_to_the_bit() -> None:
    photograph, picture = torch.rand(2, 1, 3, 4, 6)
    stays = torch.zeros(4, 6, dtype=torch.uint8)
    stays[:, 2:4], stays[:, 4:] = 51, 255
    kept = Kept(photograph, stays)
    laid = kept.lay_over(picture)
    assert torch.equal(laid[..., 4:], photograph[..., 4:])
    assert torch.equal(laid[..., :2], picture[..., :2])
    torch.testing.assert_close(laid[..., 2:4], 0.8 * picture[..., 2:4] + 0.2 * photograph[..., 2:4])
    gradient: Tensor = kept.limit(torch.ones(1, 3, 4, 6))
    torch.testing.assert_close(gradient[0, 0, 0], torch.tensor([1, 1, 0.8, 0.8, 0, 0]))
