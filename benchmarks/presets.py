"""Style and content distance against seconds: what the presets' schedules were chosen from.

    python -m benchmarks.presets [--size 512] [--out build/presets]

Renders one pair with each schedule on this machine and measures each finished level by one and the
same function at the final size. Prints a JSON line for each schedule and draws one plot. Timings are
ratios of one run: compare the schedules with each other, not with another day's.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import matplotlib.pyplot as plt

from farm.engine import quality
from farm.engine.loaded import Engine
from farm.engine.optimise import stylize
from farm.pictures.decode import decode
from farm.pictures.encode import encode_picture
from farm.pictures.pixels import Picture
from farm.recipe import Recipe
from farm.recipe.schedules import PRESETS, Schedule
from farm.settings import settings

SAMPLES = Path(__file__).parent.parent / "samples"
OTHERS = {
    "80 to 16, growth 2": Schedule(80, 16, 2.0),
    "50 to 9, growth 1.41": Schedule(50, 9, math.sqrt(2)),
    "30 to 30, growth 2": Schedule(30, 30, 2.0),
    "100 to 50, growth 1.41": Schedule(100, 50, math.sqrt(2)),
    "200 to 60, growth 2": Schedule(200, 60, 2.0),
}


def load_picture(name: str) -> Picture:
    """Load a sample by name, or a path: float32 (H, W, 3) in [0, 1]."""
    path = Path(name) if Path(name).exists() else SAMPLES / f"{name}.jpg"
    return decode(path.read_bytes(), name, 100)


def main() -> None:
    """Render with each schedule, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--content", default="street")
    parser.add_argument("--style", default="brushwork")
    parser.add_argument("--out", type=Path, default=Path("build/presets"))
    parser.add_argument("--only", nargs="*", help="names of presets or other schedules")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    content, style = load_picture(asked.content), load_picture(asked.style)
    engine = Engine.load("auto", "auto", settings().weights_dir, print)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, schedule in (PRESETS | OTHERS).items():
        if asked.only and name not in asked.only:
            continue
        row = measure(name, schedule, content, style, asked.size, engine, asked.out)
        print(json.dumps(row), flush=True)
        for axis, key in ((left, "style_loss"), (right, "content_loss")):
            axis.scatter(row["seconds"], row[key], label=name, zorder=3)
    for axis, title in ((left, "style distance"), (right, "content distance")):
        axis.set(xlabel="seconds", ylabel=title, xscale="log")
        axis.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.savefig(asked.out / "presets.png", dpi=120)


def measure(
    name: str,
    schedule: Schedule,
    content: Picture,
    style: Picture,
    size: int,
    engine: Engine,
    out: Path,
) -> dict[str, object]:
    """Render by one schedule, store the picture in `out`, and return the figures."""
    preset = "benchmark"
    PRESETS[preset] = schedule
    recipe = Recipe(size=size).model_copy(update={"preset": preset})
    steps = list(stylize(content, [style], recipe, engine))
    last = steps[-1]
    result = last.picture()
    (out / f"{name.replace(' ', '_')}.png").write_bytes(encode_picture(result, "png"))
    figures = quality.measure(result, content, [style], Recipe(size=size), engine).as_dict()
    iterations = [step.iterations for step in steps if step.iteration == step.iterations]
    return {"schedule": name, "iterations": iterations, "seconds": round(last.seconds, 1), **figures}


if __name__ == "__main__":
    main()
