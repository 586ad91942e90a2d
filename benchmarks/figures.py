"""Figures on a finished picture, beside its photograph and its painting, for `benchmarks.looks`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine import lpips
from farm.engine.lab import convert_to_lab
from farm.engine.loaded import Engine
from farm.engine.passes import Pass, compute_moments
from farm.engine.pyramid import Level, resize, resize_style, to_tensor
from farm.engine.style.choose import make_style_losses
from farm.pictures.pixels import Picture
from farm.recipe.memory_plan import WHOLE

UNUSED_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # by the default losses
BLOCK = 16  # px, side of the blocks whose finest detail is looked at
FLATTEST = 0.1  # share of them
BAND, NEXT = 4, 16  # px along the edge, and inside of it
SEEN = 0.5  # 255ths: what a painting has of finest detail at least, or a ratio would say nothing
SPECK = 0.2  # of luma: how far a pixel stands out from the median around it
NEAREST = 1024  # positions of picture and painting that are compared, each with each
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
