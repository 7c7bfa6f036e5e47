"""The prediction browser without a browser: what its methods and controls do to what it shows."""

import itertools
import shutil

import cv2
import numpy as np
import pytest
import torch
from mtl_course.core.errors import UserError
from mtl_course.core.files import resolve
from mtl_course.metrics import ClassificationMetric, DetectionMetric, LaneMetric
from mtl_course.models.multi_task_model import model_from_config
from mtl_course.plots.predictions import frame_f1
from mtl_course.widgets import samples, task_views
from mtl_course.widgets.prediction_browser import DEFAULTS, LEVELS, PredictionBrowser
from mtl_course.widgets.samples import find_checkpoint, trained_model
from mtl_course.widgets.sheet import COLOURS, MARKS, Sheet, draw_box, label_boxes, text_width
from mtl_course.widgets.task_views import paint_lanes
from mtl_course.widgets.threshold_curves import FLOOR, detection_curve, find_boxes, lane_curve, sign_curve


def said(size, boxes):  # [(box, label, score)] -> what the detection head would have put out
    logits = torch.full((len(boxes), 8), -30.0)
    for k, (_, label, score) in enumerate(boxes):
        logits[k, label], logits[k, 0] = np.log(score), np.log(1 - score)
    return dict(
        class_logits=logits,
        box_deltas=torch.zeros(len(boxes), 32),
        proposals=[torch.tensor(np.array([b for b, _, _ in boxes]).reshape(-1, 4), dtype=torch.float32)],
        image_size=size,
    )


def scripted(browser):
    "Puts known answers in the place of the untrained network's."
    for k, case in enumerate(browser.stacks["detection"].view.samples):
        case.targets = dict(
            boxes=np.array([[10, 10, 60, 50], [100, 20, 150, 60], [200, 20, 240, 60.0]]),
            labels=np.array([1, 1, 3]),
            ignore=np.array([[270, 0, 310, 90.0]]),
        )
        first = (*case.targets["boxes"][:1].tolist(), 1, 0.9)
        twin = ([16, 10, 66, 50], 1, 0.8)  # IoU 44/56 with the first box
        rest = [(case.targets["boxes"][1].tolist(), 1, 0.4), ([150, 60, 190, 90], 2, 0.6), ([275, 5, 305, 80], 1, 0.7)]
        case.raw = said(case.size, [(first[0], 1, 0.9), twin, *rest] if k != 1 else [([5, 60, 40, 90], 2, 0.95)])
    browser.stacks["detection"].view._found = {}
    browser.stacks["detection"].curves = {}
    return browser


@pytest.fixture(scope="module")
def browser(smoke):
    torch.manual_seed(0)
    model = model_from_config(smoke).eval()
    model.config = smoke
    return scripted(PredictionBrowser(model, images=3, progress=False))


@pytest.fixture(autouse=True)
def fresh(request):
    yield
    if "browser" in request.fixturenames:
        b = request.getfixturevalue("browser")
        if b.own:
            b.test_pictures()
            scripted(b)
        b.stacks["detection"].order = [0, 1, 2]
        b.set_thresholds(**DEFAULTS)
        b.show("detection", 0)


def test_thresholds_decide_what_is_found_missed_and_false(browser):
    def what():
        return tuple(browser.state()[k] for k in ("found", "missed", "false", "ignored"))

    browser.show("detection", 0)
    assert what() == (1, 2, 1, 1)
    browser.set_thresholds(score=0.3)
    assert what() == (2, 1, 1, 1)
    browser.set_thresholds(score=0.65)
    assert what() == (1, 2, 0, 1)
    browser.set_thresholds(score=0.75)
    assert what() == (1, 2, 0, 0)
    browser.set_thresholds(score=0.5, nms=0.9)
    assert what() == (1, 2, 2, 1)  # the twin is kept and finds nothing
    browser.set_thresholds(score=0.95)
    assert what() == (0, 3, 0, 0)


