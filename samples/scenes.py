"""Two scenes to be painted, as a camera might see them: a mountain lake and a wet street."""

import numpy as np
from brushes import (
    Array,
    Rng,
    blend_pictures,
    blur,
    compute_relief_light,
    halve,
    interpolate,
    interpolate_stops,
    make_grid,
    make_octave,
    parse_colour,
    smoothstep,
    sum_octaves,
    to_bytes,
)
from PIL import Image, ImageDraw

# ---------------------------------------------------------------- mountain lake

LAKE_SHAPE = (853, 1280)
HORIZON = 470
SHORE = HORIZON + 8
FOCAL = 1150.0  # pixels
EYE = 0.02  # kilometres above the water
SKY = ((0.0, "ffcf96"), (0.14, "f8ad86"), (0.36, "c08aa0"), (0.66, "5f6ca6"), (1.0, "233566"))
HAZE = parse_colour("c79aa6")
SUNLIGHT = np.array([1.45, 0.88, 0.60], np.float32)
SKYLIGHT = np.array([0.33, 0.38, 0.60], np.float32)
SUMMITS = (  # x, z, height, radius in kilometres
    (-2.3, 9.0, 2.15, 2.5),
    (-0.9, 9.9, 1.65, 1.9),
    (0.7, 10.5, 1.8, 2.0),
    (2.7, 8.8, 1.95, 2.3),
    (-4.7, 9.6, 1.5, 2.2),
    (-6.2, 10.0, 2.0, 2.6),
    (6.2, 10.5, 2.2, 2.8),
    (1.6, 13.5, 2.2, 1.8),
    (-2.9, 4.6, 0.72, 1.0),
    (3.3, 4.4, 0.85, 1.2),
    (-1.4, 5.9, 0.62, 0.9),
    (1.3, 6.2, 0.6, 0.9),
)
GROUND_X = np.linspace(-9, 9, 1800, dtype=np.float32)
GROUND_Z = np.linspace(2.6, 15, 1400, dtype=np.float32)


def make_lake_sky(rng: Rng) -> Array:
    """Dusk over the horizon: a glow at the left, lit cloud banks and the first stars."""
    y, x = make_grid(LAKE_SHAPE)
    up = np.clip(1 - y / HORIZON, 0, 1)
    sky = interpolate_stops(SKY, up**0.9)
    glow = np.exp(-(((x - 330) / 420) ** 2) - ((y - HORIZON) / 210) ** 2)
    sky = blend_pictures(sky, parse_colour("ffd894"), 0.75 * glow)
    stars = np.zeros(LAKE_SHAPE, np.float32)
    for row, column, power in zip(
        rng.uniform(4, 190, 90), rng.uniform(0, 1280, 90), rng.random(90), strict=True
    ):
        near = np.s_[max(int(row) - 4, 0) : int(row) + 5, max(int(column) - 4, 0) : int(column) + 5]
        far = (y[near] - row) ** 2 + (x[near] - column) ** 2
        stars[near] += (0.12 + 0.8 * power**4) * np.exp(-far / (0.8 + power**4))
    sky += (stars * smoothstep(0.55, 0.9, up))[..., None]
    depth = 1 / (up + 0.16)
    plane = sum_octaves((1024, 1024), (90, 170), rng, 7, 0.55)
    rows, columns = depth * 150 + 20, (x - 640) * depth * 0.11 + 512
    body = interpolate(plane, rows, columns)
    toward = interpolate(plane, rows + 7 * depth, columns - 6)
    dense = smoothstep(0.15, 1.5, body) * smoothstep(0.02, 0.2, up) * 0.85
    lit = smoothstep(-0.35, 0.55, body - toward) * np.exp(-(((x - 330) / 900) ** 2))
    tint = interpolate_stops(((0, "594f80"), (0.5, "c9788a"), (1, "ffc08a")), lit * (1.15 - 0.5 * up))
    return blend_pictures(sky, tint, dense)


def compute_ground_height(rng: Rng) -> Array:
    """Heights in kilometres over `GROUND_Z` x `GROUND_X`; below 0 is under water."""
    shape = (len(GROUND_Z), len(GROUND_X))
    x = GROUND_X[None, :] + 0.16 * sum_octaves(shape, 110, rng, 3)
    z = GROUND_Z[:, None] + 0.16 * sum_octaves(shape, 110, rng, 3)
    mass = np.zeros(shape, np.float32)
    for sx, sz, height, radius in SUMMITS:
        far = np.hypot(x - sx, z - sz) / radius
        mass = np.maximum(mass, height * np.exp(-1.5 * far**1.15))
    ridges, weight = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    for i in range(7):
        cell = max(150 / 2**i, 2)
        crease = (1 - np.clip(np.abs(make_octave(shape, (cell, cell), rng)), 0, 1)) ** 2
        ridges += 0.5**i * crease * weight
        weight = np.clip(0.3 + crease, 0, 1)
    lake = 0.11 * smoothstep(4.4, 2.9, z) * smoothstep(3.0, 0.5, np.abs(x))
    return mass * (0.55 + 0.42 * ridges) - 0.045 - lake


