"""Bench of looks: pictures side by side and their figures, from which the defaults were chosen.

    python -m benchmarks.looks [--size 384] [--seconds S] [--pictures DIR] [--settings FILE]
                               [--statistics] [--options] [--beside NAME=DIR] [--out build/looks]

Renders each pair of photograph and painting with each of the settings. Writes a sheet for each pair
(whole pictures, and below each a crop at 200 %) and prints a JSON line for each picture. `--pictures` is
a folder of further pictures: of the pairs in `MORE_PAIRS`, those whose two files are there are painted,
too. `--settings` is a JSON file of recipes by name. `--seconds` gives each the same time, of the process
on a CPU: its iterations are scaled by what a first run took on the first pair. `--statistics` takes each
style loss, and attention, `--options` the default beside colours, strokes, starts and the like, in place
of the settings; both add how near the pictures come by the losses of other families. A table of means
over the pairs ends it. `--beside` takes pictures that were made elsewhere, named
`PHOTOGRAPH-PAINTING.png`, so that another program is measured in the same way.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import get_args

import torch
from PIL import Image, ImageDraw

from benchmarks.figures import Figures, measure_at_scale
from farm.engine.gradient import Objective
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, stylize
from farm.engine.pyramid import Level, to_tensor
from farm.pictures.decode import decode
from farm.pictures.encode import encode_picture
from farm.recipe import Recipe
from farm.recipe.recipe import StyleLoss
from farm.settings import settings

SAMPLES = Path(__file__).parent.parent / "samples"
PAIRS = (
    ("mountain_lake", "brushwork"),
    ("mountain_lake", "ink_wash"),
    ("street", "mosaic"),
)
MORE_PAIRS = (
    ("tubingen", "woman-with-hat-matisse"),  # bold paint
    ("tubingen", "starry_night"),
    ("golden_gate", "the_scream"),
    ("hoovertowernight", "starry_night"),  # a night scene
    ("brad_pitt", "picasso_selfport1907"),  # a portrait
    ("brad_pitt", "escher_sphere"),  # a fine pen
    ("golden_gate", "shipwreck"),
    ("tubingen", "brushwork"),
    ("golden_gate", "mosaic"),
)
CAPTION = 20  # px, height of a sheet's names
SETTINGS: dict[str, dict[str, object]] = {
    "0.1": {"version": "0.1", "features": "vgg16-bsds"},
    "0.2": {"features": "vgg16"},
}
STATISTICS: dict[str, dict[str, object]] = {
    **{name: {"style_loss": name} for name in get_args(StyleLoss)},
    "attention": {"content_target": "attention"},
}
OPTIONS: dict[str, dict[str, object]] = {
    "default": {},
    "colour photograph": {"colour": "photograph"},
    "colour lightness": {"colour": "lightness"},
    "directed": {"stroke_direction": "photograph"},
    "fine": {"style_scale": 0.5},
    "broad": {"style_scale": 2.0},
    "uncoloured": {"init": "photograph"},
    "noise": {"init": "noise"},
    "gray": {"init": "gray"},
    "lbfgs": {"optimizer": "lbfgs"},
    "gram+mean, attention": {"style_loss": "gram+mean", "content_target": "attention"},
}
# Of style losses: which measure nearly the same. None is judged by its own family.
FAMILIES = (("gram", "gram+mean"), ("wasserstein", "light"), ("moments",), ("kernel",))
JUDGE = "vgg16"  # the network that figures are taken on, whichever painted


def main() -> None:
    """Render, measure, print, and write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--seconds", type=float, help="for each picture; else its recipe's iterations")
    parser.add_argument("--pictures", type=Path, default=SAMPLES)
    parser.add_argument("--settings", type=Path, help="recipes by name, JSON; else 0.1 and today's")
    parser.add_argument("--statistics", action="store_true", help="each style loss, and attention")
    parser.add_argument("--options", action="store_true", help="colours, strokes, starts and the like")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--out", type=Path, default=Path("build/looks"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    recipes = list_recipes(asked)
    table: dict[str, list[Figures]] = {}
    others: dict[str, list[float]] = {}
    shares: dict[str, float] = {}
    ready = cache(lambda features: Engine.load(features, "auto", settings().weights_dir, print))
    for pair in (*PAIRS, *MORE_PAIRS):
        files = [find_picture(name, {SAMPLES, asked.pictures}) for name in pair]
        if None in files:
            print(f"not painted: {pair[0]} x {pair[1]}, whose pictures are not in {asked.pictures}")
            continue
        photograph, painting = (decode(f.read_bytes(), f.name, 100) for f in files if f)
        made = read_besides(pair, asked.beside)
        seconds = dict.fromkeys(made, 0.0)
        for name, recipe in recipes.items():
            engine = ready(recipe.features)
            if asked.seconds and name not in shares:
                shares[name] = asked.seconds / render_picture(photograph, painting, recipe, engine)[1]
            recipe = scale_iterations(recipe, shares.get(name, 1.0))
            made[name], seconds[name] = render_picture(photograph, painting, recipe, engine)
            (asked.out / f"{'-'.join(pair)}-{name}.png").write_bytes(encode_picture(made[name], "png"))
        for name, picture in made.items():
            (scale,) = recipes.get(name, Recipe()).list_style_scales(1)
            figures = measure_at_scale(picture, photograph, painting, scale, ready(JUDGE))
            row = {"pair": " x ".join(pair), "settings": name, "seconds": round(seconds[name], 1)}
            rounded = {key: round(value, 3) for key, value in asdict(figures).items()}
            print(json.dumps(row | rounded), flush=True)
            table.setdefault(name, []).append(figures)
        draw_sheet(made, photograph, painting).save(asked.out / f"{'-'.join(pair)}.jpg", quality=92)
        if asked.statistics or asked.options:
            families = {name: find_family(recipes.get(name)) for name in made}
            found = measure_by_others(made, families, photograph, painting, ready(JUDGE))
            for name, ratio in found.items():
                others.setdefault(name, []).append(ratio)
    print_table(table)
    for name, ratios in others.items():
        print(f"{name}: by the other families {sum(ratios) / len(ratios):.3f} of their mean")


