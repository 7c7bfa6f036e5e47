"""Each widget as a reader meets it: open the notebook, run all cells, move a slider with the keyboard, see the picture change; let the playground train, and take its output away."""

import re, time
from dataclasses import dataclass
import numpy as np, pytest
from mtl_course.widgets.base import sweep_to_jshtml
from conftest import SCREENSHOTS


@dataclass
class Move:
    "One slider to be moved, and the page that has to be turned to before."

    slider: str  # part of its label
    tab: str = ""  # the widget's page to turn to first
    keys: tuple = ("ArrowRight",) * 3


CASES = {
    "30_widget_parts": [Move("periods")],  # notebook -> moves, one after the other
    "31_gradient_arrows": [Move("lane: angle"), Move("recorded step", tab="from a real run")],
    "32_task_weight_playground": [Move("lane weight")],
    "33_imbalance_lab": [Move("class skew")],
    "34_prediction_browser": [Move("score threshold")],
}
RUN_SECONDS, PICTURE_SECONDS = 240, 30  # for all cells; for an answer (on a busy machine: no measure of the widget)

CURRENT = "window.jupyterapp.shell.currentWidget"
READY = f"() => window.jupyterapp && {CURRENT} && {CURRENT}.sessionContext && {CURRENT}.sessionContext.session?.kernel?.status === 'idle'"
DONE = f"""() => {CURRENT}.sessionContext.session?.kernel?.status === 'idle' &&
    {CURRENT}.content.widgets.every(c => c.model.type !== 'code' || !c.model.sharedModel.source.trim() || c.model.executionCount)"""
ERRORS = f"""() => {CURRENT}.content.widgets.filter(c => c.model.type === 'code').flatMap(c => c.model.outputs.toJSON())
    .filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue)"""


def open_and_run(page, lab, notebook) -> list[str]:
    "Opens the notebook in a clean workspace, clears what it had stored, runs every cell; returns the errors in its outputs."
    address, token = lab
    page.goto(f"{address}/lab/tree/{notebook}.ipynb?reset&token={token}", timeout=60_000)
    page.wait_for_function(READY, timeout=90_000)
    page.evaluate("async () => { await window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs') }")
    page.evaluate(
        "() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }"
    )  # does not wait: an error would end it early
    page.wait_for_function(f"() => ({ERRORS})().length || ({DONE})()", timeout=1000 * RUN_SECONDS, polling=200)
    return page.evaluate(ERRORS)


def seconds_until(condition, what: str) -> float:
    "Until `condition()` is true; fails when it stays false."
    start = time.monotonic()
    while time.monotonic() < start + PICTURE_SECONDS:
        if condition():
            return time.monotonic() - start
        time.sleep(0.05)
    pytest.fail(f"{what} for {PICTURE_SECONDS} s")


def drawn(image, width: int = 100) -> bool:  # more than so many pixels
    "A new picture has no width until the browser has decoded it."
    return image.evaluate(f"i => i.complete && i.naturalWidth > {width}")


def move_slider(page, move: Move) -> float:  # seconds until the picture changed
    "Turns to the page, focuses the slider and presses the keys; checks value and picture."
    cell = page.locator(".jp-CodeCell").filter(has=page.locator(".widget-slider", has_text=move.slider)).last
    if move.tab:
        cell.get_by_role("tab", name=move.tab).click()
    handle, image = (
        cell.locator(".widget-slider", has_text=move.slider).locator("[role=slider]"),
        cell.locator("img:visible").first,
    )
    image.scroll_into_view_if_needed()
    handle.focus()  # where the Tab key arrives
    assert handle.evaluate("h => h === document.activeElement && h.tabIndex === 0")
    before, value = image.screenshot(), handle.get_attribute("aria-valuenow")
    page.keyboard.press(move.keys[0])
    seconds = seconds_until(lambda: drawn(image) and image.screenshot() != before, "the picture stayed the same")
    for k in move.keys[1:]:
        page.keyboard.press(k)
    assert handle.get_attribute("aria-valuenow") != value
    seconds_until(lambda: drawn(image), "the picture was broken or a stamp")
    assert image.get_attribute("title"), "a picture has to say in words what it shows"
    return seconds


def shown(image) -> tuple:
    return image.get_attribute("src"), image.get_attribute("alt")


def move_sweep(page):
    "The player that needs no kernel: its slider has a name; picture, alternative text and sentence follow the keyboard, which JupyterLab would keep for itself."
    handle = page.locator("input.anim-slider").last
    image = page.locator("#" + handle.get_attribute("id").replace("slider", "img"))
    assert handle.get_attribute("aria-label")
    first = shown(image)
    handle.focus()
    page.keyboard.press("ArrowRight")
    seconds_until(
        lambda: all(a != b for a, b in zip(shown(image), first)),
        "the sweep's picture or its alternative text stayed the same",
    )
    assert page.get_by_text(shown(image)[1], exact=True).count()


