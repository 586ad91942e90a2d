"""Colours of video: which matrix and range a frame has, and how HDR and wide gamuts become sRGB.

BT.709's and BT.601's own curves are taken for sRGB's, as players do. HDR (PQ, HLG) is mapped: 203 cd/m2
are white (ITU-R BT.2408), what is brighter is rolled off above KNEE towards PEAK, hue kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.errors import InvalidInput, Problem
from farm.pictures.pixels import Pixels

RGB, BT709, UNKNOWN, FCC, BT470BG, SMPTE170M, SMPTE240M = 0, 1, 2, 4, 5, 6, 7  # matrices, ITU-T H.273
BT2020, BT2020_CONSTANT = 9, 10
SCALERS = {  # swscale's number of each matrix
    BT709: 1,
    FCC: 4,
    BT470BG: 5,
    SMPTE170M: 5,
    SMPTE240M: 7,
    BT2020: 9,
    BT2020_CONSTANT: 9,
}
LIMITED, FULL = 1, 2
PQ, HLG = 16, 18  # curves
WIDE, P3 = 9, 12  # primaries
HD_LINES = 720
TO_SRGB = {  # linear light of these primaries -> of BT.709's, from their chromaticities, D65
    WIDE: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
WHITE = 203.0  # cd/m2
PEAK = 1000.0 / WHITE
KNEE = 0.75
HDR_SIDE_DATA = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
NO_TAGS = "is HDR, but does not say by which curve; tag it as PQ or HLG, or save it as SDR"

Light = NDArray[np.float32]


@dataclass(frozen=True)
class Scheme:
    """Conversion of a frame's samples to sRGB."""

    # swscale's number; None: the samples are RGB.
    matrix: int | None
    range: int
    # Of H.273, where they are more than matrix and range can mend.
    curve: int = 0
    primaries: int = 0
    # Whether it is transparent anywhere; it is then laid over white.
    alpha: bool = False

    @classmethod
    def from_frame(cls, frame: Any) -> Scheme:
        """Read the tags of FFmpeg's frame.

        Raises:
            InvalidInput: there is no rule for them.
        """
        curve = frame.color_trc if frame.color_trc in (PQ, HLG) else 0
        tells_nothing = frame.color_trc in (0, UNKNOWN)
        if tells_nothing and any(data.type.name in HDR_SIDE_DATA for data in frame.side_data):
            raise InvalidInput(Problem("", NO_TAGS))
        primaries = frame.color_primaries if frame.color_primaries in TO_SRGB else 0
        alpha = any(component.is_alpha for component in frame.format.components)
        if frame.format.is_rgb or frame.format.name.startswith("pal"):
            return cls(None, FULL, curve, primaries, alpha)
        if frame.format.name.startswith("gray"):
            return cls(None, frame.color_range or LIMITED, curve, primaries, alpha)
        full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
        return cls(_find_matrix(frame), FULL if full else LIMITED, curve, primaries, alpha)

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of what the matrix makes."""
        if self.curve or self.primaries:
            return "rgb48le"
        return "rgba" if self.alpha else "rgb24"

    def convert(self, samples: NDArray[Any]) -> Pixels:
        """Convert what the matrix made, H x W x 3, or 4 with alpha, to H x W x 3, uint8, in sRGB."""
        if not (self.curve or self.primaries):
            return _lay_over_white(samples) if self.alpha else samples
        light = _build_table(self.curve)[samples]
        if self.curve == HLG:  # its system gamma for 1000 cd/m2, ITU-R BT.2100
            weights = np.array((0.2627, 0.6780, 0.0593), np.float32)
            light *= np.maximum(light @ weights, 1e-6)[..., None] ** np.float32(0.2)
            light *= np.float32(PEAK)
        if self.primaries:
            light = light @ np.array(TO_SRGB[self.primaries], np.float32).T
        if self.curve:
            light = _roll_off(light)
        return _encode(light)


def _lay_over_white(samples: Pixels) -> Pixels:
    colours, alpha = samples[..., :3].astype(np.uint16), samples[..., 3:]
    laid: Pixels = ((colours * alpha + 255 * (255 - alpha.astype(np.uint16)) + 127) // 255).astype(
        np.uint8
    )
    return laid


def _find_matrix(frame: Any) -> int:
    matrix = frame.colorspace
    if matrix in (UNKNOWN, 3, RGB):
        matrix = BT709 if max(frame.height, frame.width * 9 // 16) >= HD_LINES else SMPTE170M
    if matrix not in SCALERS:
        raise InvalidInput(Problem("", f"has colours by matrix {matrix}, which is not read here"))
    return SCALERS[matrix]


@cache
def _build_table(curve: int) -> Light:
    """Build linear light by sample of 16 bits: 1 is white; of HLG, the scene's, 1 is its brightest."""
    signal = np.arange(65536) / 65535
    if curve == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        light = 10_000 / WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    elif curve == HLG:  # ITU-R BT.2100
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _roll_off(light: Light) -> Light:
    """Bring [0, PEAK] to [0, 1]: unchanged to KNEE, then ever flatter; all channels by one factor."""
    brightest = np.clip(light.max(axis=-1, keepdims=True), 1e-6, PEAK)
    above = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
    most = (PEAK - KNEE) / (1 - KNEE)
    rolled = np.minimum(brightest, KNEE) + (1 - KNEE) * above * (1 + above / most**2) / (1 + above)
    shown: Light = light * (rolled / brightest)
    return shown


def _encode(light: Light) -> Pixels:
    light = np.clip(light, 0, 1)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    pixels: Pixels = np.rint(signal * 255).astype(np.uint8)
    return pixels
