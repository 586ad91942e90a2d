"""Bench of looks: pictures side by side and their figures, from which the defaults were chosen.

    python -m benchmarks.looks [--size 384] [--seconds S] [--pictures DIR] [--settings FILE]
                               [--statistics] [--beside NAME=DIR] [--out build/looks]

Renders each pair of photograph and painting with each of the settings. Writes a sheet for each pair
(whole pictures, and below each a crop at 200 %) and prints a JSON line for each picture. `--pictures` is
a folder of further pictures: of the pairs in `MORE_PAIRS`, those whose two files are there are painted,
too. `--settings` is a JSON file of recipes by name. `--seconds` gives each the same time, of the process
on a CPU: its iterations are scaled by what a first run took on the first pair. `--statistics` takes each
style loss, and attention, in place of the settings, and adds how near the pictures come by the losses of
other families; a table of means over the pairs ends it. `--beside` takes pictures that were made
elsewhere, named `PHOTOGRAPH-PAINTING.png`, so that another program is measured in the same way.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import get_args

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from farm.engine import lpips
from farm.engine.gradient import Objective
from farm.engine.lab import convert_to_lab
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, stylize
from farm.engine.passes import Pass, compute_moments
from farm.engine.pyramid import Level, resize, resize_style, to_tensor
from farm.engine.style.choose import make_style_losses
from farm.pictures.decode import decode
from farm.pictures.encode import encode_picture
from farm.recipe import Recipe
from farm.recipe.memory_plan import WHOLE
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
UNUSED_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # by the default losses
BLOCK = 16  # px, side of the blocks whose finest detail is looked at
FLATTEST = 0.1  # share of them
BAND, NEXT = 4, 16  # px along the edge, and inside of it
SEEN = 0.5  # 255ths: what a painting has of finest detail at least, or a ratio would say nothing
SPECK = 0.2  # of luma: how far a pixel stands out from the median around it
CAPTION = 20  # px, height of a sheet's names
SETTINGS: dict[str, dict[str, object]] = {
    "0.1": {"version": "0.1", "features": "vgg16-bsds"},
    "0.2": {"features": "vgg16"},
}
STATISTICS: dict[str, dict[str, object]] = {
    **{name: {"features": "vgg16", "style_loss": name} for name in get_args(StyleLoss)},
    "attention": {"features": "vgg16", "content_target": "attention"},
}
# Of style losses: which measure nearly the same. None is judged by its own family.
FAMILIES = (("gram", "gram+mean"), ("wasserstein", "light", "attention"), ("moments",), ("kernel",))
NEAREST = 1024  # positions of picture and painting that are compared, each with each
JUDGE = "vgg16"  # the network that figures are taken on, whichever painted
BINOMIAL = torch.tensor([1.0, 2.0, 1.0]) / 4


@dataclass(frozen=True)
class Figures:
    """Figures of one picture; photograph and painting at the picture's scale."""

    # Wasserstein distance to the painting in layers that the loss does not use, mean of ratios; 0: same.
    style: float
    # Structural similarity to the photograph, luma.
    ssim: float
    # Mean distance of unit features, weighed as by LPIPS, to the nearest of the painting's, over layers
    # that the loss does not use.
    nearest: float
    # To the photograph: mean squared distance of unit features at each position, over unused layers.
    lpips: float
    # 2-Wasserstein distance of the Gaussians of Lab colours to the painting's, in Lab units.
    colour: float
    # RMS of what a 3 x 3 binomial blur removes in the flattest tenth of blocks, over the painting's.
    maze_luma: float
    # The same for chroma.
    maze_chroma: float
    # By how much the outer 4 px are darker than the next 16, 255ths, beyond photograph and painting.
    band: float
    # Pixels in 10,000 that stand out from the median of the 5 x 5 around them, beyond the painting's.
    specks: float


