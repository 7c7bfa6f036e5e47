"""`mtl_evaluate`: scores a trained model on held-out data."""

from pathlib import Path

import torch
from fastcore.script import Param

from ..config import Config, make_config
from ..core.device import choose_device, choose_precision
from ..core.errors import UserError
from ..core.files import project_root, resolve, short_path
from ..data.loaders import evaluation_loader
from ..data.sources import prepare_data
from ..evaluation.evaluate import evaluate_model
from ..evaluation.results import format_scores, model_label, write_results
from ..models.checkpoint import check_data_root, load_model
from ..models.stored import checkpoint_path
from .program import check_tasks, command

__all__ = []

_SPLITS = ["test", "val", "train", "all"]


def score_and_report(
    config: Config,
    model,  # from load_model
    checkpoint: Path,  # where it comes from
    device: str,  # cpu or cuda
    split: str,
    results: Path,  # folder for the tables
):
    "Scores a model on one split of the data, writes the tables and prints the short one."
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    tasks = [task for task in config.tasks if task in model.tasks]
    loaders = {task: evaluation_loader(config, split, (task,)) for task in tasks}
    scores = evaluate_model(model, loaders, device, choose_precision(config.precision, device))
    root = resolve(config.data_root)
    identity = dict(checkpoint=str(short_path(checkpoint)), data_root=str(short_path(root)))
    best = results / "checkpoints" / "model_best.pt"
    own = checkpoint.resolve() == best.resolve() and root == resolve(model.config.data_root)
    label = model_label(model.config)  # of what was trained, not of what is scored
    write_results(scores, results, label, config.seed, root.name, split, identity, own)
    print(format_scores(scores))


def _folder_of_run(checkpoint: Path) -> Path:
    "The run's folder, where scores go unasked; raises `UserError` for a checkpoint elsewhere."
    folder = checkpoint.parent.parent
    is_run = checkpoint.parent.name == "checkpoints"
    if is_run and ((folder / "config.json").is_file() or folder.is_relative_to(project_root())):
        return folder
    raise UserError(
        f"{short_path(checkpoint)} lies in no run's folder: expected RUN/checkpoints/{checkpoint.name}; "
        "say with --results_dir where the scores shall go"
    )


@command
def mtl_evaluate(
    checkpoint: Param("the trained model; evening: the one in the box", str) = "results/checkpoints/model_best.pt",
    data_root: Param(
        "another folder with gtsrb/, kitti/ and tusimple/; default: the one it was trained on", str
    ) = None,
    split: Param("held-out split to score (default: test)", str, choices=_SPLITS) = None,
    tasks: Param("tasks to score, comma-separated; default: all that the model has", str) = None,
    device: Param("auto: a GPU where there is one", str, choices=["auto", "cpu", "cuda"]) = "auto",
    empty_labels: Param(
        "a label of 0 bytes; ok: nothing is there; default: as in training", str, choices=["refuse", "ok"]
    ) = None,
    results_dir: Param("folder for the tables; default: the one above the checkpoint's", str) = None,
    part: Param("the former name of --split", str, choices=_SPLITS) = None,
):
    "Scores a trained model on held-out data and adds the scores to evaluation_results.csv."
    checkpoint = checkpoint_path(checkpoint)
    device = choose_device(device)
    model = load_model(checkpoint, device)
    check_tasks(make_config(tasks=tasks).tasks if tasks else None, model, checkpoint)
    asked = dict(tasks=tasks, empty_labels=empty_labels)
    changes = {name: value for name, value in asked.items() if value is not None}
    config = model.config.on_data(data_root or model.config.data_root).replace(device=device, **changes)
    results = resolve(results_dir) if results_dir else _folder_of_run(checkpoint)
    if not data_root:
        check_data_root(config, checkpoint)
    prepare_data(config)
    score_and_report(config, model, checkpoint, device, split or part or "test", results)
    print(f"scores      {short_path(results / 'evaluation_results.csv')}")
