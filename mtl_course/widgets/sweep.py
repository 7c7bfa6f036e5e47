"""A slider over pictures that works where there is no Python behind the page."""

import base64
import html
import io
import json
import re
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .base import figure_to_png

__all__ = []

LOSSLESS = 101  # WebP's quality for pictures that are packed without loss


def to_webp(
    pixels: np.ndarray,  # (H, W, 3) uint8 RGB
    quality: int,  # 0…100; 101: without loss
) -> str:
    """A picture as WebP in base64, for a page."""
    packed = cv2.imencode(".webp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    return base64.b64encode(packed).decode()


def sweep_to_jshtml(
    figures: Iterable,  # figures or finished pixels, one for each position of the slider, all of one size
    dpi: int = 60,  # pixels per inch, of figures
    photo: int = 0,  # above 0: photographs, packed with loss, in this quality (up to 100)
    label: str = "position",  # what the slider moves
    sentences: Sequence[str] = (),  # for each position, what is to be seen
    seconds: float = 0.5,  # per picture while it plays
) -> str:
    """A self-contained piece of HTML that leafs through the pictures with a slider.

    Raises `ValueError` for no figure, figures of different sizes, or another number of sentences.
    """
    frames = [_pixels(figure, dpi) for figure in figures]
    sentences = list(sentences) or [f"{label}, {k + 1} of {len(frames)}" for k in range(len(frames))]
    sizes = {frame.shape for frame in frames}
    if len(sizes) != 1 or len(sentences) != len(frames):
        raise ValueError("a sweep needs at least one figure, all of the same size, and as many sentences")
    page = _empty_player(frames[0].shape, len(frames), seconds)
    packed = iter([to_webp(frame, photo or LOSSLESS) for frame in frames])
    page = re.sub(r'data:image/png;base64,[^"]+', lambda _: f"data:image/webp;base64,{next(packed)}", page)
    return _in_words(page, label, sentences)


def _pixels(figure: Figure | np.ndarray, dpi: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(figure_to_png(figure, dpi))).convert("RGB"))


def _empty_player(shape: tuple, frames: int, seconds: float) -> str:
    """matplotlib's player with white pictures, which will be replaced."""
    height, width = shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    FigureCanvasAgg(figure)
    animation = FuncAnimation(figure, lambda k: [], frames=frames, interval=1000 * seconds)
    return without_network(animation.to_jshtml(default_mode="once"))


_SIGNS = {  # of the buttons, in place of a font that matplotlib's page loads from elsewhere
    "minus": "−",
    "plus": "+",
    "fast-backward": "⏮",
    "step-backward": "⏪",
    "play fa-flip-horizontal": "◀",
    "pause": "⏸",
    "play": "▶",
    "step-forward": "⏩",
    "fast-forward": "⏭",
}


def without_network(page: str) -> str:
    """A page that asks no server for anything: the course works offline."""
    page = re.sub(r"<link[^>]*https?:[^>]*>", "", page)
    return re.sub(r'<i class="fa fa-([a-z -]+)"></i>', lambda icon: _SIGNS.get(icon[1], icon[1]), page)


_SENTENCE = """<div id="_anim_text{id}" aria-live="polite" style="font-size:95%; max-width:65em">{first}</div>
<script>(function() {{
  const texts = {texts}, find = n => document.getElementById("_anim_" + n + "{id}"), img = find("img");
  img.addEventListener("load", () => {{
    const text = texts[find("slider").value];
    img.alt = text;
    if (find("text").textContent !== text) find("text").textContent = text;
  }});
}})()</script>"""


def _in_words(page: str, label: str, sentences: list[str]) -> str:
    """A player with a named slider, and an alternative text below each picture."""
    id = re.search(r'id="_anim_img(\w+)"', page)[1]
    first = html.escape(sentences[0])
    page = page.replace(f'<img id="_anim_img{id}"', f'<img alt="{first}" id="_anim_img{id}"')
    keys = 'data-lm-suppress-shortcuts="true"'  # JupyterLab leaves the arrow keys to the slider
    name = f'aria-label="{html.escape(label)}"'
    page = page.replace(f'<input id="_anim_slider{id}"', f'<input {keys} {name} id="_anim_slider{id}"')
    texts = json.dumps(sentences, ensure_ascii=False).replace("<", "\\u003c")
    return page + _SENTENCE.format(id=id, first=html.escape(sentences[0], quote=False), texts=texts)
