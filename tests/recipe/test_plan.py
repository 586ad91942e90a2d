"""The planner's arithmetic."""

from __future__ import annotations

from typing import Any

import pytest

from farm.errors import DoesNotFit, OutOfMemory
from farm.recipe import Recipe
from farm.recipe.memory_choice import choose
from farm.recipe.memory_estimates import (
    Work,
    estimate_gradient_bytes,
    estimate_painting_bytes,
    estimate_peak_bytes,
)
from farm.recipe.memory_plan import EVERYTHING, WHOLE, choose_tile, list_painting_plans, list_plans
from farm.recipe.picture_sizes import PictureSizes

STYLE = frozenset(f"relu{block}_1" for block in range(1, 6))
WORK = Work("vgg16", frozenset({"relu4_2"}), STYLE, 4, False, 12, "cpu")
UHD = (4320, 7680)


def test_plans_go_from_the_fastest_to_the_smallest() -> None:
    sizes = [estimate_peak_bytes(plan, WORK, *UHD) for plan in list_plans(512)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)


def test_the_whole_picture_at_once_takes_many_times_more() -> None:
    assert estimate_gradient_bytes(WHOLE, WORK, 1536, 2048) > 5 * estimate_gradient_bytes(
        list_plans(352)[0], WORK, 1536, 2048
    )


def test_8k_fits_into_eight_gigabytes() -> None:
    plan = choose(WORK, *UHD, budget=8 * 10**9, tile=choose_tile("cpu", 4))
    assert estimate_peak_bytes(plan, WORK, *UHD) <= 8 * 10**9
    assert plan.segments[0] == (1, 2)  # at the price of joining the two shallow blocks


def test_with_enough_memory_the_fastest_plan_is_taken() -> None:
    assert choose(WORK, 512, 512, budget=10**10, tile=512) == list_plans(512)[0]


def test_a_lowered_plan_is_the_next_smaller_one_until_none_is_left() -> None:
    plans = list_plans(128)
    found = [choose(WORK, 512, 512, 10**10, 128, lowered=n) for n in range(len(plans))]
    assert found == plans
    with pytest.raises(OutOfMemory, match="Memory ran out at 512 x 512, even with the smallest plan"):
        choose(WORK, 512, 512, 10**10, 128, lowered=len(plans))


def test_half_precision_takes_less() -> None:
    half = Work("vgg16", WORK.content, STYLE, 2, False, 12, "cpu")
    assert estimate_peak_bytes(list_plans(512)[0], half, *UHD) < 0.7 * estimate_peak_bytes(
        list_plans(512)[0], WORK, *UHD
    )