def list_recipes(asked: argparse.Namespace) -> dict[str, Recipe]:
    """Return the recipes that are asked for, by name."""
    usual = {"size": asked.size, "preset": asked.preset}
    if asked.settings:
        values = json.loads(asked.settings.read_text())
    else:
        chosen = {**(STATISTICS if asked.statistics else {}), **(OPTIONS if asked.options else {})}
        values = {name: {"features": JUDGE, **each} for name, each in (chosen or SETTINGS).items()}
    return {name: Recipe.parse({**usual, **each}) for name, each in values.items()}


def find_family(recipe: Recipe | None) -> tuple[str, ...]:
    """Return the style losses that measure nearly what a recipe minimises; None: another program's."""
    if recipe is None:
        return ()
    return next(each for each in FAMILIES if recipe.style_loss in each)


def print_table(table: Mapping[str, Sequence[Figures]]) -> None:
    """Print the figures of each setting, mean of its pairs."""
    names = [field.name for field in fields(Figures)]
    print(f"| settings | pairs | {' | '.join(names)} |")
    print("|---" * (len(names) + 2) + "|")
    for name, found in table.items():
        means = [sum(getattr(each, key) for each in found) / len(found) for key in names]
        print(f"| {name} | {len(found)} | {' | '.join(f'{mean:.3f}' for mean in means)} |")


def find_picture(name: str, folders: Iterable[Path]) -> Path | None:
    """Find a picture's file in one of the folders; None: in none."""
    files = (folder / f"{name}.jpg" for folder in folders)
    return next((file for file in files if file.exists()), None)


def read_besides(pair: tuple[str, str], besides: Iterable[str]) -> dict[str, Picture]:
    """Read the pair's pictures of other programs, by name; besides: `NAME=DIR` each."""
    found = {}
    for beside in besides:
        name, _, folder = beside.partition("=")
        file = Path(folder) / f"{'-'.join(pair)}.png"
        if file.exists():
            found[name] = decode(file.read_bytes(), file.name, 100)
    return found


def scale_iterations(recipe: Recipe, share: float) -> Recipe:
    """Return the recipe with its iterations times `share`, at least one a level."""
    if share == 1:
        return recipe
    usual = recipe.level_iterations[len(recipe.draft_sizes) :]
    return recipe.model_copy(update={"iterations": tuple(max(1, round(n * share)) for n in usual)})


def render_picture(
    photograph: Picture, painting: Picture, recipe: Recipe, engine: Engine
) -> tuple[Picture, float]:
    """Render and return the picture and the seconds that it took, the process's on a CPU."""
    clock = time.process_time if engine.device.type == "cpu" else time.perf_counter
    began = clock()
    *_, last = stylize(photograph, [painting], recipe, engine)
    return last.picture(), clock() - began


@torch.no_grad()
def measure_by_others(
    made: Mapping[str, Picture],
    families: Mapping[str, Sequence[str]],
    photograph: Picture,
    painting: Picture,
    engine: Engine,
) -> dict[str, float]:
    """Measure each picture by the style losses of other families than its own, over the mean of all
    pictures: 1 is as near as they are."""
    height, width = next(iter(made.values())).shape[:2]
    content, style = (to_tensor(each, engine.device) for each in (photograph, painting))
    pictures = {name: to_tensor(each, engine.device) for name, each in made.items()}
    ratios: dict[str, list[float]] = {name: [] for name in made}
    for kind in get_args(StyleLoss):
        recipe = Recipe(size=max(height, width), style_loss=kind)
        objective = Objective(engine.vgg, recipe, content, [style], Level(height, width, 1))
        found = {name: objective.measure(each)[0].style for name, each in pictures.items()}
        mean = sum(found.values()) / len(found)
        for name, distance in found.items():
            if kind not in families[name]:
                ratios[name].append(distance / mean)
    return {name: sum(each) / len(each) for name, each in ratios.items()}


def draw_sheet(made: dict[str, Picture], photograph: Picture, painting: Picture) -> Image.Image:
    """Draw photograph, painting and pictures in a row, named; below, the same crop of each at 200 %."""
    height, width = next(iter(made.values())).shape[:2]
    columns = {"photograph": photograph, "painting": painting, **made}
    whole = Image.new("RGB", (width * len(columns), 2 * height + CAPTION), "white")
    draw = ImageDraw.Draw(whole)
    for number, (name, picture) in enumerate(columns.items()):
        image = Image.fromarray((picture * 255 + 0.5).clip(0, 255).astype("uint8"))
        left, fitted = number * width, image.copy()
        fitted.thumbnail((width, height))
        whole.paste(fitted, (left, 0))
        draw.text((left + 4, height + 4), name, fill="black")
        if name == "painting":
            continue
        image = image.resize((width, height))
        crop = image.crop((width // 2, height // 4, width, height // 4 + height // 2))
        whole.paste(crop.resize((width, height), Image.Resampling.NEAREST), (left, height + CAPTION))
    return whole


if __name__ == "__main__":
    main()
