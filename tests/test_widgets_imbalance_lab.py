"""The imbalance lab: what it says about an epoch, and when it may call a result measured."""

import io
import itertools
import json
import math

import ipywidgets as ipw
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import project_root
from mtl_course.core.task import TASKS as REGISTRY, default_tasks
from mtl_course.data.sampling import TaskSampler
from mtl_course.studies.gradient_shares import update_shares
from mtl_course.studies.plans import IMBALANCE_RUNS, SKEWED_SIGNS, STUDIES
from mtl_course.widgets import ImbalanceLab
from mtl_course.widgets.imbalance_board import ImbalanceBoard
from mtl_course.widgets.imbalance_knobs import (
    KNOB_NAMES,
    Knobs,
    Measured,
    StudyData,
    compose,
    coordinates,
    knobs_of_run,
    read_data,
    sign_counts,
)

TASKS = default_tasks()
DATA = StudyData((21930, 980, 850), (510,) * 43, (48, 3, 4))
GRAMIANS = np.array(
    [[[400.0, -6.0, 0.1], [-6.0, 25.0, 0.0], [0.1, 0.0, 0.04]], [[16.0, 1.0, 0.0], [1.0, 9.0, 0.02], [0.0, 0.02, 0.01]]]
)
SCORES = {
    "equal": (0.6, 0.2, 0.5),
    "few lanes": (0.58, 0.21, 0.3),
    "boosted lanes": (0.5, 0.18, 0.56),
    "drawn alike": (0.57, 0.19, 0.45),
    "rare lanes": (0.7, 0.02, 0.1),
    "few lanes, augmented": (0.1, 0.1, 0.1),
    "skewed signs": (0.4, 0.2, 0.5),
}


def table_of(scores, seeds=3):
    """A table of runs as `mtl_compare` writes it, from the three tasks' scores of each run."""
    records = []
    for (run, values), seed, k in itertools.product(scores.items(), range(seeds), range(3)):
        metric = REGISTRY[TASKS[k]].primary_metric
        place = dict(run=run, config="x", seed=seed, steps=200, part="test", task=TASKS[k], metric=metric)
        records.append(place | dict(value=values[k] + 0.01 * (seed - 1)))
    return pd.DataFrame(records)


@pytest.fixture
def folder(tmp_path):
    rows = [
        dict(part="train", task=t, **{"class": "all"}, unit="images", count=n) for t, n in zip(TASKS, DATA.images)
    ] + [
        dict(part="train", task="classification", **{"class": f"sign {k}"}, unit="images", count=510) for k in range(43)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "study_data.csv", index=False)
    table_of(SCORES).to_csv(tmp_path / "studies.csv", index=False)
    (tmp_path / "gradient_recording.json").write_text(
        json.dumps(
            dict(
                source="",
                tasks=list(TASKS),
                steps=[0, 6],
                losses=[[1, 1, 1]] * 2,
                gramians=dict(trunk=GRAMIANS.tolist()),
            )
        )
    )
    return tmp_path


@pytest.fixture
def lab(folder):
    return ImbalanceLab(folder)


def test_an_epoch_is_what_the_sampler_draws():
    knobs = Knobs((6370, 980, 65), temperature=2.0)
    made = compose(knobs, DATA, 4000)
    draw = TaskSampler(dict(zip(TASKS, knobs.images)), 0, 4000, 2.0)
    drawn = [draw.task(s) for s in range(4000)]
    for t in TASKS:
        assert drawn.count(t) == pytest.approx(made.batches[t], abs=4 * math.sqrt(4000 * made.probability[t]))
    assert made.seen["lane"] == pytest.approx(made.batches["lane"] * 4 / 65) and sum(
        made.probability.values()
    ) == pytest.approx(1)
    everything = compose(Knobs(DATA.images), DATA, 300)
    assert everything.seen == pytest.approx(
        dict(classification=300 * 48 / 21930, detection=900 / 980, lane=1200 / 850)
    ) and everything.probability == dict.fromkeys(TASKS, 1.0)


def test_classes_are_those_a_training_would_use():
    assert sum(sign_counts(DATA.signs, DATA.images[0], 10.0)) == SKEWED_SIGNS
    made = compose(Knobs(DATA.images, skew=10), DATA, 300)
    assert (
        made.images["classification"] == SKEWED_SIGNS
        and made.signs[0] / made.signs[-1] == pytest.approx(10, rel=0.02)
        and made.signs.sum() == pytest.approx(300 * 48)
    )
    assert (np.diff(made.signs) <= 0).all()
    few = sign_counts(DATA.signs, 600, 1.0)
    assert sum(few) == 600 and max(few) < 40


