"""Everybody shows the best picture. The worst one teaches more."""

__all__ = ["SHOWN_SCORE", "match_boxes", "plain_sign"]

from pathlib import Path
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from ..config import DETECTION_CLASSES
from ..core.errors import UserError
from ..core.files import resolve
from ..core.inputs import parse_json
from ..data.images import read_image
from ..world.signs import SIGN_NAMES, draw_sign
from ..core.task import TASKS
from .figures import run_config
from .style import CLASS_COLOURS, LANE_COLOURS, WIDTH
from ..metrics.kitti_files import kitti_ap
from ..metrics.kitti_frames import KITTI_CLASSES
from ..metrics.matching import paired_ioa, paired_iou
from ..metrics.tusimple import tusimple_scores
from ..metrics.tusimple_files import read_json_lines
from ..metrics.gtsrb_files import read_gtsrb

SHOWN_SCORE = 0.5  # boxes below are neither drawn nor counted here


def prediction_folder(
    results_dir: str | Path, benchmark: str
) -> Path:  # gtsrb, kitti or tusimple -> predictions/test/…, else predictions/val/…
    "Where the predictions lie; raises `UserError` with the command when they are missing."
    for part in ("test", "val"):
        if (Path(results_dir) / "predictions" / part / benchmark / "run.json").is_file():
            return Path(results_dir) / "predictions" / part / benchmark
    raise UserError(f"predictions/test/{benchmark}: no such folder in {results_dir}; `mtl_evaluate` makes it")


def data_folder(results_dir: str | Path, predictions: Path) -> Path:
    """The data root of config.json, which must be the one of the predictions; raises `UserError`
    when it is missing or another.
    """
    root = resolve(run_config(results_dir).data_root)
    path = predictions / "run.json"
    try:
        run = parse_json(path.read_text(encoding="utf-8"))
        used = run.get("data_root") or run["data_set"]  # earlier versions tell the name alone
    except (OSError, ValueError, KeyError, AttributeError) as e:
        raise UserError(f"{path} does not say what was evaluated ({e!r}): run `mtl_evaluate` again") from None
    is_same = resolve(used) == root if run.get("data_root") else used == root.name
    if not is_same:
        raise UserError(
            f"{predictions} holds predictions on {used}, and config.json names {root.name}; "
            "`mtl_evaluate` without --data_root writes them anew"
        )
    if not root.is_dir():
        raise UserError(f"{root.name}: the data of the run is not there; `mtl_data make` or `mtl_data get` brings it")
    return root


def _pixels(path):
    return read_image(path)[0].permute(1, 2, 0).numpy()


