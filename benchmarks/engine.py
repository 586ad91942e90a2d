"""Cost of the engine, side by side in one run: JSON lines, and a plot.

    python -m benchmarks.engine [--only tiled precision ...] [--largest 7680] [--out build/engine]

count       what an iteration asks of a GPU, counted without one
root        roots by iteration, as a GPU takes them, against eigh: the worst of many covariances
tiled       the tiled gradient against one pass of plain autograd: error, seconds, memory
precision   number formats against float32 contiguous: seconds, memory, gradient, where a run ends
multiscale  coarse to fine against the last level alone: seconds to the same loss
gram        the batched Gram matrix against a loop over channel pairs
scaling     seconds a megapixel as pictures grow, and the share of the raw rate of convolutions
presets     seconds and distances of the presets

Each measurement is a process of its own, so that none inherits the other's memory. Ratios within one
run mean something; seconds are this machine's. On CUDA events measure time and the allocator memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.engine_plot import plot
from benchmarks.testbed.count import count_iteration
from benchmarks.testbed.covariances import CASES, compare_roots
from benchmarks.testbed.reference import Reference
from farm.engine import device, precision, quality, weights
from farm.engine.convolution import Direct
from farm.engine.gradient import Objective
from farm.engine.loaded import Engine
from farm.engine.optimise import stylize
from farm.engine.pyramid import Level, resize, to_tensor
from farm.engine.statistics import Moments
from farm.pictures.decode import decode
from farm.recipe import Recipe
from farm.recipe.networks import CHANNELS, list_layers, parse_block
from farm.recipe.schedules import space_levels
from farm.settings import settings

SAMPLES = Path(__file__).parent.parent / "samples"
PARTS = ("count", "root", "tiled", "precision", "multiscale", "gram", "scaling", "presets")
COUNTED = ((384, 512), (1536, 2048), (4320, 7680))  # height, width
FORMATS = {f.setting: f for f in (precision.FLOAT32, precision.WINOGRAD, precision.BFLOAT16)}
WAYS = ("single", "multi")
Row = dict[str, Any]


def main() -> None:
    """Run the parts asked for, print a line for each measurement, plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--content", default=str(SAMPLES / "street.jpg"))
    parser.add_argument("--style", default=str(SAMPLES / "brushwork.jpg"))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--largest", type=int, default=7680, help="of `scaling`, px")
    parser.add_argument("--out", type=Path, default=Path("build/engine"))
    parser.add_argument("--one", help=argparse.SUPPRESS)  # one measurement, in this process
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(**json.loads(asked.one))))
        return
    os.environ["FARM_DEVICE"] = asked.device  # of the measurements, which are processes of their own
    asked.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with (asked.out / "engine.jsonl").open("w") as file:
        for part in asked.only:
            for spec in list_specs(part, asked.largest):
                row = measure_apart(part=part, content=asked.content, style=asked.style, **spec)
                print(json.dumps(row), flush=True)
                file.write(json.dumps(row) + "\n")
                file.flush()
                rows.append(row)
    plot(rows, asked.out / "engine.png")


def list_specs(part: str, largest: int) -> list[Row]:
    """Return the arguments of each measurement of a part."""
    half = (
        ["mixed"]
        if precision.choose("auto", device.choose(settings().device)) is not precision.WINOGRAD
        else []
    )
    fast = [*half, "winograd"] if device.choose(settings().device).type == "cpu" else half
    if part == "tiled":
        ways = ["autograd", "float32", *fast]
        return [{"size": s, "way": way} for s in (512, 1024, 1536, 2048) for way in ways]
    if part == "count":
        return [{"size": f"{width}x{height}", "way": "vgg19"} for height, width in COUNTED]
    if part == "root":
        return [{"way": "iteration"}]
    if part == "precision":
        return [{"way": way} for way in ("contiguous", "float32", *fast)]
    if part == "multiscale":
        return [{"way": f"{way} from {init}"} for init in ("content", "noise") for way in WAYS]
    if part == "scaling":
        sizes = [s for s in (512, 1024, 2048, 4096) if s < largest]
        return [{"size": 0, "way": "raw"}, *({"size": s, "way": "auto"} for s in [*sizes, largest])]
    if part == "presets":
        return [{"way": preset} for preset in ("draft", "standard")]
    return [{"way": way} for way in ("batched", "loop")]


