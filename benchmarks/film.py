"""`python -m benchmarks.film OUT [PRESET]`: how steady a painted clip is, and what that costs.

A disc over a ground, both moving, each with a texture and noise: the flow is known (`film_clip.py`).
Measured are pairs of neighbouring frames: the second against the first, moved along the true flow, where
both are visible ("warp", mean square x 1000). Frames are written to OUT as a contact sheet.

1. Frame by frame, each painted as a picture of its own.
2. As a film, in stretches between anchors; inside the stretches and at their joints.
3. A clip in which nothing moves, with and without noise: how far it drifts.

With `draft` it takes about a quarter of an hour of one processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.film_clip import Frame, MovingDisc
from farm.engine import quality
from farm.engine.film.paint import PaintedFrame, paint_part, to_bytes
from farm.engine.film.warp import warp
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, stylize
from farm.pictures.decode import decode
from farm.recipe import Recipe
from farm.recipe.film import SPACING, Role, plan_parts
from farm.settings import settings

SAMPLES = Path(__file__).parents[1] / "samples"
CPU = torch.device("cpu")
FRAMES = 2 * SPACING + 1  # two stretches, so that there is a joint
STILL_FRAMES = SPACING + 1


@dataclass(frozen=True)
class Run:
    """A painted clip."""

    frames: list[Frame]
    # Processor's, for each frame.
    seconds: list[float]


def load(name: str, width: int) -> Picture:
    """Load a sample at a width, (H, W, 3) in [0, 1]."""
    picture = decode((SAMPLES / f"{name}.jpg").read_bytes(), name, 100)
    small = Image.fromarray(to_bytes(picture))
    size = (width, round(width * small.height / small.width))
    return to_floats(np.asarray(small.resize(size, Image.Resampling.LANCZOS)))


def to_floats(frame: Frame) -> Picture:
    """Return a frame as a picture in [0, 1]."""
    return np.divide(frame, np.float32(255), dtype=np.float32)


def make_clip() -> MovingDisc:
    """Make the clip that everything is measured on."""
    right = (0.85, 0.45)  # far enough to be seen in every frame
    return MovingDisc(load("mountain_lake", 320), load("street", 200), disc_begins=right)


def paint_each(clip: MovingDisc, painting: Picture, recipe: Recipe, engine: Engine) -> Run:
    """Paint every frame as a picture of its own."""
    frames, seconds = [], []
    for number in range(FRAMES):
        began = time.process_time()
        *_, last = stylize(clip.draw(number), [painting], recipe, engine)
        frames.append(to_bytes(last.picture()))
        seconds.append(time.process_time() - began)
    return Run(frames, seconds)


def paint_film(
    clip: MovingDisc,
    painting: Picture,
    recipe: Recipe,
    engine: Engine,
    frames: int = FRAMES,
    spacing: int = SPACING,
) -> Run:
    """Paint the clip as a film."""
    painted: dict[int, Frame] = {}
    seconds: dict[int, float] = {}
    for part in plan_parts([0], range(frames), spacing):
        if part.role is Role.JOIN:
            continue
        began = time.process_time()
        for news in paint_part(part, clip.draw, painted.__getitem__, [painting], recipe, engine):
            if isinstance(news, PaintedFrame):
                painted[news.frame] = news.picture
                seconds[news.frame] = time.process_time() - began
                began = time.process_time()
    return Run([painted[n] for n in range(frames)], [seconds[n] for n in range(frames)])


def measure_warp(clip: MovingDisc, frames: Sequence[Frame]) -> list[float]:
    """Return each frame's mean squared distance to the one before, moved along the true flow, x 1000."""
    found = []
    for number in range(1, len(frames)):
        flow = torch.from_numpy(clip.find_flow(number, number - 1)).permute(2, 0, 1)[None]
        before = torch.from_numpy(frames[number - 1]).permute(2, 0, 1)[None].float() / 255
        moved = warp(before, flow)[0].permute(1, 2, 0).numpy()
        apart = np.square(frames[number] / 255 - moved)[clip.find_visible(number, number - 1)]
        found.append(1000 * float(apart.mean()))
    return found


