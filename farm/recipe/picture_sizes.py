"""The sizes at which a rendering uses photograph and paintings, and those at which it holds them.

An upload may be many times larger than any level needs it. It is held at `HEADROOM` times the sides that
the largest level uses, so that the resizing to each level still does most of the low-pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from farm.errors import InvalidInput, Problem
from farm.recipe.levels import Level, compute_levels
from farm.recipe.recipe import Recipe

Size = tuple[int, int]  # height, width, px

MAX_ENLARGEMENT = 4.0  # of a painting's sides
SHORTEST_USED = 32  # px of a painting's shorter side; below it the deepest layers see next to nothing
HEADROOM = 2.0  # of the sides held over those used
KEPT_PIXELS = 4_000_000  # a picture that has no more is held as it was sent, whatever uses it
LITTLE = 0.99  # of the sides; a smaller shrink would save next to nothing
PROPORTION = 0.01  # of a map's sides to the photograph's; more would miss what it was drawn along
NOTHING_LEFT = "is white all over, so that nothing is left to paint"  # of a map of what stays
ALL_STAYS = (  # of masks and of what stays
    Problem("mask", "paints only where the photograph stays, so that nothing is left to paint"),
    Problem("keep", "is white wherever a mask paints, so that nothing is left to paint"),
)
KEEPING_MAPS = 2  # what stays, and what is opaque, a byte a pixel each
BYTES_PER_PIXEL = 3  # of a picture that is held
MOTION_BYTES = 12  # a pixel of the way from a film's frame to another one: two floats and a weight
LONGEST_FLOW = 1024  # px, of the size at which flow is looked for
SMALLEST_FLOW = 16  # px of a side; DIS finds nothing in smaller pictures
DIRECTIONS = 4  # turned copies of each painting, where strokes follow the photograph


@dataclass(frozen=True)
class PictureSizes:
    """Sizes of a photograph and its paintings, upright, as they were sent."""

    photograph: Size
    paintings: tuple[Size, ...] = ()
    # Masks, one for each painting or none; they are held at the photograph's size at most.
    masks: int = 0
    # Whether some of the photograph stays, because that was asked for or because it is transparent.
    keeps: bool = False
    # Of a frame of a film, held to what was painted before, the frames from anchor to anchor; else 0.
    holds: int = 0

    def compute_held(self, recipe: Recipe) -> list[Size]:
        """Return the sizes at which a rendering holds the photograph and each painting.

        Raises:
            InvalidInput: the recipe lists another number of `style_scale` than there are paintings.
        """
        scales = recipe.list_style_scales(len(self.paintings)) if self.paintings else ()
        held = [
            compute_held_painting(recipe, self.photograph, size, scale)
            for size, scale in zip(self.paintings, scales, strict=True)
        ]
        return [compute_held_photograph(recipe, self.photograph), *held]

    def count_held_bytes(self, recipe: Recipe) -> int:
        """Count the bytes of photograph, paintings, maps and start as a rendering holds them."""
        photograph, *paintings = (height * width for height, width in self.compute_held(recipe))
        maps = self.masks + (KEEPING_MAPS if self.keeps else 0)
        start = self._count_start_pixels(recipe)
        copies = sum(height * width for (height, width), _ in self.list_copies(recipe))
        pictures = BYTES_PER_PIXEL * (photograph + sum(paintings) + start + copies)
        return pictures + maps * photograph + self._count_film_bytes(recipe)

    def _count_film_bytes(self, recipe: Recipe) -> int:
        """Count the bytes of a film's stretch: frames and maps at the size at which flow is looked for,
        and the ways to the anchor ahead."""
        if not self.holds:
            return 0
        picture = recipe.compute_picture_size(*self.photograph)
        flow = compute_flow_size(compute_held_photograph(recipe, self.photograph), picture)
        maps = self.masks + self.keeps
        return (self.holds + 1) * math.prod(flow) * (BYTES_PER_PIXEL + MOTION_BYTES + maps)

    def list_copies(self, recipe: Recipe) -> list[tuple[Size, float]]:
        """List the turned copies of the paintings, in their order, each with its `style_scale`: the
        sizes they have but for their turn; none where strokes are free.

        Raises:
            InvalidInput: the recipe lists another number of `style_scale` than there are paintings.
        """
        if not recipe.directs_strokes or not self.paintings:
            return []
        held, scales = self.compute_held(recipe)[1:], recipe.list_style_scales(len(self.paintings))
        return [
            (compute_turned_size(recipe, self.photograph, size, scale), scale)
            for size, scale in zip(held, scales, strict=True)
            for _ in range(DIRECTIONS)
        ]

    def _count_start_pixels(self, recipe: Recipe) -> int:
        """Count the pixels of the picture to begin from: of a draft, else the most that are held."""
        if recipe.init != "picture":
            return 0
        if recipe.begins_after_draft:
            draft = recipe.model_copy(update={"size": recipe.grown_from})
            return math.prod(draft.compute_picture_size(*self.photograph))
        return max(KEPT_PIXELS, int(HEADROOM**2 * compute_levels(recipe, *self.photograph)[0].pixels))


def compute_style_size(painting: Size, level_pixels: int, scale: float) -> Size:
    """Return the size at which a painting is used: a level's area times `scale`**2, its sides enlarged
    at most `MAX_ENLARGEMENT`-fold.

    The same area, not the same side, so that strokes of a portrait painting come out as large as
    those of a landscape one. Enlarged where the painting is smaller than the level, so that its strokes
    keep their share of the picture however large that grows.
    """
    height, width = painting
    factor = min(MAX_ENLARGEMENT, scale * math.sqrt(level_pixels / (height * width)))
    factor = max(factor, min(1.0, SHORTEST_USED / min(height, width)))
    return round(height * factor), round(width * factor)


def compute_flow_size(frame: Size, picture: Size) -> Size:
    """Return the size at which flow between frames of a size is looked for, to move pictures of another:
    the smaller of both, `LONGEST_FLOW` px at most."""
    height, width = min(frame, picture)
    scale = min(1.0, LONGEST_FLOW / max(height, width))
    return max(SMALLEST_FLOW, round(height * scale)), max(SMALLEST_FLOW, round(width * scale))


def compute_held_photograph(recipe: Recipe, photograph: Size) -> Size:
    """Return the size at which a photograph of this size is held."""
    return _compute_held(photograph, recipe.compute_picture_size(*photograph))


def compute_held_painting(recipe: Recipe, photograph: Size, painting: Size, scale: float) -> Size:
    """Return the size at which a painting of this size is held, beside a photograph of that size;
    scale: its own of `style_scale`."""
    level = Level(*recipe.compute_picture_size(*photograph), 1)
    return _compute_held(painting, compute_style_size(painting, level.pixels, scale))


def compute_turned_size(recipe: Recipe, photograph: Size, painting: Size, scale: float) -> Size:
    """Return the size at which turned copies of a painting are held: at most at `HEADROOM` times the
    sides used, however few pixels these are, since there are `DIRECTIONS` copies."""
    level = Level(*recipe.compute_picture_size(*photograph), 1)
    used = compute_style_size(painting, level.pixels, scale)
    factor = min(1.0, HEADROOM * math.sqrt(math.prod(used) / math.prod(painting)))
    return max(1, round(painting[0] * factor)), max(1, round(painting[1] * factor))


def name_mask(number: int, count: int) -> str:
    """Return what messages call a mask, counted from 1: `mask 2`, or `mask` where there is one."""
    return f"mask {number}" if count > 1 else "mask"


def check_proportion(field: str, size: Size, photograph: Size) -> None:
    """Check that a map over a photograph has its proportion: within 1 %, or as near as whole pixels can.

    Raises:
        InvalidInput: it has another; one of the same is scaled.
    """
    height, width = size
    across, down = height * photograph[1] / photograph[0], width * photograph[0] / photograph[1]
    if abs(width / across - 1) > PROPORTION and min(abs(width - across), abs(height - down)) > 1:
        sizes = f"{width} x {height} px, the photograph {photograph[1]} x {photograph[0]}"
        raise InvalidInput(Problem(field, f"is {sizes}; it needs the same proportion, within 1 %"))


def compute_held_map(recipe: Recipe, size: Size) -> Size:
    """Return the size at which a map over the photograph is held: as it was sent, or as the largest
    level uses it, whichever is smaller."""
    used = recipe.compute_picture_size(*size)
    return min(used, size, key=max)


def compute_held_start(recipe: Recipe, photograph: Size, start: Size) -> Size:
    """Return the size at which a start picture is held, for the first level of this photograph's."""
    first = compute_levels(recipe, *photograph)[0]
    return _compute_held(start, (first.height, first.width))


def check_start(recipe: Recipe, *, begins: bool) -> None:
    """Check that there is a picture to begin from where the recipe asks for one, and nowhere else, and
    that a draft to grow out of is not larger than the picture.

    Args:
        begins: whether one came.

    Raises:
        InvalidInput: there is none, or it is not asked for; the draft is larger.
    """
    if recipe.grown_from is not None and recipe.grown_from > recipe.size:
        message = f"is {recipe.grown_from} px, more than the {recipe.size} of the picture; leave it out"
        raise InvalidInput(Problem("grown_from", message))
    if recipe.init == "picture" and not begins:
        raise InvalidInput(Problem("init", "is picture, and no picture to begin from came with it"))
    if recipe.init != "picture" and begins:
        raise InvalidInput(Problem("init", f"is {recipe.init}, but a picture to begin from came, too"))


def _compute_held(size: Size, used: Size) -> Size:
    height, width = size
    enough = max(HEADROOM**2 * used[0] * used[1], KEPT_PIXELS)
    shrink = math.sqrt(enough / (height * width))
    if shrink > LITTLE:
        return size
    return max(1, round(height * shrink)), max(1, round(width * shrink))
