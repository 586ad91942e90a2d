"""The choice of a plan: the fastest one whose estimate fits into the memory that may be used."""

from __future__ import annotations

import math
from dataclasses import replace

from farm.errors import DoesNotFit, OutOfMemory
from farm.recipe.memory_estimates import Work, estimate_peak_bytes
from farm.recipe.memory_plan import Plan, list_painting_plans, list_plans
from farm.recipe.networks import CHANNELS
from farm.recipe.picture_sizes import compute_style_size

LARGEST_TENSOR = (1 << 31) - 1  # values; cuDNN has no kernels for more


def choose(work: Work, height: int, width: int, budget: int, tile: int | None, lowered: int = 0) -> Plan:
    """Choose the fastest plan for a picture of this size that holds at most `budget` bytes.

    Args:
        work: what is rendered. height, width: px. tile: side of the first plans' tiles, px.
        lowered: plans to skip from there, because memory ran out in spite of the arithmetic.

    Raises:
        DoesNotFit: not even the smallest does; with the numbers. OutOfMemory: it had seemed to.
    """
    plans = [
        plan
        for plan in list_plans(tile, gpu=work.device != "cpu")
        if _can_be_computed(plan, height, width)
    ]
    fitting = [found for plan in plans if (found := _fit(plan, work, height, width, budget, tile))]
    if len(fitting) > lowered:
        return fitting[lowered]
    if fitting:
        raise OutOfMemory(f"Memory ran out at {width} x {height}, even with the smallest plan.")
    raise DoesNotFit(_explain_refusal(plans[-1], work, height, width, budget))


def _can_be_computed(plan: Plan, height: int, width: int) -> bool:
    whole = plan.tile is None and not plan.packed
    return not whole or CHANNELS[0] * (height + 2) * (width + 2) <= LARGEST_TENSOR


def _fit(plan: Plan, work: Work, height: int, width: int, budget: int, tile: int | None) -> Plan | None:
    """Return the plan with the fastest way for the paintings that fits; None: none does."""
    without = replace(work, paintings=())
    if estimate_peak_bytes(plan, without, height, width) > budget:
        return None
    used = [compute_style_size(size, height * width, scale) for size, scale in work.paintings]
    for way in list_painting_plans(plan, tile):
        if not all(_can_be_computed(way, *size) for size in used):
            continue
        found = plan if way is plan else plan.model_copy(update={"for_paintings": way})
        if estimate_peak_bytes(found, work, height, width) <= budget:
            return found
    return None


def minimise(plan: Plan) -> Plan:
    """Return the plan with the smallest way for the paintings."""
    return plan.model_copy(update={"for_paintings": list_painting_plans(plan, plan.tile)[-1]})


def _explain_refusal(plan: Plan, work: Work, height: int, width: int, budget: int) -> str:
    """Return why not even the smallest plan fits, with the numbers and what would."""
    smallest = minimise(plan)
    needed, fixed = (estimate_peak_bytes(smallest, work, *size) for size in ((height, width), (1, 1)))
    message = (
        f"{width} x {height} needs {needed / 1e9:.1f} GB even with the smallest plan; "
        f"{budget / 1e9:.1f} GB may be used."
    )
    bare = replace(work, paintings=(), held_bytes=0, decoding_bytes=0)
    if estimate_peak_bytes(plan, bare, height, width) <= budget:
        return (
            f"{message} It is the paintings that need so much: send smaller ones, or lower style_scale."
        )
    shrink = math.sqrt(max(0, budget - fixed) / (needed - fixed))
    largest = int(max(height, width) * shrink) // 16 * 16
    return f"{message} The largest size that fits here is about {largest}." if largest >= 64 else message
