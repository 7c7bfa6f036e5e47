"""What all widgets share: pictures with words, sweeps, checked numbers, stored outputs."""

import base64
import io
import json
import math
import re
from pathlib import Path

import ipywidgets as ipw
import numpy as np
import pytest
from PIL import Image
from mtl_course.core.errors import UserError
from mtl_course.widgets.base import Picture, Widget, checked_number, close_all, slider
from mtl_course.widgets.sweep import sweep_to_jshtml

NOTEBOOKS = sorted((Path(__file__).parents[1] / "nbs").glob("6_play/*.ipynb"))


def pages(*colours):  # pictures of one colour each
    return [np.full((40, 60, 3), c, np.uint8) for c in colours]


class Shown(Widget):
    def __init__(self):
        self.picture = Picture()
        self.box = ipw.VBox([slider("level", 0, 9, 1), self.picture])


def test_a_sweep_says_what_it_shows_and_keeps_every_colour():
    html = sweep_to_jshtml(
        pages((213, 94, 0), (0, 114, 178), (1, 2, 3)),
        label="a <level>",
        sentences=['orange & "red"', "blue", "</script> 5°"],
    )
    frames = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(d))).convert("RGB"))
        for d in re.findall('data:image/webp;base64,([^"]+)', html)
    ]
    assert [tuple(f[7, 9].tolist()) for f in frames] == [(213, 94, 0), (0, 114, 178), (1, 2, 3)] and frames[
        0
    ].shape == (40, 60, 3)
    assert 'aria-label="a &lt;level&gt;"' in html and 'alt="orange &amp; &quot;red&quot;"' in html and "5°" in html
    assert html.count("<script") == html.count("</script>") and "data:image/png" not in html
    texts = json.loads(re.search(r"const texts = (\[.*?\]), find", html)[1])
    assert texts == ['orange & "red"', "blue", "</script> 5°"]
    assert 'aria-label="position"' in (plain := sweep_to_jshtml(pages(1, 2))) and "position, 2 of 2" in plain


@pytest.mark.parametrize(
    "figures, sentences", [([], ()), ([*pages(1), np.zeros((41, 60, 3), np.uint8)], ()), (pages(1, 2), ["one"])]
)
def test_a_sweep_that_does_not_fit_together(figures, sentences):
    with pytest.raises(ValueError, match="sentences"):
        sweep_to_jshtml(figures, sentences=sentences)


@pytest.mark.parametrize("value", (0, 10.5, math.nan, math.inf, -math.inf, "3", None, True, [3], 3j))
def test_a_wrong_number_is_one_sentence(value):
    with pytest.raises(UserError, match="^the level is .*, out of range: expected a number from 1 to 10$"):
        checked_number("the level", value, 1, 10)


def test_a_right_number_is_taken():
    assert (
        checked_number("x", np.float32(2), 1, 10) == 2
        and checked_number("x", 10, 1, 10) == 10
        and type(checked_number("x", 3.0, 1, 10, whole=True)) is int
    )
    with pytest.raises(UserError, match="whole"):
        checked_number("x", 2.5, 1, 10, whole=True)


def test_a_widget_is_stored_as_its_picture(monkeypatch):
    w = Shown()
    monkeypatch.delenv("MTL_STATIC_WIDGETS", raising=False)
    data, _ = w._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and "image/png" not in data  # nothing drawn yet
    w.picture.show(np.zeros((5, 6, 3), np.uint8), "A <black> picture.")
    assert (
        "&lt;black&gt;" in w.picture.caption.value and w.picture.image.tooltip == w.picture.text == "A <black> picture."
    )
    data, metadata = w._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= set(data) and metadata == {
        "image/png": {"alt": "A <black> picture."}
    }
    monkeypatch.setenv("MTL_STATIC_WIDGETS", "1")
    assert set(w._repr_mimebundle_()[0]) == {"image/png", "text/plain"}


def test_closing_closes_everything():
    w = Shown()
    level = w.box.children[0]
    close_all(w.box)
    assert all(
        x.comm is None for x in (w.box, level, level.layout, level.style, w.picture, w.picture.image, w.picture.caption)
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_outputs_need_no_kernel(path):
    """Of a stored view without its state JupyterLab makes an error."""
    for cell in json.loads(path.read_text())["cells"]:
        for output in cell.get("outputs", ()):
            assert not any("widget-view" in mime for mime in output.get("data", {})), cell["id"]
            html = "".join(output.get("data", {}).get("text/html", ""))
            if "anim-slider" in html:
                assert "aria-label=" in re.search(r"<input [^>]*anim-slider", html)[0] and re.search(
                    r'<img alt="[^"]+"', html
                ), cell["id"]
