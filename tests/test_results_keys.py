"""Results are told apart by checkpoint, data root, split and task."""

import json

import pandas as pd
import pytest
import torch
from test_commands import shell

from mtl_course.cli.evaluate import mtl_evaluate
from mtl_course.core.errors import UserError
from mtl_course.core.files import project_root
from mtl_course.evaluation.results import _replace_rows, read_table
from mtl_course.models import model_from_config
from mtl_course.plots.figures import make_figures, select_run
from mtl_course.studies.runner import read_study


@pytest.fixture
def run_folder(smoke, tmp_path):
    "A run's folder with an untrained three-task checkpoint, and data of the same name elsewhere."
    torch.manual_seed(0)
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    smoke.save(folder / "config.json")
    content = dict(model=model_from_config(smoke).state_dict(), config=smoke.to_dict())
    torch.save(content, folder / "checkpoints" / "model_best.pt")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "world-tiny").symlink_to(project_root() / smoke.data_root)
    return folder


def evaluate(folder, **options):
    return mtl_evaluate(checkpoint=str(folder / "checkpoints" / "model_best.pt"), tasks="lane", **options)


def test_a_label_names_what_was_trained(run_folder):
    evaluate(run_folder)
    assert set(pd.read_csv(run_folder / "evaluation_results.csv").model) == {"multi_task"}


def test_data_of_one_name_keep_their_rows(run_folder, tmp_path):
    evaluate(run_folder)
    evaluate(run_folder, data_root=str(tmp_path / "other" / "world-tiny"))
    evaluate(run_folder)  # in the place of the first
    table = pd.read_csv(run_folder / "evaluation_results.csv")
    rows = table[(table["class"] == "all") & (table.metric == "iou")]
    assert rows.data_root.tolist() == [str(tmp_path / "other" / "world-tiny"), "datasets/world-tiny"]
    assert set(select_run(table).data_root) == {"datasets/world-tiny"}


def test_predictions_of_other_data_stand_beside(run_folder, tmp_path):
    for root in (str(tmp_path / "other" / "world-tiny"), None, str(tmp_path / "other" / "world-tiny")):
        evaluate(run_folder, **({"data_root": root} if root else {}))
    found = {}
    for path in (run_folder / "predictions").glob("*/tusimple/run.json"):
        found[path.parents[1].name == "test"] = json.loads(path.read_text())["data_root"]
    assert found == {True: "datasets/world-tiny", False: str(tmp_path / "other" / "world-tiny")}


def test_tables_of_earlier_versions_are_replaced(run_folder):
    evaluate(run_folder)
    path = run_folder / "evaluation_results.csv"
    table = pd.read_csv(path)
    table.drop(columns=["checkpoint", "data_root"]).to_csv(path, index=False)
    evaluate(run_folder)
    assert len(pd.read_csv(path)) == len(table)


def test_a_checkpoint_in_no_run_needs_a_folder(run_folder, tmp_path):
    stray = tmp_path / "downloads" / "model.pt"
    stray.parent.mkdir()
    (run_folder / "checkpoints" / "model_best.pt").rename(stray)
    code, _, err = shell("mtl_evaluate", "--checkpoint", stray)
    assert (code, err.count("\n")) == (2, 1)
    assert "--results_dir" in err


def test_a_foreign_checkpoint_makes_no_world(run_folder, smoke, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "world-tiny"
    content = torch.load(run_folder / "checkpoints" / "model_best.pt", weights_only=True)
    content["config"]["data_root"] = str(elsewhere)
    torch.save(content, run_folder / "checkpoints" / "model_best.pt")
    code, _, err = shell("mtl_evaluate", "--checkpoint", run_folder / "checkpoints" / "model_best.pt")
    assert (code, err.count("\n"), elsewhere.exists()) == (2, 1, False)
    assert "--data_root" in err


COLUMNS = "model,seed,data_set,split,task,metric,class,difficulty,value,low,high"


def test_a_word_in_a_cell_is_told_with_its_line(tmp_path):
    path = tmp_path / "evaluation_results.csv"
    path.write_text(f"{COLUMNS}\nm,0,d,test,lane,iou,all,all,0.5,,\nm,0,d,test,lane,f1,all,all,good,,\n")
    with pytest.raises(UserError, match=r"line 3: value is 'good': expected a number"):
        read_table(path)


def test_a_word_in_a_study_is_told_with_its_line(tmp_path):
    path = tmp_path / "studies.csv"
    path.write_text("run,config,seed,steps,part,task,metric,value\nequal,abc,0,200,val,lane,iou,good\n")
    with pytest.raises(UserError, match=r"line 2: value is 'good'"):
        read_study(path)


def test_one_figure_without_input_leaves_the_others(tmp_path, capsys):
    def broken(folder):
        raise ValueError("could not convert string to float: 'good'")

    def drawn(folder):
        import matplotlib.figure

        return matplotlib.figure.Figure()

    files = make_figures(tmp_path, figures=dict(broken=broken, drawn=drawn))
    assert [file.name for file in files] == ["drawn.png"]
    assert "broken is left out" in capsys.readouterr().err


def test_scores_of_a_replaced_model_go_with_it(tmp_path):
    path = tmp_path / "scores.csv"
    place = dict(checkpoint="results/checkpoints/model_best.pt", data_root="datasets/world")
    run = (
        dict(model="multi_task", seed=0, data_set="world", split="test", task="detection", metric="mAP50", value=0.4)
        | place
    )
    _replace_rows(path, pd.DataFrame([run, run | dict(task="lane", metric="iou")]))
    _replace_rows(path, pd.DataFrame([run | dict(model="single_lane", task="lane", metric="iou", value=0.6)]))
    table = pd.read_csv(path)
    assert table.model.tolist() == ["single_lane"] and table.value.tolist() == [0.6]