def compute_ground_colour(height: Array, rng: Rng) -> Array:
    """Light the ground from the low left: forest, rock and snow, with long cast shadows."""
    shape = height.shape
    dz, dx = np.gradient(height, GROUND_Z[1] - GROUND_Z[0], GROUND_X[1] - GROUND_X[0])
    norm = np.sqrt(1 + dx**2 + dz**2)
    facing = (0.80 * dx + 0.42 * dz + 0.30) / norm
    falling = height + 0.16 * GROUND_X[None, :]
    hidden = np.maximum.accumulate(falling, axis=1) - falling
    sun = np.clip(facing, 0, None) * smoothstep(0.09, 0.0, hidden)
    noise = sum_octaves(shape, 30, rng, 5)
    rock = interpolate_stops(((-2, "4d4650"), (0, "77696a"), (2, "98867c")), noise)
    leaves = 0.9 * sum_octaves(shape, 4, rng, 2) + 0.6 * noise
    forest = interpolate_stops(((-2, "0d1a1a"), (0, "1f3230"), (2, "3d4a38")), leaves)
    steep = 1 / norm
    snowy = smoothstep(0.85, 1.25, height + 0.12 * noise) * smoothstep(0.40, 0.62, steep)
    wooded = smoothstep(0.72, 0.45, height + 0.09 * noise)
    albedo = blend_pictures(blend_pictures(rock, parse_colour("eef0f6"), snowy), forest, wooded)
    sky_part = SKYLIGHT * (0.55 + 0.65 * steep)[..., None]
    return albedo * (1.5 * sun[..., None] * SUNLIGHT + 1.15 * sky_part)


def draw_mountains(picture: Array, rng: Rng) -> None:
    """March from near to far over the ground and put what each pixel sees first, in place."""
    height = compute_ground_height(rng)
    colour = compute_ground_colour(height, rng)
    rows, columns = LAKE_SHAPE[0] * 2, LAKE_SHAPE[1] * 2
    depths = np.geomspace(2.65, 14.9, 900).astype(np.float32)
    ray = (np.arange(columns, dtype=np.float32) / 2 - 640) / FOCAL
    zs = (depths[:, None] - GROUND_Z[0]) / (GROUND_Z[1] - GROUND_Z[0]) + 0 * ray
    xs = (depths[:, None] * ray - GROUND_X[0]) / (GROUND_X[1] - GROUND_X[0])
    seen = interpolate(height, zs, xs)
    top = 2 * (HORIZON - FOCAL * (seen - EYE) / depths[:, None])
    top = np.minimum.accumulate(np.where(seen > 0, top, rows), axis=0)
    first = np.full((2 * SHORE, columns), len(depths))
    wanted = -np.arange(2 * SHORE)
    for column in range(columns):
        first[:, column] = np.searchsorted(-top[:, column], wanted)
    hit = first < len(depths)
    first = np.minimum(first, len(depths) - 1)
    lane = np.broadcast_to(np.arange(columns), first.shape)
    scene = interpolate(colour, zs[first, lane], xs[first, lane])
    air = depths[first] * np.exp(-np.clip(seen[first, lane], 0, None) / 1.3)
    haze = 1 - np.exp(-np.clip(air - 2.2, 0, None) / 9.5)
    warm = blend_pictures(HAZE, parse_colour("f6b98c"), np.exp(-((lane / 2 - 330) ** 2) / 420**2) * 0.8)
    scene = blend_pictures(scene, warm, haze)
    cover = halve(hit.astype(np.float32))
    near = picture[:SHORE]
    picture[:SHORE] = near * (1 - cover[..., None]) + halve(scene * hit[..., None])


def draw_pine(
    draw: ImageDraw.ImageDraw, x: float, foot: float, size: float, tone: Array, rng: Rng
) -> None:
    """Draw one ragged conifer, in pixels of the drawing, from its foot upwards."""
    lean = rng.normal(0, 0.012) * size
    draw.line((x, foot, x + lean, foot - size), fill=to_bytes(tone * 0.8), width=max(int(size / 55), 1))
    steps = int(np.clip(size / 5, 8, 190))
    for t in np.linspace(0.10, 1, steps):
        spread = size * 0.19 * (1 - t) ** 0.85 * rng.uniform(0.5, 1.2) + size * 0.005
        y, middle = foot - size * t, x + lean * t
        shade = to_bytes(tone * rng.uniform(0.75, 1.25))
        for side in (-1, 1):
            reach = side * spread * rng.uniform(0.7, 1.1)
            sag = (0.012 + 0.3 * spread / size) * size * rng.uniform(0.3, 1.0)
            tip = (middle + reach, y + sag)
            low = (middle + reach * 0.45, y + sag * rng.uniform(0.9, 1.6))
            thick = min(size * 0.022, 13)
            draw.polygon([(middle, y - thick), tip, low, (middle, y + thick)], fill=shade)


