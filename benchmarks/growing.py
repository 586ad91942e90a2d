"""Bench of growing: how near the large picture is to the draft that was liked.

    python -m benchmarks.growing [--pictures DIR] [--draft 128] [--sizes 256,384] [--features vgg16]
                                 [--out build/growing]

Paints a draft of each pair, then the large picture in three ways: anew, through the draft's levels
(`grown_from`), and on from its pixels (`init` picture besides). Prints a JSON line for each: the
root mean square difference to the draft, 255ths, once the picture is made as small, and the seconds.
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.looks import PAIRS, SAMPLES, find_picture
from farm.engine.guides import Guides
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, stylize
from farm.engine.pyramid import resize, to_tensor
from farm.pictures.decode import decode
from farm.pictures.encode import encode_picture
from farm.recipe import Recipe
from farm.settings import settings

MORE_PAIRS = (("tubingen", "starry_night"), ("golden_gate", "the_scream"))
WAYS: dict[str, dict[str, object]] = {
    "anew": {},
    "through": {"grown_from": True},
    "pixels": {"grown_from": True, "init": "picture"},
}


def main() -> None:
    """Paint, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=SAMPLES)
    parser.add_argument("--draft", type=int, default=128)
    parser.add_argument("--sizes", default="256,384")
    parser.add_argument("--features", default="vgg16")
    parser.add_argument("--out", type=Path, default=Path("build/growing"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    engine = cache(lambda: Engine.load(asked.features, "auto", settings().weights_dir, print))
    for pair in (*PAIRS[:1], *MORE_PAIRS):
        files = [find_picture(name, {SAMPLES, asked.pictures}) for name in pair]
        if None in files:
            continue
        photograph, painting = (decode(f.read_bytes(), f.name, 100) for f in files if f)
        draft = render(photograph, painting, {"size": asked.draft, "preset": "draft"}, engine())
        save(draft, asked.out / f"{'-'.join(pair)}-draft.png")
        for size in map(int, asked.sizes.split(",")):
            for name, way in WAYS.items():
                values: dict[str, object] = {"size": size, **way}
                if "grown_from" in values:
                    values["grown_from"] = asked.draft
                began = perf_counter()
                made = render(photograph, painting, values, engine(), draft)
                row = {"pair": " x ".join(pair), "size": size, "way": name}
                row |= {"apart": round(measure_distance(made, draft), 2)}
                print(json.dumps(row | {"seconds": round(perf_counter() - began, 1)}), flush=True)
                save(made, asked.out / f"{'-'.join(pair)}-{size}-{name}.png")


def render(
    photograph: Picture,
    painting: Picture,
    values: dict[str, object],
    engine: Engine,
    draft: Picture | None = None,
) -> Picture:
    """Render a recipe with these values; draft: its start, where it asks for one."""
    recipe = Recipe.parse(values)
    guides = Guides(start=draft if recipe.init == "picture" else None)
    *_, last = stylize(photograph, [painting], recipe, engine, guides=guides)
    return last.picture()


def measure_distance(picture: Picture, draft: Picture) -> float:
    """Return the root mean square difference of a picture, made as small, to a draft, 255ths."""
    ours, theirs = (to_tensor(each, torch.device("cpu")) for each in (picture, draft))
    small = resize(ours, *theirs.shape[2:]).clamp(0, 1)
    return 255 * float((small - theirs).square().mean().sqrt())


def save(picture: Picture, path: Path) -> None:
    """Write a PNG."""
    path.write_bytes(encode_picture(picture, "png"))


if __name__ == "__main__":
    main()
