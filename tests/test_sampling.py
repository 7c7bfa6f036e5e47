"""Which images, which task, which weights: limits, long tails, drawn tasks and schedules, up to the
training loop.
"""

import numpy as np, pandas as pd, pytest, torch
from hypothesis import given, settings, strategies as st
from mtl_course.core.errors import UserError
from mtl_course.config import make_config
from mtl_course.data.loaders import create_dataloaders
from mtl_course.data.sources import training_images
from mtl_course.data.sampling import TaskSampler, Turns, subsample_indices, long_tail, task_probabilities
from mtl_course.losses.schedules import parse_schedule, schedule_factors
from mtl_course.models.classification_head import ClassificationHead, effective_number_weights
from mtl_course.training.loop import train


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(5, 60), min_size=2, max_size=12), st.floats(1.01, 50), st.integers(0, 200))
def test_a_long_tail_keeps_its_shape_and_its_limit(counts, skew, limit):
    labels = np.repeat(np.arange(len(counts)), counts)
    kept = subsample_indices(labels, len(labels), min(limit, len(labels)), skew)
    left = np.bincount(labels[kept], minlength=len(counts))
    share = long_tail(len(counts), skew)
    assert len(set(kept)) == len(kept) and (left >= 1).all() and (left <= counts).all()
    assert not limit or len(kept) <= limit + len(counts)  # one image at least of every class
    largest = left[share.argmax()] / share.max()
    assert (np.abs(left - largest * share) <= 1 + share / share.max()).all() or limit  # n_c = n_0 · share, rounded down


def test_subsets_are_nested_and_do_not_depend_on_the_run():
    small, large = (set(subsample_indices(None, 400, n).tolist()) for n in (30, 200))
    assert small < large and len(small) == 30 and subsample_indices(None, 400).tolist() == list(range(400))
    with pytest.raises(UserError, match="401.*400"):
        subsample_indices(None, 400, 401)


def test_the_config_says_how_many(smoke):
    assert training_images(make_config("smoke", detection_limit=5, seed=1), "detection") == training_images(
        make_config("smoke", detection_limit=5, seed=2), "detection"
    )
    loader = create_dataloaders(make_config("smoke", lane_limit=3, class_skew=4))[0]
    data = loader.dataset.datasets
    assert len(data["lane"]) == 3 == loader.batch_sampler.lengths["lane"]
    counts = np.bincount(data["classification"].labels)
    assert counts.max() > counts.min() and loader.batch_sampler.lengths["classification"] == counts.sum()
    with pytest.raises(UserError, match="lane_limit"):
        training_images(make_config("smoke", lane_limit=10**6), "lane")
    with pytest.raises(UserError, match="class_skew"):
        make_config("smoke", class_skew=0.5)


def test_temperature_moves_between_images_and_tasks():
    n = {"a": 900, "b": 100}
    assert task_probabilities(n, 1) == pytest.approx({"a": 0.9, "b": 0.1})
    assert task_probabilities(n, 2) == pytest.approx({"a": 0.75, "b": 0.25})  # square roots: 30 : 10
    assert task_probabilities(n, 1e9) == pytest.approx({"a": 0.5, "b": 0.5})
    draw = TaskSampler(n, 0, 100, 1.0, 3.0)
    assert draw.probabilities(0) == pytest.approx(task_probabilities(n, 1)) and draw.probabilities(50) == pytest.approx(
        task_probabilities(n, 2)
    )
    by_loss = TaskSampler(n, 0, 100, by_loss=True)
    assert by_loss.probabilities(3) == {"a": 0.5, "b": 0.5}
    by_loss.losses = {"a": 1.0, "b": 3.0}
    assert by_loss.probabilities(3) == pytest.approx({"a": 0.25, "b": 0.75})
    by_loss.losses = {"b": 3.0}
    assert by_loss.probabilities(3)["a"] == pytest.approx(0.5)  # never drawn: not forgotten


def test_draws_are_a_function_of_seed_and_step():
    n = {"a": 900, "b": 100}
    whole = [TaskSampler(n, 4, 2000).task(s) for s in range(2000)]
    assert abs(whole.count("b") / 2000 - 0.1) < 0.03
    later = TaskSampler(n, 4, 2000)
    assert [later.task(s) for s in range(1990, 2000)] == whole[1990:]
    assert whole != [TaskSampler(n, 5, 2000).task(s) for s in range(2000)]


def test_a_task_sits_out_in_turn_and_loses_no_image():
    turns = Turns(dict(signs=2, scenes=1, lanes=2, weather=4))
    assert [turns.tasks(step) for step in range(5)] == [
        ["signs", "scenes"],
        ["scenes", "lanes"],
        ["signs", "scenes", "weather"],
        ["scenes", "lanes"],
        ["signs", "scenes"],
    ]
    assert [turns.turn("lanes", step) for step in (1, 3, 5)] == [0, 1, 2]
    assert Turns(dict(lanes=2)).tasks(1) == ["lanes"] == Turns(dict(lanes=2)).tasks(0)  # alone, so in every step
    assert Turns(dict(lanes=2, signs=4)).every == dict(lanes=1, signs=2)
    with pytest.raises(UserError, match="lanes_every 2, signs_every 3: expected one task in every step"):
        Turns(dict(lanes=2, signs=3))