def test_scores_of_all_pictures_stand_beside_the_default(browser):
    s = browser.show(
        "detection", 0
    ).scores()  # two pictures as above, one with a single false alarm: 2 TP, 3 FP, 9 objects
    assert (
        s.loc["precision", "now"] == pytest.approx(2 / 5)
        and s.loc["recall", "now"] == pytest.approx(2 / 9)
        and s.loc["f1", "now"] == pytest.approx(4 / 14)
    )
    s = browser.set_thresholds(score=0.3, nms=0.9).scores()
    assert (
        s.loc["precision", "now"] == pytest.approx(4 / 9)
        and s.loc["recall", "now"] == pytest.approx(4 / 9)
        and s.loc["precision", "default"] == pytest.approx(2 / 5)
    )
    assert "precision 44.4 % (default 40.0 %)" in browser.picture.text and browser.thresholds["nms"] == 0.9


def as_tensors(arrays, rows=slice(None)):
    """Some rows of named arrays as tensors."""
    return {name: torch.as_tensor(values[rows]) for name, values in arrays.items()}


@pytest.mark.parametrize("t", (FLOOR, 0.5, 0.65, 0.9))
def test_ap_is_that_of_the_official_evaluation(browser, t):
    cases, metric = browser.stacks["detection"].view.samples, DetectionMetric()
    found = find_boxes(browser.model.heads["detection"].decode, cases, 0.9)
    predictions = [as_tensors(vars(f), f.scores >= t) for f in found]
    metric.update(predictions, [as_tensors(case.targets) for case in cases])
    row = detection_curve(found, [c.targets for c in cases], t).iloc[0]
    assert row.ap50 == pytest.approx(metric.compute()["map50"], abs=1e-9)
    f = found[0]
    name = np.array(["", "Car", "Pedestrian", "Cyclist"])
    alone = detection_curve(found[:1], [cases[0].targets], t).f1.item()
    truth_names = [*name[cases[0].targets["labels"]], "DontCare"]
    assert alone == pytest.approx(
        frame_f1(
            truth_names,
            np.concatenate([cases[0].targets["boxes"], cases[0].targets["ignore"]]),
            name[f.labels[f.scores >= t]],
            f.boxes[f.scores >= t],
        )
    )


def test_lane_and_sign_curves_are_those_of_the_metrics():
    rng = np.random.default_rng(0)
    p, truth = rng.random((4, 9, 7)).astype(np.float32), rng.random((4, 9, 7)) < 0.3
    metric = LaneMetric()
    metric.update(torch.from_numpy(p), torch.from_numpy(truth).long())
    curve, whole = lane_curve(p, truth, LEVELS), metric.compute()
    assert curve.loc[0.5, ["iou", "f1", "precision", "recall"]].to_dict() == pytest.approx(
        {k: whole[k] for k in ("iou", "f1", "precision", "recall")}
    )
    assert (curve.recall.diff().dropna() <= 0).all() and curve.recall.iloc[0] > curve.recall.iloc[-1]
    q, classes = rng.dirichlet(np.full(43, 0.02), 60), rng.integers(0, 43, 60)
    classes[:30] = q[:30].argmax(1)
    metric = ClassificationMetric()
    metric.update(torch.from_numpy(q), torch.from_numpy(classes))
    curve = sign_curve(q, classes, [0.0, 0.9, 1.1])
    assert curve.right.iloc[0] == curve.top1.iloc[0] == pytest.approx(
        metric.compute()["accuracy"]
    ) and curve.answered.tolist() == [1, (q.max(1) >= 0.9).mean(), 0]
    sure = q.max(1) >= 0.9
    assert curve.right.iloc[1] == pytest.approx((q.argmax(1) == classes)[sure].mean()) and np.isnan(curve.right.iloc[2])


