"""The evaluation loop and its tables, on a stand-in model whose answers are known."""

import numpy as np, pandas as pd, pytest, torch
from torch import nn
from mtl_course.config import TASKS, make_config
from mtl_course.core.errors import UserError
from mtl_course.world.signs import SIGN_NAMES
from mtl_course.evaluation.evaluate import evaluate_model, evaluate_task, score_task
from mtl_course.evaluation.predictions import predict_task
from mtl_course.evaluation.results import (
    RESULT_COLUMNS,
    format_scores,
    model_label,
    read_table,
    results_table,
    write_results,
)


class Reader(nn.Module):
    "Reads the answer from the first pixel row: a class number, a lane mask, or a box."

    def __init__(self, whole=False):
        super().__init__()
        self.backbone = nn.BatchNorm2d(3)
        self.head = nn.Dropout()
        self.whole = whole
        self.grad_modes = []

    def forward(self, images, task):
        self.grad_modes.append((torch.is_grad_enabled(), self.training, self.backbone.training))
        if task == "classification":
            out = nn.functional.one_hot(images[:, 0, 0, 0].long(), 43).to(torch.bfloat16)
        elif task == "lane":
            out = torch.stack([1 - images[:, 0], images[:, 0]], 1)
        else:
            out = {"boxes": images[:, 0, 0, :4]}
        return {task: out} if self.whole else out

    def decode_detections(self, output):
        return [
            dict(boxes=b[None], labels=torch.tensor([1]), scores=torch.tensor([0.5], dtype=torch.bfloat16))
            for b in output["boxes"]
        ]


def batch_of(task, answers, truth):
    images = torch.zeros(len(truth), 3, 8, 8)
    if task == "classification":
        images[:, 0, 0, 0] = torch.tensor(answers).float()
    elif task == "lane":
        images[:, 0] = answers
    else:
        images[:, 0, 0, :4] = answers
    return {"images": {task: images}, task: truth, "files": {task: [f"{i}.png" for i in range(len(truth))]}}


def loaders():
    mask = torch.zeros(2, 8, 8).long()
    mask[:, :, 2:4] = 1
    wide = mask.float()
    wide[:, :, 4] = 1  # 2 of 3 predicted columns are right
    box = torch.tensor([[1.0, 1, 5, 5], [0, 0, 4, 4]])
    truth = [
        dict(boxes=box[:1], labels=torch.tensor([1]), ignore=torch.zeros(0, 4)),
        dict(boxes=box[1:] + 20, labels=torch.tensor([1]), ignore=torch.zeros(0, 4)),
    ]
    return dict(
        classification=[
            batch_of("classification", [3, 4], torch.tensor([3, 5])),
            batch_of("classification", [7], torch.tensor([7])),
        ],
        detection=[batch_of("detection", box, truth)],
        lane=[batch_of("lane", wide, mask)],
    )


def tidy_value(table, task, metric, name="all"):
    return table[(table["task"] == task) & (table["metric"] == metric) & (table["class"] == name)]["value"].item()


@pytest.mark.parametrize("whole", (False, True))
@pytest.mark.parametrize("precision", ("32-true", "bf16-mixed"))
def test_scores_of_known_answers(whole, precision):
    results = evaluate_model(Reader(whole), loaders(), precision=precision, progress=False)
    assert list(results) == list(TASKS) and [r.images for r in results.values()] == [3, 2, 2]
    assert results["classification"].scores["accuracy"] == pytest.approx(2 / 3)
    assert results["classification"].confusion[5, 4] == 1 and results["classification"].confusion.sum() == 3
    assert results["lane"].scores["iou"] == pytest.approx(2 / 3) and results["lane"].scores["recall"] == 1
    assert results["detection"].scores["map50"] == pytest.approx(
        51 / 101, abs=1e-6
    )  # one of two found, the other box wrong, equal scores
    assert results["detection"].scores == score_task(
        Reader(whole), loaders()["detection"], "detection", precision=precision
    )


def test_predictions_are_float32_and_the_consumer_is_free():
    for task in TASKS:
        for prediction, batch in predict_task(Reader(), loaders()[task], task, precision="bf16-mixed"):
            assert (
                torch.is_grad_enabled()
                and not torch.is_inference_mode_enabled()
                and not torch.is_autocast_enabled("cpu")
            )
            values = [prediction]
            if not torch.is_tensor(prediction):
                values = [p["boxes"] for p in prediction] + [p["scores"] for p in prediction]
            assert all(v.dtype == torch.float32 for v in values)


