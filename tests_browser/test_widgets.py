"""Each widget as a reader meets it: open the notebook, run all cells, move a slider with the keyboard, see the picture change."""
import time
from dataclasses import dataclass
import pytest
from conftest import SCREENSHOTS


@dataclass
class Move:
    "One slider to be moved, and what has to be pressed before."
    slider: str                 # part of its label
    tab: str = ""               # the widget's page to turn to first
    button: str = ""            # pressed before the slider is moved
    keys: tuple = ("ArrowRight",)*3


CASES = {"30_widget_parts": [Move("periods")],                              # notebook -> moves, one after the other
         "31_gradient_arrows": [Move("lane: angle"), Move("recorded step", tab="from a real run")],
         "32_task_weight_playground": [Move("lane weight")],
         "33_imbalance_lab": [Move("class skew")],
         "34_prediction_browser": [Move("score threshold")]}
RUN_SECONDS, PICTURE_SECONDS = 240, 30                                     # for all cells; for an answer (on a busy machine: no measure of the widget)

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
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")             # does not wait: an error would end it early
    page.wait_for_function(f"() => ({ERRORS})().length || ({DONE})()", timeout=1000*RUN_SECONDS, polling=200)
    return page.evaluate(ERRORS)


def seconds_until(condition, what: str) -> float:
    "Until `condition()` is true; fails when it stays false."
    start = time.monotonic()
    while time.monotonic() < start + PICTURE_SECONDS:
        if condition(): return time.monotonic() - start
        time.sleep(0.05)
    pytest.fail(f"{what} for {PICTURE_SECONDS} s after the key")


def drawn(image) -> bool:
    "A new picture has no width until the browser has decoded it."
    return image.evaluate("i => i.complete && i.naturalWidth > 100")


def move_slider(page, move: Move) -> float: # seconds until the picture changed
    "Turns to the page, focuses the slider and presses the keys; checks value and picture."
    cell = page.locator(".jp-CodeCell").filter(has=page.locator(".widget-slider", has_text=move.slider)).last
    if move.tab: cell.get_by_role("tab", name=move.tab).click()
    if move.button: cell.get_by_role("button", name=move.button).first.click()
    handle, image = cell.locator(".widget-slider", has_text=move.slider).locator("[role=slider]"), cell.locator("img:visible").first
    image.scroll_into_view_if_needed()
    handle.focus()                                                       # where the Tab key arrives
    assert handle.evaluate("h => h === document.activeElement && h.tabIndex === 0")
    before, value = image.screenshot(), handle.get_attribute("aria-valuenow")
    page.keyboard.press(move.keys[0])
    seconds = seconds_until(lambda: drawn(image) and image.screenshot() != before, "the picture stayed the same")
    for k in move.keys[1:]: page.keyboard.press(k)
    assert handle.get_attribute("aria-valuenow") != value
    seconds_until(lambda: drawn(image), "the picture was broken or a stamp")
    assert image.get_attribute("title"), "a picture has to say in words what it shows"
    return seconds


@pytest.mark.parametrize("notebook", CASES)
def test_a_slider_moved_with_the_keyboard_changes_the_picture(page, lab, notebook):
    problems = []
    page.on("pageerror", lambda e: problems.append(str(e)))
    errors = open_and_run(page, lab, notebook)
    assert not errors, errors
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for k, move in enumerate(CASES[notebook], 1):
        seconds = move_slider(page, move)
        page.wait_for_timeout(1500)                                      # the last key's answer, so that slider, picture and text agree
        page.screenshot(path=SCREENSHOTS/f"{notebook}-{k}.png")
        print(f"\n{notebook}, {move.slider}: the picture changed {1000*seconds:.0f} ms after the key")
    for sign in ("Error displaying widget", "Click to show javascript error"): assert page.get_by_text(sign).count() == 0, sign
    assert not problems, problems
