"""The frames of one part of a film, painted in order, each held to those before it.

Each frame goes on from the 8 bits of the one before, as they are stored: so a part that was interrupted
gives the same frames, and it does not matter who painted which part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch

from farm.engine.checkpoint import Checkpoint
from farm.engine.feature_cache import FeatureCache, FrameCache
from farm.engine.film.flow import (
    Frame,
    Grey,
    Motion,
    compute_flow_size,
    find_motion,
    find_motions_ahead,
    make_grey,
    move,
)
from farm.engine.guides import NO_GUIDES, Guides, Hold, Source
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, Step, stylize
from farm.engine.passes import OnTile
from farm.recipe import Recipe
from farm.recipe.film import HELD_SHARE, SPACING, STILL, Moving, Part, Role

MOST_STEPS = SPACING  # of flow from an anchor to the one before it
ReadFrame = Callable[[int], Frame]  # by the clip's numbers


@dataclass(frozen=True)
class FrameStep:
    """One iteration of one of a part's frames, as it is reported to whoever paints."""

    # The clip's number of the frame.
    frame: int
    # Frames of the part that are finished, and all of them.
    done: int
    frames: int
    # Share of the part, 0..1.
    progress: float
    step: Step


@dataclass(frozen=True)
class PaintedFrame:
    """A finished frame."""

    # The clip's number.
    frame: int
    # (H, W, 3) sRGB, to be stored as it is.
    picture: Frame
    # Frames of the part that are finished with this one, and all of them.
    done: int
    frames: int


def paint_part(
    part: Part,
    read_frame: ReadFrame,
    read_painted: ReadFrame,
    styles: Sequence[Source],
    recipe: Recipe,
    engine: Engine,
    *,
    done: int = 0,
    moving: Moving = STILL,
    guides: Guides = NO_GUIDES,
    tile: int | Literal["auto"] | None = "auto",
    resume: Checkpoint | None = None,
    on_tile: OnTile = lambda: None,
) -> Iterator[FrameStep | PaintedFrame]:
    """Paint the frames of an anchor or a stretch; yield each iteration, and each finished frame.

    On a CPU the same arguments give the same bits, from any number of finished frames on.

    Args:
        read_frame: returns a frame of the clip, (H, W, 3) sRGB bytes, all of one size. Asked for in
            rising order, in two rounds: first those between which flow is found, then those to paint.
        read_painted: returns a painted frame: `part.before`, `part.after`, and the last finished one.
        recipe: of every frame, but for what moves.
        done: frames of the part that are finished already, and stored.
        moving: settings that move over the film.
        guides: masks, and what stays, of every frame.
        tile, on_tile: see `stylize`. resume: a checkpoint of the first frame that is not finished.

    Raises:
        FlowUnavailable: OpenCV is not installed. InvalidInput, DoesNotFit, RenderFailed: see `stylize`.
    """
    motions = _find_motions(part, read_frame, recipe, done)
    number_of = len(part.frames)
    before = part.frames[done - 1] if done else part.before
    last = None if before is None else read_painted(before)
    ahead = None if part.after is None or done == number_of else read_painted(part.after)
    cache, latest = FeatureCache(), None
    for frame, found in zip(part.frames[done:], motions, strict=True):
        own = moving.apply(recipe, frame, len(styles))
        if _compares(own) != latest:
            cache, latest = FeatureCache(), _compares(own)
        hold = None if last is None else found.hold(last, ahead)
        steps = stylize(
            np.require(read_frame(frame), requirements="W"),  # torch warns of others
            styles,
            own if part.role is Role.ANCHOR else shorten(own),
            engine,
            guides=replace(guides, hold=hold),
            tile=tile,
            resume=resume,
            cache=FrameCache(cache, own, guides),
            on_tile=on_tile,
        )
        for step in steps:
            yield FrameStep(frame, done, number_of, (done + step.progress) / number_of, step)
        last, resume, done = to_bytes(step.picture()), None, done + 1
        yield PaintedFrame(frame, last, done, number_of)


def shorten(recipe: Recipe) -> Recipe:
    """Return the recipe of a frame that begins from its neighbour: each level in fewer iterations.

    Coarse levels are for what was hidden, whose strokes would else be of the finest kind alone.
    """
    iterations = tuple(max(1, round(HELD_SHARE * each)) for each in recipe.level_iterations)
    return recipe.model_copy(update={"iterations": iterations})


def to_bytes(picture: Picture) -> Frame:
    """Return a picture in [0, 1] as bytes."""
    return (picture * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def blend_holds(one: Hold, other: Hold, share: float) -> Hold:
    """Return two holds as one, the other's share 0..1; where one alone knows a pixel, that one's."""
    first, second = one.weight * (1 - share), other.weight * share
    whole = (first + second).clamp_(min=1e-6)
    picture = one.picture * (first / whole) + other.picture * (second / whole)
    known = torch.maximum(one.weight, other.weight)
    return Hold(torch.where(known > 0, picture, one.picture), known)


@dataclass(frozen=True)
class _Motions:
    """The ways from a frame to the painted frames that it is held to."""

    # To the one before, found when it is asked for.
    before: Callable[[], Motion]
    # To the anchor ahead. None: there is none.
    ahead: Motion | None = None
    # The anchor's share.
    share: float = 0.0

    def hold(self, last: Frame, ahead: Frame | None) -> Hold:
        """Return what the frame is held to, of its painted neighbours."""
        held = move(last, self.before())
        if self.ahead is None or ahead is None:
            return held
        return blend_holds(held, move(ahead, self.ahead), self.share)


def _find_motions(part: Part, read_frame: ReadFrame, recipe: Recipe, done: int) -> list[_Motions]:
    """Find the ways of each of a part's frames that are not finished to those it is held to."""
    left = part.frames[done:]
    before = part.frames[done - 1] if done else part.before
    if before is None or not left:
        return [_Motions(_find_nothing)] * len(left)
    if part.role is Role.ANCHOR:
        greys = _read_greys(_list_steps(before, left[0]), read_frame, recipe)
        return [_Motions(lambda: find_motions_ahead(greys[::-1])[0])]
    path = (before, *left) if part.after is None else (before, *left, part.after)
    greys = _read_greys(path, read_frame, recipe)
    pairs = [partial(find_motion, greys[i], greys[i - 1]) for i in range(1, len(left) + 1)]
    if part.after is None:
        return [_Motions(pair) for pair in pairs]
    shares = [(done + i) / (len(part.frames) + 1) for i in range(1, len(left) + 1)]
    return [_Motions(*each) for each in zip(pairs, find_motions_ahead(greys[1:]), shares, strict=True)]


def _find_nothing() -> Motion:
    raise AssertionError("a frame without a neighbour is held to nothing")


def _list_steps(before: int, frame: int) -> tuple[int, ...]:
    """List the numbers of frames from one to another by which flow is found, both included."""
    steps = min(frame - before, MOST_STEPS)
    return tuple(before + round(i * (frame - before) / steps) for i in range(steps + 1))


def _read_greys(numbers: Sequence[int], read_frame: ReadFrame, recipe: Recipe) -> list[Grey]:
    """Read frames of the clip, in rising order, as flow is found between them."""
    greys: list[Grey] = []
    for number in numbers:
        frame = read_frame(number)
        sent = (frame.shape[0], frame.shape[1])
        greys.append(make_grey(frame, compute_flow_size(sent, recipe.compute_picture_size(*sent))))
    return greys


def _compares(recipe: Recipe) -> tuple[object, ...]:
    """Return the settings that what is found out about the paintings depends on, of those that move."""
    return recipe.style_scale, recipe.blend
