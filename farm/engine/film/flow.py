"""Optical flow between frames, and how far it can be trusted.

Dense inverse search (Kroeger et al. 2016, arXiv 1603.03590) as OpenCV has it. What it finds is checked
there and back, and left out along edges of motion (Sundaram et al. 2010, as in Ruder et al. 2016,
arXiv 1604.08610, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from farm.engine.film.warp import resize_flow, warp
from farm.engine.guides import Hold
from farm.errors import RenderFailed
from farm.recipe.picture_sizes import Size

SOFTNESS = 0.8  # px, sigma of the weights' blur, and of frames that are compared
FITS = 0.9  # of the difference, at most, where another flow is taken
LEAST_COLOUR = 2.0  # of 255: standard deviation from which on flow is looked for by colour, too
COLOUR_GAIN = 2.0
# Share of the flow's square by which there and back may differ, and px^2: by the less they are wholly
# trusted, by the more not at all.
APART = (0.01, 0.5, 4.5)
# Share of the flow's square, and px^2, by which motion may differ in one pixel.
EDGE = (0.01, 0.002)
NEAR = 2.0  # px, sigma of the surroundings in which frames are compared
CHANGED = (1.5, 3.0)  # of 255: mean change of what is still, and of what is not

Frame = NDArray[np.uint8]  # (H, W, 3) sRGB
Flow = NDArray[np.float32]  # (H, W, 2), px to the right and down
Soft = NDArray[np.float32]  # (H, W, 3), a frame without its noise


class FlowUnavailable(RenderFailed):
    """Films need OpenCV, which is not installed here: install the extra `film`."""


@dataclass(frozen=True)
class Motion:
    """Where each pixel of a frame lies in another one, and how far that can be trusted."""

    # Pixel p of the frame lies at p + flow(p) in the other one.
    flow: Flow
    # (H, W) float32 in [0, 1]; 0 where it is hidden there, beyond the border, or not found.
    weight: NDArray[np.float32]


def shrink_frame(frame: Frame, size: Size) -> Frame:
    """Return a frame at the size at which flow is looked for."""
    cv2 = _load()
    if frame.shape[:2] == size:
        return frame
    shrunk: Frame = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
    return shrunk


def find_flow(frame: Frame, other: Frame, guess: Flow | None = None) -> Flow:
    """Find where each pixel of a frame lies in another one, from a guess or none.

    By lightness, and by colour where frames then fit better: in grey, stripes may be taken for others.
    The same bits for any number of threads.

    Raises:
        FlowUnavailable: OpenCV is not installed.
    """
    cv2 = _load()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (frame, other)]
    flow: Flow = search.calc(*greys, None if guess is None else guess.copy())
    if colours := _find_colours(frame, other):
        by_colour: Flow = search.calc(*colours, None if guess is None else guess.copy())
        flow = choose_fitting(flow, by_colour, blur(frame, SOFTNESS), blur(other, SOFTNESS))
    return flow


def choose_fitting(flow: Flow, another: Flow, frame: Soft, other: Soft) -> Flow:
    """Return of two flows from a frame to another one, each blurred, that which fits better around each
    pixel; the first if it is little worse."""
    first, second = (blur(measure_change(other, each, frame), NEAR) for each in (flow, another))
    chosen: Flow = np.where((second < FITS * first)[..., None], another, flow)
    return chosen


def measure_change(other: Soft, flow: Flow, frame: Soft) -> NDArray[np.float32]:
    """Return how far each pixel's colour is from that where the flow leads, (H, W), of 255."""
    change: NDArray[np.float32] = np.abs(sample(other, flow) - frame).mean(axis=2)
    return change


def _find_colours(*frames: Frame) -> list[NDArray[np.uint8]]:
    """Return frames as one channel, the direction in the a, b plane of Lab along which all of their
    colours differ most; none if there is hardly any colour."""
    cv2 = _load()
    labs = [cv2.cvtColor(each, cv2.COLOR_RGB2LAB).astype(np.int64)[..., 1:] - 128 for each in frames]
    a, b = np.concatenate([each.reshape(-1, 2) for each in labs]).T  # whole numbers: sums are exact
    n, pairs = len(a), ((a, a), (a, b), (b, b))
    aa, ab, bb = ((n * int((x * y).sum()) - int(x.sum()) * int(y.sum())) / n**2 for x, y in pairs)
    angle = math.atan2(2 * ab, aa - bb) / 2
    spread = (aa + bb) / 2 + math.hypot((aa - bb) / 2, ab)  # the greater eigenvalue
    if spread < LEAST_COLOUR**2:
        return []
    along = np.array((math.cos(angle), math.sin(angle)))
    return [np.clip(128.5 + COLOUR_GAIN * (lab @ along), 0, 255).astype(np.uint8) for lab in labs]


def find_motion(frame: Frame, other: Frame) -> Motion:
    """Find where each pixel of a frame lies in another one, by flow there and back."""
    return check_flow(find_flow(frame, other), find_flow(other, frame))


def check_flow(there: Flow, back: Flow) -> Motion:
    """Return a flow with its weights, found by the flow back: (H, W, 2) both."""
    cv2 = _load()
    weight = _agree(there, back) * (~_find_edges(there) & _ends_within(there))
    weight = cv2.erode(weight, np.ones((3, 3), np.uint8))
    return Motion(there, cv2.GaussianBlur(weight, (0, 0), SOFTNESS))


def chain_flows(first: Flow, second: Flow) -> Flow:
    """Return the flow along a first one and then a second."""
    return first + sample(second, first)


