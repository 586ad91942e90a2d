"""Memory of a rendering, estimated: what each part of it holds at once, by a plan, in bytes.

Plain arithmetic on sizes, without torch, like the plans themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from farm.recipe import Recipe
from farm.recipe.memory_plan import Plan
from farm.recipe.networks import CHANNELS, CONVOLUTIONS, list_layers, parse_block
from farm.recipe.picture_sizes import DIRECTIONS, PictureSizes, Size, compute_style_size
from farm.recipe.recipe import StyleLoss

GRADIENT_FLOATS = 3
LBFGS_PAIRS = 8  # of its history
# A pixel's floats of the optimiser's state between two steps, by name.
STATE_FLOATS = {"adam": 4 * 3, "lbfgs": (3 + 2 * LBFGS_PAIRS) * 3}
KEPT_FLOATS = 8  # of a pixel where some of the photograph stays: that, its share, the picture under it
HOLD_FLOATS = 13  # of a pixel of a frame that is held: that and its weights, resized, and what stays
STEP_FLOATS = 6  # what a step of the optimiser holds for a moment
# Buffers of a tile's widest layer alive at once, measured; on a GPU (an H100 and an H200) in tiles, and
# with the whole picture.
TILE_COPIES = 8
GPU_TILE_COPIES = 4
WHOLE_COPIES = 1
# Python, torch and its libraries, measured. Of their files the system maps 150 MB more on some machines;
# such pages are not counted, since it takes them back before a control group's limit is reached.
CPU_BASE_BYTES = 540_000_000
MEASURING_BYTES = 220_000_000  # the library that measures the result, loaded at the end, measured
DECODER_BYTES = 20_000_000  # of a worker's decoding process before its first picture, measured
CUDA_WORKSPACE_BYTES = 180_000_000  # of cuDNN and cuBLAS, measured on an H100 from 128 to 1024 px
# Values of a band of features, and how many floats for each a style loss holds on the way.
BAND_VALUES = {"cpu": 1 << 20, "cuda": 1 << 25}
STATISTIC_FLOATS: dict[str, int] = {"light": 2, "moments": 4, "kernel": 2}
WINOGRAD_WORKSPACE_BYTES = 120_000_000
ATTENTION_FLOATS = 3 * 1024 * CHANNELS[-1]  # of a painting in a layer: keys, normalised, squared
STATISTICS_BYTES = 45_000_000  # of a turned copy's statistics and what is computed of them, measured
DECODING_BYTES = 18  # a pixel of an upload while it is decoded, measured: a WebP with transparency


def _estimate_attention_bytes(recipe: Recipe, paintings: int) -> int:
    """Estimate what attention looks at in so many paintings or turned copies."""
    if recipe.content_target != "attention":
        return 0
    layers = sum(1 for weight in recipe.content_layers.values() if weight)
    return 4 * ATTENTION_FLOATS * paintings * layers


def _estimate_turning_bytes(paintings: Sequence[Size], copies: Sequence[Size]) -> int:
    """Estimate the most bytes that a painting takes while it is turned, a channel at a time: its rows
    resized, the whole, and what is found for some rows."""
    pairs = zip(paintings, copies[::DIRECTIONS], strict=bool(copies))
    return max(
        (4 * width * (painting[0] + 2 * height) for painting, (height, width) in pairs), default=0
    )


@dataclass(frozen=True)
class Work:
    """All that decides how much memory a rendering takes, but for size and plan."""

    # The network's name.
    network: str
    # The layers that the content loss compares.
    content: frozenset[str]
    # The layers that the style loss compares.
    style: frozenset[str]
    # Bytes of an activation.
    itemsize: int
    # Whether convolutions carry kernels of that kind.
    winograd: bool
    # Of the optimiser's state, for each pixel.
    state_floats: int
    # `cpu` or `cuda`.
    device: str
    # Of the recipe.
    style_loss: StyleLoss = "wasserstein"
    # Sizes of the paintings as they are held, each with its `style_scale`.
    paintings: tuple[tuple[Size, float], ...] = ()
    # Of photograph and paintings, held in the CPU's memory.
    held_bytes: int = 0
    # While the largest of them is decoded.
    decoding_bytes: int = 0
    # Of a draft that grows from its pixels, for each pixel of the last level.
    draft_floats: float = 0.0
    # Masks of paintings, or of their turned copies; whether some of the photograph stays in the picture.
    masks: int = 0
    keeps: bool = False
    # Whether the picture, a frame of a film, is held to what was painted before.
    holds: bool = False
    # While a painting is turned, in the CPU's memory.
    turning_bytes: int = 0
    # Of the statistics of turned copies, with what is computed of them, and of what attention looks at.
    statistics_bytes: int = 0

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        network: str,
        itemsize: int,
        winograd: bool,
        device: str,
        sizes: PictureSizes | None = None,
    ) -> Work:
        """Describe a recipe's work, once the network and the number format are known.

        Args:
            sizes: of photograph and paintings as they were sent; None: these are not counted.
        """
        sent = [sizes.photograph, *sizes.paintings] if sizes else []
        held = sizes.compute_held(recipe) if sizes else []
        scales = recipe.list_style_scales(len(held) - 1) if held[1:] else ()
        paintings = tuple(zip(held[1:], scales, strict=True))
        copies = tuple(sizes.list_copies(recipe)) if sizes else ()
        masks = sizes.masks if sizes else 0
        return cls(
            network=network,
            content=frozenset(name for name, weight in recipe.content_layers.items() if weight),
            style=frozenset(name for name, weight in recipe.style_layers.items() if weight),
            itemsize=itemsize,
            winograd=winograd,
            state_floats=STATE_FLOATS[recipe.optimizer],
            device=device,
            style_loss=recipe.style_loss,
            paintings=copies or paintings,
            held_bytes=sizes.count_held_bytes(recipe) if sizes else 0,
            decoding_bytes=DECODING_BYTES * max((height * width for height, width in sent), default=0),
            draft_floats=3 * (recipe.drafted_share if recipe.begins_after_draft else 0.0),
            masks=DIRECTIONS * max(1, masks) if copies else masks,
            keeps=sizes.keeps if sizes else False,
            holds=bool(sizes and sizes.holds),
            turning_bytes=_estimate_turning_bytes(held[1:], [size for size, _ in copies]),
            statistics_bytes=STATISTICS_BYTES * len(copies)
            + _estimate_attention_bytes(recipe, len(copies or paintings)),
        )

    @cached_property
    def loss_layers(self) -> frozenset[str]:
        """The layers of either loss."""
        return self.content | self.style

    @cached_property
    def deepest(self) -> int:
        """The last block that the losses compare."""
        return max(parse_block(layer) for layer in self.loss_layers)

    @property
    def fixed_bytes(self) -> int:
        """Weights, and the kernels made of them for both directions."""
        values = 0
        for block in range(1, self.deepest + 1):
            before, channels = CHANNELS[max(0, block - 2)], CHANNELS[block - 1]
            values += channels * (before + (CONVOLUTIONS[self.network][block - 1] - 1) * channels)
        kernels = 36 if self.winograd else 9
        return values * self.itemsize * (9 + 2 * kernels)


def find_last_recomputed(layers: Sequence[str], loss_layers: frozenset[str], kept: bool) -> str | None:
    """Find the last of a segment's layers that the backward pass recomputes; None: none."""
    found = [layer for layer in layers if layer in loss_layers]
    return None if kept or not found else found[-1]