def lane_keys(sampler, step):
    return [key for key in sampler.keys(step) if key[0] == "lane"]


def test_a_task_that_sits_out_goes_on_where_it_stopped(smoke):
    loader = create_dataloaders(make_config("smoke", lane_every=2))[0]
    always = create_dataloaders(make_config("smoke"))[0].batch_sampler
    for step in range(4):
        assert lane_keys(loader.batch_sampler, 2 * step) == lane_keys(always, step)
        assert lane_keys(loader.batch_sampler, 2 * step + 1) == []
    assert [list(batch["images"]) for batch in loader][:2] == [
        ["classification", "detection", "lane"],
        ["classification", "detection"],
    ]


def steps_of(folder):
    log = pd.read_csv(folder / "logs" / "training.csv")
    return log[log.kind == "step"]


@pytest.mark.thorough
@pytest.mark.parametrize("sampling", ["temperature", "loss"])
def test_one_task_per_step_trains_and_resumes_digit_for_digit(smoke, tmp_path, sampling, monkeypatch):
    fields = dict(
        task_sampling=sampling,
        sampling_temperature=5.0,
        balancer="uncertainty",
        steps_per_epoch=5,
        epochs=2,
        evaluate_every=2,
        checkpoint_every=3,
        tasks="classification,lane",
        weight_schedule="lane=1>4@0.2-0.9",
        precision="32-true",
    )
    train(make_config("smoke", results_dir=str(tmp_path / "whole"), **fields), progress=False)
    whole = steps_of(tmp_path / "whole")
    assert whole.groupby("step").size().eq(1).all() and set(whole.task) == {"classification", "lane"}
    import mtl_course.training.steps as training

    real, count = training.compute_gradients, iter(range(100))

    def failing(*a, **k):
        if next(count) == 7:
            raise KeyboardInterrupt
        return real(*a, **k)

    monkeypatch.setattr(training, "compute_gradients", failing)
    with pytest.raises(KeyboardInterrupt):
        train(make_config("smoke", results_dir=str(tmp_path / "cut"), **fields), progress=False)
    monkeypatch.setattr(training, "compute_gradients", real)
    train(make_config("smoke", results_dir=str(tmp_path / "cut"), **fields), resume=True, progress=False)
    columns = ["step", "task", "loss", "weight"]
    pd.testing.assert_frame_equal(
        whole[columns].reset_index(drop=True),
        steps_of(tmp_path / "cut")[columns].reset_index(drop=True),
        check_exact=True,
    )


@pytest.mark.thorough
def test_a_schedule_reaches_the_weights(smoke, tmp_path):
    train(
        make_config(
            "smoke",
            results_dir=str(tmp_path),
            steps_per_epoch=4,
            epochs=1,
            tasks="classification,lane",
            lane_weight=2.0,
            weight_schedule="lane=0>3@0-0.5",
        ),
        progress=False,
    )
    log = steps_of(tmp_path)
    lane = log[log.task == "lane"]  # absent from the first step, where its weight is 0
    assert (
        lane.step.tolist() == [2, 3, 4]
        and lane.weight.tolist() == pytest.approx([3, 6, 6])
        and set(log[log.task == "classification"].weight) == {1.0}
    )


def test_schedules_that_cannot_be_read_are_refused(tmp_path):
    for wrong in (
        "lane",
        "lane=1>x",
        "lane=1>2@0.6-0.5",
        "lane=1>2@0-1.5",
        "lane=1>2@0",
        "lanes=1>2",
        "lane=1>2,lane=1>3",
    ):
        with pytest.raises(UserError, match="weight_schedule"):
            parse_schedule(wrong)
    with pytest.raises(UserError, match="weight_schedule"):
        train(make_config("smoke", weight_schedule="lane=2", results_dir=str(tmp_path / "none")), progress=False)
    assert not (tmp_path / "none").exists()
    assert schedule_factors("lane=1>0@0.5-1", 0.75, ["lane"]) == {"lane": 0.5}


def test_focal_and_class_balanced_losses(smoke, tmp_path):
    head = ClassificationHead(8, 3)
    logits = torch.randn(6, 3)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.isclose(head.loss(logits, labels), plain)
    head.focal_gamma = 1.5
    p = logits.softmax(1)[range(6), labels]
    assert torch.isclose(head.loss(logits, labels), ((1 - p) ** 1.5 * -p.log()).mean())
    weights = effective_number_weights(torch.tensor([10, 1000, 0]), 0.99)
    ratio = ((1 - 0.99) / (1 - 0.99**10)) / ((1 - 0.99) / (1 - 0.99**1000))
    assert (
        weights[2] == 0
        and float(weights[0] / weights[1]) == pytest.approx(ratio, rel=1e-5)
        and float(weights.mean()) == pytest.approx(1)
    )
    run = train(
        make_config(
            "smoke",
            results_dir=str(tmp_path),
            steps_per_epoch=1,
            epochs=1,
            tasks="classification",
            classification_loss="class_balanced",
            class_skew=5,
        ),
        progress=False,
    )
    used = run.model.heads["classification"].class_weights
    assert (
        float(used.max() / used.min()) == pytest.approx(3, rel=0.01)
        and float(used.mean()) == pytest.approx(1, rel=1e-4)
        and "heads.classification.class_weights" not in run.model.state_dict()
    )