def measure_apart(**spec: Any) -> Row:
    """Run a measurement in a process of its own, so that none inherits another's memory."""
    command = [sys.executable, "-m", "benchmarks.engine", "--one", json.dumps(spec)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def count_at(size: str) -> Row:
    """Count the calls, waits and gigabytes of an iteration at `512x384`, VGG19 in bfloat16."""
    width, height = map(int, size.split("x"))
    counted = count_iteration("vgg19", height, width)
    return {
        "size": size,
        "launches": counted.launches,
        "waits": counted.waits,
        "gigabytes": round(counted.passed_bytes / 1e9, 2),
        "peak_gigabytes": round(counted.peak_bytes / 1e9, 2),
    }


def compare_all_roots() -> Row:
    """Return the worst errors of the style distance and of its gradient, over all covariances."""
    errors = [compare_roots(case()) for case in CASES.values()]
    loss, gradient = (max(each) for each in zip(*errors, strict=True))
    return {"cases": len(errors), "loss_error": loss, "gradient_error": gradient}


def measure(part: str, way: str, content: str, style: str, size: Any = 0) -> Row:
    """Run one measurement in this process; return its name and its figures."""
    if part in ("count", "root"):
        return {"part": part} | (count_at(size) if part == "count" else compare_all_roots())
    photograph, painting = (decode(Path(p).read_bytes(), p, 100) for p in (content, style))
    function: Callable[..., Row] = globals()[f"_measure_{part}"]
    return {"part": part, "way": way, "size": size} | function(way, photograph, painting, size)


def _load_engine(way: str) -> Engine:
    """Load the engine in a number format that is forced even where it is slow."""
    wanted = way if way in FORMATS or way == "auto" else "float32"
    given = settings()
    loaded = "float32" if wanted == "mixed" else wanted
    engine = Engine.load(
        "auto",
        loaded,
        given.weights_dir,
        ignore_log,
        device.choose(given.device),
        memory_gb=given.memory_gb,
    )
    if wanted == "mixed":
        return engine._build(
            engine.vgg.network, engine.device, FORMATS["mixed"], engine.folder, engine.budget_bytes
        )
    return engine


def ignore_log(text: str) -> None:
    """Drop a line of the log."""


class Problem:
    """Picture half way between photograph and painting, with both ways to its gradient."""

    def __init__(self, engine: Engine, photograph: Any, painting: Any, size: int) -> None:
        height, width = photograph.shape[:2]
        self.level = Level(round(height * size / max(height, width)), size, 1)
        self.lake, self.strokes = (to_tensor(p, engine.device) for p in (photograph, painting))
        there = (self.level.height, self.level.width)
        self.picture = 0.6 * resize(self.lake, *there) + 0.4 * resize(self.strokes, *there)
        self.picture.clamp_(0, 1)
        self.engine, self.recipe = engine, Recipe()

    def build_tiled(self) -> Callable[[], tuple[float, Tensor]]:
        """Return a function that computes loss and gradient as the engine does, in tiles."""
        plan = self.engine.choose_plan(self.recipe, self.level.height, self.level.width)
        objective = Objective(self.engine.vgg, self.recipe, self.lake, [self.strokes], self.level, plan)

        def gradient() -> tuple[float, Tensor]:
            losses, slope = objective(self.picture)
            return losses.total, slope

        return gradient

    def build_plain(self) -> Callable[[], tuple[float, Tensor]]:
        """Return a function that computes them by plain autograd, over the whole picture."""
        name, folder = self.engine.vgg.network, self.engine.folder
        tensors = {k: v.to(self.engine.device) for k, v in weights.load(name, folder).items()}
        reference = Reference(name, tensors, self.recipe, self.lake, [self.strokes], self.level)
        return lambda: reference(self.picture)


def measure_calls(
    function: Callable[[], Any], where: torch.device, calls: int
) -> tuple[float, int, Any]:
    """Return the least seconds of some calls, the bytes beyond those held before, the last result."""
    before = read_held_bytes(where)
    device.reset_peak_memory(where)
    result, seconds = None, []
    for _ in range(calls):
        del result
        began = read_clock(where)
        result = function()
        seconds.append(read_clock(where) - began)
    return min(seconds), device.read_peak_memory(where) - before, result


def read_clock(where: torch.device) -> float:
    """Return seconds; on a GPU after all work that was queued before."""
    if where.type == "cuda":
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        event.synchronize()
        return float(ZERO.elapsed_time(event)) / 1000
    return time.perf_counter()


if torch.cuda.is_available():
    ZERO = torch.cuda.Event(enable_timing=True)
    ZERO.record()


def read_held_bytes(where: torch.device) -> int:
    """Return the bytes held now."""
    if where.type == "cuda":
        return int(torch.cuda.memory_allocated(where))
    import psutil

    return int(psutil.Process().memory_info().rss)


# The parts ----------------------------------------------------------------------------------------


def _measure_tiled(way: str, photograph: Any, painting: Any, size: int) -> Row:
    engine = _load_engine(way)
    problem = Problem(engine, photograph, painting, size)
    gradient = problem.build_plain() if way == "autograd" else problem.build_tiled()
    seconds, held, (_, slope) = measure_calls(gradient, engine.device, 1 if size > 1024 else 3)
    saved = Path(f"build/engine/slope-{size}.pt")
    row = {"seconds": seconds, "bytes": held}
    if way == "autograd":
        torch.save(slope, saved)
        return row
    expected = torch.load(saved)
    return row | {"relative_error": float((slope - expected).norm() / expected.norm())}


def _measure_precision(way: str, photograph: Any, painting: Any, size: int) -> Row:
    engine = _load_engine(way)
    problem = Problem(engine, photograph, painting, 768)
    gradient = problem.build_plain() if way == "contiguous" else problem.build_tiled()
    seconds, held, (_, slope) = measure_calls(gradient, engine.device, 3)
    exact = Problem(_load_engine("float32"), photograph, painting, 768).build_tiled()()[1]
    cosine = torch.cosine_similarity(slope.double().flatten(), exact.double().flatten(), dim=0)
    row = {"seconds": seconds, "bytes": held, "gradient_cosine": float(cosine)}
    if way == "contiguous":
        return row
    recipe = Recipe(size=256, iterations=(30,))
    *_, last = stylize(photograph, [painting], recipe, engine)
    measured = quality.measure(last.picture(), photograph, [painting], recipe, _load_engine("float32"))
    return row | {"final_style": measured.style_loss, "final_content": measured.content_loss}


def _measure_multiscale(way: str, photograph: Any, painting: Any, size: int) -> Row:
    """Compare two courses: `single` works at 512 px alone, `multi` comes from 64 px.

    `multi` stops in its last level as soon as its loss is `single`'s last.
    """
    engine = _load_engine("auto")
    way, _, init = way.split()
    saved = Path(f"build/engine/single-{init}.json")
    start, iterations = (512, (80,)) if way == "single" else (64, (40, 30, 20, 16, 8, 4, 80))
    recipe = Recipe.parse({"size": 512, "start_size": start, "iterations": iterations, "init": init})
    goal = 0.0 if way == "single" else json.loads(saved.read_text())["total"]
    for step in stylize(photograph, [painting], recipe, engine):
        reached = step.level == step.levels and step.losses.total <= goal
        if reached:
            break
    row = {"seconds": step.seconds, "iterations_of_512_px": step.iteration} | asdict(step.losses)
    if way == "single":
        saved.write_text(json.dumps(row))
    return row


def _measure_gram(way: str, photograph: Any, painting: Any, size: int) -> Row:
    where = device.choose(settings().device)
    features = torch.rand(64, 64, 256, device=where)
    flat = features.reshape(-1, 256).T.contiguous()

    def loop() -> Tensor:
        return torch.stack([torch.stack([(a * b).sum() for b in flat]) for a in flat[:16]])

    if way == "batched":
        return {"seconds": measure_calls(lambda: Moments.from_features(features), where, 6)[0]}
    return {"seconds": measure_calls(loop, where, 1)[0] * 256 / 16, "note": "16 of 256 rows, times 16"}


def _measure_scaling(way: str, photograph: Any, painting: Any, size: int) -> Row:
    engine = _load_engine("auto")
    if way == "raw":
        return {"flops_per_second": measure_raw_rate(engine)}
    wide = photograph[: photograph.shape[1] * 9 // 16]
    # Whole iterations with the optimiser's state; the first also makes the targets, and is left out.
    recipe = Recipe(size=size, start_size=size, iterations=(4 if size <= 1024 else 2,))
    steps = list(stylize(wide, [painting], recipe, engine))
    seconds = min(b.seconds - a.seconds for a, b in pairwise(steps))
    megapixels = steps[-1].height * steps[-1].width / 1e6
    useful = 2 * count_flops_a_pixel(engine) * megapixels * 1e6
    return {
        "megapixels": round(megapixels, 2),
        "seconds_per_megapixel": seconds / megapixels,
        "flops_per_second": useful / seconds,
        "peak_bytes": steps[-1].peak_memory_bytes,
        "plan": steps[-1].plan.describe(),
    }


def list_used_layers(engine: Engine) -> list[str]:
    """Return the layers up to relu5_1."""
    layers = list_layers(engine.vgg.network, (1, 2, 3, 4, 5))
    return layers[: layers.index("relu5_1") + 1]


def count_channels(layer: str) -> tuple[int, int]:
    """Return the channels in and out of a layer."""
    block = parse_block(layer)
    before = CHANNELS[max(0, block - 2)] if layer.endswith("_1") else CHANNELS[block - 1]
    return (3 if layer == "relu1_1" else before), CHANNELS[block - 1]


def count_flops_a_pixel(engine: Engine) -> float:
    """Count the operations of one pass forward for a pixel, as direct convolutions."""
    return float(
        sum(
            2 * 9 * c * o / 4 ** (parse_block(layer) - 1)
            for layer in list_used_layers(engine)
            for c, o in [count_channels(layer)]
        )
    )


def measure_raw_rate(engine: Engine) -> float:
    """Measure flops a second of the layers' own convolutions: the ceiling of the processor's library.

    Direct, channels last, on tiles, in the engine's number format.
    """
    seconds = 0.0
    for layer in list_used_layers(engine)[1:]:
        c, o = count_channels(layer)
        side = 512 // 2 ** (parse_block(layer) - 1)
        weight = torch.randn(o, c, 3, 3, device=engine.device).to(engine.number_format.dtype)
        x = torch.randn(side, side, c, device=engine.device).to(engine.number_format.dtype)
        convolve = Direct(weight)
        with torch.no_grad():
            seconds += measure_calls(partial(convolve, x), engine.device, 5)[0]
    first = 2 * 9 * 3 * 64
    return (count_flops_a_pixel(engine) - first) * 512 * 512 / seconds


def _measure_presets(way: str, photograph: Any, painting: Any, size: int) -> Row:
    engine = _load_engine("auto")
    recipe = Recipe.parse({"size": 256, "preset": way})
    *_, last = stylize(photograph, [painting], recipe, engine)
    found = quality.measure(last.picture(), photograph, [painting], recipe, engine)
    sizes = space_levels(recipe.start_size, recipe.size, 2**0.5)
    return {"seconds": last.seconds, "levels": sizes} | found.as_dict()


if __name__ == "__main__":
    main()
