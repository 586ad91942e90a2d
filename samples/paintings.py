"""Three pictures to borrow a style from: oil brushwork, an ink wash and a mosaic.

Each works on a canvas of twice the final size, which `halve` turns into smooth edges.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from brushes import (
    Array,
    Ribbon,
    Rng,
    blend_pictures,
    blur,
    compute_relief_light,
    halve,
    interpolate,
    interpolate_curve,
    interpolate_stops,
    make_bristle_streaks,
    make_grid,
    make_octave,
    parse_colour,
    smoothstep,
    sum_octaves,
)
from numpy.typing import NDArray

Points = tuple[tuple[float, float], ...]

# ---------------------------------------------------------------- oil brushwork

OIL_SHAPE = (820, 1024)
OIL_SUN = (236.0, 690.0)
OIL_SKY = (
    (0.0, "fff3c4"),
    (0.09, "ffd95a"),
    (0.17, "fb9a34"),
    (0.27, "ef5f4c"),
    (0.38, "b8528f"),
    (0.52, "3f6fc0"),
    (0.7, "1f4aa0"),
    (1.0, "16306f"),
)
OIL_HILLS = (  # base row, slope, bump height, colours from ridge to foot
    (455, -25, 26, ((0, "7a5aa8"), (1, "3f7f9f"))),
    (500, 40, 34, ((0, "2f8f86"), (0.6, "4fa85a"), (1, "a8c24a"))),
    (565, -60, 36, ((0, "e7c23c"), (0.5, "e08a2e"), (1, "b8452f"))),
    (660, 50, 30, ((0, "3f9a4c"), (0.5, "1f6b52"), (1, "123f52"))),
)
OIL_CROWNS = (  # row, column, radius of the clumps of the red tree
    (395, 120, 66),
    (410, 275, 72),
    (330, 345, 56),
    (330, 175, 86),
    (265, 285, 80),
    (225, 190, 66),
    (290, 100, 50),
)
OIL_LEAVES = ((0.0, "ffb13b"), (0.3, "ee5a2b"), (0.6, "b3213f"), (1.0, "4a1a4e"))
OIL_SWIRLS = ((150, 420, 1.0), (110, 900, -1.0), (330, 560, -0.7), (60, 120, 0.8), (*OIL_SUN, 1.3))
OIL_PASSES = (  # half width and length in canvas pixels, strokes, share kept to the details
    (30, 300, 1300, 0.0),
    (17, 190, 3400, 0.0),
    (10, 120, 5200, 0.3),
    (5.5, 64, 6000, 0.75),
    (3.5, 30, 16000, 0.97),
)


def make_oil_sky(rng: Rng) -> tuple[Array, Array]:
    """Make the sky's colours (H, W, 3) and the angle (H, W) its strokes follow round the swirls."""
    y, x = make_grid(OIL_SHAPE)
    flow_y, flow_x = 0.15 * sum_octaves(OIL_SHAPE, 220, rng, 2), np.full(OIL_SHAPE, 0.55, np.float32)
    for row, column, turn in OIL_SWIRLS:
        dy, dx = y - row, x - column
        r = np.hypot(dy, dx) + 1
        pull = turn * 2.2 * np.exp(-((r / 150) ** 2))
        flow_y += pull * dx / r
        flow_x -= pull * dy / r
    distance = np.hypot(y - OIL_SUN[0], x - OIL_SUN[1]) / 900
    streams = y, x
    for _ in range(14):  # smear noise along the flow, so that colours run in streams
        streams = (
            streams[0] - 5 * interpolate(flow_y, *streams),
            streams[1] - 5 * interpolate(flow_x, *streams),
        )
    bands = interpolate(sum_octaves(OIL_SHAPE, 60, rng, 3), *streams)
    return interpolate_stops(OIL_SKY, distance + 0.055 * bands), np.arctan2(flow_y, flow_x)


