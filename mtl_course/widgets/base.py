"""A picture redrawn in place, controls as wide as the window, and the class of all widgets."""

import base64
import contextlib
import html
import inspect
import math
import numbers
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import cv2
import ipywidgets as ipw
import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from traitlets import Unicode

from ..core.errors import UserError
from ..plots.style import style

__all__ = []

DPI = 96  # a browser's pixels per inch: what is 9 pt in a figure is 9 pt on the screen
_ROOMY = dict(flex="1 1 20em", width="auto", min_width="18em")  # of sliders: share the row
_FITTING = dict(width="max-content")  # of lists, buttons and boxes: as wide as their words


@contextmanager
def widget_style() -> Iterator[None]:
    """The course's style with letters of at least 9 pt, for the screen and not for paper."""
    sizes = dict.fromkeys(("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 9)
    with style(), rc_context(sizes | {"axes.titlesize": 9.5}):
        yield


def figure_to_png(
    figure: Figure | np.ndarray,  # drawn without pyplot; or finished pixels, uint8 (H, W, 3) RGB
    dpi: int = DPI,  # pixels per inch, of a figure
) -> bytes:
    """A figure as the bytes of a PNG, packed for speed."""
    if isinstance(figure, np.ndarray):
        pixels = cv2.cvtColor(figure, cv2.COLOR_RGB2BGR)
    else:
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(dpi)
        with rc_context({"text.hinting": "none"}):  # a quarter less time, and the same letters
            canvas.draw()
        pixels = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


class _TitledImage(ipw.Image):
    """An image that may have a title.

    The page's side of ipywidgets (8.1) puts titles on widgets only that have a description, and
    breaks on others.
    """

    description = Unicode("").tag(sync=True)  # stays empty


class Picture(ipw.VBox):
    """An image that is redrawn in place, with a sentence below it that says what is to be seen.

    `show` draws; `png` holds the last picture's bytes and `text` its sentence, for tests and for
    places without a kernel.
    """

    format = "png"
    text = ""

    def __init__(
        self,
        dpi: int = DPI,  # pixels per inch
    ):
        self.dpi = dpi
        layout = ipw.Layout(max_width="100%", align_self="flex-start")
        self.image = _TitledImage(format=self.format, layout=layout)
        self.caption = ipw.HTML()
        super().__init__([self.image, self.caption])

    def pack(self, figure: Figure | np.ndarray) -> bytes:
        """The figure's bytes in this picture's format."""
        return figure_to_png(figure, self.dpi)

    def show(
        self,
        figure: Figure | np.ndarray,  # drawn without pyplot; or finished pixels, uint8 (H, W, 3) RGB
        description: str,  # what it shows, in a sentence of plain text
    ):
        """Draws the figure in place of the last one."""
        self.image.value = self.pack(figure)
        self.image.tooltip = description
        self.text = description
        words = html.escape(description, quote=False)
        self.caption.value = f"<div style='font-size:95%; max-width:65em; line-height:1.4'>{words}</div>"

    @property
    def png(self) -> bytes:
        return self.image.value


def row(*controls: ipw.Widget) -> ipw.HBox:
    """Controls beside each other, wrapped where the window is too narrow for all of them."""
    return ipw.HBox(list(controls), layout=ipw.Layout(flex_flow="row wrap", align_items="center", width="100%"))


def weak_callback(callback: Callable) -> Callable:
    """A method that does not keep its object alive; ipywidgets never forgets what a control calls.

    Other functions are taken as they are: those that mention a widget shall mention a
    `weakref.proxy` of it.
    """
    if not inspect.ismethod(callback):
        return callback
    return partial(call_if_alive, weakref.WeakMethod(callback))


def call_if_alive(weak: weakref.WeakMethod, *args):
    """Calls a method whose object still exists."""
    method = weak()
    if method is not None:
        method(*args)


def _control(
    kind: type,  # an ipywidgets class
    label: str,
    on_change: Callable | None,  # called with the new value
    layout: dict,  # of the control
    **options,  # of the class
) -> ipw.Widget:
    control = kind(description=label, layout=ipw.Layout(**layout), style={"description_width": "initial"}, **options)
    if on_change:
        call = weak_callback(on_change)
        control.observe(lambda change: call(change["new"]), names="value")
    return control


def slider(
    label: str,  # what it sets, with the unit
    low: float,  # one end
    high: float,  # the other end
    value: float,  # to begin with
    step: float = 1,  # one press of an arrow key
    on_change: Callable | None = None,  # called with the new value
) -> ipw.IntSlider | ipw.FloatSlider:
    """A labelled slider, of whole numbers when low, high, value and step are whole."""
    whole = all(isinstance(number, int) for number in (low, high, value, step))
    kind = ipw.IntSlider if whole else ipw.FloatSlider
    return _control(kind, label, on_change, _ROOMY, value=value, min=low, max=high, step=step)


def align_labels(sliders: Iterable[ipw.Widget]):
    """Equally wide labels, and room for them, so that sliders beside or below each other have one
    length.
    """
    sliders = list(sliders)
    label = 0.5 * max(len(control.description) for control in sliders) + 0.5  # em
    for control in sliders:
        control.style.description_width = f"{label:g}em"
        control.layout.flex = f"1 1 {10 + label:g}em"


def log_slider(
    label: str,
    low: float,  # one end, above 0
    high: float,  # the other end
    value: float,  # to begin with
    steps_per_decade: int = 20,  # presses of an arrow key from 1 to 10
    on_change: Callable | None = None,  # called with the new value
) -> ipw.FloatLogSlider:
    """A labelled slider on which equal distances are equal ratios.

    Raises `ValueError` unless 0 < low ≤ value ≤ high.
    """
    if not 0 < low <= value <= high:
        raise ValueError(f"a logarithmic slider is given {low}, {value}, {high}: expected 0 < low ≤ value ≤ high")
    return _control(
        ipw.FloatLogSlider,
        label,
        on_change,
        _ROOMY,
        value=value,
        base=10,
        min=math.log10(low),
        max=math.log10(high),
        step=1 / steps_per_decade,
        readout_format=".3g",
    )


def stop_slider(
    label: str,
    stops: Sequence[tuple],  # (text, value) pairs, in the order of the slider
    value,  # to begin with: one of the values
    on_change: Callable | None = None,  # called with the new value
) -> ipw.SelectionSlider:
    """A labelled slider over a list of values."""
    return _control(ipw.SelectionSlider, label, on_change, _ROOMY, options=list(stops), value=value)


def choice(
    label: str,
    options: Sequence,  # texts, or (text, value) pairs
    value=None,  # to begin with; None: the first
    on_change: Callable | None = None,  # called with the new value
) -> ipw.Dropdown:
    """A labelled list of which one is chosen."""
    pairs = [option if isinstance(option, tuple) else (str(option), option) for option in options]
    first = pairs[0][1] if value is None else value
    return _control(ipw.Dropdown, label, on_change, _FITTING, options=pairs, value=first)


def tick(
    label: str,
    value: bool = False,  # ticked to begin with
    on_change: Callable | None = None,  # called with the new value
) -> ipw.Checkbox:
    """A labelled box that is ticked or not."""
    return _control(ipw.Checkbox, label, on_change, _FITTING, value=value, indent=False)


def button(
    label: str,
    on_click: Callable | None = None,  # called without arguments
    hint: str = "",  # what it does, shown when the mouse rests on it
) -> ipw.Button:
    """A button with its purpose in words on it."""
    control = ipw.Button(description=label, tooltip=hint or label, layout=ipw.Layout(**_FITTING))
    if on_click:
        call = weak_callback(on_click)
        control.on_click(lambda _: call())
    return control


def checked_number(
    name: str,  # names it in the sentence
    value,  # to be checked
    low: float,
    high: float,
    whole: bool = False,  # only whole numbers will do
) -> float | int:
    """The value, if it is a number (a whole one) from low to high; raises `UserError` else."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise UserError(f"{name} is {value!r}, out of range: expected a {kind} from {low:g} to {high:g}")
    return int(value) if whole else float(value)


class Widget:
    """The base of the widgets: shows `box` in a notebook, and `picture` where nobody answers.

    A subclass sets both. Where the environment variable MTL_STATIC_WIDGETS is set, as it is while
    stored outputs are made, the picture is shown alone. Its controls do not keep a widget alive;
    the page does, as long as it shows it.
    """

    box: ipw.Widget  # everything on the page
    picture: Picture  # the main picture
    quiet = False  # True while the widget moves its own controls: what they call back asks for it

    @contextmanager
    def callbacks_silenced(self) -> Iterator[None]:
        """Inside the block controls can be moved without their calling back."""
        before = self.quiet
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = before

    def _stay_while_viewed(self):
        """From now on the box holds the widget until the page shows no view of it any more."""
        self.box.shown = self
        if self.box._view_count is None:  # the page counts the views where it is a number
            self.box._view_count = 0
            views = weak_callback(self._on_views)
            self.box.observe(lambda change: views(change["new"]), names="_view_count")

    def _on_views(self, views: int):
        self.box.shown = self if views else None

    def __del__(self):
        """ipywidgets holds pictures and controls until they are closed."""
        with contextlib.suppress(Exception):  # Python itself may be ending
            if "box" in vars(self):
                close_all(self.box)

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        """Data and metadata: the controls, and the picture for places without a kernel."""
        self._stay_while_viewed()
        mime = f"image/{self.picture.format}"
        picture_alone = bool(os.environ.get("MTL_STATIC_WIDGETS") and self.picture.png)
        data = {} if picture_alone else self.box._repr_mimebundle_(**kwargs)
        data = data | {"text/plain": f"{type(self).__name__}: {self.picture.text}"}
        if self.picture.png:
            data[mime] = base64.b64encode(self._still()).decode()
        return data, {mime: dict(alt=self.picture.text)}

    def _still(self) -> bytes:
        """The picture's bytes as they are stored in a notebook."""
        return self.picture.png


def close_all(widget: ipw.Widget):
    """Closes a widget and all that is in it.

    ipywidgets holds every widget until it is closed; closing a box alone leaves its children, and
    what their callbacks hold.
    """
    for child in getattr(widget, "children", ()):
        close_all(child)
    for piece in (widget, getattr(widget, "layout", None), getattr(widget, "style", None)):
        if piece is not None:
            piece.close()
