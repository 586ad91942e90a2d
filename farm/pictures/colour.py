"""The one way from samples of any model and depth to sRGB.

Their meaning is an ICC profile, or primaries and a transfer function; without any of them they are sRGB.
Little CMS applies profiles; the rest are tables and a matrix:

    samples --table--> linear light --matrix--> linear light of sRGB's primaries --table--> sRGB

Code points: ITU-T H.273. Perceptual quantizer (PQ) and hybrid log-gamma (HLG): ITU-R BT.2100. Diffuse
white, 203 cd/m2, becomes white: ITU-R BT.2408. sRGB: IEC 61966-2-1.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Samples = NDArray[np.uint8] | NDArray[np.uint16]
Floats = NDArray[np.float32]
Chromaticities = tuple[float, ...]  # x and y of red, green, blue and white
Transfer = float | Literal["srgb", "pq", "hlg"]  # a number: light is the sample to this power

SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
SAME = 0.003  # of a chromaticity: files round
USUAL_POWERS = (2.15, 2.25)  # meant is sRGB, whose curve is near 2.2
CURVE_STEPS = 65535  # of linear light; the table from it to sRGB is exact to a twentieth of 1/255
PRIMARIES: dict[int, Chromaticities] = {  # code points of H.273
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,  # not specified
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}
TRANSFERS: dict[int, Transfer] = {  # those of television are shown as sRGB is
    **dict.fromkeys((1, 2, 6, 13, 14, 15), "srgb"),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    16: "pq",
    17: 2.6,
    18: "hlg",
}
WHITE = 203.0  # cd/m2, diffuse
PQ_PEAK = 10_000.0  # cd/m2
HLG_PEAK = 1_000.0  # cd/m2, of the display that HLG's gamma of 1.2 belongs to
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SPACES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK", "Lab ": "LAB"}  # of profiles, in Pillow's modes


class Unsupported(ValueError):
    """A whole picture of a kind that the farm does not read; the message says what to do."""


@dataclass(frozen=True)
class Colour:
    """The meaning of a file's samples; without any of these they are sRGB."""

    # ICC; it goes before the rest, and is ignored where it is broken or for another model.
    profile: bytes | None = None
    primaries: Chromaticities = SRGB_PRIMARIES
    transfer: Transfer = "srgb"
    # Black is at 16/255 and white at 235/255, as in television.
    narrow: bool = False

    @classmethod
    def from_code_points(cls, primaries: int, transfer: int, narrow: bool = False) -> Colour:
        """Return the meaning of two code points of H.273.

        Raises:
            Unsupported: one is not known.
        """
        if primaries not in PRIMARIES or transfer not in TRANSFERS:
            message = f"has colours that the farm does not know (cICP {primaries}, {transfer})"
            raise Unsupported(f"{message}; save it as sRGB")
        return cls(primaries=PRIMARIES[primaries], transfer=TRANSFERS[transfer], narrow=narrow)

    @classmethod
    def from_gamma(cls, gamma: float | None, primaries: Chromaticities | None) -> Colour:
        """Return the meaning of PNG's gAMA and cHRM; values that cannot be are ignored."""
        power = 1 / gamma if gamma and 0.2 <= gamma <= 5 else None
        usual = power is None or USUAL_POWERS[0] < power < USUAL_POWERS[1]
        known = primaries if primaries and _can_be_primaries(primaries) else SRGB_PRIMARIES
        return cls(primaries=known, transfer="srgb" if usual or power is None else power)

    @property
    def is_srgb(self) -> bool:
        """True if samples are sRGB as they are."""
        return not self.profile and self._is_coded_as_srgb

    @property
    def _is_coded_as_srgb(self) -> bool:
        return self.transfer == "srgb" and not self.narrow and self._has_primaries_of_srgb

    @property
    def _has_primaries_of_srgb(self) -> bool:
        return bool(np.allclose(self.primaries, SRGB_PRIMARIES, rtol=0, atol=SAME))


SRGB = Colour()


