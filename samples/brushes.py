"""The tool box of the sample pictures: noise, colour, light and brush marks.

A *field* is a float32 array of shape (H, W); a *picture* is a float32 array of shape (H, W, 3)
with values in [0, 1] (sRGB, not linear light). Rows grow downwards, columns to the right.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Rng = np.random.Generator
Stops = Sequence[tuple[float, str]]


def parse_colour(code: str) -> Array:
    """Turn a colour like `"e8b04a"` into three floats in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def to_bytes(colour: Array) -> tuple[int, ...]:
    """Turn a float colour into the 8-bit tuple that Pillow draws with."""
    return tuple(int(v) for v in np.clip(colour * 255 + 0.5, 0, 255))


def interpolate_stops(stops: Stops, where: Array) -> Array:
    """Colour a field of any shape (...) by stops of (position, colour); gives (..., 3)."""
    positions = [position for position, _ in stops]
    colours = np.array([parse_colour(code) for _, code in stops])
    channels = [np.interp(where, positions, colours[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    """Rise softly from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def blend_pictures(a: Array, b: Array, weight: float | Array) -> Array:
    """Blend two pictures (or colours) by a number or by a field of weights in [0, 1]."""
    if isinstance(weight, np.ndarray):
        weight = weight[..., None]
    return a + (b - a) * weight


def make_grid(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return row and column of every pixel, as two fields."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return rows, columns


def halve(picture: Array) -> Array:
    """Average blocks of 2 x 2 pixels: the last step of drawing at double size."""
    h, w = picture.shape[0] // 2, picture.shape[1] // 2
    return picture.reshape(h, 2, w, 2, *picture.shape[2:]).mean(axis=(1, 3))


def make_octave(shape: tuple[int, int], cell: tuple[float, float], rng: Rng) -> Array:
    """Make smooth noise whose bumps are about `cell` (rows, columns) pixels apart."""
    nodes = (int(shape[0] / cell[0]) + 4, int(shape[1] / cell[1]) + 4)
    lattice = Image.fromarray(rng.standard_normal(nodes, dtype=np.float32))
    left, top = 1 + rng.random(2)
    box = (left, top, left + shape[1] / cell[1], top + shape[0] / cell[0])
    size = (shape[1], shape[0])
    return np.asarray(lattice.resize(size, Image.Resampling.BICUBIC, box=box))


def sum_octaves(
    shape: tuple[int, int],
    cell: float | tuple[float, float],
    rng: Rng,
    octaves: int = 5,
    gain: float = 0.5,
) -> Array:
    """Sum octaves of noise, each half as large; a field of mean 0 and deviation 1."""
    cy, cx = cell if isinstance(cell, tuple) else (cell, cell)
    total = np.zeros(shape, np.float32)
    for i in range(octaves):
        total += gain**i * make_octave(shape, (max(cy / 2**i, 1), max(cx / 2**i, 1)), rng)
    return (total - total.mean()) / total.std()


def blur(field: Array, radius: int) -> Array:
    """Soften a field (H, W) or picture (H, W, C): three box filters make nearly a Gaussian."""
    for _ in range(3):
        for axis in (0, 1):
            pad = [(0, 0)] * field.ndim
            pad[axis] = (radius + 1, radius)
            sums = np.cumsum(np.pad(field, pad, "edge"), axis=axis, dtype=np.float64)
            ahead = np.take(sums, range(2 * radius + 1, sums.shape[axis]), axis)
            behind = np.take(sums, range(sums.shape[axis] - 2 * radius - 1), axis)
            field = ((ahead - behind) / (2 * radius + 1)).astype(np.float32)
    return field


def interpolate(picture: Array, rows: Array, columns: Array) -> Array:
    """Read a field or picture between its pixels (bilinear, clamped at the border)."""
    rows = np.clip(rows, 0, picture.shape[0] - 1.001)
    columns = np.clip(columns, 0, picture.shape[1] - 1.001)
    y, x = rows.astype(np.int32), columns.astype(np.int32)
    fy, fx = rows - y, columns - x
    if picture.ndim == 3:
        fy, fx = fy[..., None], fx[..., None]
    top = picture[y, x] * (1 - fx) + picture[y, x + 1] * fx
    low = picture[y + 1, x] * (1 - fx) + picture[y + 1, x + 1] * fx
    return (top * (1 - fy) + low * fy).astype(np.float32)


def compute_relief_light(height: Array) -> Array:
    """Compute each pixel's slope of a height map towards a lamp at the upper left; 0 where flat."""
    dy, dx = np.gradient(height)
    return (0.6 * dx + 0.8 * dy).astype(np.float32)


def interpolate_curve(points: Sequence[tuple[float, float]], steps: int = 40) -> Array:
    """Interpolate a smooth path (steps, 2) of (row, column) through the points (Catmull-Rom)."""
    p = np.array(points, np.float32)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, len(points) - 1, steps)
    i = np.minimum(t.astype(int), len(points) - 2)
    f = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    path = 2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2
    return ((path + (3 * b - a - 3 * c + d) * f**3) / 2).astype(np.float32)


class Ribbon:
    """Footprint of one brush stroke, as a dense lattice of points along and across it.

    `rows` and `columns` (n, m) say which pixel each point falls on; `along` (n, 1) runs from 0
    to 1 with the stroke, `across` (1, m) from -1 to 1 over its width; `bristle` (n, m) is noise
    of deviation 1 that is long along the stroke and fine across it.
    """

    def __init__(self, path: Array, width: float | Array, streaks: Array, rng: Rng) -> None:
        """Follow `path` (k, 2) with a half width in pixels that is fixed or given per node."""
        lengths = np.hypot(*np.diff(path, axis=0).T)
        travelled = np.concatenate([[0], np.cumsum(lengths)])
        n = max(int(travelled[-1] * 1.5), 4)
        m = max(int(np.max(width) * 3), 3)
        where = np.linspace(0, travelled[-1], n)
        y, x = (np.interp(where, travelled, path[:, i]) for i in (0, 1))
        half = np.interp(where, travelled, np.broadcast_to(width, len(path)))[:, None]
        dy, dx = np.gradient(y), np.gradient(x)
        norm = np.hypot(dy, dx) + 1e-6
        self.along = np.linspace(0, 1, n, dtype=np.float32)[:, None]
        self.across = np.linspace(-1, 1, m, dtype=np.float32)[None, :]
        self.rows = np.rint(y[:, None] + self.across * half * (dx / norm)[:, None]).astype(int)
        self.columns = np.rint(x[:, None] - self.across * half * (dy / norm)[:, None]).astype(int)
        i, j = rng.integers(streaks.shape[0]), rng.integers(streaks.shape[1])
        self.bristle = streaks[
            (i + np.arange(n))[:, None] % streaks.shape[0],
            (j + np.arange(m))[None, :] % streaks.shape[1],
        ]

    def visible(self, coverage: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Keep the covered points that fall inside a canvas of this shape."""
        inside = (self.rows >= 0) & (self.rows < shape[0])
        return coverage & inside & (self.columns >= 0) & (self.columns < shape[1])


def make_bristle_streaks(rng: Rng) -> Array:
    """Make the bristle noise (1024, 512) that strokes cut their own piece from."""
    coarse = make_octave((1024, 512), (160, 7), rng)
    fine = make_octave((1024, 512), (60, 2.2), rng)
    streaks = coarse + 0.8 * fine
    return (streaks - streaks.mean()) / streaks.std()