def test_the_update_is_weighted_by_weights_and_chances():
    weights = (1.0, 2.0, 30.0)
    assert list(compose(Knobs(DATA.images, weights=weights), DATA, 300, GRAMIANS).shares.values()) == pytest.approx(
        update_shares(GRAMIANS, np.array(weights)).tolist()
    )
    drawn = compose(Knobs(DATA.images, temperature=5.0, weights=weights), DATA, 300, GRAMIANS)
    assert list(drawn.shares.values()) == pytest.approx(
        update_shares(GRAMIANS, np.array(weights) * np.array(list(drawn.probability.values()))).tolist()
    )
    assert compose(Knobs(DATA.images, temperature=1e6), DATA, 300, GRAMIANS).shares == pytest.approx(
        compose(Knobs(DATA.images), DATA, 300, GRAMIANS).shares, rel=1e-4
    )


def test_knobs_of_runs():
    assert knobs_of_run(IMBALANCE_RUNS["regime, boosted"], DATA) == Knobs((6370, 980, 65), 1.0, 1.0, (1.0, 1.0, 30.0))
    assert knobs_of_run({}, DATA) == Knobs(DATA.images) and knobs_of_run(dict(class_skew=10.0), DATA).skew == 10
    other = ("alone", "few lanes, alone", "few lanes, augmented", "few lanes, uncertainty", "skewed signs, focal")
    assert all(knobs_of_run(IMBALANCE_RUNS[r], DATA) is None for r in other)
    assert (
        knobs_of_run(dict(steps_per_epoch=400), DATA) is None
        and knobs_of_run(dict(task_sampling="loss", steps_per_epoch=600), DATA) is None
    )
    assert knobs_of_run(dict(task_sampling="temperature", sampling_temperature=1.0), DATA) is None


def test_distances_are_factors_of_ten():
    def far(a, b):
        return np.linalg.norm(coordinates(a, DATA) - coordinates(b, DATA))

    plain = Knobs(DATA.images)
    assert len(coordinates(plain, DATA)) == len(KNOB_NAMES)
    assert far(plain, Knobs((2193, 980, 850))) == pytest.approx(1) and far(
        plain, Knobs(DATA.images, skew=100)
    ) == pytest.approx(2)
    assert far(plain, Knobs(DATA.images, weights=(5, 5, 5))) == pytest.approx(0) and far(
        plain, Knobs(DATA.images, weights=(1, 1, 10))
    ) == pytest.approx(math.sqrt(2 / 3))
    assert far(plain, Knobs(DATA.images, temperature=1e9)) == pytest.approx(1) and far(
        Knobs(DATA.images, temperature=1.0), Knobs(DATA.images, temperature=2.0)
    ) == pytest.approx(0.5)
    assert far(Knobs(DATA.images, skew=10), Knobs((SKEWED_SIGNS, 980, 850), skew=10)) == pytest.approx(
        0
    )  # the skew leaves no more than these


def test_every_run_with_knobs_is_measured_at_its_place():
    everything = itertools.chain(*(study.items() for study in STUDIES.values()))
    runs = {name: fields for name, fields in everything if knobs_of_run(fields, DATA)}
    measured = Measured(table_of({n: (0.5, 0.2, 0.4) for n in runs}), DATA)
    assert set(measured.knobs) == set(runs)
    for name, fields in runs.items():
        found = measured.nearest(knobs_of_run(fields, DATA))
        assert found.kind == "measured" and found.distance < 1e-9, name
    places = {tuple(np.round(p, 6)) for p in measured.points}
    assert len(places) == len(
        {json.dumps(f, sort_keys=True) for f in runs.values()}
    )  # different runs are at different places