def find_motions_ahead(frames: Sequence[Frame]) -> list[Motion]:
    """Find where the pixels of each of some frames but the last lie in the last.

    Step by step, since flow is found over short ways only; and from where each leads the whole way is
    found directly, or their errors would add up.
    """
    found: list[Motion] = []
    *others, last = frames
    there = back = np.zeros((*last.shape[:2], 2), np.float32)
    for frame, following in zip(others[::-1], frames[:0:-1], strict=True):
        there = find_flow(frame, last, chain_flows(find_flow(frame, following), there))
        back = find_flow(last, frame, chain_flows(back, find_flow(following, frame)))
        found.append(check_flow(there, back))
    return found[::-1]


def find_still(frame: Frame, other: Frame) -> NDArray[np.float32]:
    """Return where two frames look the same but for noise, (H, W) in [0, 1].

    Compared are frames a little blurred, so that noise matters less than what moves or changes.
    """
    soft = [blur(each, SOFTNESS) for each in (frame, other)]
    apart = blur(np.abs(soft[0] - soft[1]).max(axis=2), NEAR)
    least, most = CHANGED
    still: NDArray[np.float32] = np.clip((most - apart) / (most - least), 0, 1).astype(np.float32)
    return still


def blur(picture: Frame | NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return a picture (H, W) or (H, W, C) blurred by a Gaussian, sigma in px."""
    blurred: NDArray[np.float32] = _load().GaussianBlur(picture.astype(np.float32), (0, 0), sigma)
    return blurred


def sample(values: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """Return values (H, W, C) of where a flow leads."""
    moved = warp(to_tensor(values), to_tensor(flow))[0]
    found: NDArray[np.float32] = moved.permute(1, 2, 0).contiguous().numpy()
    return found


def to_tensor(values: NDArray[np.float32]) -> Tensor:
    """Return values (H, W, C) as (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1)[None]


def find_nearest(
    known: NDArray[np.bool_],
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]]:
    """Return row and column of the known pixel that is nearest to each, and how far that is, px.

    known: (H, W), at least one.
    """
    cv2 = _load()
    others, kind = (~known).astype(np.uint8), cv2.DIST_LABEL_PIXEL
    distance, labels = cv2.distanceTransformWithLabels(others, cv2.DIST_L2, 5, labelType=kind)
    place_of_label = np.zeros(labels.max() + 1, np.intp)
    place_of_label[labels[known]] = np.flatnonzero(known)
    rows, columns = np.unravel_index(place_of_label[labels], known.shape)
    return (rows, columns), distance


def move(painted: Frame, motion: Motion) -> Hold:
    """Return a painted frame as the motion of another frame sees it, at its own size."""
    H, W, _ = painted.shape
    moved = warp(_to_picture(painted), resize_flow(to_tensor(motion.flow), H, W))
    return Hold(moved, resize_weight(motion.weight, H, W))


def keep_still(hold: Hold, painted: Frame, still: NDArray[np.float32]) -> Hold:
    """Return a hold with the pixels of a painted frame, at its place, where the clip is as still."""
    stays = resize_weight(still, *painted.shape[:2])
    picture = torch.lerp(hold.picture, _to_picture(painted), stays)
    return Hold(picture, torch.maximum(hold.weight, stays), stays)


def resize_weight(weight: NDArray[np.float32], height: int, width: int) -> Tensor:
    """Return weights (h, w) at another size, (1, 1, height, width)."""
    whole, size = torch.from_numpy(weight)[None, None], (height, width)
    return F.interpolate(whole, size, mode="bilinear", align_corners=False).clamp_(0, 1)


def _to_picture(painted: Frame) -> Tensor:
    """Return a frame as (1, 3, H, W) in [0, 1]."""
    writable = np.require(painted, requirements="W")  # torch warns of others
    return torch.from_numpy(writable).permute(2, 0, 1)[None].float() / 255


def _agree(there: Flow, back: Flow) -> NDArray[np.float32]:
    """Return how far the flow back leads back: 1 where |w + w'|^2 < 0.01 (|w|^2 + |w'|^2) + 0.5, and
    from there down to 0, since where there is little to see both are a little wrong, nothing hidden."""
    share, least, most = APART
    returned = sample(back, there)
    apart = _square(there + returned) - share * (_square(there) + _square(returned))
    agree: NDArray[np.float32] = np.clip((most - apart) / (most - least), 0, 1).astype(np.float32)
    return agree


def _find_edges(flow: Flow) -> NDArray[np.bool_]:
    """Return where something moves against something else: |grad w|^2 > 0.01 |w|^2 + 0.002."""
    share, least = EDGE
    down, across = (np.gradient(flow, axis=axis).astype(np.float32) for axis in (0, 1))
    found: NDArray[np.bool_] = _square(down) + _square(across) > share * _square(flow) + least
    return found


def _ends_within(flow: Flow) -> NDArray[np.bool_]:
    """Return which pixels' ends lie within the picture."""
    H, W, _ = flow.shape
    across, down = flow[..., 0] + np.arange(W), flow[..., 1] + np.arange(H)[:, None]
    found: NDArray[np.bool_] = (across >= 0) & (across <= W - 1) & (down >= 0) & (down <= H - 1)
    return found


def _square(vectors: Flow) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.square(vectors).sum(axis=2)
    return squares


def _load() -> Any:
    """Return OpenCV's module.

    Raises:
        FlowUnavailable: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise FlowUnavailable from error
    return cv2
