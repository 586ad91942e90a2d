"""Blends of the slider against true pictures: how near half of two drafts each is to the one between.

    python -m benchmarks.slider [--size 192] [--stops -2 0] [--features vgg16] [--pictures DIR]

Three drafts of each pair are painted: at both stops of the balance, and half way between. Pairs are
those of the samples and, of `MORE_PAIRS`, those whose files are in the folder `--pictures`.
Prints the distance, dB (PSNR, 8 bits), of the blend to the one between, and of the nearest draft alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.looks import MORE_PAIRS, PAIRS, SAMPLES, find_picture, render_picture
from farm.engine.loaded import Engine
from farm.pictures.decode import decode
from farm.pictures.pixels import Picture
from farm.recipe import Recipe
from farm.recipe.balance import compute_content_weight
from farm.settings import settings


def main() -> None:
    """Paint, blend, and print a JSON line for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--stops", nargs=2, type=float, default=(0, 2))
    parser.add_argument("--features", default="vgg16")
    parser.add_argument("--pictures", type=Path, default=SAMPLES, help="a folder of further pictures")
    asked = parser.parse_args()
    engine = Engine.load(asked.features, "auto", settings().weights_dir, print)
    low, high = asked.stops
    for pair in (*PAIRS, *MORE_PAIRS):
        files = [find_picture(name, {SAMPLES, asked.pictures}) for name in pair]
        if None in files:
            continue
        photograph, painting = (decode(file.read_bytes(), file.name, 100) for file in files if file)

        def paint(stops: float, pictures: tuple[Picture, Picture] = (photograph, painting)) -> Picture:
            usual = Recipe(size=asked.size, preset="draft", features=asked.features)
            weight = compute_content_weight(usual.content_weight, stops)
            recipe = usual.model_copy(update={"content_weight": weight})
            return round_to_bytes(render_picture(*pictures, recipe, engine)[0])

        first, between, second = (paint(stops) for stops in (low, (low + high) / 2, high))
        blend = round_to_bytes(np.float32(0.5) * (first + second))
        found = {
            "blend_db": compare(blend, between),
            "nearest_db": max(compare(each, between) for each in (first, second)),
        }
        print(json.dumps({"pair": " x ".join(pair), "stops": [low, high]} | found), flush=True)


def round_to_bytes(picture: Picture) -> Picture:
    """Return a picture (H, W, 3) in [0, 1] as a browser has it, in 255ths."""
    return (np.round(np.clip(picture, 0, 1) * 255) / 255).astype(np.float32)


def compare(one: Picture, other: Picture) -> float:
    """Return the peak signal-to-noise ratio of two pictures, dB."""
    return round(float(-10 * np.log10(np.mean((one - other) ** 2))), 1)


if __name__ == "__main__":
    main()
