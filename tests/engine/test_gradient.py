"""The gradient against plain autograd over the whole picture, under every kind of plan.

Most by a network of a quarter of the channels, since the equations are the same whatever their number;
that it is so of all channels, some tests hold.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.testbed.reference import GuidedReference, Reference
from farm.engine.gradient import Objective
from farm.engine.guides import Guides
from farm.engine.kept import Kept
from farm.engine.maps import LevelMaps
from farm.engine.pyramid import Level, resize, resize_photograph, to_tensor
from farm.engine.regions import Masked
from farm.engine.style.light import LightLoss
from farm.engine.vgg import VGG
from farm.engine.ways import GPU, Way
from farm.recipe import Recipe
from farm.recipe.memory_plan import WHOLE, Plan, list_plans
from farm.recipe.recipe import StyleLoss
from tests.conftest import load_sample
from tests.engine.narrow import DIVISOR, load_tensors

CPU = torch.device("cpu")
TILED = list_plans(64)
KEPT, JOINED, SMALLEST = TILED[0], TILED[4], TILED[-1].model_copy(update={"tile": 22})
# Height and width: smaller than a tile, no multiple of 16, odd, prime, a narrow rest beyond a tile,
# portrait and landscape, and so flat that the deep blocks are one pixel high.
AWKWARD = [
    (16, 16),
    (33, 47),
    (61, 17),
    (64, 64),
    (65, 129),
    (66, 131),
    (97, 83),
    (16, 203),
    (150, 37),
    (113, 127),
    (128, 66),
    (131, 257),
]
# Of these, for what does not depend on how the picture is cut.
FEW = [AWKWARD[0], AWKWARD[2], AWKWARD[5], AWKWARD[7]]
# Style losses that take layers of many channels in another way than narrow ones.
OF_WIDE_LAYERS = ("kernel", "light")


def pictures(height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Photograph, painting, and a picture on its way from one to the other."""
    lake = to_tensor(load_sample("mountain_lake", 160), CPU).to(dtype)
    strokes = to_tensor(load_sample("brushwork", 96), CPU).to(dtype)
    between = 0.6 * resize(lake, height, width) + 0.4 * resize(strokes, height, width)
    return lake, strokes, between.clamp(0, 1)


def relative_errors(
    folder: Path,
    recipe: Recipe,
    size: tuple[int, int],
    plans: list[Plan],
    dtype: torch.dtype,
    way: Way | None = None,
    divisor: int = DIVISOR,
) -> list[float]:
    """Return errors of the gradient under each plan, by a network of one in `divisor` channels."""
    lake, strokes, picture = pictures(*size, dtype)
    level = Level(*size, 1)
    network = load_tensors(folder, divisor)
    plain = Reference("vgg16", network, recipe, lake, [strokes], level)
    total, expected = plain(picture)
    vgg = VGG("vgg16", network, CPU, dtype, way=way)
    errors = []
    for plan in plans:
        losses, found = Objective(vgg, recipe, lake, [strokes], level, plan)(picture)
        assert losses.total == pytest.approx(total, rel=1e-5 if way is None else 2e-3)
        errors.append(float((found - expected).norm() / expected.norm()))
    return errors


@pytest.mark.parametrize(
    ("style_loss", "size"),
    [*(("gram", size) for size in AWKWARD), *(("wasserstein", size) for size in FEW)],
)
def test_the_gradient_is_that_of_plain_autograd(
    weights_dir: Path, style_loss: str, size: tuple[int, int]
) -> None:
    recipe = Recipe.parse({"style_loss": style_loss})
    plans = [WHOLE, KEPT, JOINED]
    assert max(relative_errors(weights_dir, recipe, size, plans, torch.float64)) < 2e-10


@pytest.mark.parametrize(
    ("style_loss", "size"),
    [("gram", AWKWARD[0]), ("wasserstein", AWKWARD[0]), ("wasserstein", AWKWARD[5])],
)
def test_the_gradient_of_all_channels_is_that_of_plain_autograd(
    weights_dir: Path, style_loss: str, size: tuple[int, int]
) -> None:
    recipe = Recipe.parse({"style_loss": style_loss})
    errors = relative_errors(weights_dir, recipe, size, [WHOLE, JOINED], torch.float64, divisor=1)
    assert max(errors) < 2e-10