def test_evaluation_mode_is_given_back_part_by_part():
    model = Reader().train()
    model.backbone.eval()  # a frozen backbone
    score_task(model, loaders()["lane"], "lane")
    assert model.grad_modes == [(False, False, False)]
    assert model.training and model.head.training and not model.backbone.training
    with pytest.raises(KeyError):
        score_task(model, [dict(images={})], "lane")  # after an error, too
    assert model.training and not model.backbone.training


def test_tidy_table(tmp_path):
    results = evaluate_model(Reader(), loaders(), progress=False)
    files = write_results(results, tmp_path / "new", model="m", seed=3, data_set="d", split="test")
    table = read_table(files[0], RESULT_COLUMNS)
    assert list(table.columns) == RESULT_COLUMNS and set(table["task"]) == set(TASKS)
    assert not table.duplicated(RESULT_COLUMNS[:-1]).any() and table["value"].notna().all()
    assert tidy_value(table, "lane", "iou") == results["lane"].scores["iou"]
    assert (
        tidy_value(table, "classification", "accuracy", SIGN_NAMES[5]) == 0
        and tidy_value(table, "classification", "accuracy", SIGN_NAMES[3]) == 1
    )
    assert (
        tidy_value(table, "detection", "ap50", "Car") == pytest.approx(51 / 101, abs=1e-6)
        and tidy_value(table, "detection", "images") == 2
    )
    confusion = pd.read_csv(tmp_path / "new" / "confusion_matrix.csv")
    assert (
        confusion["count"].sum() == 3
        and ((confusion["truth"] == SIGN_NAMES[5]) & (confusion["predicted"] == SIGN_NAMES[4])).sum() == 1
    )
    assert len(pd.read_csv(tmp_path / "new" / "per_class_classification.csv")) == 43


def test_a_repeated_run_replaces_only_its_own_rows(tmp_path):
    results = evaluate_model(Reader(), loaders(), progress=False)
    for seed in (0, 1):
        write_results(results, tmp_path, seed=seed)
    write_results({"lane": results["lane"]}, tmp_path, split="validation")
    before = read_table(tmp_path / "evaluation_results.csv")
    results["lane"].scores["iou"] = 0.25
    write_results({"lane": results["lane"]}, tmp_path, seed=1)  # one task of one run
    after = read_table(tmp_path / "evaluation_results.csv")
    assert (
        len(before)
        == len(after)
        == 2 * len(results_table(results, dict(model="m", seed=0, data_set="d", split="s")))
        + len(before[before["split"] == "validation"])
    )
    lane = after[(after["metric"] == "iou") & (after["class"] == "all")].set_index(["split", "seed"])["value"]
    assert lane["test", 1] == 0.25 and lane["test", 0] == lane["validation", 0] == pytest.approx(2 / 3)
    assert len(read_table(tmp_path / "confusion_matrix.csv")) == 6


def test_errors_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no lane image"):
        evaluate_task(Reader(), [], "lane")
    with pytest.raises(ValueError, match="unknown tasks"):
        evaluate_model(Reader(), dict(lanes=[]))
    with pytest.raises(UserError, match="make train"):
        read_table(tmp_path / "nothing.csv")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a csv table"):
        read_table(tmp_path / "empty.csv")
    with pytest.raises(UserError, match="'value' is missing"):
        read_table(tmp_path / "other.csv", ["a", "value"])


def test_printed_table():
    text = format_scores(evaluate_model(Reader(), loaders(), progress=False))
    lines = text.splitlines()
    assert "66.7 %" in text and lines[2].startswith("classification") and lines[2].endswith("3")
    assert len({line.rstrip().rfind(" %") for line in lines[2:]}) == 1  # the values are aligned
    assert "detection" not in format_scores(dict(lane=dict(iou=0.5, f1=2 / 3)))
    assert np.all(
        [
            model_label(make_config("smoke", tasks=t)) == n
            for t, n in ((TASKS, "multi_task"), (("lane",), "single_lane"))
        ]
    )