def make_oil_guide(rng: Rng) -> tuple[Array, Array]:
    """Make the colours (H, W, 3) and stroke angles (H, W) of the valley that the painter follows."""
    picture, angle = make_oil_sky(rng)
    y, x = make_grid(OIL_SHAPE)
    for base, slope, bump, stops in OIL_HILLS:
        wave = bump * make_octave((1, OIL_SHAPE[1]), (1, 260), rng)[0]
        ridge = base + slope * (x[0] / 1024 - 0.5) * 2 + wave
        depth = (y - ridge) / 110
        furrows = np.sin((y - ridge) * 0.16 + x * 0.012 * np.sign(slope)) * 0.13
        land = depth > 0
        colours = interpolate_stops(stops, depth + furrows + 0.1 * sum_octaves(OIL_SHAPE, 50, rng, 3))
        picture[land] = colours[land]
        tilt = np.broadcast_to(np.arctan(np.gradient(ridge)), OIL_SHAPE)
        angle[land] = (tilt + 0.25 * np.sign(slope) * np.clip(depth, 0, 2))[land]
    draw_oil_path(picture, angle)
    draw_oil_tree(picture, angle, rng)
    return picture, angle


def draw_oil_path(picture: Array, angle: Array) -> None:
    """Wind a pale road up to a white house with a red roof, in place."""
    y, x = make_grid(OIL_SHAPE)
    t = np.clip((820 - y) / 270, 0, 1)
    middle = 560 + 190 * np.sin(t * 3.6) * (1 - 0.55 * t) + 60 * t
    road = (np.abs(x - middle) < 74 * (1 - t) ** 1.6 + 4) & (y > 556)
    picture[road] = interpolate_stops(((0, "f2b8a0"), (0.5, "f7e3b0"), (1, "fff0cf")), t)[road]
    angle[road] = (np.pi / 2 + np.arctan(-np.gradient(middle, axis=0)))[road]
    walls = (abs(x - 652) < 40) & (y > 520) & (y < 562)
    roof = (abs(x - 652) < 56 - (520 - y) * 0.75) & (y > 486) & (y <= 520)
    for part, colour, lean in ((walls, "f6efe0", np.pi / 2), (roof, "d43a2a", 0.15)):
        picture[part], angle[part] = parse_colour(colour), lean
    shade = walls & (x > 668)
    picture[shade] = parse_colour("7d88c4")
    picture[walls & (abs(x - 640) < 7) & (y > 535)] = parse_colour("28366e")


def draw_oil_tree(picture: Array, angle: Array, rng: Rng) -> None:
    """Set a windswept red tree in front of the valley at the left, in place."""
    y, x = make_grid(OIL_SHAPE)
    for foot, fork, width in (((730, 205), (380, 215), 17), ((600, 210), (330, 300), 9)):
        t = np.clip((foot[0] - y) / (foot[0] - fork[0]), 0, 1)
        middle = foot[1] + (fork[1] - foot[1]) * t**2 + 9 * np.sin(5 * t)
        flare = width * (1.25 - 0.7 * t) + 26 * np.exp(-t * 16)
        trunk = (abs(x - middle) < flare) & (y < foot[0]) & (y > fork[0])
        picture[trunk] = interpolate_stops(((-1, "2a1638"), (1, "b0583f")), (x - middle) / flare)[trunk]
        angle[trunk] = np.pi / 2 - 0.1
    ragged = 0.2 * sum_octaves(OIL_SHAPE, 55, rng, 4)
    leafy = sum_octaves(OIL_SHAPE, 45, rng, 2)
    for row, column, radius in OIL_CROWNS:
        dy, dx = (y - row) / radius, (x - column) / radius
        crown = np.hypot(dy, dx) + ragged < 1
        lit = 0.45 + 0.42 * (dy * 0.75 - dx * 0.65) + 0.9 * ragged
        picture[crown] = interpolate_stops(OIL_LEAVES, lit)[crown]
        angle[crown] = (np.arctan2(dx, -dy) + 0.9 * leafy)[crown]