@pytest.mark.parametrize("size", FEW)
@pytest.mark.parametrize("style_loss", ["gram", "wasserstein"])
def test_a_gpus_way_gives_the_same_gradient(
    weights_dir: Path, size: tuple[int, int], style_loss: str
) -> None:
    recipe = Recipe.parse({"style_loss": style_loss})
    unpacked = WHOLE.model_copy(update={"packed": False})
    plans = [unpacked, KEPT, JOINED]
    bound = 1e-10 if style_loss == "gram" else 1e-2  # roots by iteration, see test_roots
    assert max(relative_errors(weights_dir, recipe, size, plans, torch.float64, GPU)) < bound
    bound = 1e-5 if style_loss == "gram" else 1e-2
    assert max(relative_errors(weights_dir, recipe, size, [unpacked], torch.float32, GPU)) < bound


@pytest.mark.parametrize("size", FEW)
def test_the_gradient_in_float32_is_that_of_plain_autograd(
    weights_dir: Path, size: tuple[int, int]
) -> None:
    recipe = Recipe(style_loss="gram")
    errors = relative_errors(weights_dir, recipe, size, [JOINED], torch.float32, divisor=1)
    assert max(errors) < 1e-5


# Sizes at which both take the same pixels for a window's largest.
@pytest.mark.parametrize("size", [(16, 16), (61, 17), (16, 203)])
@pytest.mark.parametrize("style_loss", ["wasserstein", "light"])
def test_roots_in_float32_give_the_gradient_of_those_in_float64(
    weights_dir: Path, size: tuple[int, int], style_loss: str
) -> None:
    recipe, level = Recipe.parse({"style_loss": style_loss}), Level(*size, 1)
    lake, strokes, picture = pictures(*size, torch.float64)
    found = []
    for dtype in (torch.float32, torch.float64):
        vgg = VGG("vgg16", load_tensors(weights_dir, 1), CPU, dtype)
        objective = Objective(vgg, recipe, lake.to(dtype), [strokes.to(dtype)], level, JOINED)
        found.append(objective(picture.to(dtype)))
    (losses, gradient), (exact, expected) = found
    assert losses.total == pytest.approx(exact.total, rel=1e-6)
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("style_loss", get_args(StyleLoss))
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_tiles_equal_the_whole_under_every_style_loss(
    weights_dir: Path, style_loss: str, dtype: torch.dtype, bound: float
) -> None:
    lake, strokes, picture = pictures(49, 43, dtype)
    recipe, small = Recipe.parse({"style_loss": style_loss}), KEPT.model_copy(update={"tile": 32})
    network = load_tensors(weights_dir, 1 if style_loss in OF_WIDE_LAYERS else DIVISOR)
    vgg = VGG("vgg16", network, CPU, dtype)
    (_, whole), (_, tiled) = (
        Objective(vgg, recipe, lake, [strokes], Level(49, 43, 1), plan)(picture)
        for plan in (WHOLE, small)
    )
    assert float((tiled - whole).norm() / whole.norm()) < bound


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_tiles_equal_the_whole_where_attention_makes_the_content(
    weights_dir: Path, dtype: torch.dtype, bound: float
) -> None:
    lake, strokes, picture = pictures(49, 43, dtype)
    recipe = Recipe.parse(
        {"content_target": "attention", "content_layers": "relu3_1", "style_loss": "gram"}
    )
    vgg = VGG("vgg16", load_tensors(weights_dir), CPU, dtype)
    losses, found = [], []
    for plan in (WHOLE, KEPT.model_copy(update={"tile": 32})):
        each, gradient = Objective(vgg, recipe, lake, [strokes], Level(49, 43, 1), plan)(picture)
        losses.append(each.content)
        found.append(gradient)
    assert losses[0] == pytest.approx(losses[1])
    assert float((found[1] - found[0]).norm() / found[0].norm()) < bound
    plain = Objective(vgg, Recipe(), lake, [strokes], Level(49, 43, 1)).measure(picture)[0]
    assert losses[0] != pytest.approx(plain.content)


def test_every_plan_gives_the_same_gradient(weights_dir: Path) -> None:
    plans = [*TILED, SMALLEST]
    assert max(relative_errors(weights_dir, Recipe(), (131, 77), plans, torch.float64)) < 1e-10


