"""The console scripts as a shell starts them: help, wrong input, and what they write."""

import argparse, contextlib, io, json, runpy, subprocess, sys, warnings
from pathlib import Path
import cv2, numpy as np, pandas as pd, pytest, torch
import mtl_course.cli.evaluate as evaluate
import mtl_course.cli.train as training
from mtl_course.cli.data import mtl_data
from mtl_course.config import config_fields, make_config
from mtl_course.losses import BALANCERS
from mtl_course.models import model_from_config
from test_readers import write_small_data

BIN = Path(sys.executable).parent
COMMANDS = ("mtl_data", "mtl_train", "mtl_evaluate", "mtl_predict", "mtl_compare", "mtl_figures")


def shell(name, *arguments):
    "Runs an installed console script in this process; returns exit code, stdout and stderr."
    out = io.StringIO()
    err = io.StringIO()
    argv = sys.argv
    sys.argv = [str(BIN / name), *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as e:
        code = e.code or 0
    finally:
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()


def refused(name, *arguments):
    "The one line of a refusal."
    code, out, err = shell(name, *arguments)
    assert code == 2 and out == "", (code, out, err)
    assert err.endswith("\n") and err.count("\n") == 1 and err.startswith(f"{name}: ") and "Traceback" not in err, err
    return err


@pytest.fixture(scope="module")
def model_file(smoke, tmp_path_factory):
    "A checkpoint of the untrained three-task smoke network: it finds nonsense, but something."
    torch.manual_seed(0)
    config = make_config("smoke")
    path = tmp_path_factory.mktemp("model") / "checkpoints" / "model_best.pt"
    path.parent.mkdir()
    torch.save(dict(model=model_from_config(config).state_dict(), config=config.to_dict()), path)
    return path


@pytest.fixture
def road():
    return np.random.default_rng(0).integers(0, 255, (120, 400, 3), np.uint8)


# --- every command, as from the shell


@pytest.mark.parametrize("name", COMMANDS)
def test_help_works(name):
    code, out, err = shell(name, "--help")
    assert (code, err) == (0, "") and out.startswith(f"usage: {name}")
    assert " ".join(out.split()).count("options:") == 1


def test_help_of_training_lists_every_field_and_every_balancer():
    out = " ".join(shell("mtl_train", "--help")[1].split())
    assert all(f"--{f}" in out for f in config_fields() if f != "recipe") and "torchjd:" in out
    assert all(f"{b}," in out for b in BALANCERS)
    assert (
        "peak learning rate (laptop: 0.0012)" in out
        and "(laptop: 144x256)" in out
        and "(laptop: classification,detection,lane)" in out
        and "(laptop: true)" in out
    )


def test_help_says_how_a_sign_shall_be_cut():
    assert "close to the sign" in " ".join(shell("mtl_predict", "--help")[1].split())


@pytest.mark.parametrize(
    "arguments, named",
    [
        (("mtl_data",), "action"),
        (("mtl_data", "bake"), "bake"),
        (("mtl_data", "make", "--size", "huge"), "huge"),
        (("mtl_data", "make", "--seed", "x"), "seed"),
        (("mtl_data", "check", "no/such/folder"), "no/such/folder"),
        (("mtl_data", "get", "--tasks", "sign"), "tasks"),
        (("mtl_train", "--recipe", "none"), "none"),
        (("mtl_train", "--batch_size", "many"), "batch_size"),
        (("mtl_train", "--batchsize", "4"), "batchsize"),
        (("mtl_train", "--recipe", "smoke", "--data_root", "nowhere/at", "--results_dir", "{tmp}"), "nowhere/at"),
        (("mtl_train", "--recipe", "smoke", "--balancer", "mine", "--results_dir", "{tmp}"), "mine"),
        (("mtl_evaluate", "--checkpoint", "nowhere.pt"), "nowhere.pt"),
        (("mtl_evaluate", "--split", "most"), "most"),
        (("mtl_evaluate", "--part", "most"), "most"),
        (("mtl_evaluate", "--device", "abacus"), "abacus"),
        (("mtl_predict",), "images"),
        (("mtl_predict", "missing.png"), "missing.png"),
        (("mtl_predict", __file__), "test_commands.py"),
        (("mtl_predict", "{tmp}"), "no pictures"),
        (
            ("mtl_predict", "missing.png", "--score_threshold", "50"),
            "score_threshold is 50.0: expected a number from 0 to 1",
        ),
        (("mtl_predict", "missing.png", "--score_threshold", "-0.1"), "score_threshold"),
        (("mtl_predict", "missing.png", "--score_threshold", "nan"), "score_threshold"),
        (("mtl_figures", "--format", "gif"), "gif"),
        (("mtl_figures", "--results_dir", "nowhere"), "nowhere"),
    ],
    ids=lambda v: " ".join(v)[:60] if isinstance(v, tuple) else "",
)
def test_wrong_input_costs_one_line(smoke, tmp_path, arguments, named):
    assert named in refused(*(a.format(tmp=tmp_path) for a in arguments))


def test_a_shell_sees_the_same():
    "One of them in a process of its own: what the shell gets is what the tests above read."
    done = subprocess.run([BIN / "mtl_figures", "--results_dir", "nowhere"], capture_output=True, text=True)
    assert (
        done.returncode == 2
        and done.stdout == ""
        and done.stderr.count("\n") == 1
        and done.stderr.startswith("mtl_figures: ")
    )


def test_commands_leave_argparse_and_warnings_as_they_were():
    before = argparse.ArgumentParser.error, warnings.showwarning
    refused("mtl_figures", "--format", "gif")
    assert (argparse.ArgumentParser.error, warnings.showwarning) == before and before[0].__module__ == "argparse"


# --- mtl_data make


def test_make_takes_sizes_and_imbalance(tmp_path):
    options = dict(
        signs=86,
        frames_per_track=2,
        sign_test=4,
        sign_skew=1,
        scenes=3,
        class_weights="Car=1,Truck=0.5",
        lanes=2,
        lane_test=1,
        joint=1,
        workers=1,
    )
    code, out, _ = shell(
        "mtl_data", "make", tmp_path / "world", "--size", "tiny", *(f"--{k}={v}" for k, v in options.items())
    )
    manifest = json.loads((tmp_path / "world" / "manifest.json").read_text())
    assert code == 0 and "86 signs" in out and "3 kitti" in out
    made = manifest["options"]
    assert made["class_weights"] == {"Car": 1.0, "Truck": 0.5} and made["sign_skew"] == 1.0
    assert all(
        made[k] == options[k]
        for k in ("signs", "frames_per_track", "sign_test", "scenes", "lanes", "lane_test", "joint")
    )
    files = (tmp_path / "world" / "kitti" / "training" / "label_2").iterdir()
    lines = "".join(f.read_text() for f in files).splitlines()
    names = {line.split()[0] for line in lines}
    assert names <= {"Car", "Truck", "DontCare", "Person_sitting"}


@pytest.mark.parametrize(
    "option, named",
    [
        ("--scenes=-1", "scenes"),
        ("--signs=many", "signs"),
        ("--frames_per_track=31", "frames_per_track"),
        ("--sign_skew=9", "sign_skew"),
        ("--class_weights=Car", "class_weights"),
        ("--class_weights=Car=nan", "class_weights"),
        ("--class_weights=Bus=1", "Bus"),
        ("--workers=0", "workers"),
    ],
)
def test_make_refuses_values_that_make_no_sense(tmp_path, option, named):
    assert named in refused("mtl_data", "make", tmp_path / "world", "--size", "tiny", option)
    assert not (tmp_path / "world").exists()


def test_options_of_make_are_refused_elsewhere(tmp_path):
    assert "scenes" in refused("mtl_data", "check", tmp_path, "--scenes", "3")


# --- mtl_data check, get, download


@pytest.fixture
def real(tmp_path):
    "A folder with a few files of all three sets in the published layouts."
    write_small_data(tmp_path / "real")
    return tmp_path / "real"


@pytest.mark.parametrize(
    "order",
    [
        ("check", "--tasks", "lane", "{real}"),
        ("check", "{real}", "--tasks", "lane"),
        ("--tasks", "lane", "check", "{real}"),
        ("--tasks=lane", "check", "{real}"),
    ],
)
def test_options_stand_where_one_likes(real, order):
    code, out, err = shell("mtl_data", *(a.format(real=real) for a in order))
    assert code == 0 and out.startswith("lane: 6 images") and out.endswith("no problems\n"), err


def test_download_needs_a_folder_that_is_not_the_world(smoke, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.GTSRB", None)
    monkeypatch.setattr("torchvision.datasets.Kitti", None)
    assert "name the folder" in refused("mtl_data", "download")
    assert "datasets/world-tiny is the built-in world" in refused("mtl_data", "download", "datasets/world-tiny")


def test_download_brings_what_it_can_and_explains_the_rest(tmp_path, monkeypatch):
    brought = []
    for name in ("GTSRB", "Kitti"):
        monkeypatch.setattr(
            f"torchvision.datasets.{name}",
            lambda root, name=name, **_: (
                brought.append(name)
                or (name == "Kitti" and (Path(root) / "Kitti" / "raw" / "training").mkdir(parents=True))
            ),
        )
    code, out, err = shell("mtl_data", "download", tmp_path)
    assert (
        code == 0
        and err == ""
        and brought == ["GTSRB", "GTSRB", "Kitti"]
        and (tmp_path / "kitti" / "training").is_dir()
    )
    assert (
        f"classification: in {tmp_path}\ndetection: in {tmp_path}\nlane: has no downloader" in out
        and "test_label.json" in out
    )


def test_get_needs_no_folder():
    assert shell("mtl_data", "get", "--tasks", "detection")[1].startswith("KITTI")


def test_training_says_that_it_looked_at_labels_only(real, tmp_path):
    label = next((real / "kitti" / "training" / "label_2").iterdir())
    label.write_text("Car 1 2\n")
    code, _, err = shell("mtl_train", "--recipe", "smoke", "--data_root", real, "--results_dir", tmp_path / "results")
    assert (
        code == 2
        and err.splitlines()[-1]
        == f"mtl_train: {real}: 1 problem, listed above; mend it before training"
        f" (labels only; `mtl_data check {real}` also decodes every image)"
    )
    assert "labels only" not in shell("mtl_data", "check", real)[2] and not list((tmp_path / "results").rglob("*.pt"))


# --- mtl_predict


def test_a_folder_of_pictures_and_equal_names(model_file, road, tmp_path):
    for name in ("a/1.png", "b/1.png", "b/1.jpg", "b/1_2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), road if name != "b/1.png" else 255 - road)
    code, out, err = shell(
        "mtl_predict",
        tmp_path / "a",
        tmp_path / "b",
        tmp_path / "a" / "1.png",
        "--checkpoint",
        model_file,
        "--out",
        tmp_path / "out",
    )
    assert code == 0, err
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert (
        len(out.splitlines()) == 4 and len(written) == 8 and {p.split(".")[1] for p in written} == {"png", "json"}
    )  # four inputs, one of them named twice
    found = [json.loads(p.read_text()) for p in (tmp_path / "out").glob("*.json")]
    assert sorted(f["file"] for f in found) == ["1.jpg", "1.png", "1.png", "1_2.png"]
    assert all(cv2.imread(str(p)).shape == road.shape for p in (tmp_path / "out").glob("*.png"))
    assert all({"detections", "lanes", "h_samples"} <= f.keys() and "sign" not in f for f in found)


def test_an_input_is_never_overwritten(model_file, road, tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), road)
    before = (tmp_path / "1.png").read_bytes()
    assert shell("mtl_predict", tmp_path / "1.png", "--checkpoint", model_file, "--out", tmp_path)[0] == 0
    assert (tmp_path / "1.png").read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == [
        "1.png",
        "1_2.json",
        "1_2.png",
    ]


def write_video(path, frames=5, size=(96, 64)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    assert writer.isOpened()
    for k in range(frames):
        writer.write(np.full((size[1], size[0], 3), 40 * k, np.uint8))
    writer.release()
    return path


def frames_of(path):
    video, n = cv2.VideoCapture(str(path)), 0
    while video.read()[0]:
        n += 1
    return n


class Miscounting:
    "A video whose header tells a wrong number of frames; a written one (.mp4) tells the right one."

    said = 0
    Real = cv2.VideoCapture

    def __init__(self, name):
        self.video = self.Real(name)
        self.lies = name.endswith(".avi")

    def get(self, what):
        return self.said if self.lies and what == cv2.CAP_PROP_FRAME_COUNT else self.video.get(what)

    def read(self):
        return self.video.read()

    def release(self):
        self.video.release()

    def isOpened(self):
        return self.video.isOpened()


@pytest.mark.parametrize("said", [None, 0, 2, 100, -7])
def test_a_video_is_read_to_its_end(model_file, tmp_path, monkeypatch, said):
    write_video(tmp_path / "drive.avi")
    if said is not None:
        monkeypatch.setattr(Miscounting, "said", said)
        monkeypatch.setattr(cv2, "VideoCapture", Miscounting)
    code, out, err = shell(
        "mtl_predict", tmp_path / "drive.avi", "--checkpoint", model_file, "--out", tmp_path / "out", "--tasks", "lane"
    )
    monkeypatch.undo()
    assert code == 0, err
    lines = [json.loads(line) for line in (tmp_path / "out" / "drive.jsonl").read_text().splitlines()]
    assert [l["frame"] for l in lines] == [0, 1, 2, 3, 4] and all("lanes" in l and "detections" not in l for l in lines)
    assert frames_of(tmp_path / "out" / "drive.mp4") == 5 and not list(tmp_path.rglob("*.tmp*"))


def test_a_broken_video_is_refused(model_file, tmp_path):
    (tmp_path / "drive.mp4").write_bytes(b"no video at all" * 100)
    code, _, err = shell("mtl_predict", tmp_path / "drive.mp4", "--checkpoint", model_file, "--out", tmp_path / "out")
    assert (
        code == 2
        and "drive.mp4: not a readable video" in err
        and "Traceback" not in err
        and not list((tmp_path / "out").iterdir())
    )


def test_a_task_that_the_model_lacks_is_refused(smoke, road, tmp_path):
    config = make_config("smoke", tasks="lane")
    torch.save(dict(model=model_from_config(config).state_dict(), config=config.to_dict()), tmp_path / "lane.pt")
    cv2.imwrite(str(tmp_path / "1.png"), road)
    assert "no detection head, only lane" in refused(
        "mtl_predict",
        tmp_path / "1.png",
        "--checkpoint",
        tmp_path / "lane.pt",
        "--tasks",
        "detection",
        "--out",
        tmp_path / "out",
    )
    assert "no detection head, only lane" in refused(
        "mtl_evaluate", "--checkpoint", tmp_path / "lane.pt", "--tasks", "detection"
    )


# --- mtl_evaluate, mtl_train


def test_evaluate_on_the_device_that_is_asked_for(model_file, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        evaluate,
        "choose_device",
        lambda device="auto", real=evaluate.choose_device: asked.append(device) or real(device),
    )
    code, out, err = shell(
        "mtl_evaluate", "--checkpoint", model_file, "--device", "cpu", "--tasks", "lane", "--results_dir", tmp_path
    )
    assert code == 0 and asked == ["cpu"] and "lane IoU" in out and "mAP50" not in out, err
    assert set(pd.read_csv(tmp_path / "evaluation_results.csv").task) == {"lane"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so cuda is not refused")
@pytest.mark.parametrize("name", ["mtl_evaluate", "mtl_predict"])
def test_a_gpu_that_is_not_there(model_file, road, tmp_path, name):
    cv2.imwrite(str(tmp_path / "1.png"), road)
    assert "no GPU" in refused(
        name, *([tmp_path / "1.png"] if name == "mtl_predict" else []), "--checkpoint", model_file, "--device", "cuda"
    )


def test_a_run_killed_in_preparation_resumes_with_its_config(smoke, tmp_path, monkeypatch):
    options = [
        "--recipe",
        "smoke",
        "--tasks",
        "lane",
        "--steps_per_epoch",
        "1",
        "--epochs",
        "1",
        "--results_dir",
        tmp_path,
        "--no_test",
    ]

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(training, "prepare_data", killed)
        assert shell("mtl_train", *options, "--seed", "5")[0] == 130
    code, _, err = shell("mtl_train", "--resume", "--results_dir", tmp_path, "--no_test")
    assert (
        code == 0
        and "warning: " in err
        and "begins at step 0" in err
        and torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)["config"]["seed"] == 5
    )


def test_one_task_from_training_to_figures(smoke, tmp_path):
    code, out, err = shell(
        "mtl_train",
        "--tasks",
        "lane",
        "--recipe",
        "smoke",
        "--steps_per_epoch",
        "2",
        "--epochs",
        "1",
        "--results_dir",
        tmp_path,
    )
    assert code == 0 and "Traceback" not in err, err
    assert "lane IoU" in out and "lane F1" in out and "sign" not in out.split("trained in")[0] and "mAP" not in out
    table = pd.read_csv(tmp_path / "evaluation_results.csv")
    assert set(table.task) == {"lane"} and set(table.model) == {"single_lane"}
    assert {"figure_1_loss_convergence.png", "figure_2_accuracy_progression.png", "evaluation_summary.png"} <= {
        p.name for p in tmp_path.glob("*.png")
    }
    assert not (tmp_path / "figure_4_per_class_accuracy.png").exists()


def test_a_world_made_by_hand_is_the_recipes(monkeypatch, tmp_path):
    asked = {}

    def fake_world(root, size, **options):
        asked.update(options, size=size)
        return dict(counts={}, seed=0, hash="")

    monkeypatch.setattr("mtl_course.cli.data.make_world", fake_world)
    mtl_data("make", str(tmp_path), size="evening")
    assert asked == dict(size="evening")  # seed and counts are those of the size
    mtl_data("make", str(tmp_path), size="evening", seed=3)
    assert asked["seed"] == 3