def main() -> None:
    """Render, measure, print, and write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--seconds", type=float, help="for each picture; else its recipe's iterations")
    parser.add_argument("--pictures", type=Path, default=SAMPLES)
    parser.add_argument("--settings", type=Path, help="recipes by name, JSON; else 0.1 and today's")
    parser.add_argument("--statistics", action="store_true", help="each style loss, and attention")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--out", type=Path, default=Path("build/looks"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    usual = STATISTICS if asked.statistics else SETTINGS
    recipes = json.loads(asked.settings.read_text()) if asked.settings else usual
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
        for name, values in recipes.items():
            recipe = Recipe.parse({"size": asked.size, "preset": asked.preset, **values})
            engine = ready(recipe.features)
            if asked.seconds and name not in shares:
                took = render_picture(photograph, painting, recipe, engine)[1]
                shares[name] = asked.seconds / took
            recipe = scale_iterations(recipe, shares.get(name, 1.0))
            made[name], seconds[name] = render_picture(photograph, painting, recipe, engine)
            (asked.out / f"{'-'.join(pair)}-{name}.png").write_bytes(encode_picture(made[name], "png"))
        for name, picture in made.items():
            (scale,) = Recipe.parse(recipes.get(name, {})).list_style_scales(1)
            figures = measure_at_scale(picture, photograph, painting, scale, ready(JUDGE))
            row = {"pair": " x ".join(pair), "settings": name, "seconds": round(seconds[name], 1)}
            rounded = {key: round(value, 3) for key, value in asdict(figures).items()}
            print(json.dumps(row | rounded), flush=True)
            table.setdefault(name, []).append(figures)
        draw_sheet(made, photograph, painting).save(asked.out / f"{'-'.join(pair)}.jpg", quality=92)
        if asked.statistics:
            for name, found in measure_by_others(made, photograph, painting, ready(JUDGE)).items():
                others.setdefault(name, []).append(found)
    print_table(table)
    for name, ratios in others.items():
        print(f"{name}: by the other families {sum(ratios) / len(ratios):.3f} of their mean")


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
    made: Mapping[str, Picture], photograph: Picture, painting: Picture, engine: Engine
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
        (family,) = (each for each in FAMILIES if kind in each)
        for name, distance in found.items():
            if name not in family:
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


def measure_at_scale(
    picture: Picture, photograph: Picture, painting: Picture, scale: float, engine: Engine
) -> Figures:
    """Measure a picture (H, W, 3); photograph and painting, at any size, are resized to its scale."""
    height, width = picture.shape[:2]
    ours, content, style = (to_tensor(x, engine.device) for x in (picture, photograph, painting))
    resized = resize_style(style, Level(height, width, 1), scale)
    return measure(ours, resize(content, height, width).clamp(0, 1), resized, engine)


@torch.no_grad()
def measure(picture: Tensor, photograph: Tensor, painting: Tensor, engine: Engine) -> Figures:
    """Measure a picture (1, 3, H, W) in [0, 1]; photograph (1, 3, H, W), painting (1, 3, h, w)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    layers = frozenset(UNUSED_LAYERS)
    ours, theirs = (compute_moments(engine.vgg, x, layers, WHOLE) for x in (picture, painting))
    distances = [loss(ours).values.mean() for loss in make_style_losses("wasserstein", theirs)]
    style = sum(map(float, distances)) / len(layers)
    shown, given = (convert_to_luma_chroma(x)[:, :1] for x in (picture, photograph))
    ssim = structural_similarity_index_measure(shown, given, data_range=1.0)
    assert isinstance(ssim, Tensor)
    maze, painted = measure_flattest_detail(picture), measure_flattest_detail(painting)
    usual = max(measure_band(photograph), measure_band(painting), 0.0)
    return Figures(
        style=style,
        ssim=float(ssim),
        nearest=compute_nearest_distance(picture, painting, engine),
        lpips=compute_perceptual_distance(picture, photograph, engine),
        colour=compute_colour_distance(picture, painting),
        maze_luma=maze[0] / max(painted[0], SEEN),
        maze_chroma=maze[1] / max(painted[1], SEEN),
        band=max(0.0, measure_band(picture) - usual),
        specks=max(0.0, count_specks(picture) - count_specks(painting)),
    )


def convert_to_luma_chroma(picture: Tensor) -> Tensor:
    """Convert sRGB (1, 3, H, W) in [0, 1] to Y, Cb, Cr (ITU-R BT.601), Cb and Cr around 0."""
    red, green, blue = picture.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack((luma, (blue - luma) / 1.772, (red - luma) / 1.402), dim=1)


def measure_flattest_detail(picture: Tensor) -> tuple[float, float]:
    """Return the finest detail of luma and of chroma in the flattest tenth of blocks, RMS in 255ths."""
    planes = convert_to_luma_chroma(picture)
    smooth = smooth_planes(planes)
    blocks = [_split_blocks(x) for x in (planes - smooth, smooth)]  # (count, 3, 256) each
    flatness = blocks[1].var(dim=2).sum(dim=1)
    chosen = blocks[0][flatness.argsort()[: max(1, int(FLATTEST * len(flatness)))]]
    power = chosen.square().mean(dim=(0, 2))
    return 255 * float(power[0].sqrt()), 255 * float(power[1:].sum().sqrt())


