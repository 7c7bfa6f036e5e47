"""A picture that can be redrawn in place, a few labelled controls, and a slider that still works where there is no Python behind the page."""

__all__ = [
    "figure_to_png",
    "Picture",
    "slider",
    "log_slider",
    "choice",
    "button",
    "tick",
    "checked_number",
    "Playable",
    "close_all",
    "sweep_to_jshtml",
    "to_webp",
]

import base64, html, io, json, math, numbers, os, re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import cv2, ipywidgets as ipw, numpy as np
from matplotlib import rc_context
from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from traitlets import Unicode
from ..core.errors import UserError


def figure_to_png(
    figure: Figure | np.ndarray,  # drawn without pyplot; or finished pixels, uint8 (H, W, 3) RGB
    dpi: int = 90,  # pixels per inch, of a figure
) -> bytes:
    "A figure as the bytes of a PNG, packed for speed."
    if isinstance(figure, np.ndarray):
        pixels = cv2.cvtColor(figure, cv2.COLOR_RGB2BGR)
    else:
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(dpi)
        with rc_context({"text.hinting": "none"}):
            canvas.draw()  # a quarter less time; at these sizes the letters look the same
        pixels = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


class _TitledImage(ipw.Image):
    "An image that may have a title: the page's side of ipywidgets (8.1) puts one on widgets only that have a description, and breaks on others."

    description = Unicode("").tag(sync=True)  # stays empty


class Picture(ipw.VBox):
    """An image that is redrawn in place, with a sentence below it that says what is to be seen.

    `show` draws a figure; `png` holds the last picture's bytes and `text` its sentence, for tests and for places without a kernel.
    """

    format, text = "png", ""

    def __init__(self, dpi: int = 90):  # pixels per inch
        self.dpi, self.image, self.caption = (
            dpi,
            _TitledImage(format=self.format, layout=ipw.Layout(max_width="100%", align_self="flex-start")),
            ipw.HTML(),
        )
        super().__init__([self.image, self.caption])

    def pack(self, figure: Figure | np.ndarray) -> bytes:
        return figure_to_png(figure, self.dpi)

    def show(
        self,
        figure: Figure | np.ndarray,  # drawn without pyplot; or finished pixels, uint8 (H, W, 3) RGB
        description: str,
    ):  # what it shows, in a sentence of plain text
        "Draws the figure in place of the last one."
        self.image.value, self.image.tooltip, self.text = self.pack(figure), description, description
        self.caption.value = f"<div style='font-size:90%; max-width:60em'>{html.escape(description, quote=False)}</div>"

    @property
    def png(self) -> bytes:
        return self.image.value


_LABELLED = dict(style={"description_width": "initial"})


def _wire(control, on_change):
    if on_change:
        control.observe(lambda change: on_change(change["new"]), names="value")
    return control


def slider(
    label: str,  # what it sets, with the unit
    low: float,
    high: float,  # ends
    value: float,  # to begin with
    step: float = 1,  # one press of an arrow key; a whole number makes a slider of whole numbers
    on_change: Callable | None = None,  # called with the new value
    width: str = "22em",
):
    "A labelled slider: of whole numbers when low, high, value and step are whole, else of decimals."
    whole = all(isinstance(v, int) for v in (low, high, value, step))
    kind = ipw.IntSlider if whole else ipw.FloatSlider
    return _wire(
        kind(value=value, min=low, max=high, step=step, description=label, layout=ipw.Layout(width=width), **_LABELLED),
        on_change,
    )


def log_slider(
    label: str,
    low: float,
    high: float,
    value: float,  # above 0
    steps_per_decade: int = 20,  # presses of an arrow key from 1 to 10
    on_change: Callable | None = None,
    width: str = "22em",
):
    "A labelled slider on which equal distances are equal ratios; raises `ValueError` unless 0 < low ≤ value ≤ high."
    if not 0 < low <= value <= high:
        raise ValueError(f"a logarithmic slider needs 0 < low ≤ value ≤ high, not {low}, {value}, {high}")
    return _wire(
        ipw.FloatLogSlider(
            value=value,
            base=10,
            min=math.log10(low),
            max=math.log10(high),
            step=1 / steps_per_decade,
            readout_format=".3g",
            description=label,
            layout=ipw.Layout(width=width),
            **_LABELLED,
        ),
        on_change,
    )


def choice(
    label: str,
    options: Sequence,  # texts, or (text, value) pairs
    value=None,  # to begin with; None: the first
    on_change: Callable | None = None,  # called with the new value
    width: str = "22em",
):
    "A labelled list of which one is chosen."
    options = [o if isinstance(o, tuple) else (str(o), o) for o in options]
    return _wire(
        ipw.Dropdown(
            options=options,
            value=options[0][1] if value is None else value,
            description=label,
            layout=ipw.Layout(width=width),
            **_LABELLED,
        ),
        on_change,
    )


def button(
    label: str,
    on_click: Callable | None = None,  # called without arguments
    hint: str = "",  # what it does, shown when the mouse rests on it
    width: str = "auto",
):
    "A button with its purpose in words on it."
    made = ipw.Button(description=label, tooltip=hint or label, layout=ipw.Layout(width=width))
    if on_click:
        made.on_click(lambda _: on_click())
    return made


