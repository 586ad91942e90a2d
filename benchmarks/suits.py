"""Bench of suits: does what the form says of two pictures foretell how their painting turns out?

    python -m benchmarks.suits [--size 128] [--preset draft] [--pictures DIR]

Paints each photograph of `benchmarks.looks` with each of its paintings, small, and prints a JSON line
for each: the closeness that the form shows, and the style distance that was reached in layers that no
loss uses. At last Spearman's correlation of the two (-1: the closer, the nearer to the painting), over
all pairs, over the paintings of one photograph, and over the photographs of one painting, mean of each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.looks import (
    JUDGE,
    MORE_PAIRS,
    PAIRS,
    SAMPLES,
    find_picture,
    measure_at_scale,
    render_picture,
)
from farm.engine import descriptor
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture
from farm.engine.pyramid import to_tensor
from farm.engine.vgg import VGG
from farm.engine.weights import load
from farm.pictures import descriptors
from farm.pictures.decode import decode
from farm.pictures.descriptors import Statistics
from farm.recipe import Recipe
from farm.settings import settings


def main() -> None:
    """Render, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--pictures", type=Path, default=SAMPLES)
    asked = parser.parse_args()
    photographs, paintings = (
        read_pictures((pair[role] for pair in (*PAIRS, *MORE_PAIRS)), asked.pictures) for role in (0, 1)
    )
    recipe = Recipe.parse({"size": asked.size, "preset": asked.preset, "features": JUDGE})
    engine = Engine.load(JUDGE, "auto", settings().weights_dir, print)
    described = describe_all(photographs | paintings)
    rows = []
    for photograph, content in photographs.items():
        for painting, style in paintings.items():
            picture, _ = render_picture(content, style, recipe, engine, None)
            figures = measure_at_scale(picture, content, style, 1.0, engine)
            closeness = descriptors.compute_closeness(described[photograph], described[painting])
            assert closeness is not None
            rows.append((photograph, painting, closeness, figures.style))
            pair = {"photograph": photograph, "painting": painting}
            print(json.dumps(pair | {"closeness": closeness, "style": figures.style}), flush=True)
    print(json.dumps(summarise(rows)))


def read_pictures(names: Iterable[str], folder: Path) -> dict[str, Picture]:
    """Read the pictures that there are, by name."""
    files = {name: find_picture(name, (SAMPLES, folder)) for name in names}
    return {name: decode(f.read_bytes(), name, 100) for name, f in files.items() if f}


def describe_all(pictures: dict[str, Picture]) -> dict[str, Statistics]:
    """Describe pictures as a worker does."""
    cpu = torch.device("cpu")
    vgg = VGG(JUDGE, load(JUDGE, settings().weights_dir), cpu)
    return {
        name: Statistics(
            JUDGE,
            descriptor.describe(to_tensor(picture, cpu), vgg, descriptors.LAYERS, descriptors.PIXELS),
        )
        for name, picture in pictures.items()
    }


def summarise(rows: Sequence[tuple[str, str, float, float]]) -> dict[str, float]:
    """Return Spearman's correlation over all pairs, and the means within photographs and paintings."""
    found = {"pairs": float(len(rows)), "all": correlate_ranks([row[2:] for row in rows])}
    for key, name in ((0, "of one photograph"), (1, "of one painting")):
        groups = [[row[2:] for row in rows if row[key] == one] for one in {row[key] for row in rows}]
        found[name] = float(np.mean([correlate_ranks(group) for group in groups]))
    return {name: round(value, 3) for name, value in found.items()}


def correlate_ranks(pairs: Sequence[tuple[float, ...]]) -> float:
    """Return Spearman's correlation of pairs of numbers, none of which is there twice."""
    ranks = np.argsort(np.argsort(np.array(pairs), axis=0), axis=0)
    first, second = ranks.T.astype(float)
    return float(np.mean((first - first.mean()) * (second - second.mean())) / first.var())


if __name__ == "__main__":
    main()