def test_measured_interpolated_or_nearest():
    measured = Measured(table_of(SCORES), DATA)
    found = measured.nearest(Knobs((*DATA.images[:2], 65)))
    assert (found.kind, found.runs, found.seeds) == ("measured", ("few lanes",), 3) and found.scores[
        "lane"
    ] == pytest.approx((0.3, 0.3 - 4.302653 * 0.01 / 3**0.5, 0.3 + 4.302653 * 0.01 / 3**0.5), rel=1e-5)
    quarter = round(850 * (65 / 850) ** 0.25)
    found = measured.nearest(Knobs((*DATA.images[:2], quarter)))
    assert (
        found.kind == "interpolated"
        and set(found.runs) == {"equal", "few lanes"}
        and found.scores["lane"][0] == pytest.approx(0.45, abs=1e-3)
        and math.isnan(found.scores["lane"][1])
    )
    found = measured.nearest(Knobs(DATA.images, weights=(1, 1, 30**0.5)))
    assert found.kind == "interpolated" and found.scores["lane"][0] == pytest.approx(0.53, abs=1e-6)
    found = measured.nearest(Knobs(DATA.images, temperature=2.0))
    assert (
        found.kind == "interpolated"
        and set(found.runs) == {"drawn alike", "rare lanes"}
        and found.scores["detection"][0] == pytest.approx(0.105)
    )
    found = measured.nearest(Knobs((*DATA.images[:2], 65), weights=(1, 1, 2)))
    assert (
        (found.kind, found.runs) == ("nearest", ("few lanes",))
        and "lane weight" in found.differs
        and "images" not in found.differs
        and found.distance == pytest.approx(0.30103 * math.sqrt(2 / 3))
    )
    assert measured.nearest(Knobs((*DATA.images[:2], 20))).kind == "nearest"  # beyond the line's end: no extrapolation
    assert Measured(table_of(SCORES).iloc[:0], DATA).nearest(Knobs(DATA.images)).kind == "none"


def test_interpolation_takes_the_closest_pair():
    measured = Measured(
        table_of({"equal": (0.6, 0.2, 0.5), "20 lane, shared": (0.6, 0.2, 0.1), "200 lane, shared": (0.6, 0.2, 0.45)}),
        DATA,
    )
    found = measured.nearest(Knobs((*DATA.images[:2], 400)))
    assert set(found.runs) == {"equal", "200 lane, shared"} and 0.45 < found.scores["lane"][0] < 0.5


def test_methods_move_the_sliders_and_the_picture(lab):
    seen = {lab.picture.png}
    lab.set_images(lane=65, detection=123)
    seen.add(lab.picture.png)
    lab.set_skew(7)
    seen.add(lab.picture.png)
    lab.set_temperature(4.0)
    seen.add(lab.picture.png)
    lab.set_weights(lane=12.5)
    seen.add(lab.picture.png)
    assert len(seen) == 5
    assert lab.state() == dict(
        run="",
        images=dict(classification=21930, detection=123, lane=65),
        skew=7.0,
        temperature=4.0,
        weights=dict(classification=1.0, detection=1.0, lane=12.5),
        steps=600,
    )  # one task is drawn for each
    assert lab.images["detection"].value == 123 and [v for _, v in lab.images["detection"].options] == sorted(
        v for _, v in lab.images["detection"].options
    )
    lab.set_temperature(None)
    assert lab.state()["steps"] == 200 and lab.composition().seen["lane"] == pytest.approx(
        200 * 4 / 65
    )  # as in the study's runs
    assert lab.state()["temperature"] is None and lab.composition().probability["lane"] == 1


def test_several_sliders_make_one_picture_and_a_sweep_none(lab, monkeypatch):
    shown = []
    monkeypatch.setattr(lab.picture, "show", lambda figure, text: shown.append(text))
    lab.set_images(classification=5000, detection=490, lane=65)
    assert len(shown) == 1
    lab.to_jshtml("lane weight")
    assert len(shown) == 1 and not lab.quiet


def test_what_a_hand_on_a_slider_does(lab):
    before = lab.picture.png
    lab.images["lane"].index -= 1
    assert lab.picture.png != before and lab.state()["images"]["lane"] == 400
    lab.temperature.index = 1
    assert lab.state()["temperature"] == 1 and "one task: signs in" in lab.picture.text


def test_a_run_can_be_gone_to(lab):
    assert "few lanes, augmented" not in [v for _, v in lab.runs.options]
    lab.runs.value = "boosted lanes"
    assert (
        lab.state()["weights"]["lane"] == 30
        and lab.nearest().kind == "measured"
        and lab.nearest().runs == ("boosted lanes",)
    )
    assert lab.state()["run"] == "boosted lanes"
    lab.weights["lane"].value = 10  # a hand on a slider
    assert lab.runs.value == lab.state()["run"] == ""
    lab.runs.value = "boosted lanes"  # the same entry again
    assert lab.state()["weights"]["lane"] == 30 and lab.state()["run"] == "boosted lanes"
    lab.set_weights(lane=1)
    assert lab.runs.value == "equal"  # the run that these knobs are
    lab.set_run("rare lanes")
    assert (
        lab.runs.value == "rare lanes"
        and lab.state()["temperature"] == 1
        and lab.state()["weights"]["lane"] == 1
        and lab.nearest().runs == ("rare lanes",)
    )
    with pytest.raises(UserError, match="few lanes"):
        lab.set_run("few lanes, augmented")


