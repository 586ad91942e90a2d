"""Value and exact gradient of the objective at a picture of any size, in bounded memory.

All that couples distant pixels are sums over positions: moments for the style, squared distances for
the content. Between two poolings VGG sees only 2 to 4 pixels far. So, with the network cut into
segments of one or two blocks:

1. Upwards, segment by segment and in each tile by tile (`passes.py`): add the tile's share to the sums,
   write its pooled output into the next segment's input, and keep a tape (`tape.py`).
2. From the sums, the losses' gradients by the moments: one small matrix a layer.
3. Downwards, last segment first, tile by tile: from these matrices, the tape and the gradient by the
   segment's output to the gradient by its input, added up where tiles overlap.

The result is that of one pass over the whole picture, which is the case of one tile. What lies on the
tapes, how large tiles are and which blocks share a segment is the plan's choice
(`farm.recipe.memory_plan`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from farm.engine.attention import Keys, attend
from farm.engine.colours import Gaussian, measure_colours, take_colours
from farm.engine.cores import map_on_cores
from farm.engine.feature_cache import FeatureCache
from farm.engine.hold import HOLD_WEIGHT, HoldLoss
from farm.engine.kept import Kept
from farm.engine.losses import ContentLoss, Losses, make_variation, to_float32
from farm.engine.maps import LevelMaps
from farm.engine.passes import OnTile, Pass, compute_moments
from farm.engine.pyramid import Level, resize_photograph, resize_style
from farm.engine.regions import Part, Regions, blend, choose_step, make_regions
from farm.engine.statistics import Moments
from farm.engine.style.choose import make_style_losses
from farm.engine.style.protocol import FeatureGradient, StyleGradients, StyleLoss, Sums
from farm.engine.tiles import Region, Size, compute_block_sizes
from farm.engine.vgg import VGG
from farm.recipe import Recipe
from farm.recipe.memory_plan import WHOLE, Plan
from farm.recipe.networks import parse_block

# Takes a part of a tile, where in the layer the tile is, and its features (h, w, C).
SumFeatures = Callable[[Part, Region, Tensor], Sums | None]


class Objective:
    """The function that one level minimises: the targets of photograph and paintings, and the weights.

    Args:
        vgg: the network.
        recipe: weights and layers.
        content: (1, 3, H, W) RGB, the photograph at any size on any device: floats in [0, 1] or bytes.
        styles: the paintings, the same.
        level: the size of the picture to come.
        plan: how the gradient is computed; any gives the same but for rounding.
        cache: of these pictures; what it holds is not recomputed.
        on_tile: called before each tile; an exception from it leaves all as it was.
        maps: where each painting paints and what of the content counts, at the level's size; None:
            every painting everywhere. kept: what of the photograph is laid over the picture.
        hold: what the picture, a frame of a film, is held to.

    Attributes:
        paintings: each one's moments by style layer. targets: what is compared in the style layers, by
            name. on_tile: see above.
    """

    def __init__(
        self,
        vgg: VGG,
        recipe: Recipe,
        content: Tensor,
        styles: list[Tensor],
        level: Level,
        plan: Plan = WHOLE,
        cache: FeatureCache | None = None,
        on_tile: OnTile = lambda: None,
        maps: LevelMaps | None = None,
        kept: Kept | None = None,
        hold: HoldLoss | None = None,
    ) -> None:
        cache = cache or FeatureCache()
        self.on_tile = on_tile
        self._kept, self._hold = kept, hold
        self._measure_variation = make_variation(maps, vgg.device, vgg.dtype)
        self.vgg = vgg
        self.recipe = recipe
        self.plan = plan
        self.content_layers = _normalise(recipe.content_layers)
        self.style_layers = _normalise(recipe.style_layers)
        self._aside = aside = plan.for_paintings or plan
        scales = recipe.list_style_scales(len(styles))
        moved = recipe.colour_strength if recipe.moves_colours else 0.0
        turned = recipe.size if recipe.directs_strokes else 0  # the copies were made for this size
        manner = (vgg, aside, tuple(self.style_layers), moved, turned)

        def measure_photograph() -> Gaussian:
            return cache.get_at_level(
                level, "colours", lambda: measure_colours(resize_photograph(content, level))
            )

        def resize_painting(style: Tensor, scale: float) -> Tensor:
            resized = resize_style(style, level, scale)
            if moved:
                take_colours(resized, measure_photograph(), moved)
            return resized.to(vgg.device)

        def compute_painting(resize: Callable[[], Tensor]) -> dict[str, Moments]:
            return compute_moments(vgg, resize(), frozenset(self.style_layers), aside, on_tile)

        self._resize = [partial(resize_painting, *each) for each in zip(styles, scales, strict=True)]
        self.paintings = [
            cache.get_at_level(
                level, ("painting", number, *manner, scale), partial(compute_painting, resize)
            )
            for number, (resize, scale) in enumerate(zip(self._resize, scales, strict=True))
        ]
        shares = recipe.normalise_blend(len(styles))
        layers = tuple(self.style_layers)
        self._regions: Regions = cache.get_at_level(
            level, ("regions", vgg, layers, shares, turned), lambda: make_regions(maps, layers, vgg)
        )
        self.targets = self._regions.targets
        self._style = cache.get_at_level(
            level,
            ("style", *manner, scales, recipe.style_loss, shares),
            lambda: self._make_style_losses(shares),
        )
        contents = ("content", vgg, plan, tuple(self.content_layers))
        attended = shares if recipe.content_target == "attention" else None
        self._content = cache.get_at_level(
            level,
            contents if attended is None else (*contents, *manner, scales, attended),
            lambda: self._make_content_losses(content, level, attended, maps),
        )
        self._loss_of = {name: loss for loss in self._style for name in loss.layers}
        self._style_weights = [self._weigh_targets(loss.layers) for loss in self._style]
        self._steps = {name: self._choose_step(name, level) for name in self._loss_of}
        self._counts = {  # of targets that stand for more positions than are looked at
            name: self._regions.count(name, self._compute_size(name, level))
            for name, step in self._steps.items()
            if step > 1
        }

    def _choose_step(self, name: str, level: Level) -> int:
        """Choose of how many rows and columns a target's style loss looks at one."""
        channels = len(self.paintings[0][self.targets[name].layer].total)
        enough = self._loss_of[name].enough * channels
        return choose_step(self._regions, name, self._compute_size(name, level), enough)

    def _compute_size(self, name: str, level: Level) -> Size:
        """Compute the size of a target's layer."""
        sizes = compute_block_sizes(level.height, level.width, 5)
        return sizes[parse_block(self.targets[name].layer)]

    def _weigh_targets(self, names: Sequence[str]) -> Tensor:
        """Return the weights of targets in the style loss, (names,) float64."""
        targets = [self.targets[name] for name in names]
        weights = [self.style_layers[target.layer] * target.share for target in targets]
        return torch.tensor(weights, dtype=torch.float64).to(self.vgg.device)

    def _make_content_losses(
        self,
        content: Tensor,
        level: Level,
        shares: Sequence[float] | None,
        maps: LevelMaps | None,
    ) -> dict[str, ContentLoss]:
        """Make the content losses; shares: of the paintings that attention looks at; None: none."""
        if not self.content_layers:
            return {}
        sizes = compute_block_sizes(level.height, level.width, 5)
        target: dict[str, Tensor] = {}
        energy: dict[str, Tensor | float] = dict.fromkeys(self.content_layers, 0.0)
        weights = {layer: self._weigh_content(layer, maps) for layer in self.content_layers}

        def on_features(layer: str, where: Region, features: Tensor) -> None:
            if layer not in target:
                shape = (*sizes[parse_block(layer)], features.shape[2])
                target[layer] = features.new_empty(shape)
            where.crop(target[layer]).copy_(features)
            squares = to_float32(features).square()
            if (opaque := weights[layer][1]) is not None:
                squares *= where.crop(opaque)[..., None]
            energy[layer] += squares.sum(dtype=torch.float64)

        resized = resize_photograph(content, level).to(self.vgg.device)
        layers = frozenset(self.content_layers)
        Pass(self.vgg, layers, self.plan, resized, self.on_tile).forward(on_features)
        if shares is not None:
            keys = [self._collect_keys(resize()) for resize in self._resize]
            for layer in target:
                found = [each[layer].features for each in keys]
                here = shares if maps is None else maps.share_out(shares, parse_block(layer))
                energy[layer] = attend(target[layer], found, here, weights[layer][1])
        return {
            layer: ContentLoss(target[layer], float(energy[layer]), weights[layer][0])
            for layer in target
        }

    def _weigh_content(self, layer: str, maps: LevelMaps | None) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of a layer's positions, and how opaque the photograph is there, (H, W)."""
        found = maps.compute_content_weights(parse_block(layer)) if maps else (None, None)
        weights, opaque = (None if each is None else each.to(self.vgg.device) for each in found)
        return weights, opaque

    def _collect_keys(self, painting: Tensor) -> dict[str, Keys]:
        """Collect what attention looks at in a painting (1, 3, H, W), by content layer."""
        sizes = compute_block_sizes(painting.shape[2], painting.shape[3], 5)
        found = {layer: Keys(sizes[parse_block(layer)]) for layer in self.content_layers}
        run = Pass(self.vgg, frozenset(found), self._aside, painting, self.on_tile)
        run.forward(lambda layer, where, features: found[layer].add(where, features))
        return found

    def _make_style_losses(self, shares: Sequence[float]) -> list[StyleLoss[Any]]:
        targets = self._assign_paintings(self.paintings, self.targets, shares)
        losses = make_style_losses(self.recipe.style_loss, targets, self.vgg.way)
        lacking = {name: loss for loss in losses if loss.needs_sums for name in loss.layers}
        if lacking:
            paintings = [self._sum_painting(number, lacking) for number in range(len(self._resize))]
            for name, loss in lacking.items():
                mine = self.targets[name].paintings
                loss.set_target({name: blend(paintings, shares, mine, name)})
        return losses

    def _assign_paintings(
        self, sums: Sequence[Mapping[str, Any]], names: Iterable[str], shares: Sequence[float]
    ) -> dict[str, Any]:
        """Return what targets of these names are, of the sums of each painting, by layer."""
        targets = {name: self.targets[name] for name in names}
        return {
            name: blend(sums, shares, target.paintings, target.layer) for name, target in targets.items()
        }

    def _sum_painting(self, number: int, losses: Mapping[str, StyleLoss[Any]]) -> dict[str, Any]:
        """Sum a painting as the style losses of its targets want it, by target."""
        of = {name: self.targets[name].paintings for name in losses}
        mine = [name for name, paintings in of.items() if paintings is None or number in paintings]
        layers = frozenset(self.targets[name].layer for name in mine)
        sums: dict[str, Any] = {}

        def on_features(layer: str, where: Region, features: Tensor) -> None:
            for name in mine:
                if self.targets[name].layer == layer:
                    part = losses[name].sum_features(name, features)
                    sums[name] = sums[name] + part if name in sums else part

        if mine:
            run = Pass(self.vgg, layers, self._aside, self._resize[number](), self.on_tile)
            run.forward(on_features)
        return sums

    def __call__(self, picture: Tensor, scale: float = 1.0) -> tuple[Losses, Tensor]:
        """Return losses at picture (1, 3, H, W), and d(total)/d(picture) * scale, of the same shape.

        One read of `compute`'s sums, the only wait for the device in an iteration.
        """
        sums, gradient = self.compute(picture, scale)
        return self.read(sums), gradient

    def compute(self, picture: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """Compute the losses' terms and the gradient, all on the device.

        Returns:
            content, style, total variation, hold where there is one, and the sum of the gradient, which
            is finite if all of it is: (4,) or (5,) float64. d(total)/d(picture) * scale.
        """
        if self._kept is not None:
            picture = self._kept.lay_over(picture)
        run, sums, content = self._forward(picture, self._sum_style, taped=True)
        gradients: dict[str, FeatureGradient] = {}
        values: list[Tensor] = []
        for loss, weights, found in zip(
            self._style, self._style_weights, self._compare(sums), strict=True
        ):
            values.append(found.values @ weights)
            parts = found.split(weights, self.recipe.style_weight * scale, self.vgg.dtype)
            gradients |= zip(loss.layers, parts, strict=True)
        sums.clear()

        def add_gradient(
            layer: str, where: Region, features: Tensor, d: Tensor
        ) -> FeatureGradient | None:
            rest, parts = None, self._find_parts(layer, where)
            if len(parts) == 1 and parts[0].is_all_of(where):
                rest = gradients[parts[0].target]
            for part in parts if rest is None else ():
                weights = part.get_weights(features.dtype)
                gradients[part.target].add_to(part.where.crop(d), part.where.crop(features), weights)
            if layer in self._content:
                weight = self.recipe.content_weight * self.content_layers[layer] * scale
                self._content[layer].add_gradient(where, features, d, weight)
            return rest

        gradient = run.backward(add_gradient)
        weight, chroma = self.recipe.tv_weight * scale, self.recipe.chroma_variation
        tv = self._measure_variation(picture, gradient, weight, chroma)
        held = self._measure_hold(picture, gradient, HOLD_WEIGHT * scale)
        if self._kept is not None:
            self._kept.limit(gradient)
        style = torch.stack(values).sum() if values else torch.zeros_like(content)
        return torch.stack((content, style, tv, *held, gradient.sum(dtype=torch.float64))), gradient

    def _measure_hold(
        self, picture: Tensor, gradient: Tensor | None = None, weight: float = 1.0
    ) -> list[Tensor]:
        """Measure how far a picture is from what it is held to, if it is; see `HoldLoss`."""
        return [] if self._hold is None else [self._hold(picture, gradient, weight)]

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Leave `on_tile` uncalled: within, calls are recorded and must all be made."""
        on_tile, self.on_tile = self.on_tile, lambda: None
        try:
            yield
        finally:
            self.on_tile = on_tile

    def measure(self, picture: Tensor) -> tuple[Losses, dict[str, Moments]]:
        """Return losses at picture (1, 3, H, W), over which all is laid that stays, without gradient;
        and its moments by target."""
        moments: dict[str, Moments] = {}

        def sum_both(part: Part, where: Region, features: Tensor) -> Sums | None:
            found, name = self._sum_style(part, where, features), part.target
            also = found
            if not isinstance(also, Moments):
                also = Moments.from_features(*part.crop(features, where))
            moments[name] = moments[name] + also if name in moments else also
            return found

        _, sums, content = self._forward(picture, sum_both, taped=False)
        style = content.new_zeros(())
        for weights, found in zip(self._style_weights, self._compare(sums), strict=True):
            style += found.values @ weights
        tv = self._measure_variation(picture, chroma=self.recipe.chroma_variation)
        held = self._measure_hold(picture)
        return self.read(torch.stack((content, style, tv, *held, tv))), moments

    def _compare(self, sums: Mapping[str, Sums]) -> list[StyleGradients]:
        """Compare the sums with their targets, by each of the style losses."""
        if self.vgg.device.type == "cpu":
            return map_on_cores(lambda loss: loss(sums), self._style)
        return [loss(sums) for loss in self._style]

    def read(self, sums: Tensor) -> Losses:
        """Read `compute`'s sums from the device."""
        content, style, tv, *held, gradient = sums.tolist()
        r, hold = self.recipe, sum(held)
        total = r.content_weight * content + r.style_weight * style + r.tv_weight * tv
        total += HOLD_WEIGHT * hold
        return Losses(content, style, tv, total, math.isfinite(total + gradient), hold)

    def _find_parts(self, layer: str, where: Region) -> list[Part]:
        """Find the parts of a tile's share of a layer that the style loss compares."""
        return self._regions.find_parts(layer, where) if layer in self.style_layers else []

    def _sum_style(self, part: Part, where: Region, features: Tensor) -> Sums | None:
        """Sum a part of a tile's features as its target's style loss wants them; None: of the positions
        that it looks at there are none."""
        seen, weights = part.crop(features, where, self._steps[part.target])
        if not seen.numel():
            return None
        found: Sums = self._loss_of[part.target].sum_features(part.target, seen, weights)
        return found

    def _forward(
        self, picture: Tensor, sum_features: SumFeatures, *, taped: bool
    ) -> tuple[Pass, dict[str, Any], Tensor]:
        """Pass a picture forward; return the pass, its sums by target, and the content loss."""
        layers = frozenset({*self.content_layers, *self.style_layers})
        run = Pass(self.vgg, layers, self.plan, picture, self.on_tile)
        sums: dict[str, Any] = {}
        content = picture.new_zeros((), dtype=torch.float64)

        def on_features(layer: str, where: Region, features: Tensor) -> None:
            for part in self._find_parts(layer, where):
                if (found := sum_features(part, where, features)) is not None:
                    name = part.target
                    sums[name] = sums[name] + found if name in sums else found
            if layer in self._content:
                weight = self.content_layers[layer]
                self._content[layer].add_value(where, features, content, weight)

        run.forward(on_features, taped=taped)
        for name, count in self._counts.items():
            sums[name] = sums[name].scale_to(count)
        return run, sums, content


def _normalise(weights: dict[str, float]) -> dict[str, float]:
    """Return layer weights that sum to 1, without those that are 0."""
    whole = sum(weights.values())
    return {layer: weight / whole for layer, weight in weights.items() if weight}