def draw_far_shore(picture: Array, rng: Rng) -> None:
    """Line the far shore with small hazy trees, in place."""
    layer = Image.new("RGBA", (2560, 2 * SHORE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    stand = make_octave((1, 2560), (1, 240), rng)[0]
    for x in np.sort(rng.uniform(0, 2560, 900)):
        size = 26 + 16 * stand[int(x)] + rng.normal(0, 6)
        if size > 9:
            draw_pine(
                draw, x, 2 * SHORE, size * 1.3, parse_colour("3a3d46") * rng.uniform(0.8, 1.1), rng
            )
    draw.rectangle((0, 2 * SHORE - 3, 2560, 2 * SHORE), fill=to_bytes(parse_colour("4a4047")))
    paste_layer(picture[:SHORE], layer)


def paste_layer(picture: Array, layer: Image.Image) -> None:
    """Put a transparent drawing of double size over a picture, in place."""
    pixels = np.asarray(layer, np.float32) / 255
    alpha = halve(pixels[..., 3])
    colour = halve(pixels[..., :3] * pixels[..., 3:])
    picture *= 1 - alpha[..., None]
    picture += colour


def draw_headland(rng: Rng) -> Image.Image:
    """Draw the wooded point at the right with its cabin, at double size; its foot is row 1140."""
    layer = Image.new("RGBA", (2560, 1140), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    xs = np.arange(1500, 2561, 8)
    rise = 80 * smoothstep(1500, 2300, xs) * (1 + 0.1 * make_octave((1, len(xs)), (1, 9), rng)[0])
    bank = [(x, 1136 - r) for x, r in zip(xs, rise, strict=True)]
    for x in np.sort(rng.uniform(1990, 2560, 34)):
        size = rng.uniform(190, 420) * (0.75 + 0.4 * (x - 1990) / 570)
        draw_pine(draw, x, 1096 - 0.05 * (x - 1990), size, parse_colour("141c22"), rng)
    draw.polygon([(1496, 1140), *bank, (2560, 1140)], fill=to_bytes(parse_colour("1b1c20")))
    draw.polygon(
        [(1800, 1096), (1800, 1018), (1960, 1018), (1960, 1096)], fill=to_bytes(parse_colour("33241f"))
    )
    draw.polygon(
        [(1782, 1024), (1822, 950), (1944, 950), (1982, 1024)], fill=to_bytes(parse_colour("3c3440"))
    )
    draw.line((1822, 950, 1944, 950), fill=to_bytes(parse_colour("b98a86")), width=3)
    draw.rectangle((1906, 918, 1924, 962), fill=to_bytes(parse_colour("2a2328")))
    for left in (1822, 1874):
        draw.rectangle((left, 1040, left + 30, 1070), fill=to_bytes(parse_colour("ffc35a")))
        draw.line((left + 15, 1040, left + 15, 1070), fill=to_bytes(parse_colour("5a3420")), width=3)
        draw.line((left, 1055, left + 30, 1055), fill=to_bytes(parse_colour("5a3420")), width=3)
    draw.rectangle((1922, 1040, 1946, 1096), fill=to_bytes(parse_colour("1d1412")))
    for x in np.sort(rng.uniform(1560, 2000, 26)):
        draw_pine(
            draw,
            x,
            1137 - 70 * smoothstep(1500, 2300, x),
            rng.uniform(14, 46),
            parse_colour("151a1c"),
            rng,
        )
    return layer


def draw_water(picture: Array, bank: Image.Image, rng: Rng) -> None:
    """Mirror everything above the shore in rippled water, in place."""
    y, x = make_grid(LAKE_SHAPE)
    below = np.clip(y - SHORE, 0.5, None)
    depth = 60 / (below + 7)
    ripples = sum_octaves((1024, 2048), (7, 44), rng, 4, 0.6)
    u, v = (x - 640) * depth * 0.75 + 1024, np.log(below + 9) * 190 - 300
    swell = interpolate(ripples, v, np.abs(u) % 2046)
    calm = smoothstep(-0.8, 1.0, sum_octaves(LAKE_SHAPE, (26, 520), rng, 3))
    sway = swell * (0.7 + 0.011 * below) * (0.3 + 0.8 * calm)
    rows = SHORE - below + sway * 2.2
    mirror = interpolate(picture, np.clip(rows, 0, SHORE - 1), x + sway * 0.7)
    deep = interpolate_stops(((0, "6b6f92"), (1, "17233f")), below / 375)
    surface = blend_pictures(mirror, deep, 0.14 + 0.36 * smoothstep(0, 375, below))
    surface *= (1 + 0.05 * swell * calm)[..., None]
    near = np.zeros((*LAKE_SHAPE, 4), np.float32)
    drawing = np.asarray(bank, np.float32) / 255
    drawing[..., :3] *= drawing[..., 3:]
    near[:570] = halve(drawing)
    flipped = interpolate(near, np.clip(1138 - y + np.minimum(sway * 2.4, y - 569), 0, 569), x + sway)
    flipped *= (y >= 569)[..., None]
    surface = surface * (1 - 0.9 * flipped[..., 3:]) + flipped[..., :3] * 0.9
    glints = smoothstep(1.5, 2.4, swell) * np.exp(-(((x - 330) / 330) ** 2)) * calm
    surface += 0.35 * glints[..., None] * parse_colour("ffcf9a")
    picture[SHORE:] = surface[SHORE:]
    paste_layer(picture[:570], bank)


def draw_foreground(rng: Rng) -> Image.Image:
    """Draw the boat and the dark pines that frame the left edge, at double size."""
    layer = Image.new("RGBA", (2560, 1706), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    draw.ellipse((800, 1286, 1130, 1316), fill=(10, 14, 28, 110))
    hull = [(806, 1258), (850, 1274), (1080, 1274), (1136, 1250), (1104, 1300), (842, 1302)]
    draw.polygon(hull, fill=to_bytes(parse_colour("3b1f1c")))
    draw.line(hull[:4], fill=to_bytes(parse_colour("d99a72")), width=5)
    draw.line((836, 1288, 1112, 1286), fill=to_bytes(parse_colour("6b3328")), width=5)
    draw.line((930, 1268, 1210, 1312), fill=to_bytes(parse_colour("57382c")), width=5)
    xs = np.arange(0, 1001, 10)
    ground = 1560 + 150 * (xs / 900) ** 1.6 + 8 * make_octave((1, len(xs)), (1, 5), rng)[0]
    for x, size in ((330, 520), (-20, 1240), (236, 820), (90, 1060), (455, 330), (160, 640)):
        draw_pine(
            draw, x, 1570 + 0.06 * x + 20, size, parse_colour("0d1418") * rng.uniform(0.9, 1.5), rng
        )
    draw.polygon(
        [(0, 1706), *zip(xs, ground, strict=True), (1000, 1706)], fill=to_bytes(parse_colour("0c1013"))
    )
    for x in rng.uniform(0, 900, 700):
        foot = 1566 + 150 * (x / 900) ** 1.6
        blade = (x, foot, x + rng.normal(4, 9), foot - rng.uniform(12, 54))
        draw.line(blade, fill=to_bytes(parse_colour("161b19") * rng.uniform(0.7, 1.6)), width=2)
    return layer


def make_mountain_lake() -> Array:
    """Snow peaks in the last light over a rippled lake, with a cabin, a boat and pines."""
    rng = np.random.default_rng(8)
    picture = make_lake_sky(rng)
    draw_mountains(picture, rng)
    draw_far_shore(picture, rng)
    bank = draw_headland(rng)
    draw_water(picture, bank, rng)
    paste_layer(picture, draw_foreground(rng))
    y, x = make_grid(LAKE_SHAPE)
    lamp = np.exp(-np.hypot(x - 925, (y - 527) * 1.1) / 26)
    picture += 0.35 * lamp[..., None] * parse_colour("ffb347")
    return np.clip(picture, 0, 1) * (1.02 - 0.16 * (((x - 640) / 640) ** 2)[..., None])


# ---------------------------------------------------------------- street

Plan = tuple[float, float, float, str, str, str, str, str]

STREET_SHAPE = (960, 1280)
PAVEMENT = 668  # the row where the houses stand
STREET_SKY = ((0.0, "4f80b4"), (0.45, "9fbfd6"), (0.8, "f0dcc4"))
HOUSES = (  # left, right, eaves row, kind of roof, wall, trim, door; kind of wall
    (-30, 170, 300, "gable", "a0604a", "e6dac4", "2c5045", "brick"),
    (170, 372, 262, "eaves", "e3b556", "f7efdc", "7c2d26", "plaster"),
    (372, 566, 228, "steps", "7f4a40", "e0d3b8", "20364f", "brick"),
    (566, 792, 306, "eaves", "7fa3ad", "f5f1e6", "b06a2c", "plaster"),
    (792, 968, 250, "gable", "d98a72", "fbf0dd", "34513a", "plaster"),
    (968, 1140, 216, "steps", "6f5446", "e6d5b4", "5d1f2c", "brick"),
    (1140, 1310, 290, "gable", "e7dcc3", "8a5a3c", "2f4a6a", "plaster"),
)
ROOFS = ("8c4a35", "6d4038", "a35a3c", "59484a")


class Front:
    """Flat colour (H, W, 3) and relief (H, W) of the street's fronts, drawn at double size."""

    def __init__(self, sky: Array) -> None:
        self.colour = Image.fromarray((np.clip(sky, 0, 1) * 255).astype(np.uint8))
        self.relief = Image.new("L", self.colour.size, 0)
        self.paint = ImageDraw.Draw(self.colour)
        self.lift = ImageDraw.Draw(self.relief)

    def fill_polygon(self, points: list[tuple[float, float]], colour: Array, height: int) -> None:
        """Fill a polygon of (x, y) in final pixels; `height` is how far it stands out."""
        doubled = [(2 * x, 2 * y) for x, y in points]
        self.paint.polygon(doubled, fill=to_bytes(colour))
        self.lift.polygon(doubled, fill=height)

    def fill_box(self, x0: float, y0: float, x1: float, y1: float, colour: Array, height: int) -> None:
        """Fill a rectangle, as `fill_polygon` does."""
        self.fill_polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, height)

    def apply_texture(self, points: list[tuple[float, float]], tint: Array, bumps: Array) -> None:
        """Multiply the colour inside a polygon by `tint` (H, W) and add `bumps` to its relief."""
        mask = Image.new("L", self.colour.size, 0)
        ImageDraw.Draw(mask).polygon([(2 * x, 2 * y) for x, y in points], fill=255)
        box = mask.getbbox()
        window = np.s_[box[1] : box[3], box[0] : box[2]]
        colour = np.asarray(self.colour.crop(box), np.float32) * tint[window][..., None]
        relief = np.asarray(self.relief.crop(box), np.float32) + bumps[window]
        for image, pixels in ((self.colour, colour), (self.relief, relief)):
            part = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.paste(part, box[:2], mask.crop(box))


def make_courses(height: float, width: float, rng: Rng, rounded: bool = False) -> tuple[Array, Array]:
    """Tint and relief (H, W) of staggered bricks, or of round-ended tiles, of a size in pixels."""
    y, x = make_grid((STREET_SHAPE[0] * 2, STREET_SHAPE[1] * 2))
    y = y + 0.7 * make_octave(y.shape, (60, 60), rng)
    row = np.floor(y / height).astype(int)
    column = np.floor(x / width + 0.5 * (row % 2)).astype(int)
    v, u = y / height - row, x / width + 0.5 * (row % 2) - column
    tones = rng.normal(1, 0.085, (row.max() + 2, column.max() + 2)).astype(np.float32)
    tint = tones[row, column]
    if rounded:
        lip = v - 0.85 + 1.4 * (u - 0.5) ** 2
        return tint * (1 - 0.35 * smoothstep(0, 0.1, lip)), 9 * v * (lip < 0.05) + 3 * np.sin(np.pi * u)
    joint = np.maximum(smoothstep(0.16, 0.06, v), smoothstep(0.10, 0.04, u))
    return tint * (1 + 0.22 * joint), -2.5 * joint


def draw_window(front: Front, x: float, y: float, w: float, h: float, trim: Array, rng: Rng) -> None:
    """Draw a sash window with sill, glass, curtains and, now and then, a lamp or flowers."""
    front.fill_box(x - 4, y - 5, x + w + 4, y + h + 3, trim * 0.96, 34)
    lit = rng.random() < 0.34
    glass = parse_colour("f5b95c") if lit else parse_colour("33485c")
    front.fill_box(x, y, x + w, y + h, glass, 12)
    if lit:
        front.fill_box(x + 2, y + h * 0.62, x + w - 2, y + h, parse_colour("d98a3a"), 12)
    else:
        front.fill_polygon([(x, y), (x + w * 0.8, y), (x, y + h * 0.7)], parse_colour("7f9fba"), 12)
        front.fill_polygon([(x, y + h * 0.2), (x + w * 0.4, y), (x, y)], parse_colour("b9cbd6"), 12)
    drape = parse_colour("f2e6d0") * (1.0 if lit else 0.72)
    for edge, inner in ((x, x + w * 0.26), (x + w, x + w * 0.74)):
        front.fill_polygon([(edge, y), (inner, y), (edge, y + h * 0.85)], drape, 13)
    front.fill_box(x + w / 2 - 1.2, y, x + w / 2 + 1.2, y + h, trim, 26)
    for part in (0.36, 0.68):
        front.fill_box(x, y + h * part - 1, x + w, y + h * part + 1, trim, 24)
    front.fill_box(x - 7, y + h, x + w + 7, y + h + 5, trim * 0.93, 62)
    if rng.random() < 0.42:
        front.fill_box(x - 4, y + h - 4, x + w + 4, y + h + 5, parse_colour("6b4630"), 74)
        for _ in range(60):
            px, py = x + rng.uniform(-5, w + 5), y + h - 5 + rng.normal(0, 3.4)
            bloom = parse_colour(
                rng.choice(["d8344a", "f3d7e0", "4d7a38", "35602f", "587f3c", "ef7d9a"])
            )
            r = rng.uniform(1.0, 2.4)
            front.fill_box(px - r, py - r, px + r, py + r, bloom, 84)


def draw_door(front: Front, x: float, w: float, colour: Array, trim: Array) -> None:
    """Draw a panelled door with a lit fanlight, a frame and two stone steps."""
    top = PAVEMENT - 118
    front.fill_box(x - 8, top - 34, x + w + 8, PAVEMENT - 10, trim * 0.95, 46)
    front.fill_box(x - 13, top - 42, x + w + 13, top - 34, trim, 84)
    front.fill_box(x, top - 28, x + w, top - 6, parse_colour("f0b45c"), 16)
    for part in (0.33, 0.67):
        front.fill_box(x + w * part - 1, top - 28, x + w * part + 1, top - 6, trim, 26)
    front.fill_box(x, top, x + w, PAVEMENT - 12, colour, 20)
    for left in (0.12, 0.56):
        for low, high in ((0.06, 0.4), (0.48, 0.93)):
            box = (x + w * left, top + 104 * low, x + w * (left + 0.32), top + 104 * high)
            front.fill_box(*box, colour * 0.85, 12)
    front.fill_box(x + w * 0.86, top + 52, x + w * 0.93, top + 58, parse_colour("e8c25a"), 34)
    front.fill_box(x - 16, PAVEMENT - 12, x + w + 16, PAVEMENT - 5, parse_colour("b9b0a2"), 90)
    front.fill_box(x - 22, PAVEMENT - 6, x + w + 22, PAVEMENT + 2, parse_colour("a9a196"), 120)


def compute_gable(left: float, right: float, eaves: float, kind: str) -> list[tuple[float, float]]:
    """The outline of a wall with its gable, as (x, y) from the lower left corner."""
    middle, half = (left + right) / 2, (right - left) / 2
    points = [(left, PAVEMENT), (left, eaves)]
    if kind == "gable":
        points += [(middle - 14, eaves - half * 1.15), (middle + 14, eaves - half * 1.15)]
    elif kind == "steps":
        for i in range(5):
            side, y = half * (1 - i / 5), eaves - 25 * i
            points += [(middle - side, y), (middle - side, y - 25)]
        mirrored = [(2 * middle - x, y) for x, y in reversed(points[2:])]
        points += mirrored
    return [*points, (right, eaves), (right, PAVEMENT)]


def draw_house(front: Front, plan: Plan, textures: dict[str, tuple[Array, Array]], rng: Rng) -> None:
    """Draw one house by its row of `HOUSES`: wall, roof, storeys of windows and a door."""
    left, right, eaves, kind, wall, trim, entrance, finish = plan
    wall, trim = parse_colour(wall), parse_colour(trim)
    outline = compute_gable(left, right, eaves, kind)
    if kind == "eaves":
        roof = [(left - 6, eaves), (left + 8, eaves - 104), (right - 8, eaves - 104), (right + 6, eaves)]
        front.fill_polygon(roof, parse_colour(rng.choice(ROOFS)), 10)
        front.apply_texture(roof, *textures["tiles"])
        draw_dormer(front, (left + right) / 2, eaves, wall, trim, rng)
    else:
        edge = [(x, y - 7) for x, y in outline[1:-1]]
        front.fill_polygon([outline[0], *edge, outline[-1]], trim * 0.92, 46)
    front.fill_polygon(outline, wall, 28 + int(rng.integers(0, 14)))
    front.apply_texture(outline, *textures[finish])
    if kind == "eaves":
        front.fill_box(left - 5, eaves - 4, right + 5, eaves + 8, trim, 96)
    front.fill_box(left, PAVEMENT - 26, right, PAVEMENT, wall * 0.55, 48)
    storeys = 4 if eaves < 255 else 3
    pitch = (PAVEMENT - 178 - eaves) / (storeys - 1) if storeys > 1 else 0
    count = 3 if right - left > 185 else 2
    step = (right - left) / count
    for i in range(storeys - 1):
        y = eaves + 26 + i * pitch
        front.fill_box(left, y + pitch * 0.86, right, y + pitch * 0.86 + 4, trim * 0.9, 52)
        for j in range(count):
            draw_window(front, left + step * (j + 0.5) - 17, y, 34, pitch * 0.62, trim, rng)
    if kind != "eaves":
        draw_window(front, (left + right) / 2 - 14, eaves - 50, 28, 44, trim, rng)
    place = int(rng.integers(count))
    for j in range(count):
        centre = left + step * (j + 0.5)
        if j == place:
            draw_door(front, centre - 24, 48, parse_colour(entrance), trim)
        else:
            draw_window(front, centre - 21, PAVEMENT - 142, 42, 88, trim, rng)


def draw_dormer(front: Front, x: float, eaves: float, wall: Array, trim: Array, rng: Rng) -> None:
    """Set a gabled window and two chimneys on a roof."""
    for side in (-72, 66):
        front.fill_box(x + side, eaves - 142, x + side + 24, eaves - 84, parse_colour("7d4636"), 60)
        front.fill_box(x + side - 3, eaves - 146, x + side + 27, eaves - 138, parse_colour("94837a"), 80)
    front.fill_box(x - 24, eaves - 66, x + 24, eaves - 4, wall * 0.94, 70)
    front.fill_polygon([(x - 31, eaves - 62), (x, eaves - 92), (x + 31, eaves - 62)], trim * 0.9, 96)
    draw_window(front, x - 14, eaves - 56, 28, 42, trim, rng)


def make_street_sky(rng: Rng) -> Array:
    """An afternoon sky (2H, 2W, 3) that clears after rain."""
    shape = (STREET_SHAPE[0] * 2, STREET_SHAPE[1] * 2)
    y, x = make_grid(shape)
    sky = interpolate_stops(STREET_SKY, y / 1000)
    warp = 30 * sum_octaves(shape, 160, rng, 4)
    billows = interpolate(sum_octaves(shape, (240, 380), rng, 7, 0.52), y + warp, x - warp)
    toward = interpolate(billows, y - 24, x - 30)
    dense = 0.95 * smoothstep(0.0, 1.0, billows)
    lit = smoothstep(-0.6, 0.4, billows - toward)
    return blend_pictures(
        sky, interpolate_stops(((0, "8f9bb6"), (0.5, "d9cfce"), (1, "fff6e6")), lit), dense
    )


def render_sunlight(front: Front, rng: Rng) -> Array:
    """Light the fronts from the upper left: bevels, cast shadows and dusk near the ground."""
    colour = np.asarray(front.colour, np.float32) / 255
    relief = blur(np.asarray(front.relief, np.float32), 1)
    shadow = np.zeros(relief.shape, np.float32)
    for step in range(2, 30, 3):
        caster = np.roll(relief, (step, int(step * 0.8)), (0, 1))
        shadow = np.maximum(shadow, smoothstep(2, 16, caster - relief - 1.7 * step))
    shadow = blur(shadow, 1) * (relief > 1)
    light = np.clip(compute_relief_light(relief) * 0.05, -0.35, 0.3)
    y, _ = make_grid(relief.shape)
    warm = blend_pictures(
        parse_colour("fff2da") * 1.12, parse_colour("e8c9b4") * 0.98, smoothstep(300, 1336, y)
    )
    on_wall = smoothstep(1, 6, relief)
    lamp = blend_pictures(np.ones(3, np.float32), warm * (1 + light)[..., None], on_wall)
    x = make_grid(relief.shape)[1]
    across = 0.55 * (x - 2350) - 1.2 * (y - 1000) + 60 * make_octave(y.shape, (90, 90), rng)
    shade = on_wall * smoothstep(60, -40, across) * 0.34
    grime = 1 + 0.05 * sum_octaves(relief.shape, 200, rng, 7, 0.65) * on_wall
    dimmed = (1 - 0.55 * shadow[..., None] * parse_colour("ffe8c8")) * (
        1 - shade[..., None] * parse_colour("ffd9b0")
    )
    return colour * lamp * dimmed * grime[..., None]


def make_cobbles(fronts: Array, rng: Rng) -> Array:
    """The wet road (2H, 2W, 3): rounded stones in perspective that mirror the fronts."""
    y, x = make_grid(fronts.shape[:2])
    below = np.clip(y - 2 * PAVEMENT, 0.5, None)
    depth = 900 / (below + 170)
    v, u = depth * 17, (x - 1280) * depth / 42
    row = np.floor(v).astype(int)
    wobble = rng.uniform(-0.25, 0.25, 200).astype(np.float32)
    u = u + 0.5 * (row % 2) + wobble[row % 200] + 0.12 * make_octave(y.shape, (60, 90), rng)
    column = np.floor(u).astype(int)
    dv, du = v - row - 0.5, u - column - 0.5
    stone = rng.normal(0, 1, (2, 200, 400)).astype(np.float32)
    tone, lean = stone[:, row % 200, column % 400]
    dome = smoothstep(0.52, 0.30, np.maximum(np.abs(du), np.abs(dv)) + 0.1 * np.hypot(du, dv))
    puddle = smoothstep(0.35, 1.1, sum_octaves(y.shape, (90, 420), rng, 4) + 0.15 * (1 - dome))
    rough = (1 - 0.9 * puddle) * dome
    rows = 2 * PAVEMENT - below * 1.02 + rough * (dv * 90 + lean * 16) - 14 * (1 - puddle)
    mirror = interpolate(fronts, np.clip(rows, 0, 2 * PAVEMENT - 3), x + rough * (du * 34 + tone * 6))
    base = interpolate_stops(((-2, "4b4a52"), (0, "77716c"), (2, "a3948a")), tone)
    base = base * (0.28 + 0.72 * dome)[..., None] * (1 - 0.25 * dv * dome)[..., None]
    wet = blend_pictures(base * 0.85, mirror * 0.95, 0.20 + 0.16 * dome + 0.5 * puddle)
    kerb = smoothstep(34, 30, below)
    slabs = interpolate_stops(((-2, "8d857c"), (2, "a89f92")), make_octave(y.shape, (30, 90), rng))
    return (
        blend_pictures(wet, blend_pictures(slabs * 0.8, mirror, 0.22), kerb)
        * (1 - 0.35 * np.exp(-below / 12))[..., None]
    )


def draw_street_lamp(picture: Array) -> None:
    """Put a cast-iron lamp with a warm glow before the houses, in place."""
    layer = Image.new("RGBA", (2560, 1920), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    iron, x = to_bytes(parse_colour("1d2426")), 1760
    for y0, y1, half in ((760, 1500, 7), (1300, 1500, 13), (1440, 1510, 22), (1500, 1522, 34)):
        draw.rectangle((x - half, y0, x + half, y1), fill=iron)
    for y in (900, 1290, 1436):
        draw.ellipse((x - 20, y - 9, x + 20, y + 9), fill=iron)
    draw.line((x - 60, 830, x + 60, 830), fill=iron, width=7)
    draw.polygon([(x - 26, 760), (x - 44, 650), (x + 44, 650), (x + 26, 760)], fill=(255, 224, 150))
    for side in (-1, 0, 1):
        draw.line((x + side * 26, 760, x + side * 44, 650), fill=iron, width=5)
    draw.polygon([(x - 54, 652), (x, 600), (x + 54, 652)], fill=iron)
    draw.ellipse((x - 9, 582, x + 9, 606), fill=iron)
    paste_layer(picture, layer)
    y, columns = make_grid(STREET_SHAPE)
    glow = np.exp(-np.hypot(y - 353, columns - 880) / 34)
    picture += 0.55 * glow[..., None] * parse_colour("ffc870")


def draw_tree(picture: Array, rng: Rng) -> None:
    """Let an autumn tree hang into the picture from the left, in place."""
    layer = Image.new("RGBA", (2560, 1920), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)

    def grow(x: float, y: float, angle: float, length: float, width: float) -> None:
        tip = (x + length * np.sin(angle), y - length * np.cos(angle))
        draw.line((x, y, *tip), fill=to_bytes(parse_colour("33261f")), width=max(int(width), 2))
        draw.ellipse(
            (tip[0] - width / 2, tip[1] - width / 2, tip[0] + width / 2, tip[1] + width / 2),
            fill=to_bytes(parse_colour("33261f")),
        )
        if length > 64:
            for turn in (-0.5, 0.06, 0.52):
                bend = angle + turn + rng.normal(0, 0.16)
                grow(*tip, bend, length * rng.uniform(0.6, 0.74), width * 0.6)
        else:
            for _ in range(16):
                lx, ly = tip[0] + rng.normal(0, 40), tip[1] + rng.normal(0, 34)
                r = rng.uniform(4, 10)
                light = np.clip(0.5 - (ly - tip[1]) / 90 + rng.normal(0, 0.25), 0, 1)
                leaf = interpolate_stops(
                    ((0, "5b3a1e"), (0.5, "b8742a"), (1, "f2c14e")), np.float32(light)
                )
                draw.ellipse((lx - r, ly - r * 0.6, lx + r, ly + r * 0.6), fill=to_bytes(leaf))

    draw.polygon(
        [(84, 1492), (112, 1380), (158, 1380), (190, 1492)], fill=to_bytes(parse_colour("33261f"))
    )
    grow(134, 1480, -0.03, 370, 46)
    paste_layer(picture, layer)


def make_street() -> Array:
    """A row of gabled houses in low sun after rain, mirrored in wet cobblestones."""
    rng = np.random.default_rng(21)
    textures = {
        "brick": make_courses(9, 25, rng),
        "tiles": make_courses(17, 19, rng, rounded=True),
    }
    shape = (STREET_SHAPE[0] * 2, STREET_SHAPE[1] * 2)
    textures["plaster"] = (
        1 + 0.045 * sum_octaves(shape, 140, rng, 6, 0.6) + 0.03 * sum_octaves(shape, (300, 12), rng, 3),
        0.5 * sum_octaves(shape, 6, rng, 2),
    )
    front = Front(make_street_sky(rng))
    for plan in HOUSES:
        draw_house(front, plan, textures, rng)
    fronts = render_sunlight(front, rng)
    picture = fronts.copy()
    picture[2 * PAVEMENT :] = make_cobbles(fronts, rng)[2 * PAVEMENT :]
    picture = halve(picture)
    draw_street_lamp(picture)
    draw_tree(picture, rng)
    return np.clip(picture, 0, 1)