def convert_samples(samples: Samples, model: str, colour: Colour) -> Floats:
    """Convert samples to sRGB.

    Args:
        samples: (rows, W, C) without transparency; 8 bits only for CMYK and LAB.
        model: L, RGB, CMYK or LAB.

    Returns:
        float32 (rows, W, 3) in [0, 1].
    """
    by_profile = _convert_by_profile(samples, model, colour.profile) if colour.profile else None
    if by_profile is not None:
        return by_profile
    if model in ("CMYK", "LAB"):
        return _convert_inks(samples, model)
    if colour._is_coded_as_srgb:
        values = np.divide(samples, np.iinfo(samples.dtype).max, dtype=np.float32)
    else:
        values = _convert_by_tables(samples, colour)
    return values if model == "RGB" else np.broadcast_to(values, (*values.shape[:2], 3))


# By a profile ------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _open_transform(profile: bytes, model: str) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """Build a transform to sRGB, and name the mode that it takes; None if the profile does not fit.

    Grey pictures may have a profile for RGB.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = SPACES.get(opened.profile.xcolor_space)
        if mode is None or mode not in ({"L", "RGB"} if model == "L" else {model}):
            return None
        # Little CMS's own table for grey is wrong by ten steps of 8 bits where it is dark.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        return mode, ImageCms.buildTransform(opened, _build_srgb(), mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _build_srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _convert_by_profile(samples: Samples, model: str, profile: bytes) -> Floats | None:
    """Convert by a profile as `convert_samples` does; None if it is broken or for another model."""
    if (opened := _open_transform(profile, model)) is None:
        return None
    mode, transform = opened
    if mode == "L":
        return _build_grey_table(profile, int(np.iinfo(samples.dtype).max) + 1)[samples[..., 0]]
    if model == "L":
        samples = samples.repeat(3, axis=2)
    if samples.dtype == np.uint8:
        return _apply(transform, samples, mode)
    return _interpolate(transform, samples, mode)


@lru_cache(maxsize=4)
def _build_grey_table(profile: bytes, levels: int) -> Floats:
    """Build the table from grey samples to sRGB, (levels, 3)."""
    opened = _open_transform(profile, "L")
    assert opened
    few = _apply(opened[1], np.arange(256, dtype=np.uint8)[None, :, None], "L")[0]
    places = np.linspace(0, 255, levels)
    between = [np.interp(places, np.arange(256), few[:, channel]) for channel in range(3)]
    return np.stack(between, axis=-1).astype(np.float32)


def _apply(transform: ImageCms.ImageCmsTransform, samples: NDArray[Any], mode: str) -> Floats:
    """Apply a transform, which knows 8 bits only."""
    converted = transform.apply(_make_image(samples, mode))
    return np.asarray(converted, np.float32) / np.float32(255)


def _make_image(samples: NDArray[Any], mode: str) -> Image.Image:
    height, width = samples.shape[:2]
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(samples, np.uint8).tobytes())


def _interpolate(transform: ImageCms.ImageCmsTransform, samples: NDArray[Any], mode: str) -> Floats:
    """Apply a transform to 16 bits: linear in each channel between two neighbours of 8 bits."""
    below = samples // 257  # 257 * 255 = 65535
    between = ((samples - below * 257) / np.float32(257)).astype(np.float32)
    base = _apply(transform, below, mode)
    result = base.copy()
    for channel in range(samples.shape[2]):
        above = below.copy()
        above[..., channel] = np.minimum(above[..., channel] + 1, 255)
        result += between[..., channel : channel + 1] * (_apply(transform, above, mode) - base)
    return np.clip(result, 0, 1)


def _convert_inks(samples: Samples, model: str) -> Floats:
    """Convert CMYK or L*a*b* of no profile."""
    image = _make_image(samples, model)
    if model == "LAB":
        transform = _open_lab()
        return np.asarray(transform.apply(image), np.float32) / np.float32(255)
    return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)


@lru_cache(maxsize=1)
def _open_lab() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.buildTransform(lab, _build_srgb(), "LAB", "RGB")


# By tables ---------------------------------------------------------------------------------------


def _convert_by_tables(samples: Samples, colour: Colour) -> Floats:
    """Convert L or RGB by table, matrix and table."""
    levels = int(np.iinfo(samples.dtype).max) + 1
    if samples.shape[2] == 1 or (colour._has_primaries_of_srgb and colour.transfer != "hlg"):
        return _build_direct_table(colour, levels)[samples]
    light = _build_light_table(colour, levels)[samples]
    if colour.transfer == "hlg":
        light = _show_hlg(light)
    light = light @ _build_matrix(colour.primaries).T
    steps = (np.clip(light, 0, 1) * CURVE_STEPS + 0.5).astype(np.uint16)
    return _build_curve_table()[steps]


