"""The term that holds a frame: value and gradient against plain autograd, whole and in tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.testbed.reference import Reference
from farm.engine import weights
from farm.engine.gradient import Objective
from farm.engine.guides import Hold
from farm.engine.hold import HOLD_WEIGHT, HoldLoss, resize_hold
from farm.engine.kept import Kept
from farm.engine.pyramid import Level, resize, to_tensor
from farm.engine.vgg import VGG
from farm.recipe import Recipe
from farm.recipe.memory_estimates import Work, estimate_peak_bytes
from farm.recipe.memory_plan import WHOLE, list_plans
from farm.recipe.picture_sizes import PictureSizes
from tests.conftest import load_sample

CPU, H, W = torch.device("cpu"), 67, 45
PLANS = [WHOLE, list_plans(64)[0], list_plans(64)[-1].model_copy(update={"tile": 22})]


def make_hold(stays: bool) -> Hold:
    generator = torch.Generator().manual_seed(4)
    picture, weight, still = (torch.rand(1, n, H, W, generator=generator).double() for n in (3, 1, 1))
    return Hold(picture, weight, (still > 0.5).double() if stays else None)


@pytest.mark.parametrize("stays", [False, True])
def test_the_gradient_of_a_held_frame_is_that_of_plain_autograd(
    weights_dir: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    monkeypatch.setattr("farm.engine.hold.STRIP_PIXELS", 10 * W)  # several strips
    tensors, recipe, level = (
        weights.load("vgg16", weights_dir),
        Recipe(style_loss="gram"),
        Level(H, W, 1),
    )
    lake, strokes = (
        to_tensor(load_sample(name, 96), CPU).double() for name in ("mountain_lake", "brushwork")
    )
    hold, picture = make_hold(stays), resize(lake, H, W).clamp(0, 1)
    # Given the objective as torch differentiates it
    x = picture.clone().requires_grad_()
    laid = x if hold.stays is None else x + hold.stays * (hold.picture - x)
    held = (hold.weight * (laid - hold.picture).square()).sum() / hold.picture.square().sum()
    plain = Reference("vgg16", tensors, recipe, lake, [strokes], level)
    other, slope = plain(laid.detach())
    total = other + HOLD_WEIGHT * held.item()
    (expected,) = torch.autograd.grad((laid * slope).sum() + HOLD_WEIGHT * held, x)
    # When the engine computes it, as a whole and in tiles
    vgg = VGG("vgg16", tensors, CPU, torch.float64)
    kept = hold.stays if hold.stays is None else Kept(hold.picture, (255 * hold.stays[0, 0]).byte())
    for plan in PLANS:
        term = HoldLoss(hold, CPU, torch.float64)
        objective = Objective(vgg, recipe, lake, [strokes], level, plan, kept=kept, hold=term)
        losses, found = objective(picture)
        # Then both agree
        assert losses.total == pytest.approx(total, rel=1e-9)
        assert losses.hold == pytest.approx(held.item(), rel=1e-9)
        assert float((found - expected).norm() / expected.norm()) < 1e-10
    assert objective.measure(laid.detach())[0].hold == pytest.approx(held.item(), rel=1e-9)


def test_a_hold_at_another_size_stays_within_its_ranges() -> None:
    board = ((torch.arange(H)[:, None] + torch.arange(W)) % 2).float().expand(1, 1, H, W)
    small = resize_hold(Hold(board.expand(1, 3, H, W), board, board), Level(40, 27, 1))
    tensors: list[Tensor] = [small.picture, small.weight]
    assert small.stays is not None
    for tensor in (*tensors, small.stays):
        assert tensor.shape[2:] == (40, 27)
        assert 0 <= float(tensor.min()) <= float(tensor.max()) <= 1


def test_what_a_held_frame_takes_is_foretold() -> None:
    needed = [
        estimate_peak_bytes(
            WHOLE,
            Work.from_recipe(Recipe(), "vgg16", 4, False, "cpu", PictureSizes((720, 1280), holds=holds)),
            720,
            1280,
        )
        for holds in (0, 24)
    ]
    # the hold and its weights; and of a stretch its frames and their ways, at the size of the flow
    flow = 25 * 288 * 512 * (3 + 12)
    assert needed[1] - needed[0] == 13 * 4 * 720 * 1280 + flow
