"""The pictures of the demo world: a few coloured shapes, a printed word or a number, with a question and its answer.

What can be shown, asked and answered lies in `world/pictures.toml`; here it is chosen and drawn. Everything follows
from the random generator that is passed in, given the fonts below (Debian: fonts-dejavu-core, fonts-liberation,
fonts-freefont-ttf).

`python pictures.py OUT.png` draws a sheet of 48 examples, the last two rows held out of training, and prints
their captions.
"""

import colorsys
import functools
import io
import math
import random
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = 128
CANVAS = 2 * SIZE  # Drawn at twice the size and averaged down, which smooths the edges.

WORLD = tomllib.loads((Path(__file__).parent / "world/pictures.toml").read_text(encoding="utf-8"))
KINDS = ("one", "two", "count", "word", "number")
COLORS = {name: tuple(rgb) for name, rgb in WORLD["colors"].items()}
COUNTS = {int(n): name for n, name in WORLD["counts"].items()}

# Named one by one, so that a picture does not depend on which other fonts a machine has.
FONT_FOLDER = Path("/usr/share/fonts/truetype")
PILLOW_FONT = ""
TRAINING_FONTS = (
    PILLOW_FONT,
    "dejavu/DejaVuSans.ttf", "dejavu/DejaVuSans-Bold.ttf", "dejavu/DejaVuSansMono-Bold.ttf",
    "liberation/LiberationSans-Regular.ttf", "liberation/LiberationSans-Bold.ttf", "liberation/LiberationSans-BoldItalic.ttf",
    "liberation/LiberationSerif-Regular.ttf", "liberation/LiberationSerif-Bold.ttf", "liberation/LiberationMono-Bold.ttf",
    "freefont/FreeSans.ttf", "freefont/FreeSansBold.ttf", "freefont/FreeSerif.ttf", "freefont/FreeSerifBold.ttf",
)
# Slab faces that no training font resembles.
HELD_FONTS = ("dejavu/DejaVuSerif-Bold.ttf", "freefont/FreeMonoBold.ttf")

TRAINING_BACKGROUNDS = ("plain", "gradient", "noise", "paper", "lines")
HELD_BACKGROUNDS = ("vignette", "waves")

LABELS: dict[str, list[str]] = {
    "kind": list(KINDS),
    "shape": list(WORLD["shapes"]),
    "color": list(COLORS),
    "place": list(WORLD["places"]),
    "count": list(COUNTS.values()),
    "second_shape": list(WORLD["shapes"]),
    "second_color": list(COLORS),
    "arrangement": list(WORLD["arrangements"]),
    "word": list(WORLD["words"]),
    "hundreds": ["none", *"123456789"],
    "tens": list("0123456789"),
    "units": list("0123456789"),
}
# What can lie in a cell of the grid that `Picture.cells` divides a picture into: a shape, or a letter or digit of a text.
CELL_ROWS, CELL_COLUMNS = 16, 32
CELL_CLASSES = ["nothing", *WORLD["shapes"], *"abcdefghijklmnopqrstuvwxyz0123456789"]


class Picture(NamedTuple):
    """A picture, what is asked about it, and what an auxiliary classifier should find in it.

    `labels` has a class of `LABELS` for each head that applies; `cells` [CELL_ROWS, CELL_COLUMNS] has the index in
    `CELL_CLASSES` of what lies there. `group` is "reading" for words and numbers and "attribute" for the rest.
    """

    image: Image.Image
    question: str
    answer: str
    labels: dict[str, str]
    cells: np.ndarray
    group: str


