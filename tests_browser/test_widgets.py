"""Each widget as a reader meets it: run the notebook, move a slider, see the picture change."""

import re
import time
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import SCREENSHOTS

from mtl_course.widgets.sweep import sweep_to_jshtml


@dataclass
class Move:
    """One slider to be moved, and the page that has to be turned to before."""

    slider: str  # part of its label
    tab: str = ""  # the widget's page to turn to first
    keys: tuple = ("ArrowRight",) * 3


CASES = {  # notebook -> moves, one after the other
    "27_gradient_arrows": [Move("lane: angle"), Move("recorded step", tab="from a real run")],
    "28_task_weight_playground": [Move("lane weight")],
    "29_imbalance_lab": [Move("class skew")],
    "30_prediction_browser": [Move("score threshold")],
}
LAPTOPS = {"1366x768": (1366, 768), "1440x900": (1440, 900)}  # window sizes in pixels
RUN_SECONDS = 240  # for all cells
PICTURE_SECONDS = 30  # for an answer, on a busy machine: no measure of the widget
KERNEL_FREE = "import threading; print(sum(t.name == 'task-weight playground' for t in threading.enumerate()))"
CURRENT = "window.jupyterapp.shell.currentWidget"
READY = f"""() => window.jupyterapp && {CURRENT} && {CURRENT}.sessionContext &&
    {CURRENT}.sessionContext.session?.kernel?.status === 'idle'"""
DONE = f"""() => {CURRENT}.sessionContext.session?.kernel?.status === 'idle' &&
    {CURRENT}.content.widgets.every(c => c.model.type !== 'code' || !c.model.sharedModel.source.trim()
        || c.model.executionCount)"""
ERRORS = f"""() => {CURRENT}.content.widgets.filter(c => c.model.type === 'code')
    .flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type === 'error')
    .map(o => o.ename + ': ' + o.evalue)"""
ASK = f"""async code => {{
    let printed = '';
    const future = {CURRENT}.sessionContext.session.kernel.requestExecute({{code, store_history: false}});
    future.onIOPub = m => {{
        if (m.header.msg_type === 'stream') printed += m.content.text;
        if (m.header.msg_type === 'error') printed += m.content.ename;
    }};
    await future.done;
    return printed }}"""
CLEAR = f"""async index => {{ {CURRENT}.content.activeCellIndex = index;
    await window.jupyterapp.commands.execute('notebook:clear-cell-output') }}"""
CELL_OF = f"""node => {CURRENT}.content.widgets.findIndex(c => c.node.contains(node))"""
LISTEN = f"""() => {{ window.kernelErrors = [];
    {CURRENT}.sessionContext.session.kernel.iopubMessage.connect((_, m) => {{
        if (m.header.msg_type === 'error') window.kernelErrors.push(m.content.ename + ': ' + m.content.evalue) }}) }}"""


def open_and_run(page, lab, notebook) -> list[str]:
    """Opens the notebook in a clean workspace and runs every cell; returns its errors."""
    address, token = lab
    page.goto(f"{address}/lab/tree/6_play/{notebook}.ipynb?reset&token={token}", timeout=60_000)
    page.wait_for_function(READY, timeout=90_000)
    page.evaluate("async () => { await window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs') }")
    # does not wait: an error would end it early
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
    over = f"() => ({ERRORS})().length || ({DONE})()"
    page.wait_for_function(over, timeout=1000 * RUN_SECONDS, polling=200)
    return page.evaluate(ERRORS)


def seconds_until(condition, complaint: str) -> float:
    """Until `condition()` is true; fails when it stays false."""
    start = time.monotonic()
    while time.monotonic() < start + PICTURE_SECONDS:
        if condition():
            return time.monotonic() - start
        time.sleep(0.05)
    pytest.fail(f"{complaint} for {PICTURE_SECONDS} s")


def is_drawn(image, width: int = 100) -> bool:
    """Whether a picture has more than so many pixels: none until the browser has decoded it."""
    return image.evaluate(f"i => i.complete && i.naturalWidth > {width}")


def cell_with(page, label: str):
    """The last cell that has a slider of this label."""
    return page.locator(".jp-CodeCell").filter(has=page.locator(".widget-slider", has_text=label)).last


def move_slider(page, move: Move) -> float:
    """Turns to the page and presses the keys; returns the seconds until the picture changed."""
    cell = cell_with(page, move.slider)
    if move.tab:
        cell.get_by_role("tab", name=move.tab).click()
    handle = cell.locator(".widget-slider", has_text=move.slider).locator("[role=slider]")
    image = cell.locator("img:visible").first
    image.scroll_into_view_if_needed()
    handle.focus()  # where the Tab key arrives
    assert handle.evaluate("h => h === document.activeElement && h.tabIndex === 0")
    before = image.screenshot()
    value = handle.get_attribute("aria-valuenow")
    page.keyboard.press(move.keys[0])
    changed = seconds_until(lambda: is_drawn(image) and image.screenshot() != before, "the picture stayed the same")
    for key in move.keys[1:]:
        page.keyboard.press(key)
    assert handle.get_attribute("aria-valuenow") != value
    seconds_until(lambda: is_drawn(image), "the picture was broken or a stamp")
    assert image.get_attribute("title"), "a picture has to say in words what it shows"
    return changed


def source_and_words(image) -> tuple:
    return image.get_attribute("src"), image.get_attribute("alt")