def pick_cases(scores: dict, worst: int = 2) -> dict:  # image -> score; 1…4 -> {caption: image}
    "The best, the median and the worst images by score; ties in the order of names."
    order = sorted(scores, key=lambda name: (-scores[name], str(name)))
    cases = {"best": order[0], "median": order[(len(order) - 1) // 2]} | {
        f"{('', 'second ', 'third ', 'fourth ')[k]}worst": order[max(0, len(order) - 1 - k)] for k in range(worst)
    }
    return {caption: name for k, (caption, name) in enumerate(cases.items()) if name not in list(cases.values())[:k]}


def _read_boxes(path, first):  # first: column of x1 -> names, boxes (N, 4), last column
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [row[0] for row in rows]
    boxes = np.array([row[first : first + 4] for row in rows], float).reshape(-1, 4)
    return names, boxes, np.array([float(row[-1]) for row in rows])


def match_boxes(
    true_boxes, true_labels, ignored, boxes, labels
) -> np.ndarray:  # (M, 4), (M,), (K, 4), (N, 4), (N,): detections, the surest first -> (N,)
    """For each detection the number of the object that it finds at IoU 0.5, −1 for a false alarm,
    −2 where it lies mostly in a region to be ignored.
    """

    def pairs(overlap, others):
        left = np.repeat(boxes, len(others), 0)
        right = np.tile(others, (len(boxes), 1))
        return overlap(left, right).reshape(len(boxes), len(others))

    same = np.asarray(labels)[:, None] == np.asarray(true_labels)[None]
    iou = np.where(same, pairs(paired_iou, true_boxes), 0.0)
    match = np.where(pairs(paired_ioa, ignored).max(1, initial=0) > 0.5, -2, -1)
    for k, row in enumerate(iou if len(true_boxes) else ()):
        best = row.argmax()
        if row[best] >= 0.5:
            match[k] = best
            iou[:, best] = 0  # found once
    return match


def frame_f1(
    true_names, true_boxes, names, boxes
) -> float:  # detections with the surest first -> 0..1, NaN without objects
    "F1 of a frame's detections at IoU 0.5."
    wanted = np.isin(true_names, DETECTION_CLASSES) if len(true_names) else np.zeros(0, bool)
    match = match_boxes(true_boxes[wanted], np.asarray(true_names)[wanted], true_boxes[~wanted], boxes, names)
    return 2 * (match >= 0).sum() / ((match > -2).sum() + wanted.sum()) if wanted.any() else float("nan")


def _frames(predictions):
    "Frame -> (true names, boxes), (found names, boxes, scores), F1."
    frames = {}
    for file in sorted((predictions / "label_2").glob("*.txt")):
        true_names, true_boxes, _ = _read_boxes(file, 4)
        names, boxes, scores = _read_boxes(predictions / "data" / file.name, 4)
        sure = np.flatnonzero(scores >= SHOWN_SCORE)
        sure = sure[np.argsort(-scores[sure], kind="stable")]
        found = [names[i] for i in sure], boxes[sure], scores[sure]
        frames[file.stem] = (true_names, true_boxes), found, frame_f1(true_names, true_boxes, *found[:2])
    return frames


def _show_boxes(ax, names, boxes, scores=None):
    for k, (name, (x1, y1, x2, y2)) in enumerate(zip(names, boxes)):
        colour = CLASS_COLOURS.get(name, "#999999")
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=0.9))
        if name in CLASS_COLOURS:
            ax.text(
                x1,
                y1,
                name if scores is None else f"{name} {100 * scores[k]:.0f}",
                fontsize=4.5,
                va="bottom",
                color="black",
                clip_on=True,
                bbox=dict(fc=colour, ec="none", pad=0.4, alpha=0.85),
            )


def _picture(ax, image, title=""):
    ax.imshow(image, interpolation="bilinear", aspect="equal")
    ax.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    ax.axis("off")
    if title:
        ax.set_title(title, fontsize=6.5, loc="left", pad=2)


def qualitative_detection(
    results_dir: str | Path,
) -> Figure:  # reads predictions/<part>/kitti/ and images of the data root
    "Best, median and worst frames by F1: input, detections of at least 50 % confidence, truth."
    place = prediction_folder(results_dir, "kitti")
    root, frames = data_folder(results_dir, place), _frames(place)
    scored = {f: score for f, (_, _, score) in frames.items() if not np.isnan(score)}
    if not scored:
        raise UserError(f"{place}/label_2 has no object; evaluate data that has some with `mtl_evaluate`")
    cases = pick_cases(scored, worst=1)
    images = {f: _pixels(next((root / "kitti" / "training" / "image_2").glob(f"{f}.*"))) for f in cases.values()}
    height = 3.5 * max(i.shape[0] / i.shape[1] for i in images.values()) + 0.12
    fig = Figure(figsize=(WIDTH, 3 * height * len(cases)))
    axes = fig.subplots(3 * len(cases), 1)
    for k, (caption, f) in enumerate(cases.items()):
        truth, found, score = frames[f]
        for ax, title in zip(
            axes[3 * k :],
            (
                f"{caption}, frame {f}: F1 {100 * score:.0f} %. Input",
                f"prediction: {len(found[0])} boxes of at least {100 * SHOWN_SCORE:.0f} %",
                "truth (grey: ignored)",
            ),
        ):
            _picture(ax, images[f], title)
        _show_boxes(axes[3 * k + 1], *found)
        _show_boxes(axes[3 * k + 2], *truth)
    return fig


def _json_lines(path):
    return {e["raw_file"]: e for e in read_json_lines(path)}


def _show_lanes(ax, entry, heights):
    for k, lane in enumerate(entry["lanes"]):
        points = [(x, y) for x, y in zip(lane, heights) if x >= 0]
        if points:
            ax.plot(*zip(*points), color=LANE_COLOURS[k % len(LANE_COLOURS)], lw=1.3)