def _estimate_tape_bytes(work: Work, segment: tuple[int, ...], kept: bool, packed: bool) -> float:
    """Estimate what the forward pass keeps of a segment for the backward pass, bytes a pixel."""
    sign = 1 / 8 if packed else work.itemsize
    pooling = 1 / 2 if work.device == "cpu" else 1
    layers = list_layers(work.network, segment)
    recomputed = find_last_recomputed(layers, work.loss_layers, kept)
    size = 0.0
    if recomputed is not None and segment[0] > 1:
        size += _count_values(segment[0] - 1) / 4 * work.itemsize
    for layer in layers[layers.index(recomputed) + 1 if recomputed else 0 :]:
        block = parse_block(layer)
        last_of_block = layer == list_layers(work.network, (block,))[-1]
        if layer in work.loss_layers:
            size += _count_values(block) * work.itemsize
        elif not last_of_block:
            size += _count_values(block) * sign
        if last_of_block:
            size += _count_values(block) / 4 * pooling
    return size


def _count_values(block: int) -> float:
    """Count the activations of one layer of a block, for one pixel of the picture."""
    return float(CHANNELS[block - 1] / 4 ** (block - 1))


def estimate_gradient_bytes(plan: Plan, work: Work, height: int, width: int) -> int:
    """Estimate the most bytes that one gradient holds at once, beside state, targets and weights."""
    held = 0.0
    peaks = []
    for segment, kept in zip(_list_segments(plan, work), plan.kept, strict=False):
        held += _estimate_tape_bytes(work, segment, kept, plan.packed)
        peaks.append(held + _estimate_boundary_bytes(plan, work, segment))  # forward and backward alike
    return int(max(peaks) * height * width + _estimate_workspace_bytes(plan, work, height, width))


def _list_segments(plan: Plan, work: Work) -> list[tuple[int, ...]]:
    return [segment for segment in plan.segments if segment[0] <= work.deepest]