@pytest.mark.parametrize(
    ("content", "style"),
    [
        ("relu2_2", "relu1_2,relu3_3"),  # at a block's end, before pooling
        ("relu1_1", "relu1_1"),  # the first layer alone, for both
        ("relu4_2,relu3_1=2", "relu2_1,relu2_2,relu5_3=0.5"),  # several in one block, and the last
    ],
)
def test_any_layers_may_be_looked_at(weights_dir: Path, content: str, style: str) -> None:
    settings = {"content_layers": content, "style_layers": style, "features": "vgg16"}
    recipe = Recipe.parse(settings | {"style_loss": "gram"})
    plans = [WHOLE, KEPT, JOINED]
    assert max(relative_errors(weights_dir, recipe, (83, 66), plans, torch.float64)) < 1e-10


def test_winograds_gradient_differs_by_rounding_alone(weights_dir: Path) -> None:
    lake, strokes, picture = pictures(66, 131, torch.float32)
    tensors, found = load_tensors(weights_dir, 1), []
    for winograd in (False, True):
        vgg = VGG("vgg16", tensors, CPU, winograd=winograd)
        found.append(Objective(vgg, Recipe(), lake, [strokes], Level(66, 131, 1))(picture))
    (plain, expected), (fast, close) = found
    assert fast.total == pytest.approx(plain.total, rel=1e-5)
    # A ReLU whose input rounds to the other side of zero changes its whole slope, so not 1e-6.
    assert float((close - expected).norm() / expected.norm()) < 1e-2
    assert float(torch.cosine_similarity(close.flatten(), expected.flatten(), dim=0)) > 0.9999


def test_the_losses_alone_are_those_with_the_gradient(weights_dir: Path) -> None:
    lake, strokes, picture = pictures(66, 131, torch.float32)
    vgg = VGG("vgg16", load_tensors(weights_dir), CPU)
    objective = Objective(vgg, Recipe(), lake, [strokes], Level(66, 131, 1), JOINED)
    assert objective.measure(picture)[0].total == pytest.approx(objective(picture)[0].total)


def test_a_scaled_gradient_is_the_gradient_times_the_scale(weights_dir: Path) -> None:
    lake, strokes, picture = pictures(40, 48, torch.float64)
    vgg = VGG("vgg16", load_tensors(weights_dir), CPU, torch.float64)
    objective = Objective(vgg, Recipe(), lake, [strokes], Level(40, 48, 1))
    torch.testing.assert_close(objective(picture, 1024.0)[1], objective(picture)[1] * 1024)


def test_a_weight_of_zero_takes_its_term_away(weights_dir: Path) -> None:
    lake, strokes, picture = pictures(48, 48, torch.float32)
    vgg = VGG("vgg16", load_tensors(weights_dir), CPU)
    recipe = Recipe(content_weight=0, tv_weight=0)
    losses = Objective(vgg, recipe, lake, [strokes], Level(48, 48, 1)).measure(picture)[0]
    assert losses.total == pytest.approx(losses.style)


def make_guides(kind: str) -> Guides:
    """Two masks that overlap softly with a small hole, what stays, and what is transparent."""
    down, across = np.mgrid[:96, :160]
    first = np.clip((across - 60) * 8, 0, 255).astype(np.uint8)
    second = np.where(np.hypot(down - 40, across - 110) < 20, 120, 255 - first).astype(np.uint8)
    second[10:16, 20:28] = 0
    keep = np.clip(255 - np.hypot(down - 70, across - 60) * 12, 0, 255).astype(np.uint8)
    opaque = np.clip(across * 6, 0, 255).astype(np.uint8)
    stripes = np.zeros((131, 257), np.uint8)  # each a pixel wide in a picture of that size
    stripes[1::2] = 255
    return {
        "masks": Guides(masks=(first, second)),
        "stripes": Guides(masks=(stripes, 255 - stripes)),
        "keep": Guides(keep=keep),
        "opaque": Guides(opaque=opaque),
        "all": Guides(masks=(first, second), keep=keep, opaque=opaque),
    }[kind]


