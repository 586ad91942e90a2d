"""Levels, the course of a rendering and its quality, on real weights and small pictures."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from farm.engine import device, optimise, optimisers, precision, quality
from farm.engine.colours import average_colours
from farm.engine.fallbacks import Gradients, NotFinite, compute_finite_gradient
from farm.engine.gradient import Objective
from farm.engine.loaded import Engine
from farm.engine.losses import Losses
from farm.engine.optimise import Rendering, Step, stylize
from farm.engine.precision import FLOAT16, WINOGRAD, LossScale
from farm.engine.pyramid import Level, compute_levels, resize_style, to_tensor
from farm.errors import DoesNotFit, InvalidInput, RenderFailed
from farm.recipe import Recipe
from farm.recipe.memory_estimates import estimate_peak_bytes
from farm.recipe.memory_plan import list_plans
from farm.recipe.schedules import PRESETS, Schedule, space_levels
from tests.conftest import load_sample

CPU = torch.device("cpu")
QUICK = {"size": 64, "start_size": 48, "iterations": (6, 4)}


def run(engine: Engine, lake: np.ndarray, strokes: np.ndarray, **settings: object) -> list[Step]:
    return list(stylize(lake, [strokes], Recipe.parse(QUICK | settings), engine))


# Pyramid


def test_levels_grow_to_exactly_the_size_asked_for() -> None:
    assert space_levels(128, 512, 2**0.5) == [128, 181, 256, 362, 512]
    assert space_levels(128, 100, 2.0) == [100]
    assert space_levels(128, 700, 2.0)[-1] == 700


def test_levels_keep_the_photographs_proportions() -> None:
    plan = compute_levels(Recipe(size=512, start_size=128, iterations=(3,)), 768, 1024)
    assert (plan[0].height, plan[0].width) == (96, 128)
    assert (plan[-1].height, plan[-1].width) == (384, 512)


def test_iterations_for_another_number_of_levels_are_refused() -> None:
    with pytest.raises(InvalidInput, match="iterations: lists 2 levels; there are 5"):
        Recipe.parse({"size": 512, "iterations": (3, 4)})


def test_a_painting_is_scaled_to_the_levels_area_so_that_strokes_keep_their_share() -> None:
    painting = torch.rand(1, 3, 400, 200)
    assert resize_style(painting, Level(100, 200, 1), 1.0).shape[-2:] == (200, 100)
    assert resize_style(painting, Level(100, 200, 1), 0.5).shape[-2:] == (100, 50)
    assert resize_style(painting, Level(400, 800, 1), 1.0).shape[-2:] == (800, 400)


def test_a_painting_is_enlarged_fourfold_at_most() -> None:
    painting = torch.rand(1, 3, 40, 20)
    assert resize_style(painting, Level(4000, 4000, 1), 1.0).shape[-2:] == (160, 80)


# Optimiser


def test_each_iteration_yields_a_step_and_the_losses_fall(engine, lake, strokes) -> None:
    steps = run(engine, lake, strokes)
    assert [(s.level, s.iteration, s.done) for s in steps] == [
        *((1, i, i) for i in range(1, 7)),
        *((2, i, i + 6) for i in range(1, 5)),
    ]
    assert steps[-1].progress == pytest.approx(1.0)
    assert (steps[-1].height, steps[-1].width) == (43, 64)
    assert steps[5].losses.total < steps[0].losses.total
    assert steps[-1].peak_memory_bytes > 0


def test_the_result_is_a_picture(engine, lake, strokes) -> None:
    step = run(engine, lake, strokes)[-1]
    picture = step.picture()
    assert picture.shape == (43, 64, 3)
    assert picture.dtype == np.float32
    assert 0 <= picture.min() < picture.max() <= 1
    # And its preview is it, made smaller by a half
    preview = step.preview(16)
    assert preview.shape == (22, 32, 3)
    assert preview[:21] == pytest.approx(picture[:42].reshape(21, 2, 32, 2, 3).mean(axis=(1, 3)))


@pytest.mark.parametrize("init", ["content", "noise", "gray"])
def test_the_same_recipe_gives_the_same_bits(engine, lake, strokes, init: str) -> None:
    one = run(engine, lake, strokes, init=init)[-1].picture()
    other = run(engine, lake, strokes, init=init)[-1].picture()
    assert np.array_equal(one, other)


def test_another_seed_gives_another_picture_from_noise(engine, lake, strokes) -> None:
    one = run(engine, lake, strokes, init="noise", seed=1)[-1].picture()
    other = run(engine, lake, strokes, init="noise", seed=2)[-1].picture()
    assert not np.array_equal(one, other)


def test_leaving_the_loop_is_cancellation(engine, lake, strokes) -> None:
    steps = stylize(lake, [strokes], Recipe.parse(QUICK), engine)
    assert isinstance(steps, Generator)
    assert next(steps).done == 1
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_each_painting_has_its_own_size_of_strokes(engine, lake, strokes) -> None:
    level, pictures = Level(43, 64, 1), (to_tensor(lake, CPU), [to_tensor(strokes, CPU)] * 2)
    both, fine, broad = (
        Objective(engine.vgg, Recipe(style_scale=scale), *pictures, level).paintings
        for scale in ((0.5, 1.5), 0.5, 1.5)
    )
    for found, wanted in zip(both, (fine[0], broad[1]), strict=True):
        assert all(torch.equal(found[layer].gram, wanted[layer].gram) for layer in wanted)
    assert not torch.equal(fine[0]["relu1_1"].gram, broad[0]["relu1_1"].gram)


def test_two_paintings_blend(whole_engine, lake, strokes) -> None:
    wash = load_sample("ink_wash", 96)
    recipes = [Recipe.parse(QUICK | {"blend": blend}) for blend in ((1, 0), (0, 1))]
    one, other = (list(stylize(lake, [strokes, wash], r, whole_engine))[-1].picture() for r in recipes)
    only = run(whole_engine, lake, strokes)[-1].picture()
    assert np.allclose(one, only, atol=1e-3)
    assert np.abs(one - other).mean() > 0.01


def test_more_content_weight_keeps_more_of_the_photograph(whole_engine, lake, strokes) -> None:
    results = {}
    for weight in (0.0, 10.0):
        recipe = Recipe.parse(QUICK | {"content_weight": weight, "iterations": (20, 10)})
        picture = list(stylize(lake, [strokes], recipe, whole_engine))[-1].picture()
        results[weight] = quality.measure(picture, lake, [strokes], recipe, whole_engine)
    assert results[10.0].content_loss < results[0.0].content_loss
    assert results[10.0].style_loss > results[0.0].style_loss


def test_a_picture_that_cannot_fit_is_refused_before_the_first_iteration_with_the_numbers(
    engine, lake, strokes
) -> None:
    small = replace(engine, budget_bytes=10**9)
    message = (
        r"7680 x 5120 needs .* GB even with the smallest plan; 1.0 GB may be used. The largest size"
    )
    with pytest.raises(DoesNotFit, match=message):
        next(stylize(lake, [strokes], Recipe(size=7680), small))


@pytest.mark.parametrize("tile", [None, 64, "auto"])
def test_the_tile_does_not_change_the_picture_but_for_rounding(engine, lake, strokes, tile) -> None:
    recipe = Recipe.parse(QUICK | {"size": 96, "start_size": 96, "iterations": 3})
    expected = list(stylize(lake, [strokes], recipe, engine))[-1].picture()
    found = list(stylize(lake, [strokes], recipe, engine, tile=tile))[-1].picture()
    # Adam's first steps go by a slope's sign, so where it is all but zero, rounding can turn a step
    assert np.abs(found - expected).mean() < 1e-4


def test_when_memory_runs_out_a_smaller_plan_goes_on_from_the_same_iteration(
    engine_on_cpu, lake, strokes, monkeypatch
) -> None:
    # Given a device whose memory runs out in the fourth gradient
    plain = run(engine_on_cpu, lake, strokes)
    calls = []
    whole = Objective.__call__

    def failing(self, picture, scale=1.0):
        calls.append(self.plan)
        if len(calls) == 4:
            raise RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return whole(self, picture, scale)

    monkeypatch.setattr(Objective, "__call__", failing)
    steps = run(engine_on_cpu, lake, strokes)
    # Then no iteration is lost, and the plan is a smaller one from there on
    assert [(s.level, s.iteration) for s in steps] == [(s.level, s.iteration) for s in plain]
    assert calls[4] != calls[3] == calls[0]
    work, size = engine_on_cpu.work(Recipe.parse(QUICK)), (2048, 3072)  # features are what counts
    assert estimate_peak_bytes(calls[4], work, *size) < estimate_peak_bytes(calls[3], work, *size)
    assert np.abs(steps[-1].picture() - plain[-1].picture()).mean() < 1e-3


def test_a_smaller_plan_moves_the_optimisers_state_out_of_the_cards_memory(
    engine_on_cpu, lake, strokes, monkeypatch
) -> None:
    # Given a card, played by the CPU, whose memory runs out in the fourth gradient until the state lies
    # on the host, played by torch's device that has shapes and no numbers
    host, calls = torch.device("meta"), []
    whole, work = Objective.__call__, Engine.work

    def fail_until_offloaded(self, picture, scale=1.0):
        calls.append(self.plan)
        if len(calls) >= 4 and not self.plan.offload:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, picture, scale)

    monkeypatch.setattr(optimise, "HOST", host)
    monkeypatch.setattr(Objective, "__call__", fail_until_offloaded)
    monkeypatch.setattr(Engine, "work", lambda *given: replace(work(*given), device="cuda"))
    rendering = start(engine_on_cpu, lake, strokes, QUICK)
    states = []
    # When four iterations are made
    for step in islice(rendering.run(), 4):
        assert step.losses.finite
        states.append({each.device.type for each in rendering._optimiser.get_tensors().values()})
    # Then the last one's gradient was computed on the card, with the state on the host
    assert states == [{"cpu"}, {"cpu"}, {"cpu"}, {"meta"}]
    assert [plan.offload for plan in calls[:4] + calls[-1:]] == [False] * 4 + [True]


def test_a_level_whose_plan_offloads_the_state_grows_on_the_host(
    engine_on_cpu, lake, strokes, monkeypatch
) -> None:
    # Given a rendering whose second level has only the smallest plan left
    monkeypatch.setattr(optimise, "HOST", torch.device("meta"))
    work = Engine.work
    monkeypatch.setattr(Engine, "work", lambda *given: replace(work(*given), device="cuda"))
    rendering = start(engine_on_cpu, lake, strokes, QUICK | {"iterations": (2, 2)})
    steps = rendering.run()
    last = [next(steps), next(steps)][-1]
    assert last.ends_level
    rendering._gradients.lowered = len(list_plans(rendering._gradients.tile, gpu=True)) - 1
    grown = []
    monkeypatch.setattr(optimisers, "resize", lambda x, *size: grown.append(x.device) or x)
    # When it comes to it
    with pytest.raises(NotImplementedError, match="meta"):  # a picture without numbers
        next(steps)
    # Then the state had been moved before it was made larger
    assert {each.type for each in grown} == {"meta"}


def start(engine, lake, strokes, settings: dict[str, object]) -> Rendering:
    """Return a rendering at its beginning."""
    recipe = Recipe.parse(settings)
    photograph, painting = to_tensor(lake, CPU), to_tensor(strokes, CPU)
    gradients = Gradients(engine, recipe, photograph, [painting], engine.budget_bytes, 64)
    schedule = compute_levels(recipe, *lake.shape[:2])
    gradients.start_level(schedule[-1])
    return Rendering(schedule, gradients, lambda: "digest")


def test_cached_buffers_are_returned_before_each_level(engine, lake, strokes, monkeypatch) -> None:
    released = []
    monkeypatch.setattr(device, "release_cache", lambda where: released.append(where))
    steps = run(engine, lake, strokes)
    assert released == [engine.device] * steps[-1].levels


def test_a_level_is_left_when_it_no_longer_gains_the_tolerance(engine, lake, strokes) -> None:
    steps = run(engine, lake, strokes, iterations=(60, 4), tolerance=0.05)
    first = [step for step in steps if step.level == 1]
    assert 5 < len(first) < 60
    assert [step.ends_level for step in first] == [False] * (len(first) - 1) + [True]
    pixels = [60 * first[-1].height * first[-1].width, 4 * 43 * 64]
    assert first[-1].progress == pytest.approx(pixels[0] / sum(pixels))
    assert steps[-1].progress == pytest.approx(1)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_each_optimiser_lowers_the_loss(engine, lake, strokes, optimizer: str) -> None:
    steps = run(engine, lake, strokes, optimizer=optimizer, iterations=(20, 8))
    assert steps[19].losses.total < 0.6 * steps[0].losses.total


def test_lbfgs_is_refused_with_float16s_loss_scale(engine, lake, strokes) -> None:
    half = replace(engine, number_format=FLOAT16)
    with pytest.raises(InvalidInput, match="optimizer: lbfgs"):
        next(stylize(lake, [strokes], Recipe.parse(QUICK | {"optimizer": "lbfgs"}), half))


def test_losses_that_are_not_finite_fail_with_a_way_out(engine, lake, strokes) -> None:
    broken = lake.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(RenderFailed, match="float32"):
        run(engine, broken, strokes)


def test_half_precision_that_has_no_finite_loss_goes_on_in_float32_once(
    whole_engine, lake, strokes, monkeypatch
) -> None:
    # Given a format whose gradients are never finite
    plain = run(whole_engine, lake, strokes)
    winograd = Engine.load("vgg16", "winograd", whole_engine.folder, print, whole_engine.device)
    whole = Objective.compute

    def overflowing(self, picture, scale=1.0):
        sums, slope = whole(self, picture, scale)
        return sums * float("inf") if self.vgg.winograd else sums, slope

    monkeypatch.setattr(Objective, "compute", overflowing)
    steps = run(winograd, lake, strokes)
    assert np.array_equal(steps[-1].picture(), plain[-1].picture())


# Precision


def test_auto_precision_is_one_this_processor_is_fast_in() -> None:
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert (precision.choose("auto", CPU) is WINOGRAD) == (not fast)


def test_half_precision_gradients_point_the_same_way(
    weights_dir: Path, whole_engine, lake, strokes
) -> None:
    # Given the same objective in bfloat16, whatever its speed on this processor
    from farm.engine import weights
    from farm.engine.pyramid import to_tensor
    from farm.engine.vgg import VGG

    half = VGG("vgg16", weights.load("vgg16", weights_dir), whole_engine.device, torch.bfloat16)
    content, style = (to_tensor(each, whole_engine.device) for each in (lake, strokes))
    args = (Recipe(), content, [style], Level(64, 96, 1))
    (exact, g), (rough, h) = (Objective(vgg, *args)(content) for vgg in (whole_engine.vgg, half))
    assert rough.total == pytest.approx(exact.total, rel=0.03)
    assert float(torch.cosine_similarity(g.flatten(), h.flatten(), dim=0)) > 0.97


def test_the_loss_scale_halves_until_the_gradient_is_finite() -> None:
    scale = LossScale(FLOAT16)
    start = scale.value

    class Overflows:
        def __call__(self, image: torch.Tensor, value: float) -> tuple[Losses, torch.Tensor]:
            losses = Losses(0.0, 1.0, 0.0, 1.0, finite=value <= start / 8)
            return losses, torch.full_like(image, value)

    _, gradient = compute_finite_gradient(Overflows(), torch.zeros(1), scale)
    assert scale.value == start / 8
    assert gradient.item() == 1.0


@pytest.mark.parametrize("overflow", [float("inf"), float("nan"), None])
def test_an_overflow_on_the_way_up_is_not_met_by_lower_scales(overflow: float | None) -> None:
    scale, calls = LossScale(FLOAT16), []

    class Overflows:
        def __call__(self, image: torch.Tensor, value: float) -> tuple[Losses, torch.Tensor]:
            calls.append(value)
            if overflow is None:
                raise torch._C._LinAlgError("linalg.eigh: failed")  # type: ignore[attr-defined]
            return Losses(0.0, 1.0, 0.0, overflow), torch.ones_like(image)

    with pytest.raises(NotFinite):
        compute_finite_gradient(Overflows(), torch.zeros(1), scale)
    assert calls == [scale.value]


def test_the_loss_scale_grows_again_after_good_steps() -> None:
    scale = LossScale(FLOAT16)
    start = scale.value
    for _ in range(LossScale.GROW_AFTER):
        scale.update(finite=True)
    assert scale.value == start * 2


# Quality


def test_a_picture_compared_with_itself_is_perfect(whole_engine, lake) -> None:
    figures = quality.measure(lake, lake, [lake], Recipe(), whole_engine)
    assert figures.ssim == pytest.approx(1)
    assert figures.gram_cosine == pytest.approx(1, abs=1e-4)
    assert figures.gram_cosine_centred == pytest.approx(1, abs=1e-4)
    assert figures.content_loss == pytest.approx(0, abs=1e-6)
    assert figures.style_loss == pytest.approx(0, abs=1e-4)
    assert figures.lpips_vgg16 == 0
    assert "lpips_vgg16_bsds" not in figures.as_dict()


def test_the_centred_gram_cosine_tells_paintings_apart_better_than_the_raw_one(
    whole_engine, lake, strokes
) -> None:
    figures = quality.measure(lake, lake, [strokes], Recipe(), whole_engine)
    assert figures.gram_cosine_centred < figures.gram_cosine < 1


def test_a_large_picture_passes_through_the_draft_that_it_grows_out_of(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "draft", Schedule(first=8, last=4, growth=math.sqrt(2)))
    photograph, painting = load_sample("mountain_lake", 96), load_sample("brushwork", 96)
    draft = Recipe(size=64, start_size=32, preset="draft")
    *_, last = stylize(photograph, [painting], draft, engine)
    grown = Recipe(size=96, start_size=32, grown_from=64, iterations=(2,))
    ends = [step.picture() for step in stylize(photograph, [painting], grown, engine) if step.ends_level]
    assert np.array_equal(ends[len(draft.level_sizes) - 1], last.picture())
    assert ends[-1].shape[:2] == (64, 96)
    colours = [average_colours(to_tensor(picture, CPU)) for picture in (last.picture(), ends[-1])]
    assert (colours[0] - colours[1]).abs().max() < 4 / 255


def test_mean_colours_of_a_huge_flat_picture_are_its_colour() -> None:
    picture = torch.full((1, 3, 2160, 3840), 0.7)
    assert (average_colours(picture) - 0.7).abs().max() < 1e-4