@lru_cache(maxsize=4)
def _build_direct_table(colour: Colour, levels: int) -> Floats:
    """Build the table from samples to sRGB, for which no channel matters to another."""
    light = _build_light_table(colour, levels)
    if colour.transfer == "hlg":
        light = _show_hlg(light[:, None])[:, 0]
    return encode_srgb(np.clip(light, 0, 1)).astype(np.float32)


@lru_cache(maxsize=4)
def _build_light_table(colour: Colour, levels: int) -> Floats:
    """Build the table from samples to linear light, 1 for diffuse white; for HLG, light of the scene."""
    signal = np.linspace(0, 1, levels)
    if colour.narrow:
        signal = np.clip((signal * 255 - 16) / 219, 0, 1)
    match colour.transfer:
        case "srgb":
            light = decode_srgb(signal)
        case "pq":
            light = _decode_pq(signal) * (PQ_PEAK / WHITE)
        case "hlg":
            light = _decode_hlg(signal)
        case power:
            light = signal**power
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _build_curve_table() -> Floats:
    """Build the table from linear light, in steps of 1/65535, to sRGB."""
    return encode_srgb(np.linspace(0, 1, CURVE_STEPS + 1)).astype(np.float32)


def encode_srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Encode linear light in [0, 1] as sRGB."""
    return np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    )


def decode_srgb(signal: NDArray[Any]) -> NDArray[Any]:
    """Decode sRGB in [0, 1] to linear light."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _decode_pq(signal: NDArray[Any]) -> NDArray[Any]:
    """Decode PQ to light, 1 for 10,000 cd/m2 (BT.2100, table 4)."""
    root = signal ** (32 / 2523)
    return (np.maximum(root - 3424 / 4096, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)


def _decode_hlg(signal: NDArray[Any]) -> NDArray[Any]:
    """Decode HLG to light of the scene in [0, 1] (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _show_hlg(scene: Floats) -> Floats:
    """Apply BT.2100's OOTF to light of the scene, (.., 3) or (.., 1); 1 is diffuse white."""
    weights = np.array([0.2627, 0.6780, 0.0593] if scene.shape[-1] == 3 else [1.0], np.float32)
    luminance = np.maximum(scene @ weights, 1e-9)[..., None]
    return np.asarray(scene * luminance**0.2 * (HLG_PEAK / WHITE), np.float32)


@lru_cache(maxsize=4)
def _build_matrix(primaries: Chromaticities) -> Floats:
    """Build the matrix from linear light of these primaries to that of sRGB's, white to white."""
    adapted = _adapt_white(primaries[6:], SRGB_PRIMARIES[6:]) @ _build_xyz(primaries)
    return (np.linalg.inv(_build_xyz(SRGB_PRIMARIES)) @ adapted).astype(np.float32)


def _build_xyz(primaries: Chromaticities) -> NDArray[np.float64]:
    """Build the matrix from linear light to CIE XYZ (SMPTE RP 177)."""
    columns = np.stack([_to_xyz(*primaries[at : at + 2]) for at in (0, 2, 4)], axis=1)
    return np.asarray(columns * np.linalg.solve(columns, _to_xyz(*primaries[6:])))


def _to_xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1, (1 - x - y) / y])


def _adapt_white(one: tuple[float, ...], other: tuple[float, ...]) -> NDArray[np.float64]:
    """Build Bradford's matrix, by which one white becomes the other."""
    cones, wanted = (BRADFORD @ _to_xyz(*white) for white in (one, other))
    return np.asarray(np.linalg.inv(BRADFORD) @ np.diag(wanted / cones) @ BRADFORD)


def _can_be_primaries(primaries: Chromaticities) -> bool:
    """Check that light of these primaries can be converted at all."""
    if min(primaries[1::2]) <= 0:
        return False
    columns = np.stack([_to_xyz(*primaries[at : at + 2]) for at in (0, 2, 4)], axis=1)
    return abs(float(np.linalg.det(columns))) > 1e-3