def test_what_cannot_fit_is_refused_with_the_numbers_and_what_would_fit() -> None:
    with pytest.raises(DoesNotFit) as refusal:
        choose(WORK, *UHD, budget=3 * 10**9, tile=512)
    told = str(refusal.value)
    assert "7680 x 4320 needs" in told
    assert "3.0 GB may be used" in told
    size = int(told.split("about ")[1].rstrip("."))
    assert choose(WORK, size * 9 // 16, size, budget=3 * 10**9, tile=512)
    with pytest.raises(DoesNotFit):
        choose(WORK, size * 10 // 16, size * 10 // 9, budget=3 * 10**9, tile=512)


def test_a_card_with_memory_keeps_everything_and_cuts_nothing() -> None:
    card = Work("vgg19", WORK.content, STYLE, 2, False, 12, "cuda")
    side = choose_tile("cuda", 2)
    roomy, small = (choose(card, *UHD, budget=gigabytes * 10**9, tile=side) for gigabytes in (40, 12))
    assert roomy == EVERYTHING
    assert small.tile is not None
    assert estimate_peak_bytes(small, card, *UHD) <= 12 * 10**9
    # cuDNN has no kernels for tensors of more than 2**31 values
    assert choose(card, 6144, 8192, budget=200 * 10**9, tile=side).tile == side


def test_a_card_may_leave_the_optimisers_state_to_the_cpu() -> None:
    card = Work("vgg16", WORK.content, STYLE, 2, False, 12, "cuda")
    plan = list_plans(2048, gpu=True)[-1]
    assert plan.offload
    saved = estimate_peak_bytes(list_plans(2048)[-1], card, *UHD) - estimate_peak_bytes(plan, card, *UHD)
    assert saved == 9 * 4 * UHD[0] * UHD[1]


# Photograph and paintings

FHD = (1080, 1920)
LARGE_PAINTING = PictureSizes((4320, 7680), ((8000, 12000),))


def describe(sizes: PictureSizes, device: str = "cpu", **settings: object) -> Work:
    return Work.from_recipe(Recipe.parse(settings), "vgg16", 4, False, device, sizes)


def test_pictures_that_are_held_are_counted() -> None:
    small = describe(PictureSizes((900, 1600)), size=1920)
    large = describe(PictureSizes((900, 1600), ((5000, 5000),) * 8), size=1920)
    plan = list_plans(512)[0]
    more = estimate_peak_bytes(plan, large, *FHD) - estimate_peak_bytes(plan, small, *FHD)
    assert more == pytest.approx(8 * 3 * 4 * FHD[0] * FHD[1], rel=1e-3)  # twice the sides


def test_masks_and_what_stays_are_counted() -> None:
    photograph, plan = (1080, 1920), list_plans(512)[0]
    pixels = FHD[0] * FHD[1]

    def count(**sizes: Any) -> float:
        """Bytes a pixel beyond those without guides."""
        with_guides, without = (
            describe(PictureSizes(photograph, **each), size=1920) for each in (sizes, {})
        )
        more = estimate_peak_bytes(plan, with_guides, *FHD) - estimate_peak_bytes(plan, without, *FHD)
        return more / pixels

    # Each mask as it is held, and in blocks 1 to 5.
    assert count(masks=8) == pytest.approx(8 * (1 + 1 + 1 / 4 + 1 / 16 + 1 / 64 + 1 / 256), rel=1e-6)
    # Two maps, eight numbers, a weight of the content in block 4; a region with its maps.
    assert count(keeps=True) == pytest.approx(2 + 4 * (8 + 1 / 64) + 1.332, rel=1e-3)


def test_turned_copies_are_counted() -> None:
    sizes = PictureSizes((1080, 1920), ((5000, 5000), (1000, 1000)))
    free, directed, masked = (
        describe(PictureSizes(sizes.photograph, sizes.paintings, masks), size=1920, stroke_direction=way)
        for way, masks in (("free", 0), ("photograph", 0), ("photograph", 2))
    )
    copies = 4 * 3 * (4 * FHD[0] * FHD[1] + 1000 * 1000)  # twice the sides used, or as it was sent
    assert directed.held_bytes - free.held_bytes == pytest.approx(copies, rel=1e-3)
    assert len(directed.paintings) == 8
    assert (free.masks, directed.masks, masked.masks) == (0, 4, 8)
    plan = list_plans(512)[0]
    more = estimate_peak_bytes(plan, directed, *FHD) - estimate_peak_bytes(plan, free, *FHD)
    assert more > copies + 4 * FHD[0] * FHD[1]


def test_what_attention_looks_at_is_counted_for_each_turned_copy() -> None:
    def count(**settings: Any) -> int:
        sizes = PictureSizes((1080, 1920), ((1000, 1000), (900, 1600)))
        return describe(sizes, size=1920, **settings).statistics_bytes

    looked_at = 3 * 1024 * 512 * 4  # of a painting: 1024 positions of `relu4_2`, three times in float32
    assert count(content_target="attention") == 2 * looked_at
    turned, attended = (
        count(stroke_direction="photograph", content_target=target)
        for target in ("photograph", "attention")
    )
    assert attended - turned == 4 * 2 * looked_at


def test_a_picture_to_begin_from_is_counted() -> None:
    sizes = PictureSizes((900, 1600))
    none, own, draft = (
        describe(sizes, size=1920, **start).held_bytes
        for start in ({}, {"init": "picture"}, {"init": "picture", "grown_from": 960})
    )
    assert own - none == 3 * 4_000_000  # at most
    assert draft - none == 3 * 960 * 540
    growing, anew = (describe(sizes, size=1920, grown_from=960, init=i) for i in ("picture", "content"))
    more = estimate_peak_bytes(list_plans(352)[0], growing, 1080, 1920)
    more -= estimate_peak_bytes(list_plans(352)[0], anew, 1080, 1920)
    assert more == pytest.approx((3 + 12) * 960 * 540, rel=0.01)  # as bytes, and as floats


def test_an_upload_is_counted_while_it_is_decoded() -> None:
    work = describe(PictureSizes((900, 1600), ((9000, 11000),)), size=256)
    peak = estimate_peak_bytes(list_plans(352)[0], work, 144, 256)
    assert peak > 540e6 + 99e6 * 18
    card = describe(PictureSizes((900, 1600), ((9000, 11000),)), "cuda", size=256)
    assert estimate_peak_bytes(list_plans(352)[0], card, 144, 256) < 1e9  # decoded beside it


def test_an_enlarged_painting_is_passed_through_in_a_smaller_way_than_the_picture() -> None:
    # 132 megapixels at 8K: in the picture's own way they would take more than twice what it takes
    work = describe(LARGE_PAINTING, size=7680, style_scale=2.0)
    plan = choose(work, *UHD, budget=18 * 10**9, tile=352)
    assert plan.for_paintings is not None
    assert len(plan.for_paintings.segments) < 5
    assert "; paintings in tiles of 352 px, blocks 1 to" in plan.describe()
    assert estimate_peak_bytes(plan, work, *UHD) <= 18 * 10**9
    own = plan.model_copy(update={"for_paintings": None})
    assert estimate_peak_bytes(own, work, *UHD) > 18 * 10**9


def test_ways_for_paintings_go_from_the_plans_own_to_the_smallest() -> None:
    work = describe(LARGE_PAINTING, size=7680, style_scale=2.0)
    ways = list_painting_plans(list_plans(352)[0], 352)
    sizes = [estimate_painting_bytes(way, work, *UHD) for way in ways]
    assert ways[0] == list_plans(352)[0]
    assert sizes == sorted(sizes, reverse=True)
    pixels = 4 * UHD[0] * UHD[1]
    assert sizes[-1] < 2.2 * 4 * 3 * pixels  # little more than the picture itself


def test_on_a_card_a_painting_may_be_tiled_where_the_picture_is_not() -> None:
    sizes = PictureSizes((480, 640), ((12000, 8000),))
    work = describe(sizes, "cuda", size=1536, style_scale=4.0)
    plan = choose(work, 1152, 1536, budget=40 * 10**9, tile=1440)
    assert plan.tile is None
    assert plan.for_paintings is None
    plan = choose(work, 1152, 1536, budget=8 * 10**9, tile=1440)
    assert plan.for_paintings is not None
    assert plan.for_paintings.tile is not None
    assert estimate_peak_bytes(plan, work, 1152, 1536) <= 8 * 10**9


def test_a_painting_that_fits_goes_through_as_the_picture_does() -> None:
    plan = choose(describe(LARGE_PAINTING, size=1920), *FHD, budget=16 * 10**9, tile=352)
    assert plan == list_plans(352)[0]


def test_a_painting_counts_at_its_own_size_of_strokes() -> None:
    sizes = PictureSizes((900, 1600), ((2000, 3000), (2000, 3000)))
    one, other, both = (
        describe(sizes, size=1920, style_scale=scales) for scales in (1.0, (0.5, 2.0), 2.0)
    )
    peaks = [estimate_painting_bytes(list_plans(352)[0], work, *FHD) for work in (one, other, both)]
    assert peaks[0] < peaks[1] == peaks[2]  # the largest decides


def test_where_paintings_need_too_much_the_refusal_says_so() -> None:
    work = describe(LARGE_PAINTING, size=7680, style_scale=4.0)
    with pytest.raises(DoesNotFit, match=r"It is the paintings that need so much: .* lower style_scale"):
        choose(work, *UHD, budget=8 * 10**9, tile=352)


def test_lbfgs_takes_its_history() -> None:
    lbfgs = Work("vgg16", WORK.content, STYLE, 4, False, 57, "cpu")
    with pytest.raises(DoesNotFit):
        choose(lbfgs, *UHD, budget=8 * 10**9, tile=352)


def test_the_default_tile_fills_what_the_device_likes() -> None:
    assert choose_tile("cpu", 4) == 352
    assert choose_tile("cpu", 2) == 512
    assert choose_tile("cuda", 2) == 2880