def test_words_say_whether_it_was_measured(lab):
    lab.set_run("few lanes")
    assert "Measured, 3 seeds" in lab.picture.text and "IoU 0.300" in lab.picture.text
    lab.set_images(lane=200)
    assert "Interpolated between" in lab.picture.text and "not measured, no interval" in lab.picture.text
    score = lab.nearest().scores["lane"][0]
    assert (
        f"IoU about {score:.2f}." in lab.picture.text and f"{score:.3f}" not in lab.picture.text
    )  # no surer than it is
    assert lab.board.outcome_text[2].get_text() == f"about {score:.2f}, no interval"
    lab.set_weights(detection=5)
    assert (
        "Nearest measured, not the same" in lab.picture.text
        and "different: object weight, " in lab.picture.text
        and "sign weight" not in lab.picture.text
    )
    lab.set_run("few lanes")
    assert lab.board.outcome_text[2].get_text().startswith("0.300 (0.2")


@pytest.mark.parametrize(
    "weights, turned",
    [
        ((1, 1, 2), {"lane weight"}),
        ((1, 5, 29), {"lane weight", "object weight"}),
        ((7, 7, 7.5), {"lane weight"}),
        ((2, 2, 1), {"lane weight"}),
        ((0.5, 1, 2), {"sign weight", "lane weight"}),
    ],
)
def test_only_knobs_that_were_turned_are_named(weights, turned):
    "A common factor turns nothing; what most weights have in common was not turned either."
    measured = Measured(table_of({"equal": (0.6, 0.2, 0.5)}), DATA)
    assert set(measured.nearest(Knobs(DATA.images, weights=weights)).differs.split(", ")) == turned


def test_marks_differ_by_kind_and_not_by_colour_alone(lab):
    looks = {}
    for kind, change in (
        ("measured", lambda: lab.set_run("few lanes")),
        ("interpolated", lambda: lab.set_images(lane=200)),
        ("nearest", lambda: lab.set_weights(detection=5)),
    ):
        change()
        mark = lab.board.marks[2]
        looks[kind] = (mark.get_marker(), str(mark.get_markerfacecolor()))
        assert lab.board.outcome_title.get_text().startswith(kind.upper())
    assert len(set(looks.values())) == 3 and looks["nearest"][0] == "x"


def test_the_bars_are_the_numbers(lab):
    lab.set_images(lane=65)
    lab.set_temperature(1)
    made = lab.composition()
    for k, t in enumerate(TASKS):
        assert lab.board.step[k].get_width() == pytest.approx(made.probability[t]) and lab.board.share[
            k
        ].get_width() == pytest.approx(made.shares[t])
        assert f"{made.seen[t]:.3g} ×" in lab.board.seen_text[k].get_text()
    assert lab.board.signs.get_data().values.sum() == pytest.approx(made.signs.sum())


def test_a_picture_does_not_remember_the_last_one(folder):
    "Only what moves is redrawn, so nothing of the setting before may shine through."
    one, two = ImbalanceLab(folder), ImbalanceLab(folder)
    one.set_run("rare lanes")
    one.set_skew(10)
    one.set_run("few lanes")
    two.set_run("few lanes")
    assert one.picture.png == two.picture.png


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda l: l.set_images(lane=851), "850"),
        (lambda l: l.set_images(lane=0), "1 to"),
        (lambda l: l.set_images(roads=3), "roads"),
        (lambda l: l.set_skew(0.5), "skew"),
        (lambda l: l.set_temperature(0), "0.1 to"),
        (lambda l: l.set_temperature(-1), "temperature"),
        (lambda l: l.set_temperature("hot"), "temperature"),
        (lambda l: l.set_temperature(math.inf), "temperature"),
        (lambda l: l.set_temperature(math.nan), "temperature"),
        (lambda l: l.set_images(lane="many"), "lane"),
        (lambda l: l.set_images(lane=2.5), "whole"),
        (lambda l: l.set_images(lane=math.inf), "lane"),
        (lambda l: l.set_images(detection=60, lane=None), "lane"),
        (lambda l: l.set_skew(None), "skew"),
        (lambda l: l.set_skew(math.nan), "skew"),
        (lambda l: l.set_weights(lane="1"), "lane"),
        (lambda l: l.set_weights(detection=2, lane=math.nan), "lane"),
        (lambda l: l.set_weights(lane=True), "lane"),
        (lambda l: l.set_weights(lane=0), "weight"),
        (lambda l: l.set_weights(tram=1), "tram"),
        (lambda l: l.to_jshtml("luck"), "lane images"),
    ],
)
def test_mistakes_are_explained_and_change_nothing(lab, change, what):
    before = lab.state()
    with pytest.raises(UserError, match=what) as e:
        change(lab)
    assert "\n" not in str(e.value)
    assert lab.state() == before


