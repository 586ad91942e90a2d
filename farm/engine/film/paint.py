"""The frames of one part of a film, painted in order, each held to those before it.

Each frame goes on from the 8 bits of the one before, as they are stored: so a part that was interrupted
gives the same frames, and it does not matter who painted which part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from farm.engine.checkpoint import Checkpoint
from farm.engine.feature_cache import FeatureCache, FrameCache
from farm.engine.film.flow import (
    Frame,
    Motion,
    find_motion,
    find_motions_ahead,
    find_still,
    keep_still,
    move,
    shrink_frame,
)
from farm.engine.film.follow import Maps, ReadMaps, apply_maps, follow, stack_maps
from farm.engine.guides import NO_GUIDES, Guides, Hold, Source
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, Step, stylize
from farm.engine.passes import OnTile
from farm.recipe import Recipe
from farm.recipe.film import SPACING, STILL, Moving, Part, Role, shorten_iterations
from farm.recipe.picture_sizes import compute_flow_size

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
    # Of an anchor whose maps go with its things: to be stored before it, and read by `read_maps`.
    maps: Maps | None = None


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
    read_maps: ReadMaps | None = None,
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
        guides: masks, and what stays, of every shot's first frame.
        read_maps: returns the maps of `part.before`, as it had them; None: all frames have the same.
        tile, on_tile: see `stylize`. resume: a checkpoint of the first frame that is not finished.

    Raises:
        FlowUnavailable: OpenCV is not installed. InvalidInput, DoesNotFit, RenderFailed: see `stylize`.
    """
    painted = _Neighbours(part, read_painted, done)
    path = _read_path(part, read_frame, recipe) if done < len(part.frames) else []
    motions, maps = _find_motions(part, path, done), _find_maps(part, path, guides, read_maps)
    resting = None if part.before is None else moving.apply(recipe, part.before, len(styles))
    cache, latest = FeatureCache(), None
    for frame, found, mine in zip(part.frames[done:], motions, maps[done:], strict=True):
        own = moving.apply(recipe, frame, len(styles))
        if _compares(own) != latest:
            cache, latest = FeatureCache(), _compares(own)
        hold = found.hold(painted, rests=own == resting)
        here = guides if mine is None or part.before is None else apply_maps(guides, mine)
        if painted.anchor is not None and hold is not None and _stays(hold):
            picture = painted.anchor
        else:
            steps = stylize(
                np.require(read_frame(frame), requirements="W"),  # torch warns of others
                styles,
                own if part.role is Role.ANCHOR else shorten_iterations(own),
                engine,
                guides=replace(here, hold=hold),
                tile=tile,
                resume=resume,
                cache=FrameCache(cache, own, here),
                on_tile=on_tile,
            )
            for step in steps:
                progress = (done + step.progress) / len(part.frames)
                yield FrameStep(frame, done, len(part.frames), progress, step)
            picture = to_bytes(step.picture())
        painted.last, resume, done = picture, None, done + 1
        kept = mine if part.role is Role.ANCHOR else None
        yield PaintedFrame(frame, picture, done, len(part.frames), kept)


def _stays(hold: Hold) -> bool:
    """Return whether all of a frame is as it was, so that there is nothing to paint."""
    return hold.stays is not None and float(hold.stays.min()) == 1


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


class _Neighbours:
    """The painted frames that frames of a part are held to.

    Attributes:
        anchor: the one before the part. last: the one before the frame. ahead: the one after the part.
    """

    def __init__(self, part: Part, read_painted: ReadFrame, done: int) -> None:
        left = done < len(part.frames)
        self.anchor = read_painted(part.before) if left and part.before is not None else None
        self.last = read_painted(part.frames[done - 1]) if left and done else self.anchor
        self.ahead = read_painted(part.after) if left and part.after is not None else None


