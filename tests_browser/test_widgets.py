"""Each widget as a reader meets it: open the notebook, run all cells, move a slider with the keyboard, see the picture change."""
import time
from dataclasses import dataclass
import pytest
from conftest import SCREENSHOTS


@dataclass
class Case:
    "A notebook with a widget, and what to do there."
    notebook: str
    slider: str                 # part of the slider's label
    keys: tuple = ("ArrowRight",)*3
    tab: str = ""               # a page of the widget to turn to first
    button: str = ""            # pressed before the slider is moved
    seconds: int = 150          # for all cells to run

    def __str__(self): return self.notebook + (f"-{self.tab.replace(' ', '-')}" if self.tab else "")


CASES = [Case("30_widget_parts", "periods"),
         Case("31_gradient_arrows", "lane: angle"),
         Case("31_gradient_arrows", "recorded step", tab="from a real run")]

CURRENT = "window.jupyterapp.shell.currentWidget"
READY = f"() => window.jupyterapp && {CURRENT} && {CURRENT}.sessionContext && {CURRENT}.sessionContext.session?.kernel?.status === 'idle'"
DONE = f"""() => {CURRENT}.sessionContext.session?.kernel?.status === 'idle' &&
    {CURRENT}.content.widgets.every(c => c.model.type !== 'code' || !c.model.sharedModel.source.trim() || c.model.executionCount)"""
ERRORS = f"""() => {CURRENT}.content.widgets.filter(c => c.model.type === 'code').flatMap(c => c.model.outputs.toJSON())
    .filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue)"""


def open_and_run(page, lab, case):
    "Opens the notebook in a clean workspace, clears what it had stored, runs every cell; returns the errors in its outputs."
    address, token = lab
    page.goto(f"{address}/lab/tree/{case.notebook}.ipynb?reset&token={token}", timeout=60_000)
    page.wait_for_function(READY, timeout=90_000)
    run = lambda command: page.evaluate(f"async () => {{ await window.jupyterapp.commands.execute('{command}') }}")
    run("notebook:clear-all-cell-outputs")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")             # does not wait: an error would end it early
    page.wait_for_function(f"() => ({ERRORS})().length || ({DONE})()", timeout=1000*case.seconds, polling=200)
    return page.evaluate(ERRORS)


def changed_picture(image, before: bytes, seconds: float) -> float:
    "Seconds until the image looks different; fails when it stays the same."
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        if image.screenshot() != before: return time.monotonic() - start
        time.sleep(0.05)
    pytest.fail(f"the picture is the same {seconds:.0f} s after the key")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_slider_moved_with_the_keyboard_changes_the_picture(page, lab, case):
    problems = []
    page.on("pageerror", lambda e: problems.append(str(e)))
    errors = open_and_run(page, lab, case)
    assert not errors, errors
    assert page.get_by_text("Error displaying widget").count() == 0
    cell = page.locator(".jp-CodeCell").filter(has=page.locator(".widget-slider", has_text=case.slider)).last
    if case.tab: cell.get_by_role("tab", name=case.tab).click()
    if case.button: cell.get_by_role("button", name=case.button).first.click()
    handle = cell.locator(".widget-slider", has_text=case.slider).locator("[role=slider]")
    image = cell.locator("img:visible").first
    handle.focus()                                                       # what the Tab key does
    image.scroll_into_view_if_needed()
    assert handle.evaluate("h => h === document.activeElement && h.tabIndex === 0")
    before, value = image.screenshot(), handle.get_attribute("aria-valuenow")
    took = 0.0
    for k in case.keys:
        page.keyboard.press(k)
        took = took or changed_picture(image, before, 30)
    assert handle.get_attribute("aria-valuenow") != value
    assert image.evaluate("i => i.naturalWidth") > 100 and image.get_attribute("title"), "a picture says in words what it shows"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS/f"{case}.png")
    print(f"\n{case}: the picture changed {1000*took:.0f} ms after the key")
    assert not problems, problems