def test_sorting_by_worst(browser):
    browser.show("detection", 2).sort_by_worst()
    image_scores = browser.stacks["detection"].view.image_scores(browser.thresholds)
    assert (
        image_scores == pytest.approx([0.4, 0, 0.4])
        and browser.stacks["detection"].order == [1, 0, 2]
        and browser.state()["index"] == 0
    )
    assert (
        browser.stack.sample is browser.stacks["detection"].view.samples[1]
        and browser.state()["false"] == 1
        and browser.controls["worst"].value
    )
    browser.set_thresholds(score=0.3)
    assert browser.stacks["detection"].order == [1, 0, 2]  # the order stays
    browser.sort_by_worst(False)
    assert browser.stacks["detection"].order == [0, 1, 2] and not browser.controls["worst"].value
    browser.show("classification", 0)
    for case, right in zip(browser.stacks["classification"].view.samples, (0.5, 0.1, 0.8)):
        case.raw = np.full(43, 0.001, np.float32)
        case.raw[case.targets] = right
    assert browser.sort_by_worst().stacks["classification"].order == [1, 0, 2]
    browser.show("lane", 0)
    for case, share in zip(browser.stacks["lane"].view.samples, (1.0, 0.5, 0.0)):
        case.targets = np.zeros(case.size, bool)
        case.targets[:10, :100] = True
        case.raw = np.zeros(case.size, np.float32)
        case.raw[:10, : int(100 * share)] = 0.7
    assert browser.stacks["lane"].view.image_scores(browser.thresholds) == pytest.approx(
        [1, 0.5, 0]
    ) and browser.sort_by_worst().stacks["lane"].order == [
        2,
        1,
        0,
    ]
    browser.set_thresholds(lane=0.75)
    assert browser.stacks["lane"].view.image_scores(browser.thresholds) == [0, 0, 0]


def test_a_sign_below_the_threshold_is_withheld(browser):
    browser.show("classification", 0)
    case = browser.stack.sample
    case.raw = np.zeros(43, np.float32)
    case.raw[[case.targets, (case.targets + 1) % 43]] = 0.6, 0.4
    assert not browser.set_thresholds(score=0.6).state()["withheld"] and "(right)" in browser.describe()
    assert browser.set_thresholds(score=0.65).state()["withheld"] and "withheld" in browser.picture.text
    case.raw = case.raw[np.roll(np.arange(43), 1)]
    assert "(wrong: it is" in browser.describe()


def test_the_network_looks_once_for_all_thresholds(browser, monkeypatch):
    calls = []
    for task in browser.all_tasks:
        browser.show(task, 0)  # here it looks
    monkeypatch.setattr(
        type(browser.model), "forward", lambda *a, **k: calls.append(a) or pytest.fail("the network ran again")
    )
    for task, name, value in (
        ("detection", "score", 0.3),
        ("detection", "nms", 0.9),
        ("classification", "score", 0.9),
        ("lane", "lane", 0.9),
    ):
        browser.show(task, 0)
        before = browser.picture.png
        browser.set_thresholds(**{name: value})
        assert browser.picture.png != before and browser.state()["thresholds"][name] == value
        browser.set_thresholds(**DEFAULTS)
        assert browser.picture.png == before  # and back again
    assert not calls


def test_leafing_goes_round(browser):
    assert [browser.turn(1).state()["index"] for _ in range(3)] == [1, 2, 0] and browser.turn(-1).state()["index"] == 2
    assert (
        browser.state()["file"] == browser.stacks["detection"].view.samples[2].name
        and browser.controls["index"].value == 3
    )


def test_controls_do_what_the_methods_do_and_follow_them(browser):
    c = browser.controls
    before = browser.picture.png
    c["score"].value = 0.3
    assert browser.thresholds["score"] == 0.3 and browser.picture.png != before
    c["index"].value = 2
    assert browser.stacks["detection"].place == 1
    c["next"].click()
    assert c["index"].value == 3
    c["previous"].click()
    assert browser.stacks["detection"].place == 1
    c["worst"].value = True
    assert browser.stacks["detection"].order == [1, 0, 2] and c["index"].value == 1
    c["task"].value = "lane"
    assert browser.task == "lane" and c["score"].disabled and not c["lane"].disabled
    c["lane"].value = 0.7
    assert browser.thresholds["lane"] == 0.7
    c["task"].value = "detection"
    assert c["lane"].disabled and not c["nms"].disabled and not c["score"].disabled
    c["defaults"].click()
    assert browser.thresholds == DEFAULTS and c["score"].value == 0.5
    browser.set_thresholds(nms=0.7)
    assert c["nms"].value == pytest.approx(0.7)
    for control in c.values():
        assert control.description  # each says what it is
    assert {"score threshold", "NMS overlap", "lane threshold"} <= {x.description for x in c.values()}


def test_a_control_draws_once(browser, monkeypatch):
    drawn, c = [], browser.sort_by_worst(False).controls
    monkeypatch.setattr(browser.picture, "show", lambda *args: drawn.append(args))
    for name, value in (("score", 0.3), ("index", 3), ("worst", True), ("task", "lane"), ("task", "detection")):
        drawn.clear()
        c[name].value = value
        assert len(drawn) == 1, name


