"""Metrics against scikit-learn, torchmetrics and hand-worked cases."""

import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from mtl_course.config import DETECTION_CLASSES
from mtl_course.metrics.scores import (
    ClassificationMetric,
    DetectionMetric,
    LaneMetric,
    class_scores,
    classification_scores,
    confusion_matrix,
    constant_lane_scores,
    lane_scores,
    make_metric,
    checkpoint_score,
)


def random_signs(seed, n=200, num_classes=12, present=9, right=0.6):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, present, n)
    return truth, np.where(rng.random(n) < right, truth, rng.integers(0, num_classes, n))


@pytest.mark.parametrize("seed", range(4))
def test_classification_agrees_with_sklearn(seed):
    sk = pytest.importorskip("sklearn.metrics")
    truth, predicted = random_signs(seed)
    confusion = confusion_matrix(truth, predicted, 12)
    assert (confusion == sk.confusion_matrix(truth, predicted, labels=range(12))).all()
    p, r, f, _ = sk.precision_recall_fscore_support(
        truth, predicted, labels=np.unique(truth), average="macro", zero_division=0
    )
    scores = classification_scores(confusion)
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted), abs=1e-12)
    assert (scores["macro_precision"], scores["macro_recall"], scores["macro_f1"]) == pytest.approx(
        (p, r, f), abs=1e-12
    )
    each = class_scores(confusion)
    assert each["recall"].dropna().to_numpy() == pytest.approx(
        sk.recall_score(truth, predicted, labels=np.unique(truth), average=None)
    )


def test_absent_classes_do_not_move_the_macro_scores():
    truth, predicted = random_signs(0, num_classes=9)
    assert classification_scores(confusion_matrix(truth, predicted, 9)) == classification_scores(
        confusion_matrix(truth, predicted, 43)
    )
    assert class_scores(confusion_matrix(truth, predicted, 43)).loc[42, ["recall", "f1"]].isna().all()


def test_class_never_predicted_has_precision_zero():
    scores = class_scores(confusion_matrix([0, 1], [0, 0], 2))
    assert scores.loc[1, "precision"] == 0 and scores.loc[1, "recall"] == 0


def test_wrong_classes_are_refused():
    with pytest.raises(ValueError, match="outside"):
        confusion_matrix([0, 3], [0, 1], 3)
    with pytest.raises(ValueError, match="outside"):
        confusion_matrix([0, -1], [0, 1], 3)
    with pytest.raises(ValueError, match="predictions"):
        confusion_matrix([0, 1], [0], 3)


def test_batches_add_up():
    truth, predicted = map(torch.from_numpy, random_signs(1, num_classes=43))
    whole, parts = ClassificationMetric(), ClassificationMetric()
    whole.update(predicted, truth)
    for i in range(0, 200, 7):
        parts.update(torch.nn.functional.one_hot(predicted[i : i + 7], 43).float(), truth[i : i + 7])
    assert (whole.confusion == parts.confusion).all() and whole.compute() == parts.compute()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_lane_scores_agree_with_sklearn(seed, share, found):
    sk = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.rand(3, 9, 11, generator=generator) < share).long()
    probability = torch.rand(3, 9, 11, generator=generator) * 0.6 + truth * found * 0.4
    metric = LaneMetric()
    for k in range(3):
        metric.update(probability[k : k + 1], truth[k : k + 1])
    t = truth.flatten().numpy()
    p = (probability > 0.5).flatten().numpy()
    scores = metric.compute()
    assert scores["pixel_accuracy"] == pytest.approx(sk.accuracy_score(t, p), abs=1e-12)
    assert scores["iou"] == pytest.approx(sk.jaccard_score(t, p, zero_division=0), abs=1e-12)
    assert scores["precision"] == pytest.approx(sk.precision_score(t, p, zero_division=0), abs=1e-12)
    assert scores["recall"] == pytest.approx(sk.recall_score(t, p, zero_division=0), abs=1e-12)
    assert scores["f1"] == pytest.approx(sk.f1_score(t, p, zero_division=0), abs=1e-12)


def test_lane_counts_are_summed_before_dividing():
    metric = LaneMetric()
    full, empty = torch.zeros(1, 10, 100), torch.zeros(1, 10, 100)
    truth_full, truth_small = torch.zeros(1, 10, 100).long(), torch.zeros(1, 10, 100).long()
    full[0, :, :90] = 1
    truth_full[0] = 1
    truth_small[0, 0, :10] = 1
    metric.update(full, truth_full)
    metric.update(empty, truth_small)
    assert metric.compute()["iou"] == pytest.approx(900 / 1010)
    assert metric.totals() == dict(tp=900, fp=0, fn=110, tn=990)


def test_lane_logits_and_probabilities_give_the_same():
    generator = torch.Generator().manual_seed(0)
    logits, truth = torch.randn(2, 2, 8, 8, generator=generator), torch.randint(0, 2, (2, 8, 8), generator=generator)
    a, b = LaneMetric(), LaneMetric()
    a.update(logits, truth)
    b.update(logits.softmax(1)[:, 1], truth)
    assert a.totals() == b.totals()
    with pytest.raises(ValueError, match="shape"):
        a.update(logits[:, :, :4], truth)


def test_constant_lane_predictions():
    truth = torch.zeros(1, 10, 10).long()
    truth[0, :, :2] = 1
    expected = constant_lane_scores(0.2)
    for name, constant in (("nothing", torch.zeros(1, 10, 10)), ("everything", torch.ones(1, 10, 10))):
        metric = LaneMetric()
        metric.update(constant, truth)
        assert metric.compute() == pytest.approx(expected[name], abs=1e-12)
    assert lane_scores(0, 0, 0, 5)["iou"] == 0 and np.isnan(LaneMetric().compute()["iou"])