def draw(rng: random.Random, held: bool = False) -> Picture:
    """A random picture; with `held`, in fonts and on backgrounds that never occur without it."""
    tone = _tone(rng)
    scene = _scene(rng, tone)
    image = _background(rng, tone, rng.choice(HELD_BACKGROUNDS if held else TRAINING_BACKGROUNDS))
    if rng.random() < 0.3:
        _clutter(rng, ImageDraw.Draw(image), tone)
    lies = Image.new("L", image.size)  # what lies at every pixel, as an index of CELL_CLASSES
    if scene.text:
        _print(rng, image, lies, tone, scene.text, rng.choice(HELD_FONTS if held else TRAINING_FONTS))
    else:
        _paint(rng, ImageDraw.Draw(image), ImageDraw.Draw(lies), scene.labels)
    image = _camera(rng, image.reduce(CANVAS // SIZE))
    down, across = CANVAS // CELL_ROWS, CANVAS // CELL_COLUMNS
    cells = np.asarray(lies)[down // 2 :: down, across // 2 :: across]
    return Picture(image, scene.question, scene.answer, scene.labels, cells, "reading" if scene.text else "attribute")


def text_only(rng: random.Random) -> tuple[str, str]:
    """The question and answer of a random picture, without drawing it."""
    scene = _scene(rng, _tone(rng))
    return scene.question, scene.answer


# ---- what is shown and asked ----------------------------------------------------------
class _Scene(NamedTuple):
    question: str
    answer: str
    labels: dict[str, str]
    text: str = ""  # What is printed, if anything.


def _scene(rng, tone):
    kind = rng.choices(KINDS, [WORLD[kind]["share"] for kind in KINDS])[0]
    labels, slots = {"one": _one, "two": _two, "count": _count, "word": _word, "number": _number}[kind](rng, tone)
    asks = WORLD[kind]["asks"]
    ask = rng.choices(asks, [ask["weight"] for ask in asks])[0]
    question = rng.choice(WORLD["questions"][ask["question"]]).format(**slots)
    answer = ask["answer"].format(**slots)
    return _Scene(question, answer[0].upper() + answer[1:], {"kind": kind, **labels}, slots.get("text", ""))


def _one(rng, tone):
    shape, color, place = rng.choice(LABELS["shape"]), rng.choice(_visible(tone)), rng.choice(LABELS["place"])
    labels = {"shape": shape, "color": color, "place": place}
    return labels, {**labels, "object": _noun(color, shape)}


def _two(rng, tone):
    shapes, colors = rng.sample(LABELS["shape"], 2), rng.sample(_visible(tone), 2)
    arrangement = rng.choice(LABELS["arrangement"])
    places = WORLD["arrangements"][arrangement]
    nouns = [_noun(color, shape) for color, shape in zip(colors, shapes)]
    asked = rng.randrange(2)
    labels = {"shape": shapes[0], "color": colors[0], "second_shape": shapes[1], "second_color": colors[1],
              "arrangement": arrangement}
    return labels, {"first": nouns[0], "first_place": places[0], "second": nouns[1], "second_place": places[1],
                    "object": nouns[asked], "shape": shapes[asked], "color": colors[asked], "place": places[asked]}


def _count(rng, tone):
    labels = {"shape": rng.choice(LABELS["shape"]), "color": rng.choice(_visible(tone)), "count": rng.choice(LABELS["count"])}
    return labels, {**labels, "shapes": WORLD["shapes"][labels["shape"]]}


def _word(rng, _background_tone):
    word = rng.choice(LABELS["word"])
    return {"word": word}, {"text": word}


def _number(rng, _background_tone):
    text = str(rng.randint(10, 99) if rng.random() < 0.3 else rng.randint(100, 999))
    return {"hundreds": text[-3:-2] or "none", "tens": text[-2], "units": text[-1]}, {"text": text}


def _noun(color, shape):
    return f"{'an' if color[0] in 'aeiou' else 'a'} {color} {shape}"


# ---- colours --------------------------------------------------------------------------
def _lab(rgb):
    """CIE L*a*b* of an sRGB colour: distances in it are about as large as they look."""
    r, g, b = (c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb)
    x, y, z = ((t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116) for t in (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, 0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


COLORS_LAB = {name: _lab(rgb) for name, rgb in COLORS.items()}


def _visible(tone):
    """Colours that stand out as a surface. 38 refuses white on light grey and allows it on middle grey."""
    lab = _lab(tone)
    return [name for name, other in COLORS_LAB.items() if math.dist(lab, other) > 38]


def _legible(tone):
    """Colours that letters can be read in, which takes a difference in lightness. 38 refuses orange on white."""
    lightness = _lab(tone)[0]
    return [name for name, other in COLORS_LAB.items() if abs(lightness - other[0]) > 38]


def _tone(rng):
    """The colour of a background: white, pastel, light, middle or dark grey, black."""
    kind = rng.choices(("white", "pastel", "light", "middle", "dark", "black"), (30, 22, 14, 14, 8, 12))[0]
    if kind == "pastel":
        return tuple(round(255 * c) for c in colorsys.hls_to_rgb(rng.random(), rng.uniform(0.86, 0.93), 0.6))
    low, high = {"white": (240, 255), "light": (200, 225), "middle": (115, 142), "dark": (50, 68), "black": (8, 28)}[kind]
    return _shift((rng.randint(low, high),) * 3, rng, 3)


def _shift(rgb, rng, most):
    return tuple(min(255, max(0, c + rng.randint(-most, most))) for c in rgb)


def _ink(rng, name):
    """A colour a little off. 16 a channel is at most 28, under half the 94 between the nearest two names."""
    return _shift(COLORS[name], rng, 6 if name in ("black", "white") else 16)  # More would give these two a hue.


def _near(tone, amount):
    """The tone made lighter or darker, whichever has room."""
    amount = amount if sum(tone) < 3 * 128 else -amount
    return tuple(min(255, max(0, c + amount)) for c in tone)


# ---- backgrounds ----------------------------------------------------------------------
# One fixed field of noise: taking a random window of it is much cheaper than drawing fresh numbers.
NOISE = np.random.default_rng(0).standard_normal((2 * SIZE, 2 * SIZE, 3), dtype=np.float32)
# Grey blotches of about three pixels, like the fibres of paper.
_GREY = NOISE[..., :1]
GRAIN = sum(np.roll(_GREY, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 3
# Pixel coordinates from -1 to 1, as a column and a row.
Y, X = np.ogrid[-1:1:SIZE * 1j, -1:1:SIZE * 1j]
X, Y = X[..., None].astype(np.float32), Y[..., None].astype(np.float32)


def _window(rng, field):
    top, left = rng.randrange(SIZE), rng.randrange(SIZE)
    return field[top:top + SIZE, left:left + SIZE]


def _background(rng, tone, family):
    if family in ("plain", "lines"):
        image = Image.new("RGB", (CANVAS, CANVAS), tone)
        if family == "lines":
            _rule(rng, ImageDraw.Draw(image), tone)
        return image
    if family == "gradient":
        angle = rng.uniform(0, 2 * math.pi)
        change = rng.uniform(8, 18) * (math.cos(angle) * X + math.sin(angle) * Y)
    elif family == "noise":
        change = rng.uniform(2, 9) * _window(rng, NOISE)
    elif family == "paper":
        change = rng.uniform(3, 7) * _window(rng, GRAIN)
    elif family == "vignette":
        change = rng.uniform(-20, -10) * ((X - rng.uniform(-0.3, 0.3)) ** 2 + (Y - rng.uniform(-0.3, 0.3)) ** 2)
    else:  # waves
        angle, turns = rng.uniform(0, 2 * math.pi), rng.uniform(8, 24)
        change = rng.uniform(4, 9) * np.sin(turns * (math.cos(angle) * X + math.sin(angle) * Y))
    pixels = np.clip(np.array(tone, np.float32) + change, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((CANVAS, CANVAS), Image.Resampling.NEAREST)


def _rule(rng, pen, tone):
    """Faint rules, as in a notebook; crossed in a third of the cases."""
    color, step, start = _near(tone, rng.randint(10, 22)), rng.randint(18, 44), rng.randrange(18)
    crossed = rng.random() < 0.33
    for at in range(start, CANVAS, step):
        pen.line((0, at, CANVAS, at), color, 2)
        if crossed:
            pen.line((at, 0, at, CANVAS), color, 2)


def _clutter(rng, pen, tone):
    """Something faint behind the subject that does not change the answer."""
    color, kind = _near(tone, rng.randint(22, 38)), rng.choice(("lines", "dots", "border"))
    if kind == "border":
        inset = rng.randint(0, 8)
        pen.rectangle((inset, inset, CANVAS - 1 - inset, CANVAS - 1 - inset), outline=color, width=rng.randint(2, 6))
        return
    for _ in range(rng.randint(1, 3) if kind == "lines" else rng.randint(4, 14)):
        x, y = rng.randrange(CANVAS), rng.randrange(CANVAS)
        if kind == "lines":
            pen.line((x, 0, rng.randrange(CANVAS), CANVAS) if rng.random() < 0.5 else (0, y, CANVAS, rng.randrange(CANVAS)), color, 2)
        else:
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), color)


def _camera(rng, image):
    """Sometimes the noise of a sensor, sometimes the marks of JPEG."""
    if rng.random() < 0.25:
        pixels = np.asarray(image) + rng.uniform(1.5, 6) * _window(rng, NOISE)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=rng.randint(40, 90))
        image = Image.open(file)
        image.load()
        image = image.convert("RGB")
    return image


# ---- shapes ---------------------------------------------------------------------------
def _ring(n, radius=lambda i: 1.0):
    """Points around the origin, the first one on top."""
    return np.array([(radius(i) * math.sin(2 * math.pi * i / n), -radius(i) * math.cos(2 * math.pi * i / n)) for i in range(n)])


def _heart():
    turns = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    x = 16 * np.sin(turns) ** 3
    y = 13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns)
    return np.stack((x, -y - 2.5), axis=1) / 15.5


ARM = 0.32  # Half the width of the cross's arms.
OUTLINES = {
    "circle": _ring(48),
    "square": np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.86,
    "triangle": _ring(3) * 1.15 + (0, 0.15),
    "star": _ring(10, lambda i: 1.12 if i % 2 == 0 else 0.46) + (0, 0.06),
    "heart": _heart(),
    "cross": np.array([(-ARM, -1), (ARM, -1), (ARM, -ARM), (1, -ARM), (1, ARM), (ARM, ARM),
                       (ARM, 1), (-ARM, 1), (-ARM, ARM), (-1, ARM), (-1, -ARM), (-ARM, -ARM)]),
}
# No point of a shape is further than this from its middle, in units of its radius.
REACH = max(np.hypot(*points.T).max() for points in OUTLINES.values())
TILT = 13  # Degrees; a square leans without becoming a diamond.


class _Spot(NamedTuple):
    """Where an object lies, as fractions of the picture's side."""

    x: float
    y: float
    radius: float


def _paint(rng, pen, map_pen, labels):
    kind, things = labels["kind"], [(labels["shape"], labels["color"])]
    if kind == "one":
        spots = [_spot_at(rng, LABELS["place"].index(labels["place"]))]
    elif kind == "two":
        things.append((labels["second_shape"], labels["second_color"]))
        spots = _spots_of_two(rng, labels["arrangement"] == LABELS["arrangement"][0])
    else:
        spots = _scattered(rng, LABELS["count"].index(labels["count"]) + min(COUNTS))
        things *= len(spots)
    outlined = rng.random() < 0.3
    inks = {color: _ink(rng, color) for _, color in things}
    for spot, (shape, color) in zip(spots, things, strict=True):
        _stamp(rng, pen, map_pen, spot, shape, inks[color], outlined)


def _stamp(rng, pen, map_pen, spot, shape, ink, outlined):
    tilt = math.radians(rng.uniform(-TILT, TILT))
    turn = np.array(((math.cos(tilt), math.sin(tilt)), (-math.sin(tilt), math.cos(tilt))))
    points = (OUTLINES[shape] @ turn * spot.radius + (spot.x, spot.y)) * CANVAS
    corners = [tuple(point) for point in points.tolist()]
    pen.polygon(corners, ink)
    map_pen.polygon(corners, CELL_CLASSES.index(shape))
    if outlined:
        pen.line([*corners, *corners[:2]], tuple(c // 3 for c in ink), 4, joint="curve")


def _spot_at(rng, place):
    """In a cell of the 3x3 grid, off its middle by at most 0.04: the next cell's begins 0.22 further."""
    row, column = divmod(place, 3)
    x, y = (0.2 + 0.3 * cell + rng.uniform(-0.04, 0.04) for cell in (column, row))
    edge = min(x, y, 1 - x, 1 - y)
    return _Spot(x, y, rng.uniform(0.1, min(0.24, (edge - 0.01) / REACH)))


def _spots_of_two(rng, side_by_side):
    spots = []
    for middle in (0.27, 0.73):
        along, across = middle + rng.uniform(-0.03, 0.03), 0.5 + rng.uniform(-0.1, 0.1)
        x, y = (along, across) if side_by_side else (across, along)
        spots.append(_Spot(x, y, rng.uniform(0.11, 0.17)))
    return spots


def _scattered(rng, n):
    """`n` spots of nearly one size with gaps between them; starts over, smaller, when it has no room left."""
    size = rng.uniform(0.09, 0.17)
    while True:
        spots = []
        for _ in range(12 * n):
            radius = size * rng.uniform(0.88, 1.12)
            reach = REACH * radius
            x, y = rng.uniform(reach, 1 - reach), rng.uniform(reach, 1 - reach)
            if all(math.hypot(x - other.x, y - other.y) > reach + REACH * other.radius for other in spots):
                spots.append(_Spot(x, y, radius))
                if len(spots) == n:
                    return spots
        size *= 0.9


# ---- print ----------------------------------------------------------------------------
@functools.cache
def _font(name, size):
    return ImageFont.truetype(FONT_FOLDER / name, size) if name else ImageFont.load_default(size)


@functools.cache
def _width_per_size(name, text):
    return _font(name, 64).getlength(text) / 64


def _print(rng, image, lies, tone, text, font_name):
    """Prints the text somewhere, wholly inside the picture, and marks in `lies` where its letters are."""
    shown = rng.choice((text.lower(), text.upper(), text[0].upper() + text[1:]))
    width = CANVAS * rng.uniform(max(0.38, 0.09 * len(text)), 0.86)
    # Even sizes only, which keeps the cache of fonts small; at most 130, for two digits would fill the picture.
    size = min(130, int(width / _width_per_size(font_name, shown))) // 2 * 2
    font = _font(font_name, size)
    left, top, right, bottom = font.getbbox(shown)
    mask = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(mask).text((2 - left, 2 - top), shown, 255, font)
    letters = Image.new("L", mask.size)
    for i, letter in enumerate(shown.lower()):
        span = [2 - left + font.getlength(shown[:end]) for end in (i, i + 1)]
        ImageDraw.Draw(letters).rectangle((span[0], 0, span[1], mask.height), CELL_CLASSES.index(letter))
    angle = rng.uniform(-6, 6)
    mask = mask.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    letters = letters.rotate(angle, Image.Resampling.NEAREST, expand=True).crop(mask.getbbox())
    mask = mask.crop(mask.getbbox())
    margin = 10
    x, y = (rng.randint(margin, CANVAS - side - margin) for side in mask.size)
    image.paste(_ink(rng, rng.choice(_legible(tone))), (x, y), mask)
    lies.paste(letters, (x, y))


# ---- contact sheet --------------------------------------------------------------------
def _sheet(path):
    rng, columns, n, n_held = random.Random(1), 8, 48, 16
    sheet = Image.new("RGB", (columns * (SIZE + 4), n // columns * (SIZE + 4)), (255, 0, 255))
    for i in range(n):
        picture = draw(rng, held=i >= n - n_held)
        row, column = divmod(i, columns)
        sheet.paste(picture.image, (column * (SIZE + 4), row * (SIZE + 4)))
        print(f"{row + 1}.{column + 1}  {picture.question}  {picture.answer}")
    sheet.save(path)


if __name__ == "__main__":
    _sheet(sys.argv[1])