def smooth_planes(planes: Tensor) -> Tensor:
    """Blur by a 3 x 3 binomial, the border repeated."""
    C = planes.shape[1]
    kernel = torch.outer(BINOMIAL, BINOMIAL).expand(C, 1, 3, 3)
    return F.conv2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), kernel, groups=C)


def _split_blocks(planes: Tensor) -> Tensor:
    """Split (1, C, H, W) into (blocks, C, 256), without the rest that does not fill a block."""
    _, C, H, W = planes.shape
    rows, columns = H // BLOCK, W // BLOCK
    cut = planes[0, :, : rows * BLOCK, : columns * BLOCK].reshape(C, rows, BLOCK, columns, BLOCK)
    return cut.permute(1, 3, 0, 2, 4).reshape(rows * columns, C, BLOCK * BLOCK)


def measure_band(picture: Tensor) -> float:
    """Return how much darker the outer 4 px all around are than the next 16, 255ths of luma."""
    luma = convert_to_luma_chroma(picture)[0, 0]
    H, W = luma.shape
    rows, columns = torch.arange(H)[:, None], torch.arange(W)
    inward = torch.minimum(torch.minimum(rows, H - 1 - rows), torch.minimum(columns, W - 1 - columns))
    outer, inner = luma[inward < BAND], luma[(inward >= BAND) & (inward < BAND + NEXT)]
    return 255 * float(inner.mean() - outer.mean())


def count_specks(picture: Tensor) -> float:
    """Count pixels in 10,000 whose luma is further than `SPECK` from the median of the 5 x 5 around."""
    luma = convert_to_luma_chroma(picture)[:, :1]
    around = F.unfold(F.pad(luma, (2, 2, 2, 2), mode="replicate"), 5)
    far = (luma.flatten() - around[0].median(dim=0).values).abs() > SPECK
    return 1e4 * float(far.float().mean())


def compute_colour_distance(picture: Tensor, painting: Tensor) -> float:
    """Return the 2-Wasserstein distance of the Gaussians of two pictures' colours in CIE Lab (D65)."""
    (m, S), (n, T) = map(_fit_gaussian_in_lab, (picture, painting))
    values, vectors = torch.linalg.eigh(T)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ S @ root).clamp(min=0).sqrt().sum()
    squared = (m - n).square().sum() + S.trace() + T.trace() - 2 * cross
    return float(squared.clamp(min=0).sqrt())


def _fit_gaussian_in_lab(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the colours of (1, 3, H, W)."""
    colours = convert_to_lab(picture[0].flatten(1).double())
    return colours.mean(dim=1), torch.cov(colours)


def compute_perceptual_distance(picture: Tensor, photograph: Tensor, engine: Engine) -> float:
    """Return LPIPS's distance (Zhang et al. 2018, arXiv 1801.03924) over this network, unweighted."""
    ours, theirs = (extract_unit_features(x, engine) for x in (picture, photograph))
    distances = [float((ours[n] - theirs[n]).square().sum(dim=2).mean()) for n in ours]
    return sum(distances) / len(distances)


def compute_nearest_distance(picture: Tensor, painting: Tensor, engine: Engine) -> float:
    """Return how far positions of the picture are from the nearest of the painting's, mean of
    `NEAREST` and of the unused layers: squared distances of unit features with LPIPS's weights."""
    weights, whole = lpips.load_weights(), 0.0
    assert weights is not None, "this torchmetrics carries no weights of LPIPS"
    ours, theirs = (extract_unit_features(x, engine) for x in (picture, painting))
    for layer in ours:
        root = weights[layer].clamp(min=0).sqrt().to(engine.device)
        x, y = (_spread_positions(each[layer]) * root for each in (ours, theirs))
        whole += float(torch.cdist(x, y).square().min(dim=1).values.mean())
    return whole / len(ours)


def _spread_positions(features: Tensor) -> Tensor:
    """Return `NEAREST` positions (n, C) of features (H, W, C), spread evenly; all, if they are fewer."""
    flat = features.flatten(0, 1)
    return flat[torch.linspace(0, len(flat) - 1, min(NEAREST, len(flat))).long()]


def extract_unit_features(picture: Tensor, engine: Engine) -> dict[str, Tensor]:
    """Extract the features of the unused layers, each position's (C,) of length 1."""
    found: dict[str, Tensor] = {}

    def look(layer: str, where: object, features: Tensor) -> None:
        found[layer] = F.normalize(features.float(), dim=2)

    Pass(engine.vgg, frozenset(UNUSED_LAYERS), WHOLE, picture).forward(look)
    return found


if __name__ == "__main__":
    main()