def move_sweep(page):
    """The player without a kernel follows the keyboard, which JupyterLab would keep for itself."""
    handle = page.locator("input.anim-slider").last
    image = page.locator("#" + handle.get_attribute("id").replace("slider", "img"))
    assert handle.get_attribute("aria-label")
    source, words = source_and_words(image)
    handle.focus()
    page.keyboard.press("ArrowRight")
    seconds_until(lambda: image.get_attribute("src") != source, "the sweep's picture stayed the same")
    seconds_until(lambda: image.get_attribute("alt") != words, "the sweep's alternative text stayed the same")
    assert page.get_by_text(image.get_attribute("alt"), exact=True).count()


def test_a_sweep_on_a_page_without_jupyter(page):
    pictures = [np.full((60, 90, 3), colour, np.uint8) for colour in (0, 90, 200)]
    html = sweep_to_jshtml(pictures, label="level", sentences=["dark", "grey", "light"])
    page.set_content(html, wait_until="domcontentloaded")
    handle = page.get_by_role("slider", name="level")
    image = page.locator("img")
    seconds_until(lambda: is_drawn(image, 80), "no picture came")
    source = image.get_attribute("src")
    handle.focus()
    page.keyboard.press("ArrowRight")
    seconds_until(lambda: image.get_attribute("alt") == "grey", "the alternative text did not follow the key")
    assert image.get_attribute("src") != source and page.get_by_text("grey").is_visible()
    assert handle.input_value() == "1"


def steps_of(image) -> int:
    """How many steps the playground's picture speaks of."""
    return int(re.match(r"Step (\d+)", image.get_attribute("title"))[1])


def train_and_close(page):
    """Trains while the kernel answers; clears the cell's output, which has to end the thread."""
    cell = cell_with(page, "lane weight")
    image = cell.locator("img:visible").first
    index = cell.evaluate(CELL_OF)
    start = steps_of(image)
    before = image.screenshot()
    cell.get_by_role("button", name="train").click()
    seconds_until(lambda: steps_of(image) >= start + 3, "the training made no steps")
    assert is_drawn(image) and image.screenshot() != before
    assert "not training" not in image.get_attribute("title")
    assert page.evaluate(ASK, KERNEL_FREE).strip() == "1"  # the kernel is free while it trains
    move_slider(page, Move("lane weight", keys=("ArrowLeft",) * 3))
    page.screenshot(path=SCREENSHOTS / "28_task_weight_playground-training.png")
    later = steps_of(image)
    seconds_until(lambda: steps_of(image) > later, "after the slider it did not train on")
    page.evaluate(CLEAR, index)
    seconds_until(lambda: page.evaluate(ASK, KERNEL_FREE).strip() == "0", "without its output it trained on")
    assert cell.locator("img").count() == 0
    state = "s = playground.state(); print(s['error'], s['training'], s['step'])"
    error, training, step = page.evaluate(ASK, state).split()
    assert (error, training) == ("None", "False") and int(step) >= later


AFTERWARDS = {"28_task_weight_playground": train_and_close}


def check_size(page, move: Move):
    """Sliders reach across the cell; the picture is at its full size, so letters have 9 pt."""
    cell = cell_with(page, move.slider)
    image = cell.locator("img:visible").first
    seconds_until(lambda: is_drawn(image), "no picture came")
    width, natural = image.evaluate("i => [i.getBoundingClientRect().width, i.naturalWidth]")
    assert width >= natural - 1, f"the picture of {natural} pixels is shrunk to {width:.0f}"
    room = cell.locator(".jp-OutputArea-output:visible").first.bounding_box()["width"]
    boxes = [slider.bounding_box() for slider in cell.locator(".widget-slider:visible").all()]
    reach = max(box["x"] + box["width"] for box in boxes) - min(box["x"] for box in boxes)
    assert reach > 0.85 * room, f"the sliders reach over {reach:.0f} of {room:.0f} pixels"


@pytest.mark.parametrize("notebook", CASES)
def test_a_slider_moved_with_the_keyboard(page, lab, folder, notebook):
    problems = []
    log = folder / "lab.log"
    page.on("pageerror", lambda error: problems.append(str(error)))
    errors = open_and_run(page, lab, notebook)
    logged = len(log.read_text())
    assert not errors, errors
    page.evaluate(LISTEN)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name, (width, height) in LAPTOPS.items():
        page.set_viewport_size(dict(width=width, height=height))
        cell_with(page, CASES[notebook][0].slider).scroll_into_view_if_needed()
        page.wait_for_timeout(500)  # the page is laid out anew
        page.screenshot(path=SCREENSHOTS / f"{notebook}-{name}.png")
        check_size(page, CASES[notebook][0])
    for number, move in enumerate(CASES[notebook], 1):
        seconds = move_slider(page, move)
        page.wait_for_timeout(1500)  # the last key's answer, so that slider, picture and text agree
        page.screenshot(path=SCREENSHOTS / f"{notebook}-{number}.png")
        print(f"\n{notebook}, {move.slider}: the picture changed {1000 * seconds:.0f} ms after the key")
    move_sweep(page)
    if notebook in AFTERWARDS:
        AFTERWARDS[notebook](page)
    for sign in ("Error displaying widget", "Click to show javascript error"):
        assert page.locator(".jp-OutputArea").get_by_text(sign).count() == 0, sign
    # of the cells, of what the controls called, of the page
    errors = page.evaluate(ERRORS) + page.evaluate("() => window.kernelErrors") + problems
    assert not errors, errors
    assert "Traceback" not in log.read_text()[logged:], log.read_text()[logged:]  # some errors stand only there