def follow(angle: Array, start: tuple[float, float], length: float, nodes: int = 9) -> Array:
    """Walk along a field of angles from a canvas point; gives a canvas path (nodes, 2)."""
    path = [start]
    for _ in range(nodes - 1):
        y, x = path[-1]
        row = min(max(int(y) // 2, 0), angle.shape[0] - 1)
        column = min(max(int(x) // 2, 0), angle.shape[1] - 1)
        step = length / (nodes - 1)
        path.append((y + step * np.sin(angle[row, column]), x + step * np.cos(angle[row, column])))
    return np.array(path, np.float32)


def draw_oil_stroke(canvas: Array, height: Array, ribbon: Ribbon, colour: Array, rng: Rng) -> None:
    """Lay one loaded brush down: colour and paint thickness, in place."""
    edge = np.abs(ribbon.across)
    worn = 3.6 * smoothstep(0.62, 1.05, ribbon.along) + 1.2 * smoothstep(0.75, 1.1, edge)
    covered = ribbon.visible(ribbon.bristle > worn - 2.2, height.shape)
    second = colour + rng.normal(0, 0.075, 3).astype(np.float32)
    blend = smoothstep(-1.2, 1.2, ribbon.across + 0.7 * ribbon.bristle)
    paint = blend_pictures(colour, second, blend) * (1 + 0.05 * ribbon.bristle[..., None])
    thick = 0.30 * ribbon.bristle + 0.9 * edge**4 - 0.5 * ribbon.along + rng.uniform(0, 1)
    rows, columns = ribbon.rows[covered], ribbon.columns[covered]
    canvas[rows, columns] = paint[covered]
    height[rows, columns] = thick[covered]


def make_brushwork() -> Array:
    """Paint a valley at sunset in thick oil strokes that swirl with sky, hills and tree."""
    rng = np.random.default_rng(11)
    guide, angle = make_oil_guide(rng)
    streaks = make_bristle_streaks(rng)
    shape = (OIL_SHAPE[0] * 2, OIL_SHAPE[1] * 2)
    canvas = np.empty((*shape, 3), np.float32)
    canvas[:] = parse_colour("5a2f3a")
    height = np.zeros(shape, np.float32)
    contrast = np.abs(guide - blur(guide, 5)).sum(axis=2)
    detail = smoothstep(0.1, 0.35, blur(contrast, 2))
    taper = np.array([0.45, 0.8, 0.95, 1, 1, 0.97, 0.9, 0.75, 0.5])
    for width, length, count, fussy in OIL_PASSES:
        for _ in range(count):
            y, x = rng.random(2) * OIL_SHAPE
            if rng.random() < fussy * (1 - detail[int(y), int(x)]):
                continue
            colour = guide[int(y), int(x)] * rng.uniform(0.84, 1.16) + rng.normal(0, 0.03, 3)
            path = follow(
                angle,
                (2 * y, 2 * x),
                length * rng.uniform(0.6, 1.3) * (1 - 0.45 * detail[int(y), int(x)]),
            )
            path += (2 * y, 2 * x) - path[len(path) // 2]
            ribbon = Ribbon(path, width * rng.uniform(0.7, 1.2) * taper, streaks, rng)
            draw_oil_stroke(canvas, height, ribbon, colour.astype(np.float32), rng)
    light = compute_relief_light(blur(height, 1))
    shine = smoothstep(0.25, 0.9, light)
    lit = canvas * (0.97 + 0.7 * np.clip(light, -0.8, 0.8))[..., None]
    return halve(lit + 0.22 * shine[..., None])


# ---------------------------------------------------------------- ink wash

INK_SHAPE = (2048, 1536)
PAPER = "f0e6d2"
INK_ABSORBS = np.array([1.0, 0.97, 0.90], np.float32)  # a warm black
SEAL = "b3271e"
PEAKS = (  # strength, fade length, then (column, top row, half width) of each hump
    (0.34, 330, ((260, 470, 120), (520, 330, 105), (700, 520, 140), (1250, 560, 170))),
    (0.64, 300, ((150, 700, 130), (420, 560, 110), (610, 800, 120), (960, 860, 150))),
    (1.35, 300, ((40, 960, 150), (250, 880, 105), (430, 1090, 130))),
)
BLOOMS = (  # row, column, radius, darkness of the rim
    (1150, 760, 170, 0.11),
    (1290, 330, 220, 0.11),
    (240, 880, 230, 0.035),
    (1900, 1050, 240, 0.13),
    (1740, 700, 130, 0.06),
)
CANES = (  # foot and top as (row, column), half width, darkness
    ((2120, 1230), (-60, 1120), 15, 0.45),
    ((2120, 1400), (-60, 1330), 27, 1.25),
    ((2120, 1130), (420, 1010), 9, 0.7),
)
LEAF_CLUSTERS = (  # row, column, leaves, length, darkness
    (330, 1120, 8, 260, 1.5),
    (250, 1340, 9, 290, 0.45),
    (820, 1370, 9, 310, 0.5),
    (1400, 1400, 8, 270, 1.3),
    (560, 1330, 8, 300, 2.0),
    (700, 1040, 6, 210, 0.9),
    (180, 1370, 7, 260, 0.6),
    (900, 1290, 7, 270, 1.6),
    (1180, 1380, 6, 280, 2.1),
    (470, 960, 6, 200, 1.7),
    (1080, 1090, 5, 200, 0.7),
)


def draw_ink_mountains(density: Array, grain: Array, rng: Rng) -> None:
    """Wash in three ranges of steep peaks that dissolve downwards into mist."""
    y, x = make_grid(INK_SHAPE)
    wet = sum_octaves(INK_SHAPE, 260, rng, 5)
    for strength, fade, humps in PEAKS:
        profile = np.full(INK_SHAPE[1], 5000.0)
        for column, top, width in humps:
            hump = top + (np.abs(x[0] - column) / width) ** 2.4 * 190
            profile = np.minimum(profile, hump)
        profile += 16 * sum_octaves((1, INK_SHAPE[1]), (1, 90), rng, 6)[0]
        below = y - profile + 5 * sum_octaves(INK_SHAPE, 24, rng, 3)
        wash = smoothstep(-3, 9, below) * np.exp(-np.clip(below, 0, None) / fade)
        rim = np.exp(-((np.clip(below, 0, None) / 20) ** 2)) * smoothstep(-3, 5, below)
        mist = smoothstep(-0.9, 0.9, wet + 0.5 - (y - 1000) / 420)
        density += strength * mist * wash * (0.55 + 0.16 * sum_octaves(INK_SHAPE, 70, rng, 4))
        density += 0.35 * strength * mist * rim
        slope = 26 * np.sin(x / 97 + y / 211)
        strokes = interpolate(sum_octaves(INK_SHAPE, (120, 15), rng, 3), y, x + slope)
        dry = smoothstep(0.55, 1.1, strokes + 0.4 * grain) * smoothstep(4, 30, below)
        density += 0.75 * strength * mist * dry * np.exp(-np.clip(below, 0, None) / (0.6 * fade))


def draw_ink_bloom(
    density: Array, row: float, column: float, radius: float, dark: float, rng: Rng
) -> None:
    """Let a drop of water push the pigment outwards into a feathered, dark-edged bloom."""
    y, x = make_grid(INK_SHAPE)
    r = np.hypot((y - row) * 1.25, x - column) / radius
    r += 0.16 * sum_octaves(INK_SHAPE, 130, rng, 7, 0.62)
    inner, outer = 0.16, 0.03
    rim = np.exp(-(((r - 1) / np.where(r < 1, inner, outer)) ** 2))
    density += dark * (rim - 0.75 * smoothstep(1.0, 0.4, r))


def draw_ink_stroke(density: Array, grain: Array, ribbon: Ribbon, dark: float, dryness: float) -> None:
    """Draw with a round brush: dark at first, streaky and broken by the paper as it dries."""
    edge = np.abs(ribbon.across)
    dry = dryness * smoothstep(0.25, 1.0, ribbon.along) + 0.25 * dryness + 0.9 * edge**3
    here = ribbon.visible(np.full(ribbon.rows.shape, True), density.shape)
    rows, columns = ribbon.rows[here], ribbon.columns[here]
    hold = (ribbon.bristle - 1.6 * dry + 1.9)[here] + 0.8 * grain[rows, columns]
    load = (dark * (1 - 0.35 * ribbon.along) * (0.86 + 0.14 * edge + 0.1 * ribbon.bristle))[here]
    np.maximum.at(density, (rows, columns), load * smoothstep(0.0, 0.5, hold))


def draw_bamboo(density: Array, grain: Array, rng: Rng) -> None:
    """Add canes in jointed dry strokes, then clusters of tapering leaves."""
    streaks = make_bristle_streaks(rng)
    for foot, top, width, dark in CANES:
        bend = (np.mean((foot[0], top[0])), np.mean((foot[1], top[1])) + 34)
        cane = interpolate_curve((foot, bend, top), 600)
        joints = np.linspace(0, 599, 9).astype(int) + rng.integers(-10, 10, 9)
        joints = np.clip(joints, 0, 599)
        for a, b in pairwise(joints):
            part = cane[a + 4 : b - 3]
            ends = 1 + 0.22 * np.abs(np.linspace(-1, 1, len(part))) ** 7
            draw_ink_stroke(density, grain, Ribbon(part, width * ends, streaks, rng), dark, 0.9)
            y, x = cane[b]
            node = interpolate_curve(((y + 4, x - width * 1.3), (y - 2, x), (y + 4, x + width * 1.3)), 9)
            draw_ink_stroke(density, grain, Ribbon(node, width * 0.17, streaks, rng), dark * 1.7, 0.2)
    for row, column, count, length, dark in LEAF_CLUSTERS:
        lean = rng.choice((0.75, 2.3)) + rng.normal(0, 0.2)
        for heading in lean + rng.normal(0, 0.66, count):
            reach = length * rng.uniform(0.5, 1.2)
            dy, dx = reach * np.sin(heading), reach * np.cos(heading)
            middle = (row + 0.5 * dy - 0.1 * abs(dx), column + 0.5 * dx)
            leaf = interpolate_curve(((row, column), middle, (row + dy, column + dx)), 30)
            t = np.linspace(0, 1, 30)
            width = (9 + reach * 0.045) * np.sin(np.pi * t**0.55) ** 0.9 + 0.8
            tone = dark * rng.uniform(0.55, 1.15)
            dryness = rng.choice((0.1, 0.25, 0.8))
            draw_ink_stroke(density, grain, Ribbon(leaf, width, streaks, rng), tone, dryness)


def draw_ink_water(density: Array, grain: Array, rng: Rng) -> None:
    """Add a few ripples, a small boat with its boatman, and a flight of birds."""
    streaks = make_bristle_streaks(rng)

    def line(points: Points, width: Array | float, dark: float, dryness: float = 0.3) -> None:
        draw_ink_stroke(
            density, grain, Ribbon(interpolate_curve(points), width, streaks, rng), dark, dryness
        )

    for _ in range(16):
        row, column = rng.uniform(1480, 1960), rng.uniform(40, 900)
        reach = rng.uniform(60, 260)
        points = ((row, column), (row - 5, column + reach / 2), (row + 2, column + reach))
        line(points, 2.2, rng.uniform(0.12, 0.3), 1.0)
    swell = 13 * np.sin(np.linspace(0.1, np.pi - 0.1, 40)) + 1
    line(((1548, 430), (1572, 540), (1546, 668)), swell, 1.7, 0.25)
    line(((1566, 420), (1590, 540), (1574, 690)), 3.0, 0.35, 1.1)
    line(((1560, 600), (1520, 604), (1498, 598)), swell * 1.2, 1.5)
    line(((1490, 572), (1474, 598), (1492, 628)), swell * 0.55, 1.9)
    line(((1440, 655), (1520, 618), (1640, 560)), 1.7, 1.2)
    for row, column, size in ((330, 770, 34), (282, 840, 26), (352, 880, 22), (250, 790, 18)):
        for side in (-1, 1):
            tip = (row - size * 0.45, column + side * size)
            line(((row, column), (row - size * 0.5, column + side * size * 0.5), tip), 2.4, 0.9)


def make_seal(shape: tuple[int, int], rng: Rng) -> Array:
    """Make the coverage (H, W) of a worn square stamp that shows a leaf between two hills."""
    y, x = make_grid(shape)
    v, u = (y - 1790) / 62, (x - 300) / 62
    square = 1 - np.maximum(abs(u), abs(v)) + 0.025 * sum_octaves(shape, 14, rng, 3)
    leaf = 0.3 * (1 - (v / 0.72) ** 2) - abs(u)
    vein = abs(u) - 0.045
    sides = np.hypot(abs(u) - 0.98, v - 0.86) - 0.5
    carved = np.minimum(np.minimum(sides, np.maximum(-leaf, -vein)), square - 0.12)
    frame = np.maximum(smoothstep(0.0, 0.03, carved), smoothstep(0.08, 0.05, square))
    worn = smoothstep(-1.9, -1.2, sum_octaves(shape, 9, rng, 3))
    return smoothstep(0, 0.03, square) * np.where(square > 0, frame, 0) * worn


def make_ink_wash() -> Array:
    """Paint misty peaks, a boat and bamboo in black ink on grained paper, with one red seal."""
    rng = np.random.default_rng(23)
    fibres = sum_octaves(INK_SHAPE, (4, 40), rng, 3)
    grain = 0.6 * sum_octaves(INK_SHAPE, 5, rng, 2) + 0.4 * fibres
    grain /= grain.std()
    density = 0.02 + 0.03 * sum_octaves(INK_SHAPE, 420, rng, 4)
    draw_ink_mountains(density, grain, rng)
    for bloom in BLOOMS:
        draw_ink_bloom(density, *bloom, rng)
    lines = np.zeros(INK_SHAPE, np.float32)
    draw_ink_water(lines, grain, rng)
    draw_bamboo(lines, grain, rng)
    bleed = np.clip(sum_octaves(INK_SHAPE, 200, rng, 3), 0, 1)
    density += blur(lines, 1) + 0.35 * bleed * blur(lines, 9)
    density = np.clip(density, 0, None) * (1 + 0.10 * grain)
    paper = parse_colour(PAPER) * (1 + 0.014 * grain)[..., None]
    picture = paper * np.exp(-density[..., None] * INK_ABSORBS)
    return halve(blend_pictures(picture, parse_colour(SEAL) * paper, 0.92 * make_seal(INK_SHAPE, rng)))


# ---------------------------------------------------------------- mosaic

MOSAIC_SIZE = 1024
GROUT = "4b443e"
STONES = {  # the stones of each region: a few colours that its tiles are drawn from
    "sky0": ("f3dfa6", "efcf8a", "f6e7bd"),
    "sky1": ("bcd8cf", "a5cfcb", "cfe0cf"),
    "sky2": ("7fb9c4", "6fabbd", "93c5c6"),
    "sky3": ("4a8fae", "3f83a8", "5a9db4"),
    "sky4": ("2f6a98", "285f8f", "3a77a0"),
    "sun": ("f0b429", "e89c1c", "f7cb4d"),
    "ray": ("e4762a", "d9622a", "ee8c38"),
    "crest": ("f4efe2", "e9e4d4", "dfe9e4"),
    "wave0": ("2a9d9a", "36aca3", "228d93"),
    "wave1": ("1b6e8c", "22799a", "185f80"),
    "wave2": ("153f6b", "1a4a79", "10335a"),
    "back": ("c8352b", "b52a2a", "d9482f"),
    "flank": ("ee7f33", "f0933f", "e56f2d"),
    "belly": ("f6dfb2", "f2d19a", "faebcd"),
    "fin": ("8f1f33", "a52a3a", "7a1a30"),
    "gold": ("e7bd4a", "d8a62f", "f4d670"),
    "dark": ("1d1b26", "272433", "15131d"),
    "border": ("7d2b2b", "8c3530", "6f2428"),
}
NAMES = tuple(STONES)
FISH = ((790, 195), (590, 255), (430, 420), (425, 590), (565, 735))
FISH_WIDTHS = (14, 52, 92, 98, 66, 8)


def make_cartoon() -> Array:
    """Make the design: for every pixel the index into `STONES` (int, (S, S))."""
    y, x = make_grid((MOSAIC_SIZE, MOSAIC_SIZE))
    cartoon = np.zeros(y.shape, np.int64)

    def fill(name: str, where: NDArray[np.bool_]) -> None:
        cartoon[where] = NAMES.index(name)

    r = np.hypot(y - 265, x - 735)
    turn = np.arctan2(y - 265, x - 735) * 16 / (2 * np.pi)
    for i, radius in enumerate((0, 215, 320, 440, 570)):
        fill(f"sky{i}", r > radius)
    spike = 1 - np.abs((turn % 1) - 0.5) * 2
    fill("ray", (r < 118 + 72 * spike))
    fill("gold", r < 118)
    fill("sun", r < 98)
    fill("gold", r < 34)
    draw_fish(fill)
    for i, (base, height, length, phase) in enumerate(
        ((735, 40, 250, 0.5), (820, 36, 215, 2.4), (905, 30, 250, 4.4))
    ):
        swing = 2 * np.pi * x / length + phase
        depth = y - base + height * np.sin(swing + 0.75 * np.sin(swing))
        fill("crest", depth > 0)
        fill(f"wave{i}", depth > 22)
        fill("crest", (depth > 46) & (depth < 57))
        fill(f"wave{i}", depth > 57)
    inset = np.minimum(np.minimum(x, y), MOSAIC_SIZE - 1 - np.maximum(x, y))
    fill("dark", inset < 58)
    fill("border", inset < 47)
    fill("gold", inset < 20)
    return cartoon


def draw_fish(fill: Callable[[str, NDArray[np.bool_]], None]) -> None:
    """Fill in the leaping fish: fins and tail first, then the body in lengthwise bands."""
    flat, rng = np.zeros((8, 8), np.float32), np.random.default_rng(0)
    spine = interpolate_curve(FISH, 60)
    fins = (
        (interpolate_curve(((500, 350), (385, 345), (318, 400)), 20), np.linspace(70, 4, 20)),
        (interpolate_curve(((420, 480), (330, 470), (300, 500)), 20), np.linspace(50, 4, 20)),
        (interpolate_curve(((500, 540), (590, 525), (665, 455)), 20), np.linspace(36, 5, 20)),
    )
    masks = np.zeros((MOSAIC_SIZE, MOSAIC_SIZE, 2), np.float32)
    masks[:] = np.nan
    for path, width in fins:
        ribbon = Ribbon(path, width, flat, rng)
        inside = np.zeros(masks.shape[:2], bool)
        inside[ribbon.rows, ribbon.columns] = True
        fill("fin", inside)
    widths = np.interp(np.linspace(0, 1, 60), (0, 0.2, 0.45, 0.65, 0.88, 1), FISH_WIDTHS)
    body = Ribbon(spine, widths, flat, rng)
    for down, right in ((1, 0), (0, 1), (0, 0)):  # the outer side of a bend has gaps
        spot = body.rows + down, body.columns + right
        masks[(*spot, 0)] = body.along
        masks[(*spot, 1)] = body.across
    along, across = masks[..., 0], masks[..., 1]
    fill("back", across < 2)
    fill("flank", across > -0.35)
    fill("gold", (across > -0.35) & (across < -0.18))
    fill("belly", across > 0.4)
    scale = np.abs((along * 8 + 0.5 * across) % 1 - 0.5)
    fill("fin", (across < -0.35) & (scale < 0.19) & (along < 0.74) & (along > 0.1))
    fill("gold", (along > 0.76) & (along < 0.8))
    fill("flank", along > 0.8)
    y, x = make_grid(masks.shape[:2])
    eye = np.hypot(y - 488, x - 672)
    for name, radius in (("crest", 26), ("dark", 14)):
        fill(name, eye < radius)


def compute_tile_angles(cartoon: Array) -> Array:
    """Compute the angle (S, S) of the rows of tiles: along the nearest outlines of the design."""
    palette = np.random.default_rng(5).random(len(NAMES)).astype(np.float32)
    dy, dx = np.gradient(blur(palette[cartoon], 2))
    cosine, sine = dx * dx - dy * dy, 2 * dx * dy
    smooth = [np.zeros_like(cosine), np.zeros_like(sine)]
    for radius, weight in ((3, 1.0), (8, 1.0), (20, 0.6), (48, 0.3)):
        for total, part in zip(smooth, (cosine, sine), strict=True):
            total += weight * blur(part, radius)
    return np.arctan2(smooth[1], smooth[0]) / 2


def assign_tiles(
    sites: Array, sizes: Array, angles: Array, cartoon: Array, scale: int
) -> NDArray[np.int64]:
    """Give every pixel to its nearest tile, by a square distance turned with the tile.

    `sites` (n, 2) and `sizes` (n,) are in design pixels; the result (S * scale, S * scale) holds
    tile numbers, -1 where no tile reaches. Pixels of another region count as farther away.
    """
    side = MOSAIC_SIZE * scale
    owner = np.full((side, side), -1)
    best = np.full((side, side), 1.9, np.float32)
    regions = cartoon.repeat(scale, 0).repeat(scale, 1)
    rows, columns = np.clip(sites.astype(int), 0, MOSAIC_SIZE - 1).T
    turns, homes = angles[rows, columns], cartoon[rows, columns]
    for i, (y, x) in enumerate(sites * scale):
        size = sizes[i] * scale
        reach = int(size * 2)
        top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
        window = np.s_[top : min(int(y) + reach, side), left : min(int(x) + reach, side)]
        dy, dx = np.ogrid[window]
        dy, dx = (dy - y) / size, (dx - x) / size
        c, s = np.cos(turns[i]), np.sin(turns[i])
        u, v = np.abs(c * dx + s * dy), np.abs(c * dy - s * dx)
        far = np.maximum(u, v) + 0.06 * (u + v) + 1.2 * (regions[window] != homes[i])
        nearer = far < best[window]
        best[window][nearer] = far[nearer]
        owner[window][nearer] = i
    return owner


def make_mosaic() -> Array:
    """Lay a golden sun and a leaping fish over waves, in some ten thousand bevelled tiles."""
    rng = np.random.default_rng(37)
    cartoon = make_cartoon()
    angles = compute_tile_angles(cartoon)
    fine = np.isin(cartoon, [NAMES.index(n) for n in STONES if not n.startswith(("sky", "wave"))])
    pitch = np.where(fine, 9.5, 12.0)
    sites = rng.random((26000, 2)) * MOSAIC_SIZE
    rows, columns = sites.astype(int).T
    sites = sites[rng.random(len(sites)) < MOSAIC_SIZE**2 / 26000 / pitch[rows, columns] ** 2]
    for _ in range(14):
        rows, columns = np.clip(sites.astype(int), 0, MOSAIC_SIZE - 1).T
        owner = assign_tiles(sites, pitch[rows, columns] * 0.55, angles, cartoon, 1).ravel()
        held = np.flatnonzero(owner >= 0)
        counts = np.bincount(owner[held], minlength=len(sites))
        for axis, where in enumerate(np.unravel_index(held, cartoon.shape)):
            sums = np.bincount(owner[held], where, len(sites))
            sites[:, axis] = np.where(counts > 0, sums / np.maximum(counts, 1), sites[:, axis])
    rows, columns = np.clip(sites.astype(int), 0, MOSAIC_SIZE - 1).T
    owner = assign_tiles(sites, pitch[rows, columns] * 0.55, angles, cartoon, 2)
    return halve(render_tiles(owner, cartoon[rows, columns], rng))


def render_tiles(owner: NDArray[np.int64], regions: NDArray[np.int64], rng: Rng) -> Array:
    """Colour, bevel and light the tiles (2S, 2S) that belong to regions (n,)."""
    shape = owner.shape
    y, x = make_grid(shape)
    jitter = [np.rint(2.2 * sum_octaves(shape, 26, rng, 3)) for _ in range(2)]
    rows = np.clip(y + jitter[0], 0, shape[0] - 1).astype(int)
    columns = np.clip(x + jitter[1], 0, shape[1] - 1).astype(int)
    owner = owner[rows, columns]
    seams = np.zeros(shape, np.float32)
    seams[:-1] = owner[:-1] != owner[1:]
    seams[:, :-1] = np.maximum(seams[:, :-1], owner[:, :-1] != owner[:, 1:])
    seams[owner < 0] = 1
    near = blur(seams, 1)
    tile = smoothstep(0.30, 0.12, near)
    height = smoothstep(0.42, 0.0, blur(seams, 2))
    stones = np.array([[parse_colour(c) for c in STONES[name]] for name in NAMES])
    count = len(regions)
    colours = stones[regions, rng.integers(0, 3, count)]
    colours = colours * rng.normal(1, 0.085, (count, 1)) + rng.normal(0, 0.018, (count, 3))
    gold = np.isin(regions, [NAMES.index("gold"), NAMES.index("sun")])
    tilt = np.clip(rng.normal(0, 1, count), -1.3, 2.2)
    colours = colours * (1 + (0.04 + 0.17 * gold) * tilt)[:, None] + (0.03 * gold * tilt)[:, None]
    light = compute_relief_light(3.2 * height) + 0.03 * sum_octaves(shape, 5, rng, 2)
    face = colours[owner].astype(np.float32) * (1 + 0.05 * sum_octaves(shape, 9, rng, 3))[..., None]
    face = face * (1 + 0.55 * np.clip(light, -0.8, 0.9))[..., None]
    face += (0.25 * smoothstep(0.25, 0.8, light) * (0.4 + gold[owner]))[..., None]
    grout = parse_colour(GROUT) * (1 + 0.16 * sum_octaves(shape, 4, rng, 3))[..., None]
    glow = 1 + 0.07 * sum_octaves(shape, 900, rng, 2)
    return blend_pictures(grout, face, tile) * glow[..., None]