def guided_errors(
    folder: Path,
    kind: str,
    recipe: Recipe,
    plans: list[Plan],
    dtype: torch.dtype,
    way: Way | None = None,
    size: tuple[int, int] = (67, 110),
) -> list[float]:
    """Errors of the gradient with guides, under each plan, against the whole picture at once."""
    lake, strokes, picture = pictures(*size, dtype)
    paintings = [strokes, to_tensor(load_sample("mosaic", 96), CPU).to(dtype)]
    level, vgg = Level(*size, 1), VGG("vgg16", load_tensors(folder), CPU, dtype, way=way)
    maps = LevelMaps.from_guides(make_guides(kind), level, recipe.normalise_blend(2))
    assert maps is not None
    regions = Masked(maps, recipe.style_layers, vgg.convolutions, CPU, 1024)
    plain = GuidedReference(
        "vgg16", load_tensors(folder), recipe, lake, paintings, level, maps=maps, regions=regions
    )
    total, expected = plain(picture)
    stays = maps.stays
    kept = None if stays is None else Kept(resize_photograph(lake, level), stays)
    errors = []
    for plan in plans:
        objective = Objective(vgg, recipe, lake, paintings, level, plan, maps=maps, kept=kept)
        losses, found = objective(picture)
        assert losses.total == pytest.approx(total, rel=1e-5 if way is None else 2e-3)
        errors.append(float((found - expected).norm() / expected.norm()))
    return errors


@pytest.mark.parametrize("kind", ["masks", "keep", "opaque", "all"])
@pytest.mark.parametrize("style_loss", ["gram", "wasserstein"])
def test_with_guides_the_gradient_is_that_of_plain_autograd(
    weights_dir: Path, kind: str, style_loss: str
) -> None:
    recipe = Recipe.parse({"style_loss": style_loss, "blend": "0.3,0.7"})
    assert max(guided_errors(weights_dir, kind, recipe, [WHOLE, SMALLEST], torch.float64)) < 1e-10


@pytest.mark.parametrize("kind", ["masks", "all"])
def test_with_guides_a_gpus_way_gives_the_same_gradient(weights_dir: Path, kind: str) -> None:
    recipe = Recipe.parse({"style_loss": "gram", "blend": "0.3,0.7"})
    plans = [WHOLE.model_copy(update={"packed": False}), SMALLEST]
    assert max(guided_errors(weights_dir, kind, recipe, plans, torch.float64, GPU)) < 1e-10


@pytest.mark.parametrize("style_loss", get_args(StyleLoss))
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_with_guides_tiles_equal_the_whole_under_every_style_loss(
    weights_dir: Path, style_loss: str, dtype: torch.dtype, bound: float
) -> None:
    lake, strokes, picture = pictures(67, 110, dtype)
    recipe, level = Recipe.parse({"style_loss": style_loss}), Level(67, 110, 1)
    network = load_tensors(weights_dir, 1 if style_loss in OF_WIDE_LAYERS else DIVISOR)
    vgg = VGG("vgg16", network, CPU, dtype)
    maps = LevelMaps.from_guides(make_guides("all"), level, recipe.normalise_blend(2))
    (_, whole), (_, tiled) = (
        Objective(vgg, recipe, lake, [strokes, lake], level, plan, maps=maps)(picture)
        for plan in (WHOLE, SMALLEST)
    )
    assert float((tiled - whole).norm() / whole.norm()) < bound


@pytest.mark.parametrize("kind", ["", "all", "stripes"])
def test_light_looks_at_the_same_few_positions_in_tiles_as_in_the_whole(
    weights_dir: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a picture with many positions a channel
    height, width = 131, 257
    lake, strokes, picture = pictures(height, width, torch.float64)
    recipe, level = Recipe(style_loss="light"), Level(height, width, 1)
    vgg = VGG("vgg16", load_tensors(weights_dir), CPU, torch.float64)
    maps = LevelMaps.from_guides(make_guides(kind), level, (0.5, 0.5)) if kind else None

    def compute(plan: Plan) -> Tensor:
        return Objective(vgg, recipe, lake, [strokes, lake], level, plan, maps=maps)(picture)[1]

    # When its gradient is computed in tiles, then it is that of the whole
    whole = compute(WHOLE)
    for plan in (KEPT, SMALLEST):
        assert float((compute(plan) - whole).norm() / whole.norm()) < 1e-10
    # And it is nearly that of all positions
    monkeypatch.setattr(LightLoss, "enough", math.inf)
    everywhere = compute(WHOLE)
    assert 0 < float((everywhere - whole).norm() / everywhere.norm()) < 0.1