def random_boxes(rng, n, width=400, height=120):
    corner, size = rng.random((n, 2)) * (width - 60, height - 40), rng.random((n, 2)) * (55, 35) + 4
    return torch.tensor(np.concatenate([corner, corner + size], 1), dtype=torch.float32)


def random_scenes(seed, images=20):
    rng = np.random.default_rng(seed)
    predictions, truths = [], []
    for _ in range(images):
        n, extra = rng.integers(0, 6), rng.integers(0, 5)
        boxes, labels = random_boxes(rng, n), torch.from_numpy(rng.integers(1, 6, n))  # classes 6 and 7 never occur
        truths.append(dict(boxes=boxes, labels=labels))
        noisy = boxes + torch.from_numpy(rng.normal(0, 1.5, (n, 4))).float()
        predictions.append(
            dict(
                boxes=torch.cat([noisy, random_boxes(rng, extra)]),
                scores=torch.from_numpy(rng.random(n + extra)).float(),
                labels=torch.cat([labels, torch.from_numpy(rng.integers(1, 8, extra))]),
            )
        )
    return predictions, truths


@pytest.mark.parametrize("seed", range(2))
def test_detection_agrees_with_torchmetrics(seed):
    from torchmetrics.detection import MeanAveragePrecision

    predictions, truths = random_scenes(seed)
    reference = MeanAveragePrecision(class_metrics=True)
    reference.update(predictions, truths)
    expected = reference.compute()
    metric = DetectionMetric()
    for i in range(0, 20, 6):
        metric.update(predictions[i : i + 6], truths[i : i + 6])
    scores, each = metric.compute(), metric.per_class()
    assert scores["map50"] == pytest.approx(float(expected["map_50"]), abs=1e-6)
    assert scores["map50_95"] == pytest.approx(float(expected["map"]), abs=1e-6)
    for label, value in zip(expected["classes"].tolist(), expected["map_per_class"].tolist()):
        ours = each["ap50_95"].iloc[label - 1]
        assert np.isnan(ours) if value < 0 else ours == pytest.approx(value, abs=1e-6)
    assert each["objects"].sum() == sum(len(t["labels"]) for t in truths) and each.index.tolist() == list(
        DETECTION_CLASSES
    )


def test_detection_by_hand():
    truth = torch.tensor([[0.0, 0, 40, 40], [100, 0, 140, 40]])
    found = dict(
        boxes=torch.cat([truth[:1], torch.tensor([[200.0, 10, 230, 40]]), truth[1:]]),
        labels=torch.tensor([1, 1, 1]),
        scores=torch.tensor([0.9, 0.8, 0.7]),
    )
    metric = DetectionMetric()
    metric.update([found], [dict(boxes=truth, labels=torch.tensor([1, 1]))])
    assert metric.compute()["map50"] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-6)


@pytest.mark.parametrize("label", range(1, 8))
def test_ignored_regions_absorb_detections_of_every_class(label):
    truth = dict(
        boxes=torch.tensor([[0.0, 0, 40, 40]]),
        labels=torch.tensor([label]),
        ignore=torch.tensor([[190.0, 0, 300, 60]] + [[0, 100, 9, 109]] * 6),
    )
    inside = torch.tensor([[200.0, 10, 230, 40], [240, 10, 270, 40]])  # a region takes any number
    found = dict(
        boxes=torch.cat([inside, truth["boxes"]]),
        labels=torch.tensor([label] * 3),
        scores=torch.tensor([0.9, 0.8, 0.7]),
    )
    metric = DetectionMetric()
    metric.update([found], [truth])
    assert metric.compute()["map50"] == pytest.approx(1) and metric.per_class()["objects"].sum() == 1
    without = DetectionMetric()
    without.update([found], [{k: truth[k] for k in ("boxes", "labels")}])
    assert without.compute()["map50"] == pytest.approx(1 / 3, abs=1e-6)
    outside = dict(found, boxes=torch.cat([inside + 150, truth["boxes"]]))
    metric = DetectionMetric()
    metric.update([outside], [truth])
    assert metric.compute()["map50"] == pytest.approx(1 / 3, abs=1e-6)


def test_detection_without_detections_or_objects():
    nothing = dict(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0))
    metric = DetectionMetric()
    metric.update([nothing], [dict(boxes=torch.tensor([[0.0, 0, 9, 9]]), labels=torch.tensor([3]))])
    assert metric.compute() == dict(map50=0, map50_95=0)
    metric = DetectionMetric()
    metric.update([nothing], [dict(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))])
    assert np.isnan(metric.compute()["map50"])


def test_detection_leaves_its_input_alone():
    predictions, truths = random_scenes(5)
    before = [t["boxes"].clone() for t in truths], [p["boxes"].clone() for p in predictions]
    metric = DetectionMetric()
    metric.update(predictions, truths)
    metric.compute()
    assert all(torch.equal(a, t["boxes"]) for a, t in zip(before[0], truths)) and all(
        torch.equal(a, p["boxes"]) for a, p in zip(before[1], predictions)
    )


def test_selection_score():
    assert checkpoint_score(dict(lane=dict(iou=0.5, f1=0.9), detection=dict(map50=0.1, map50_95=0.9))) == pytest.approx(
        0.3
    )
    assert checkpoint_score(dict(lane=dict(iou=0.5), detection=dict(map50=float("nan")))) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="unknown task"):
        make_metric("lanes")
