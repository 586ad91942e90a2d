"""Maps over a film's frames, masks of paintings and what stays, that go with what they are on.

They are given for a shot's first frame. A map of another frame is that of the anchor before it, seen
at the place where each pixel was in the anchor. That place is carried from frame to frame along the
flow, and found again by flow straight to the anchor where the frames then fit better.

A pixel whose flow cannot be trusted, because something came into view, lies beyond the border or looks
otherwise than before, goes by the nearest pixel that can, inside or outside each map, whichever it
resembles: it moved as that one did, if it is found again there, or else counts as part of it. Where no
pixel can be trusted, the last frame's places stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from farm.engine.film.flow import (
    NEAR,
    SOFTNESS,
    Flow,
    Frame,
    Motion,
    Soft,
    blur,
    chain_flows,
    choose_fitting,
    find_flow,
    find_motion,
    find_nearest,
    measure_change,
    to_tensor,
)
from farm.engine.film.warp import warp
from farm.engine.guides import Guides
from farm.engine.maps import FULL, resize_map
from farm.recipe.picture_sizes import Size

TRUSTED = 0.5  # least weight of a flow along which places are carried
OTHERWISE = 10.0  # of 255: change of colour along the flow beyond which it is not believed
USUAL = 3.0  # times the usual change, which is added to that: light changes, too
INSIDE = 128  # least value of what is inside a map
FAR = 2.0  # of 255: difference in colour that counts as much as a pixel's distance

Maps = NDArray[np.uint8]  # (n, h, w), 255 where each map holds: masks in their order, then what stays
ReadMaps = Callable[[int], Maps]  # of anchors, by the clip's numbers


def stack_maps(guides: Guides, size: Size) -> Maps:
    """Return the maps of a shot's first frame at the size at which flow is found, (h, w)."""
    whole = [*guides.masks, *(() if guides.keep is None else (guides.keep,))]
    return np.stack([resize_map(each, *size).numpy() for each in whole])


def apply_maps(guides: Guides, maps: Maps) -> Guides:
    """Return the guides with the maps of another frame."""
    count = len(guides.masks)
    return replace(guides, masks=tuple(maps[:count]), keep=None if guides.keep is None else maps[count])


def follow(maps: Maps, path: Sequence[Frame]) -> Iterator[Maps]:
    """Yield the maps of each frame after an anchor, whose own these are.

    Args:
        path: the clip's frames from the anchor's on, at the size of the maps.
    """
    follower = Follower(maps, path[0])
    for last, frame in pairwise(path):
        yield follower.step(find_motion(frame, last), frame)


class Follower:
    """Maps that go from an anchor through the frames after it.

    Args:
        maps: the anchor's. frame: the clip's there, at the size of the maps.
    """

    def __init__(self, maps: Maps, frame: Frame) -> None:
        self._maps, self._frame = torch.from_numpy(maps)[None].float(), frame
        self._anchor = self._last = blur(frame, SOFTNESS)
        self._flow = np.zeros((*maps.shape[1:], 2), np.float32)  # to the anchor

    def step(self, motion: Motion, frame: Frame) -> Maps:
        """Return the maps of the next frame.

        Args:
            motion: from the frame to the last one. frame: the clip's.
        """
        soft = blur(frame, SOFTNESS)
        carried = chain_flows(motion.flow, self._flow)
        direct = find_flow(frame, self._frame, carried)
        carried = choose_fitting(carried, direct, soft, self._anchor)
        trusted = (motion.weight >= TRUSTED) & _resembles(self._last, motion.flow, soft)
        trusted &= _resembles(self._anchor, carried, soft)
        if trusted.any():
            self._flow = self._fill(carried, trusted, soft)
        self._last = soft
        return self._see(self._flow)

    def _see(self, flow: Flow) -> Maps:
        seen = warp(self._maps, to_tensor(flow))[0].add_(0.5).clamp_(0, FULL)
        maps: Maps = seen.byte().numpy()
        return maps

    def _fill(self, flow: Flow, trusted: NDArray[np.bool_], soft: Soft) -> Flow:
        """Return a flow to the anchor in which pixels that are not trusted go by others."""
        inside = self._see(flow) >= INSIDE
        kinds = sum(each.astype(np.int64) << n for n, each in enumerate(inside))
        filled, least = flow.copy(), np.full(trusted.shape, np.inf, np.float32)
        for kind in np.unique(kinds[trusted]):
            found, cost = self._go_by(trusted & (kinds == kind), flow, soft)
            better = ~trusted & (cost < least)
            least[better], filled[better] = cost[better], found[better]
        return filled

    def _go_by(
        self, known: NDArray[np.bool_], flow: Flow, soft: Soft
    ) -> tuple[Flow, NDArray[np.float32]]:
        """Return each pixel's flow if it goes by the nearest known one, and how unlikely that is."""
        (rows, columns), distance = find_nearest(known)
        moved = flow[rows, columns]
        H, W = known.shape
        right, down = columns - np.arange(W), rows - np.arange(H)[:, None]
        there = np.stack((right, down), axis=2)
        by_motion = measure_change(self._anchor, moved, soft)
        usual = _average_colours(soft, known)[rows, columns]
        by_colour = np.abs(usual - soft).mean(axis=2)
        found: Flow = np.where((by_motion <= by_colour)[..., None], moved, moved + there)
        return found.astype(np.float32), FAR * distance + np.minimum(by_motion, by_colour)


def _resembles(other: Soft, flow: Flow, soft: Soft) -> NDArray[np.bool_]:
    """Return which pixels look as they did where the flow leads."""
    change = measure_change(other, flow, soft)
    found: NDArray[np.bool_] = change < OTHERWISE + USUAL * np.median(change)
    return found


def _average_colours(soft: Soft, known: NDArray[np.bool_]) -> Soft:
    """Return the usual colour around each pixel of what is known; elsewhere anything."""
    weight = known.astype(np.float32)
    share: NDArray[np.float32] = np.maximum(blur(weight, NEAR), 1e-6)[..., None]
    found: Soft = blur(soft * weight[..., None], NEAR) / share
    return found