def test_a_sweep_on_a_page_without_jupyter_is_moved_with_the_keyboard(page):
    pictures = [np.full((60, 90, 3), c, np.uint8) for c in (0, 90, 200)]
    page.set_content(
        sweep_to_jshtml(pictures, label="level", sentences=["dark", "grey", "light"]), wait_until="domcontentloaded"
    )
    handle, image = page.get_by_role("slider", name="level"), page.locator("img")
    seconds_until(lambda: drawn(image, 80), "no picture came")
    first = shown(image)
    handle.focus()
    page.keyboard.press("ArrowRight")
    seconds_until(
        lambda: shown(image)[1] == "grey" and shown(image)[0] != first[0],
        "picture and alternative text did not follow the key",
    )
    assert page.get_by_text("grey").is_visible() and handle.input_value() == "1"


ASK = f"""async code => {{ let said = ''; const future = {CURRENT}.sessionContext.session.kernel.requestExecute({{code, store_history: false}});
    future.onIOPub = m => {{ said += m.header.msg_type === 'stream' ? m.content.text : m.header.msg_type === 'error' ? m.content.ename : '' }}; await future.done; return said }}"""
THREADS = "import threading; print(sum(t.name == 'task-weight playground' for t in threading.enumerate()))"
CLEAR = f"""async index => {{ {CURRENT}.content.activeCellIndex = index; await window.jupyterapp.commands.execute('notebook:clear-cell-output') }}"""
CELL_OF = f"""node => {CURRENT}.content.widgets.findIndex(c => c.node.contains(node))"""


def train_and_close(page):
    "Presses train and sees the curves grow, the kernel answering meanwhile; moves a slider; clears the cell's output, which has to end the thread."
    cell = page.locator(".jp-CodeCell").filter(has=page.locator(".widget-slider", has_text="lane weight")).last
    image = cell.locator("img:visible").first
    steps = lambda: int(re.match(r"Step (\d+)", image.get_attribute("title"))[1])
    index, start, before = cell.evaluate(CELL_OF), steps(), image.screenshot()
    cell.get_by_role("button", name="train").click()
    seconds_until(lambda: steps() >= start + 3, "the training made no steps")
    assert drawn(image) and image.screenshot() != before and "not training" not in image.get_attribute("title")
    assert page.evaluate(ASK, THREADS).strip() == "1"  # the kernel is free while it trains
    move_slider(page, Move("lane weight", keys=("ArrowLeft",) * 3))
    page.screenshot(path=SCREENSHOTS / "32_task_weight_playground-training.png")
    later = steps()
    seconds_until(lambda: steps() > later, "after the slider it did not train on")
    page.evaluate(CLEAR, index)
    seconds_until(
        lambda: page.evaluate(ASK, THREADS).strip() == "0", "the output was cleared and the thread trained on"
    )
    assert cell.locator("img").count() == 0
    state = "s = playground.state(); print(s['error'], s['training'], s['step'])"
    error, training, step = page.evaluate(ASK, state).split()
    assert (error, training) == ("None", "False") and int(step) >= later


AFTERWARDS = {"32_task_weight_playground": train_and_close}
LISTEN = f"""() => {{ window.kernelErrors = []; {CURRENT}.sessionContext.session.kernel.iopubMessage.connect((_, m) => {{
    if (m.header.msg_type === 'error') window.kernelErrors.push(m.content.ename + ': ' + m.content.evalue) }}) }}"""


@pytest.mark.parametrize("notebook", CASES)
def test_a_slider_moved_with_the_keyboard_changes_the_picture(page, lab, folder, notebook):
    problems, log = [], folder / "lab.log"
    page.on("pageerror", lambda e: problems.append(str(e)))
    errors, logged = open_and_run(page, lab, notebook), len(log.read_text())
    assert not errors, errors
    page.evaluate(LISTEN)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for k, move in enumerate(CASES[notebook], 1):
        seconds = move_slider(page, move)
        page.wait_for_timeout(1500)  # the last key's answer, so that slider, picture and text agree
        page.screenshot(path=SCREENSHOTS / f"{notebook}-{k}.png")
        print(f"\n{notebook}, {move.slider}: the picture changed {1000 * seconds:.0f} ms after the key")
    move_sweep(page)
    if notebook in AFTERWARDS:
        AFTERWARDS[notebook](page)
    for sign in ("Error displaying widget", "Click to show javascript error"):
        assert page.locator(".jp-OutputArea").get_by_text(sign).count() == 0, sign
    errors = page.evaluate(ERRORS) + page.evaluate(
        "() => window.kernelErrors"
    )  # of the cells, and of what the controls called
    assert not errors and not problems, errors + problems
    assert "Traceback" not in log.read_text()[logged:], log.read_text()[
        logged:
    ]  # ipywidgets writes some errors only there