def _estimate_boundary_bytes(plan: Plan, work: Work, segment: tuple[int, ...]) -> float:
    """Estimate a segment's input and output, bytes a pixel."""
    last = segment is _list_segments(plan, work)[-1]
    entering = _count_values(segment[0] - 1) / 4 if segment[0] > 1 else 0.0
    leaving = 0.0 if last else _count_values(segment[-1]) / 4
    return (entering + leaving) * work.itemsize


def _estimate_workspace_bytes(plan: Plan, work: Work, height: int, width: int) -> float:
    """Estimate the bytes that the current tile takes."""
    whole = height * width
    tile = whole if plan.tile is None else min(whole, (plan.tile + _compute_rim(plan, work)) ** 2)
    winograd = WINOGRAD_WORKSPACE_BYTES if work.winograd else 0
    copies = TILE_COPIES
    if work.device != "cpu":
        copies = WHOLE_COPIES if plan.tile is None and not plan.packed else GPU_TILE_COPIES
    return CHANNELS[0] * tile * work.itemsize * copies + winograd + _estimate_statistic_bytes(work, tile)


def _estimate_statistic_bytes(work: Work, tile: int) -> int:
    """Estimate what a style loss makes of a band of a tile's features, beside their sums."""
    copies = STATISTIC_FLOATS.get(work.style_loss, 0)
    return 4 * copies * min(CHANNELS[0] * tile, BAND_VALUES[work.device])


def _compute_rim(plan: Plan, work: Work) -> int:
    """Return how much wider the computed part of a tile is than the tile, px of block 1."""
    spoilt = [
        (2 << block - 1) * CONVOLUTIONS[work.network][block - 1]
        for block in plan.segments[0]
        if block <= work.deepest
    ]
    return max(16, sum(spoilt))


def _estimate_map_bytes(work: Work) -> float:
    """Estimate the maps of a picture's regions and of what stays of the photograph, bytes a pixel."""
    if not work.masks and not work.keeps:
        return 0.0
    weights = sum(4.0 ** (1 - parse_block(layer)) for layer in work.style)
    content = sum(4.0 ** (1 - parse_block(layer)) for layer in work.content)
    kept = 4 * (KEPT_FLOATS + content) if work.keeps else 0
    return max(1, work.masks) * weights + kept


def estimate_painting_bytes(plan: Plan, work: Work, height: int, width: int) -> int:
    """Estimate the most bytes that resizing a painting to a level and passing it through the network
    hold, for the painting that takes the most.

    Args:
        height, width: of the level, px.
    """
    return max((_estimate_one(plan, work, height * width, *each) for each in work.paintings), default=0)


def _estimate_one(plan: Plan, work: Work, level_pixels: int, painting: Size, scale: float) -> int:
    """Estimate the same for one painting: resized on the CPU, passed through on the device."""
    used = compute_style_size(painting, level_pixels, scale)
    pixels = used[0] * used[1]
    boundaries = max(_estimate_boundary_bytes(plan, work, s) for s in _list_segments(plan, work))
    passing = boundaries * pixels + _estimate_workspace_bytes(plan, work, *used)
    resizing = 4 * painting[0] * used[1] if work.device == "cpu" else 0  # a channel, its rows resized
    return int(4 * 3 * pixels + max(passing, resizing))


def estimate_peak_bytes(plan: Plan, work: Work, height: int, width: int) -> int:
    """Estimate the most bytes that a rendering of this size holds where its gradient is computed.

    On a CPU that is the whole process and the one that decodes its pictures, up to the result's figures.
    """
    pixels = height * width
    state = 3 if plan.offload else work.state_floats
    target = sum(_count_values(parse_block(layer)) for layer in work.content) * work.itemsize
    held = HOLD_FLOATS if work.holds else 0
    lasting = pixels * (4 * (state + held + work.draft_floats) + target + _estimate_map_bytes(work))
    lasting += work.statistics_bytes
    gradient = estimate_gradient_bytes(plan, work, height, width) + pixels * 4 * GRADIENT_FLOATS
    step = pixels * 4 * STEP_FLOATS
    painting = estimate_painting_bytes(plan.for_paintings or plan, work, height, width)
    rendering = lasting + max(gradient, step, painting)
    if work.device == "cpu":
        process = CPU_BASE_BYTES + DECODER_BYTES + work.held_bytes
        rendering = max(rendering, lasting + work.turning_bytes)
        measuring = lasting + painting + MEASURING_BYTES
        return int(process + work.fixed_bytes + max(rendering, work.decoding_bytes, measuring))
    return int(CUDA_WORKSPACE_BYTES + work.fixed_bytes + rendering)
