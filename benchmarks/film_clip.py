"""Clips whose flow is known: a disc over a ground, each with a texture of its own, both moving.

Everything moves evenly and without turning; textures are interpolated, so that motions need be no whole
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Frame = NDArray[np.uint8]  # (H, W, 3) sRGB
Flow = NDArray[np.float32]  # (H, W, 2), px to the right and down


@dataclass(frozen=True)
class MovingDisc:
    """A clip of a disc that moves over a moving ground."""

    # (H', W', 3) in [0, 1], tiled by reflection.
    ground: NDArray[np.float32]
    disc: NDArray[np.float32]
    # Of a frame, px.
    height: int = 88
    width: int = 160
    # px a frame, to the right and down.
    ground_moves: tuple[float, float] = (1.3, 0.4)
    disc_moves: tuple[float, float] = (-2.2, 0.6)
    # Its centre in the first frame, as shares of the width and the height.
    disc_begins: tuple[float, float] = (0.62, 0.45)
    # px; 0: no disc.
    radius: float = 20.0
    # Standard deviation of the noise of each frame, of 255.
    noise: float = 1.0

    def draw(self, number: int) -> Frame:
        """Return a frame."""
        at = self._find_disc(number)[..., None]
        picture = np.where(
            at,
            self._draw_texture(self.disc, self.disc_moves, number),
            self._draw_texture(self.ground, self.ground_moves, number),
        )
        noise = self.noise * np.random.default_rng(number).standard_normal(picture.shape)
        return np.clip(255 * picture + noise + 0.5, 0, 255).astype(np.uint8)

    def find_flow(self, number: int, other: int) -> Flow:
        """Return where each pixel of a frame lies in another one."""
        steps = np.float32(other - number)
        moves = [steps * np.array(each, np.float32) for each in (self.disc_moves, self.ground_moves)]
        flow: Flow = np.where(self._find_disc(number)[..., None], *moves).astype(np.float32)
        return flow

    def find_visible(self, number: int, other: int) -> NDArray[np.bool_]:
        """Return which pixels of a frame are visible in another one, (H, W)."""
        flow = self.find_flow(number, other)
        down, across = np.mgrid[: self.height, : self.width]
        x, y = across + flow[..., 0], down + flow[..., 1]
        inside = (x >= 0) & (x <= self.width - 1) & (y >= 0) & (y <= self.height - 1)
        covered = self._covers(other, x, y) & ~self._find_disc(number)
        visible: NDArray[np.bool_] = inside & ~covered
        return visible

    def _find_disc(self, number: int) -> NDArray[np.bool_]:
        down, across = np.mgrid[: self.height, : self.width]
        return self._covers(number, across, down)

    def _covers(
        self, number: int, x: NDArray[np.floating], y: NDArray[np.floating]
    ) -> NDArray[np.bool_]:
        centre = (
            self.disc_begins[0] * self.width + number * self.disc_moves[0],
            self.disc_begins[1] * self.height + number * self.disc_moves[1],
        )
        covers: NDArray[np.bool_] = np.hypot(x - centre[0], y - centre[1]) < self.radius
        return covers

    def _draw_texture(
        self, texture: NDArray[np.float32], moves: tuple[float, float], number: int
    ) -> NDArray[np.float32]:
        H, W, _ = texture.shape
        down, across = np.mgrid[: self.height, : self.width].astype(np.float32)
        x, y = across - number * moves[0] + W / 3, down - number * moves[1] + H / 3
        grid = torch.from_numpy(np.stack((2 * x / (W - 1) - 1, 2 * y / (H - 1) - 1), axis=-1))[
            None
        ].float()
        picture = torch.from_numpy(texture).permute(2, 0, 1)[None]
        drawn = F.grid_sample(picture, grid, "bicubic", "reflection", align_corners=True)
        found: NDArray[np.float32] = drawn[0].permute(1, 2, 0).clamp(0, 1).numpy()
        return found