@dataclass(frozen=True)
class _Motions:
    """The ways from a frame to the painted frames that it is held to, most found when asked for."""

    # To the last one.
    before: Callable[[], Motion]
    # Where it is as it was in the anchor before.
    still: Callable[[], NDArray[np.float32]]
    # To the anchor ahead. None: there is none.
    ahead: Motion | None = None
    # The anchor's share.
    share: float = 0.0

    def hold(self, painted: _Neighbours, *, rests: bool) -> Hold | None:
        """Return what the frame is held to; rests: its settings are those of the anchor before."""
        if painted.last is None or painted.anchor is None:
            return None
        held = move(painted.last, self.before())
        if self.ahead is not None and painted.ahead is not None:
            held = blend_holds(held, move(painted.ahead, self.ahead), self.share)
        return keep_still(held, painted.anchor, self.still()) if rests else held


def _read_path(part: Part, read_frame: ReadFrame, recipe: Recipe) -> list[Frame]:
    """Read the frames of the clip between which flow is found: from the anchor before a part, if there
    is one, to its last frame and the anchor ahead."""
    after = () if part.after is None else (part.after,)
    if part.before is not None and part.role is Role.ANCHOR:
        return _read(_list_steps(part.before, part.frames[0]), read_frame, recipe)
    before = () if part.before is None else (part.before,)
    return _read((*before, *part.frames, *after), read_frame, recipe)


def _find_motions(part: Part, path: Sequence[Frame], done: int) -> list[_Motions]:
    """Find the ways of each of a part's frames that are not finished to those it is held to."""
    left = part.frames[done:]
    if part.before is None or not left:
        return [_Motions(_find_nothing, _find_nothing)] * len(left)
    if part.role is Role.ANCHOR:
        steps = path[::-1]
        return [_Motions(lambda: find_motions_ahead(steps)[0], partial(find_still, steps[0], steps[-1]))]
    pairs = zip(path[done + 1 :], path[done:], strict=False)
    found = [
        _Motions(partial(find_motion, *pair), partial(find_still, pair[0], path[0]))
        for pair in islice(pairs, len(left))
    ]
    if part.after is None:
        return found
    shares = [(done + i) / (len(part.frames) + 1) for i in range(1, len(left) + 1)]
    ahead = zip(found, find_motions_ahead(path[done + 1 :]), shares, strict=True)
    return [replace(each, ahead=motion, share=share) for each, motion, share in ahead]


def _find_maps(
    part: Part, path: Sequence[Frame], guides: Guides, read_maps: ReadMaps | None
) -> list[Maps | None]:
    """Find the maps of each of a part's frames, as they go from its anchor; None: they stay.

    Of the finished frames, too, since they go from frame to frame.
    """
    if read_maps is None or not path or not (guides.masks or guides.keep is not None):
        return [None] * len(part.frames)
    if part.before is None:
        height, width, _ = path[0].shape
        return [stack_maps(guides, (height, width))]
    steps = path if part.after is None else path[:-1]
    found: list[Maps | None] = [*follow(read_maps(part.before), steps)]
    return found[-len(part.frames) :]


def _find_nothing() -> Any:
    raise AssertionError("a frame without a neighbour is held to nothing")


def _list_steps(before: int, frame: int) -> tuple[int, ...]:
    """List the numbers of frames from one to another by which flow is found, both included."""
    steps = min(frame - before, MOST_STEPS)
    return tuple(before + round(i * (frame - before) / steps) for i in range(steps + 1))


def _read(numbers: Sequence[int], read_frame: ReadFrame, recipe: Recipe) -> list[Frame]:
    """Read frames of the clip, in rising order, at the size at which flow is found between them."""
    found: list[Frame] = []
    for number in numbers:
        frame = read_frame(number)
        sent = (frame.shape[0], frame.shape[1])
        found.append(shrink_frame(frame, compute_flow_size(sent, recipe.compute_picture_size(*sent))))
    return found


def _compares(recipe: Recipe) -> tuple[object, ...]:
    """Return the settings that what is found out about the paintings depends on, of those that move."""
    return recipe.style_scale, recipe.blend