def measure_style(
    clip: MovingDisc, run: Run, painting: Picture, recipe: Recipe, engine: Engine
) -> list[float]:
    """Return the style distance of each frame."""
    return [
        quality.measure(to_floats(frame), clip.draw(n), [painting], recipe, engine).style_loss
        for n, frame in enumerate(run.frames)
    ]


def describe(name: str, *columns: Sequence[float]) -> str:
    """Return a row of the table."""
    warps, styles, seconds = columns
    cells = (f"{np.mean(warps):.2f}", f"{np.mean(styles):.4f}", f"{np.sum(seconds):.0f}")
    return f"| {name} | {' | '.join(cells)} |"


def measure_joints(warps: Sequence[float], spacing: int = SPACING) -> tuple[float, float]:
    """Return the mean inside stretches, and that of pairs with an anchor that ends and begins some."""
    joints = {n - 1 for n in range(spacing, len(warps) + 1, spacing)}
    joints |= {n + 1 for n in joints}
    joined = [each for n, each in enumerate(warps) if n in joints]
    inside = [each for n, each in enumerate(warps) if n not in joints]
    return float(np.mean(inside)), float(np.mean(joined))


def measure_drift(frames: Sequence[Frame]) -> tuple[float, float]:
    """Return how far the last frame is from the first, of 255: mean absolute, and mean."""
    apart = frames[-1].astype(float) - frames[0]
    return float(np.abs(apart).mean()), float(apart.mean())


def main() -> None:
    given = settings()
    engine = Engine.load("auto", "auto", given.weights_dir, print, CPU)
    preset = sys.argv[2] if sys.argv[2:] else "standard"
    recipe = Recipe.parse({"size": 160, "preset": preset})
    clip, painting = make_clip(), load("brushwork", 400)
    out = Path(sys.argv[1])
    drawn = [clip.draw(n) for n in range(FRAMES)]
    print("| run | warp x 1000 | style | seconds |\n|---|---|---|---|")
    print(describe("the clip itself", measure_warp(clip, drawn), [0], [0]))
    sheet, found = [np.concatenate(drawn[:: SPACING // 2], axis=1)], []
    for name, paint in (("frame by frame", paint_each), ("a film", paint_film)):
        run = paint(clip, painting, recipe, engine)
        warps = measure_warp(clip, run.frames)
        styles = measure_style(clip, run, painting, recipe, engine)
        print(describe(name, warps, styles, run.seconds), flush=True)
        found.append(np.array((np.mean(warps), np.mean(styles), np.sum(run.seconds))))
        sheet.append(np.concatenate(run.frames[:: SPACING // 2], axis=1))
    Image.fromarray(np.concatenate(sheet)).save(out)
    each, film = found
    print("a film to frame by frame: warp {:.2f}, style {:.2f}, seconds {:.2f}".format(*film / each))
    inside, joined = measure_joints(warps)
    print(f"inside stretches {inside:.2f}, at joints {joined:.2f}, {joined / inside:.2f} times")
    held = [s for n, s in enumerate(run.seconds) if n % SPACING]
    print(f"a held frame {np.mean(held):.1f} s, an anchor {np.mean(run.seconds[::SPACING]):.1f} s")
    for noise in (0.0, 1.0, 2.0):
        still = replace(clip, ground_moves=(0.0, 0.0), disc_moves=(0.0, 0.0), noise=noise)
        frames = paint_film(still, painting, recipe, engine, STILL_FRAMES, STILL_FRAMES - 1).frames
        drift, mean = measure_drift(frames)
        print(f"still, noise {noise}: drifts {drift:.2f} of 255, {mean:+.2f} on the mean")


if __name__ == "__main__":
    main()