def test_a_wrong_path_is_one_sentence_and_changes_nothing(browser):
    browser.controls["path"].value = "/no/such/place"
    browser.controls["open"].click()
    assert (
        "no such file" in browser.message
        and "no such file" in browser.note.value
        and not browser.own
        and browser.task == "detection"
    )
    browser.controls["next"].click()
    assert browser.note.value == ""


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda b, p: b.show(index=3), "index is 3: expected 0 to 2"),
        (lambda b, p: b.show(index=-1), "index is -1"),
        (lambda b, p: b.show("boats"), "task is 'boats'"),
        (lambda b, p: b.set_thresholds(score=0.01), "expected a number from 0.05 to 1"),
        (lambda b, p: b.set_thresholds(nms=1.5), "nms is 1.5"),
        (lambda b, p: b.set_thresholds(lane=float("nan")), "lane is nan"),
        (lambda b, p: b.set_thresholds(score="high"), "score is 'high'"),
        (lambda b, p: b.set_thresholds(score=0.7, nms=2), "nms is 2"),
        (lambda b, p: b.show(index="first"), "index is first"),
        (lambda b, p: b.set_thresholds(lane=True), "lane is True"),
        (lambda b, p: b.open(p / "none.png"), "no such file or folder"),
        (lambda b, p: b.open(p / "text.txt"), "expected a picture or video"),
        (lambda b, p: b.open(p / "broken.png"), "not a usable image"),
        (lambda b, p: b.open(p / "film.mp4"), "a video, expected a picture"),
        (lambda b, p: b.open(p / "empty"), "no pictures"),
    ],
)
def test_mistakes_are_named(browser, tmp_path, act, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "film.mp4").write_bytes(b"0")
    with pytest.raises(UserError, match=words) as e:
        act(browser, tmp_path)
    assert "\n" not in str(e.value) and not browser.own and browser.thresholds == DEFAULTS


def names_in(stack):
    return [sample.name for sample in stack.view.samples]


def test_ones_own_pictures(browser, smoke, tmp_path):
    scene = next((resolve(smoke.data_root) / "kitti" / "training" / "image_2").glob("*.png"))
    shutil.copy(scene, tmp_path / "road.png")
    cv2.imwrite(str(tmp_path / "sign.png"), np.full((60, 64, 3), 90, np.uint8))
    browser.open(tmp_path)
    names = {task: names_in(stack) for task, stack in browser.stacks.items()}
    assert browser.own and names == dict(classification=["sign.png"], detection=["road.png"], lane=["road.png"])
    assert browser.controls["worst"].disabled and not browser.controls["back"].disabled
    with pytest.raises(UserError, match="no targets"):
        browser.sort_by_worst()
    for task in ("classification", "detection", "lane"):
        s = browser.show(task, 0).state()
        assert (
            s["own"]
            and not {"iou", "f1", "precision"} & set(s["scores"])
            and bytes(browser.picture.png).startswith(b"\xff\xd8")
        )
    case = browser.stacks["detection"].view.samples[0]
    case.raw = said(case.size, [([10, 10, 60, 50], 1, 0.9), ([100, 20, 150, 60], 2, 0.4)])
    browser.stacks["detection"].view._found.clear()
    browser.stacks["detection"].curves.clear()
    assert (
        browser.show("detection").scores().loc["boxes", "now"] == 1
        and browser.set_thresholds(score=0.3).scores().loc["boxes", "now"] == 2
        and "2 boxes" in browser.picture.text
    )
    assert browser.open(tmp_path / "road.png").tasks == ("detection", "lane") and browser.open(
        [tmp_path / "road.png"], tasks=("lane",)
    ).tasks == ("lane",)
    assert not browser.test_pictures().own and browser.tasks == ("classification", "detection", "lane")
    assert PredictionBrowser(browser.model, paths=str(tmp_path / "sign.png"), progress=False).task == "classification"