def qualitative_lanes(
    results_dir: str | Path,
) -> Figure:  # reads predictions/<part>/tusimple/ and images of the data root
    "Best, median and worst frames by TuSimple accuracy: input, predicted lanes, true lanes."
    place = prediction_folder(results_dir, "tusimple")
    root = data_folder(results_dir, place)
    found, truth = _json_lines(place / "pred.json"), _json_lines(place / "label.json")
    scores = {
        f: tusimple_scores(found[f]["lanes"], t["lanes"], t["h_samples"], corrected=True)["corrected"]["accuracy"]
        for f, t in truth.items()
    }
    cases = pick_cases(scores)
    fig = Figure(figsize=(WIDTH, 0.85 * len(cases)))
    axes = fig.subplots(len(cases), 3, squeeze=False)
    for row, (caption, f) in zip(axes, cases.items()):
        image = _pixels(root / "tusimple" / f)
        for ax, title in zip(
            row,
            (
                f"{caption}: {100 * scores[f]:.0f} %",
                f"prediction: {len(found[f]['lanes'])} lanes",
                f"truth: {len(truth[f]['lanes'])} lanes",
            ),
        ):
            _picture(ax, image, title)
        _show_lanes(row[1], found[f], truth[f]["h_samples"])
        _show_lanes(row[2], truth[f], truth[f]["h_samples"])
    return fig


def _sign_file(root, name):
    base = root / "gtsrb" / "GTSRB"
    return base / "Training" / name if "/" in name else base / "Final_Test" / "Images" / name


def plain_sign(class_id: int, size: int = 96) -> np.ndarray:  # (size, size, 3) uint8
    "The drawing of a class on white."
    sign = draw_sign(class_id, size).astype(np.float32)
    opacity = sign[..., 3:] / 255
    return (sign[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)


def qualitative_signs(results_dir: str | Path) -> Figure:  # reads predictions/<part>/gtsrb/ and images of the data root
    """Best, median and the four worst signs: input, the predicted class and the true one as
    drawings.
    """
    place = prediction_folder(results_dir, "gtsrb")
    root = data_folder(results_dir, place)
    truth, found = (read_gtsrb(place / f) for f in ("truth.csv", "pred.csv"))
    right, total = np.zeros(len(SIGN_NAMES)), np.zeros(len(SIGN_NAMES))
    for name, label in truth.items():
        total[label] += 1
        right[label] += found[name] == label
    cases = pick_cases(
        {name: (found[name] == label) + right[label] / total[label] / 2 for name, label in truth.items()}, worst=4
    )
    fig = Figure(figsize=(WIDTH, 0.3 + 0.62 * len(cases)))
    axes = fig.subplots(len(cases), 4, squeeze=False, width_ratios=[1, 1, 1, 3.4])
    for ax, title in zip(axes[0], ("input", "prediction", "truth")):
        ax.set_title(title, fontsize=6.5)
    for row, (caption, name) in zip(axes, cases.items()):
        label, guess = truth[name], found[name]
        for ax, image in zip(row, (_pixels(_sign_file(root, name)), plain_sign(guess), plain_sign(label))):
            ax.imshow(image)
            ax.axis("off")
        words = f"{caption}: {'right' if guess == label else 'wrong'}\nprediction: {SIGN_NAMES[guess]}"
        words += f"\ntruth: {SIGN_NAMES[label]}\nclass: {int(right[label])} of {int(total[label])} right"
        row[3].text(0, 0.5, words, fontsize=5.5, va="center", color="black" if guess == label else "#a03000")
        row[3].axis("off")
    return fig


def precision_recall(results_dir: str | Path) -> Figure:  # reads predictions/<part>/kitti/
    """KITTI's precision at 41 recalls, per class and difficulty, with the average precision R40 in
    per cent.
    """
    place = prediction_folder(results_dir, "kitti")
    scores = kitti_ap(place / "label_2", place / "data")
    fig = Figure(figsize=(WIDTH, 2.1))
    axes = fig.subplots(1, len(KITTI_CLASSES), sharey=True)
    for ax, name in zip(axes, KITTI_CLASSES):
        for level, (difficulty, line) in enumerate((("easy", ":"), ("moderate", "-"), ("hard", "--"))):
            ax.plot(
                np.linspace(0, 1, 41),
                scores[name]["precision"][level],
                line,
                color=TASKS["detection"].colour,
                lw=1,
                label=difficulty,
            )
        ap = " / ".join(
            f"{v:.1f}" if n else "–" for v, n in zip(scores[name]["r40"], scores[name]["n_gt"])
        )  # –: no such object
        ax.set_title(f"{name}\nAP {ap} %", fontsize=6)
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", xticks=[0, 0.5, 1])
    axes[0].set_ylabel("precision")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=3, frameon=False)
    return fig
