import nbformat
from test_widgets import *
from test_widgets import train_and_close, open_and_run, LISTEN, ERRORS
def test_mini(page, lab, folder):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("from mtl_course.widgets import TaskWeightPlayground\nplayground = TaskWeightPlayground()\nplayground.step()\nplayground")])
    nbformat.write(nb, folder/"nbs"/"mini.ipynb")
    assert not open_and_run(page, lab, "mini")
    page.evaluate(LISTEN); SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    move_slider(page, Move("lane weight"))
    train_and_close(page)
    assert not page.evaluate(ERRORS) + page.evaluate("() => window.kernelErrors")