def test_colour_is_never_the_only_carrier(monkeypatch):
    for kind in COLOURS:
        monkeypatch.setitem(COLOURS, kind, "#FFFFFF")
    drawn = []
    for kind in ("found", "missed", "false"):
        sheet = Sheet(60, 90)
        draw_box(sheet, (10, 15, 80, 50), kind)
        drawn.append(sheet.finished())
        assert (drawn[-1] < 255).any()
    assert all((a != b).sum() > 100 for a, b in itertools.combinations(drawn, 2))
    here = np.zeros((40, 40), bool)
    there = np.ones((40, 40), bool)
    lanes = [np.full((40, 40, 3), 100, np.uint8) for _ in range(3)]
    for pixels, lane, truth in zip(lanes, (there, here, there), (there, there, here)):
        paint_lanes(pixels, lane, truth)
    shares = [(x == 255).mean() for x in lanes]
    assert shares[0] == 1 and 0.4 < shares[1] < 0.6 and 0.1 < shares[2] < 0.4


def test_labels_of_boxes_do_not_cover_each_other():
    frame = (0, 0, 400, 120)
    generator = np.random.default_rng(0)
    corners = generator.uniform((150, 30), (220, 60), (25, 2))
    boxes = [
        ((*c, *(c + generator.uniform(15, 60, 2))), ("found", "missed", "false")[k % 3], f"Pedestrian {k}")
        for k, c in enumerate(corners)
    ]
    sheet = Sheet(120, 400)
    written = label_boxes(sheet, boxes, frame)
    places = [(x, y - size - 3, x + text_width(words, size), y) for words, x, y, size, *_ in sheet.spots]
    for a, b in itertools.combinations(places, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert all(x1 >= 0 and y1 >= 0 and x2 <= 400 and y2 <= 120 for x1, y1, x2, y2 in places)
    assert (
        written[:2] == ["✓ Pedestrian 0", "? Pedestrian 1"]
        and set(MARKS.values()) & set(written)
        and 6 < len(written) < 25
    )  # the first in full, then marks alone, then nothing
    apart = label_boxes(
        Sheet(120, 400),
        [
            ((10, 40, 90, 90), "found", "Car 90"),
            ((200, 40, 290, 90), "missed", "Car"),
            ((310, 0, 399, 119), "false", "Van 60"),
        ],
        frame,
    )
    assert apart == ["✓ Car 90", "? Car", "✗ Van 60"]  # also where there is no room above


def test_the_page_labels_what_is_found_first(browser, monkeypatch):
    asked = []
    monkeypatch.setattr(task_views, "label_boxes", lambda sheet, boxes, frame: asked.append([b.kind for b in boxes]))
    scripted(browser.show("detection", 0)).set_thresholds(score=0.3)
    assert asked[-1] == ["found", "found", "missed", "false"]


def test_without_a_kernel(browser):
    before = browser.show("detection", 1).state()
    html = browser.to_jshtml(pictures=2, levels=(0.3, 0.9))
    assert html.count("data:image/webp") == 4 and 'type="range"' in html and len(html) < 300_000
    assert browser.state() == before
    assert (
        'aria-label="picture and score threshold"' in html and "Threshold 0.3. object detection, picture 1 of 3" in html
    )
    bundle, metadata = browser._repr_mimebundle_()
    assert (
        {"image/jpeg", "text/plain"} <= set(bundle)
        and "picture 2 of 3" in bundle["text/plain"]
        and metadata["image/jpeg"]["alt"] == browser.picture.text
    )


def test_the_best_network_is_taken_or_the_one_in_the_box(smoke, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(samples, "project_root", lambda: tmp_path)
    monkeypatch.setattr(samples, "resolve", lambda p: tmp_path / p)
    assert find_checkpoint() is None
    model = trained_model()
    assert model.config.recipe == "evening" and "the network in the box" in capsys.readouterr().out
    assert model.config.data_root == "datasets/world-tiny"
    (tmp_path / "datasets" / "world").mkdir(parents=True)
    assert trained_model().config.data_root == "datasets/world"
    assert trained_model().config.world_size == "laptop"
    for place in ("results/seeds/1", "results"):
        (tmp_path / place / "checkpoints").mkdir(parents=True)
        (tmp_path / place / "checkpoints" / "model_best.pt").write_bytes(b"")
        assert find_checkpoint() == tmp_path / place / "checkpoints" / "model_best.pt"
    with pytest.raises(UserError, match="carries no config"):
        PredictionBrowser(model_from_config(smoke))
    with pytest.raises(UserError, match="no such checkpoint"):
        PredictionBrowser(tmp_path / "none.pt")
