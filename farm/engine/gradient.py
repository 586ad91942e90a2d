"""Value and gradient of the objective at a picture. The only place that knows how they are computed.

Here: one pass over the whole picture by autograd, which keeps every activation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farm.engine.losses import Losses, content_loss, style_loss, tv_loss
from farm.engine.pyramid import Level, resize, resize_style
from farm.engine.statistics import Moments
from farm.engine.vgg import VGG
from farm.recipe import Recipe

FLOATS_A_PIXEL = 700  # autograd keeps about 300 to relu5_1 and as many ReLU outputs; 690 measured


class Objective:
    """What one level minimises: the targets of photograph and paintings, and the weights.

    Args:
        vgg: the network.
        recipe: weights and layers.
        content: (1, 3, H, W) RGB in [0, 1], the photograph at any size.
        styles: the paintings, (1, 3, h, w) each.
        level: the size of the picture to come.
    """

    def __init__(
        self, vgg: VGG, recipe: Recipe, content: Tensor, styles: list[Tensor], level: Level
    ) -> None:
        self.vgg = vgg
        self.recipe = recipe
        self.content_layers = _shares(recipe.content_layers)
        self.style_layers = _shares(recipe.style_layers)
        self.wanted = {*self.content_layers, *self.style_layers}
        with torch.no_grad():
            resized = resize(content, level.height, level.width).clamp(0, 1)
            self.content = vgg(resized, self.content_layers) if self.content_layers else {}
            self.style = {
                layer: style_loss(recipe.style_loss, target)
                for layer, target in self._targets(styles, level).items()
            }

    def _targets(self, styles: list[Tensor], level: Level) -> dict[str, Moments]:
        """The paintings' moments in each style layer, blended."""
        blended: dict[str, Moments] = {}
        for style, weight in zip(styles, self.recipe.blend_of(len(styles)), strict=True):
            painting = resize_style(style, level, self.recipe.style_scale)
            for layer, features in self.vgg(painting, self.style_layers).items():
                moments = Moments.of(features).weighted(weight)
                blended[layer] = blended[layer] + moments if layer in blended else moments
        return blended

    def __call__(self, picture: Tensor, scale: float = 1.0) -> tuple[Losses, Tensor]:
        """Losses at picture (1, 3, H, W), and d(total)/d(picture) * scale, of the same shape."""
        x = picture.detach().requires_grad_()
        terms = self._terms(x)
        (gradient,) = torch.autograd.grad(terms[-1] * scale, x)
        return Losses(*(term.item() for term in terms)), gradient

    def losses(self, picture: Tensor) -> Losses:
        """Losses alone at picture (1, 3, H, W)."""
        with torch.no_grad():
            return Losses(*(term.item() for term in self._terms(picture)))

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Content, style, total variation, and their weighted sum."""
        features = self.vgg(x, self.wanted)
        zero = x.new_zeros(())
        content = style = zero
        for layer, weight in self.content_layers.items():
            content = content + weight * content_loss(features[layer], self.content[layer])
        for layer, weight in self.style_layers.items():
            style = style + weight * self.style[layer](Moments.of(features[layer]))
        tv = tv_loss(x)
        r = self.recipe
        total = r.content_weight * content + r.style_weight * style + r.tv_weight * tv
        return content, style, tv, total


def _shares(weights: dict[str, float]) -> dict[str, float]:
    """Layer weights that sum to 1, without those that are 0."""
    whole = sum(weights.values())
    return {layer: weight / whole for layer, weight in weights.items() if weight}


def estimated_bytes(height: int, width: int, dtype: torch.dtype) -> int:
    """Memory the gradient of a picture of this size needs beyond the network itself."""
    return height * width * FLOATS_A_PIXEL * dtype.itemsize