def test_without_runs_and_gradients_it_says_so(folder):
    (folder / "studies.csv").unlink()
    (folder / "gradient_recording.json").unlink()
    lab = ImbalanceLab(folder)
    assert (
        lab.nearest().kind == "none"
        and lab.composition().shares is None
        and "mtl_compare --study imbalance" in lab.picture.text
        and "No gradients were recorded" in lab.picture.text
    )
    said = " ".join(w.value for w in lab.box.children if isinstance(w, ipw.HTML))
    assert "mtl_compare --study imbalance" in said and "gradient_recording.py" in said
    lab.set_images(lane=65)


def test_a_study_that_is_only_begun(folder):
    table_of({"equal": (0.6, 0.2, 0.5)}, 1).to_csv(folder / "studies.csv", index=False)
    lab = ImbalanceLab(folder)
    assert "Measured, 1 seed:" in lab.picture.text
    lab.set_images(lane=65)
    assert lab.nearest().kind == "nearest" and "lane images" in lab.nearest().differs


def test_sliders_are_labelled_and_a_sweep_has_a_picture_per_stop(lab):
    labels = [s.description for s in (*lab.images.values(), lab.skew, lab.temperature, *lab.weights.values())]
    assert labels == [
        "sign images",
        "object images",
        "lane images",
        "class skew of the signs",
        "sampling temperature",
        "sign weight",
        "object weight",
        "lane weight",
    ]
    lab.set_images(lane=65)
    before, png = lab.state(), lab.picture.png
    page = lab.to_jshtml("lane images")
    assert 'aria-label="lane images"' in page and "lane images 65. A step holds" in page
    assert (
        page.count("data:image/webp;base64") == len(lab.images["lane"].options)
        and lab.state() == before
        and lab.picture.png == png
    )


def test_sliders_stop_at_every_trained_value():
    lab = ImbalanceLab()
    for name, k in lab.measured.knobs.items():
        for sliders, values in (
            (lab.images.values(), k.images),
            (lab.weights.values(), k.weights),
            ([lab.skew, lab.temperature], (k.skew, k.temperature or 0)),
        ):
            for s, v in zip(sliders, values):
                assert any(math.isclose(v, stop) for _, stop in s.options), (name, s.description, v)
    assert (
        "fixed 1:5:30 (signs:objects:lanes)" in [label for label, _ in lab.runs.options]
        or "fixed 1:5:30" not in lab.measured.knobs
    )


@pytest.mark.parametrize("dpi", (80, 90))
def test_texts_of_the_picture_do_not_touch(folder, dpi):
    board = (
        ImbalanceLab(folder).board
        if dpi == 90
        else ImbalanceBoard(DATA, {t: v for t, v in zip(TASKS, SCORES["equal"])}, dpi)
    )
    renderer = board.canvas.get_renderer()
    for axes in board.figure.axes:
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            low, high = axes.get_window_extent(renderer).extents.reshape(2, 2)
            boxes = [
                b for t in ticks if t.get_text() and (b := t.get_window_extent(renderer)).width and low[0] - 200 <= b.x0
            ]
            boxes = [b for b in boxes if b.y0 > low[1] - 40 and b.y1 < high[1] + 20]
            assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2)), axes.get_title()
    below = [
        a
        for a in board.figure.axes
        if a.get_title()
        in ("part of the summed gradient", "what came out on the test split (short line: the undisturbed run)")
    ]
    left, right = sorted(below, key=lambda a: a.get_position().x0)
    assert (
        min(t.get_window_extent(renderer).x0 for t in right.get_yticklabels()) > left.get_window_extent(renderer).x1 + 4
    )  # the numbers of one panel and the names of the next


def test_it_works_with_no_arguments():
    lab = ImbalanceLab()
    assert lab.data == read_data(project_root() / "results") and sum(lab.data.signs) == lab.data.images[0]
    assert lab.data.batch == tuple(make_config("study").batch_size_of(t) for t in TASKS)
    bundle, _ = lab._repr_mimebundle_()
    assert (
        "image/png" in bundle
        and Image.open(io.BytesIO(lab.picture.png)).size == (921, 499)
        and "ImbalanceLab" in bundle["text/plain"]
    )