def tick(
    label: str, value: bool = False, on_change: Callable | None = None, width: str = "auto"
):  # on_change is called with the new value
    "A labelled box that is ticked or not."
    return _wire(
        ipw.Checkbox(value=value, description=label, indent=False, layout=ipw.Layout(width=width), **_LABELLED),
        on_change,
    )


def checked_number(
    what: str,  # names it in the sentence
    value,
    low: float,
    high: float,
    whole: bool = False,
) -> float | int:
    "The value, if it is a number (a whole one) from low to high; raises `UserError` else."
    if (
        not isinstance(value, numbers.Real)
        or isinstance(value, bool)
        or not low <= value <= high
        or (whole and value != int(value))
    ):
        raise UserError(
            f"{what} is {value!r}, out of range: expected a {'whole ' if whole else ''}number from {low:g} to {high:g}"
        )
    return int(value) if whole else float(value)


class Playable:
    """The base of the widgets: shows `box` in a notebook, and `picture` where nobody answers. Subclasses set both."""

    box: ipw.Widget  # everything on the page
    picture: Picture  # the main picture
    quiet = False  # True while the widget moves its own controls: what they call back asks for it

    @contextmanager
    def callbacks_silenced(self) -> Iterator[None]:
        "Inside the block controls can be moved without their calling back."
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:  # data, metadata
        "The controls, and the picture for places without a kernel; the picture alone where MTL_STATIC_WIDGETS is set, as it is while stored outputs are made."
        mime, alone = f"image/{self.picture.format}", bool(os.environ.get("MTL_STATIC_WIDGETS"))
        data = ({} if alone and self.picture.png else self.box._repr_mimebundle_(**kwargs)) | {
            "text/plain": f"{type(self).__name__}: {self.picture.text}"
        }
        if self.picture.png:
            data[mime] = base64.b64encode(self._still()).decode()
        return data, {mime: dict(alt=self.picture.text)}

    def _still(self) -> bytes:
        return self.picture.png  # what is stored


def close_all(widget: ipw.Widget):
    "Closes a widget and all that is in it. ipywidgets holds every widget until it is closed; closing a box alone leaves its children, and what their callbacks hold."
    for child in getattr(widget, "children", ()):
        close_all(child)
    for part in (widget, getattr(widget, "layout", None), getattr(widget, "style", None)):
        if part is not None:
            part.close()


def sweep_to_jshtml(
    figures: Sequence,  # figures or finished pixels, one for each position of the slider, all of one size
    dpi: int = 60,  # pixels per inch
    photo: int = 0,  # above 0: photographs, packed with loss, in this quality (up to 100)
    label: str = "position",  # what the slider moves
    sentences: Sequence[str] = (),  # for each position, what is to be seen
    seconds: float = 0.5,  # per picture while it plays
) -> str:
    "A self-contained piece of HTML that leafs through the pictures with a slider; raises `ValueError` for no figure, figures of different sizes, or another number of sentences."
    frames = [np.asarray(Image.open(io.BytesIO(figure_to_png(f, dpi))).convert("RGB")) for f in figures]
    sentences = list(sentences) or [f"{label}, {k + 1} of {len(frames)}" for k in range(len(frames))]
    if not frames or len({f.shape for f in frames}) > 1 or len(sentences) != len(frames):
        raise ValueError("a sweep needs at least one figure, all of the same size, and as many sentences")
    height, width = frames[0].shape[:2]
    page = Figure(figsize=(width / 100, height / 100), dpi=100)
    FigureCanvasAgg(page)
    player = FuncAnimation(
        page, lambda k: [], frames=len(frames), interval=1000 * seconds
    )  # draws nothing: its pictures are replaced
    packed = iter(frames)
    page = re.sub(
        r'data:image/png;base64,[^"]+',
        lambda _: f"data:image/webp;base64,{to_webp(next(packed), photo or 101)}",
        player.to_jshtml(default_mode="once"),
    )
    return _in_words(page, label, sentences)


def to_webp(pixels: np.ndarray, quality: int) -> str:  # (h, w, 3) uint8 RGB; 0…100, 101: without loss
    "A picture as WebP in base64, for a page."
    return base64.b64encode(
        cv2.imencode(".webp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    ).decode()


def _in_words(page: str, label: str, sentences: list[str]) -> str:
    "A player whose slider has a name, and whose pictures have an alternative text, shown below them."
    id = re.search(r'id="_anim_img(\w+)"', page)[1]
    page = page.replace(f'<img id="_anim_img{id}"', f'<img alt="{html.escape(sentences[0])}" id="_anim_img{id}"')
    free = 'data-lm-suppress-shortcuts="true"'  # JupyterLab leaves the arrow keys to the slider
    page = page.replace(
        f'<input id="_anim_slider{id}"', f'<input {free} aria-label="{html.escape(label)}" id="_anim_slider{id}"'
    )
    texts = json.dumps(sentences, ensure_ascii=False).replace("<", "\\u003c")
    return (
        page
        + f"""<div id="_anim_text{id}" aria-live="polite" style="font-size:90%; max-width:60em">{html.escape(sentences[0], quote=False)}</div>
<script>(function() {{ const texts = {texts}, find = n => document.getElementById("_anim_" + n + "{id}"), img = find("img");
img.addEventListener("load", () => {{ const text = texts[find("slider").value]; img.alt = text; if (find("text").textContent !== text) find("text").textContent = text; }}); }})()</script>"""
    )
