"""The demo show's cover: 1400 pixels square, the least that Apple takes."""

from __future__ import annotations

from pathlib import Path

SIZE = 1400
_BACK, _BARS, _TEXT = (18, 32, 47), (118, 185, 0), (240, 244, 248)
_HEIGHTS = (0.12, 0.28, 0.46, 0.30, 0.62, 0.38, 0.74, 0.52, 0.86, 0.58, 0.70, 0.36, 0.50, 0.26, 0.34, 0.14)


def draw_cover(path: Path) -> None:
    """Draw bars like those of a level meter above the show's name, as a PNG of few colours."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (SIZE, SIZE), _BACK)
    draw = ImageDraw.Draw(image)
    step = (SIZE - 300) / len(_HEIGHTS)
    for number, height in enumerate(_HEIGHTS):
        left = 150 + number * step
        half = height * 300
        draw.rounded_rectangle((left, 360 - half, left + step * 0.6, 360 + half), radius=18, fill=_BARS)
    font = ImageFont.load_default(size=150)
    draw.text((SIZE / 2, 730), "Eight Bits", font=font, fill=_TEXT, anchor="mm")
    small = ImageFont.load_default(size=56)
    draw.text((SIZE / 2, 855), "talks about fast inference", font=small, fill=_TEXT, anchor="mm")
    image.quantize(16).save(path, optimize=True)
