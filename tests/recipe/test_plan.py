"""The planner's arithmetic."""

from __future__ import annotations

import pytest

from farm.errors import DoesNotFit, OutOfMemory
from farm.recipe.memory_plan import (
    EVERYTHING,
    WHOLE,
    Work,
    choose,
    choose_tile,
    estimate_gradient_bytes,
    estimate_peak_bytes,
    list_plans,
)

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


def test_lbfgs_takes_its_history() -> None:
    lbfgs = Work("vgg16", WORK.content, STYLE, 4, False, 57, "cpu")
    with pytest.raises(DoesNotFit):
        choose(lbfgs, *UHD, budget=8 * 10**9, tile=352)


def test_the_default_tile_fills_what_the_device_likes() -> None:
    assert choose_tile("cpu", 4) == 352
    assert choose_tile("cpu", 2) == 512
    assert choose_tile("cuda", 2) == 2880
