"""`python -m benchmarks.regions OUT`: how well regions keep to their paintings.

The lake's left half after one painting, its right half after another. Each half of the finished
picture, cut out, is a picture of its own; its style distance to its own painting and to the other one
says how far the paintings keep apart. Written to OUT as a contact sheet. What regions cost is in
`gradients.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from farm.engine.guides import Guides, Mask, Source
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, stylize
from farm.engine.passes import compute_moments
from farm.engine.pyramid import Level, resize_photograph, resize_style, to_tensor
from farm.engine.statistics import Moments
from farm.engine.style.choose import make_style_losses
from farm.pictures.decode import decode
from farm.recipe import Recipe
from farm.recipe.memory_plan import WHOLE
from farm.settings import settings

SAMPLES = Path(__file__).parents[1] / "samples"
PAIRS = (("brushwork", "mosaic"), ("mosaic", "ink_wash"))
CPU = torch.device("cpu")


def load(name: str) -> Picture:
    """Load a sample, (H, W, 3) in [0, 1]."""
    return decode((SAMPLES / f"{name}.jpg").read_bytes(), name, 100)


def make_halves(height: int, width: int) -> tuple[Mask, Mask]:
    """Make masks of the left and the right half, with an edge that is soft over 2 % of the width."""
    ramp = np.clip((np.arange(width) / width - 0.5) / 0.02 + 0.5, 0, 1)
    right = np.tile((255 * ramp + 0.5).astype(np.uint8), (height, 1))
    return 255 - right, right


def make_grid(height: int, width: int) -> tuple[Mask, ...]:
    """Make eight masks, two rows of four, with wavy edges."""
    down, across = np.mgrid[:height, :width] / [[[height]], [[width]]]
    column = np.clip(4 * (across + 0.03 * np.sin(9 * down)), 0, 3).astype(int)
    row = np.clip(2 * (down + 0.05 * np.sin(7 * across)), 0, 1).astype(int)
    return tuple(np.where(column + 4 * row == i, 255, 0).astype(np.uint8) for i in range(8))


def measure_distances(
    picture: Picture, paintings: Sequence[Source], recipe: Recipe, engine: Engine
) -> list[list[float]]:
    """Measure the style distance of the picture's left and right half to each painting."""
    level, layers = Level(picture.shape[0], picture.shape[1], 1), frozenset(recipe.style_layers)
    middle = picture.shape[1] // 2

    def sum_up(x: Tensor) -> dict[str, Moments]:
        return compute_moments(engine.vgg, x, layers, WHOLE)

    targets = [sum_up(resize_style(to_tensor(p, CPU), level, 1.0)) for p in paintings]
    halves = [sum_up(to_tensor(half, CPU)) for half in (picture[:, :middle], picture[:, middle:])]
    whole = sum(recipe.style_layers.values())
    return [
        [
            sum(
                float(
                    loss(half).values
                    @ torch.tensor([recipe.style_layers[n] for n in loss.layers]).double()
                )
                for loss in make_style_losses(recipe.style_loss, target)
            )
            / whole
            for target in targets
        ]
        for half in halves
    ]


def show_separation(engine: Engine, out: Path, size: int) -> None:
    """Paint the pairs in halves, print each half's distances and write a contact sheet."""
    rows = []
    for names in PAIRS:
        content, paintings = load("mountain_lake"), [load(name) for name in names]
        recipe, masks = Recipe(size=size, preset="draft"), make_halves(*content.shape[:2])
        *_, last = stylize(content, paintings, recipe, engine, guides=Guides(masks=masks))
        picture = last.picture()
        for side, own, found in zip(
            ("left", "right"), (0, 1), measure_distances(picture, paintings, recipe, engine), strict=True
        ):
            near, far = found[own], found[1 - own]
            print(f"{' | '.join(names)} {side}: own {near:.3f}, other {far:.3f}, {far / near:.1f} times")
        rows.append(np.concatenate([picture, *(fit(p, picture.shape[0]) for p in paintings)], axis=1))
    width = min(row.shape[1] for row in rows)
    sheet = np.concatenate([row[:, :width] for row in rows])
    Image.fromarray((255 * sheet + 0.5).astype(np.uint8)).save(out, quality=88)


def fit(picture: Picture, height: int) -> Picture:
    """Return a painting's middle as a square of this height."""
    H, W = picture.shape[:2]
    side = min(H, W)
    top, left = (H - side) // 2, (W - side) // 2
    square = to_tensor(picture[top : top + side, left : left + side], CPU)
    return resize_photograph(square, Level(height, height, 1))[0].permute(1, 2, 0).numpy()


def main() -> None:
    given = settings()
    engine = Engine.load("auto", "auto", given.weights_dir, print, CPU)
    show_separation(engine, Path(sys.argv[1]), size=int(sys.argv[2]) if sys.argv[2:] else 256)


if __name__ == "__main__":
    main()
