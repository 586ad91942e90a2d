"""Calls, waits and bytes that an iteration asks of a GPU, counted without one."""

from __future__ import annotations

import pytest

from benchmarks.testbed.count import count_iteration
from farm.recipe.recipe import StyleLoss

# The `meta` device has torch load its compiler, which takes two seconds of each process.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("compiler")]


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_an_iteration_at_512_px_is_few_calls_and_one_wait(network: str) -> None:
    counted = count_iteration(network, 384, 512)
    assert counted.waits == 1
    assert counted.launches <= 350


def test_an_iteration_at_8k_passes_over_memory_seldom() -> None:
    counted = count_iteration("vgg19", 4320, 7680)
    assert counted.waits == 1
    assert counted.passed_bytes <= 250e9
    assert counted.peak_bytes <= counted.foretold_bytes <= 40e9


@pytest.mark.parametrize("style_loss", ["gram", "gram+mean", "moments", "kernel"])
def test_no_style_loss_waits_or_holds_more_than_was_foretold(style_loss: StyleLoss) -> None:
    counted = count_iteration("vgg16", 1080, 1920, style_loss=style_loss)
    assert counted.waits == 1
    assert counted.peak_bytes <= counted.foretold_bytes
