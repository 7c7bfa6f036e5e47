"""Train a sign classifier on drawings alone and read real GTSRB crops with it.

python benchmarks/world_to_real_signs.py --data-root <folder with gtsrb/> --minutes 25 --seed 0

Draws sign crops with `mtl_course.world.sign_crops`, trains a compact residual network on them
(defined below, random initialisation, no photograph is ever seen), reads every real crop and
writes results/world_to_real_signs.{csv,json,png}. Tracks with an even number are the development
half: their errors were looked at while the drawings were improved. Tracks with an odd number are
the held-out half.
"""

import argparse
import csv
import json
import math
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation, too
from mtl_course.world.sign_crops import draw_sign_crop
from mtl_course.world.signs import SIGN_MIRROR, SIGN_NAMES

STORE = 64  # side of a stored crop in pixels
SIDE = 48  # side of what the network sees in pixels
COLUMNS = ("half", "class_id", "name", "crops", "top1", "low", "high", "confused_with")


# ---------------------------------------------------------------- pictures


@dataclass
class Drawings:
    """Drawn crops."""

    images: np.ndarray  # (N, 64, 64, 3) uint8
    labels: np.ndarray  # (N,)
    per_second: float  # drawn in a second of processor time


@dataclass
class Photographs:
    """Real crops."""

    images: np.ndarray  # (N, 64, 64, 3) uint8
    labels: np.ndarray  # (N,)
    tracks: np.ndarray  # (N,) numbers of tracks, unique over classes
    odd: np.ndarray  # (N,) parity of the track's number


def stored(crop: np.ndarray) -> np.ndarray:
    """A crop at the size of storage."""
    shrinks = crop.shape[0] > STORE
    return cv2.resize(crop, (STORE, STORE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def draw(count: int, seed: int) -> Drawings:
    """Drawn crops, classes in turn; the n-th depends on (seed, n) alone."""
    images = np.empty((count, STORE, STORE, 3), np.uint8)
    labels = np.arange(count) % 43
    start = time.process_time()
    for i in range(count):
        images[i] = stored(draw_sign_crop(int(labels[i]), np.random.default_rng([seed, i]))[0])
    rate = count / (time.process_time() - start)
    print(f"drew {count} crops, {rate:.0f} a CPU second")
    return Drawings(images, labels, rate)


def read(root: Path) -> Photographs:
    """All real training crops."""
    images = []
    labels = []
    tracks = []
    for table in sorted((root / "gtsrb/GTSRB/Training").glob("*/GT-*.csv")):
        with open(table) as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        for row in rows:
            images.append(stored(cv2.imread(str(table.parent / row["Filename"]))[..., ::-1]))
            labels.append(int(row["ClassId"]))
            tracks.append(int(row["Filename"].split("_")[0]))
    labels = np.array(labels)
    tracks = np.array(tracks)
    return Photographs(np.stack(images), labels, labels * 100_000 + tracks, tracks % 2)


def augmented(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch turned, scaled, moved, sheared and, where the label allows it, mirrored: (B, 3,
    48, 48), labels."""
    pictures = np.empty((len(images), SIDE, SIDE, 3), np.uint8)
    labels = labels.copy()
    for i, image in enumerate(images):
        a = rng.normal(0, 0.08)
        s = SIDE / STORE * np.exp(rng.normal(0.05, 0.09))
        A = s * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ (np.eye(2) + rng.normal(0, 0.06, (2, 2)))
        if int(labels[i]) in SIGN_MIRROR and rng.random() < 0.5:
            labels[i] = SIGN_MIRROR[int(labels[i])]
            A = A @ np.diag([-1, 1])
        move = SIDE / 2 + rng.normal(0, 1.2, 2) - A @ np.array([STORE / 2, STORE / 2])
        cv2.warpAffine(image, np.column_stack([A, move]), (SIDE, SIDE), dst=pictures[i], borderMode=cv2.BORDER_REFLECT)
        if rng.random() < 0.15:
            x, y = rng.integers(0, SIDE, 2)
            w, h = rng.integers(4, 16, 2)
            pictures[i, y : y + h, x : x + w] = rng.integers(0, 256, 3)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    u = torch.from_numpy(rng.random((len(x), 4)).astype(np.float32))[..., None, None]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
    noise = noise * x.std((1, 2, 3), keepdim=True)
    return x + 0.06 * (u[:, :1] - 0.5) + 0.06 * u[:, 1:2] * noise, torch.from_numpy(labels)


def standardised(x: torch.Tensor) -> torch.Tensor:
    """Pictures normalised by mean and deviation of their middle: dark crops count as much as
    bright ones."""
    q = SIDE // 5
    middle = x[..., q:-q, q:-q]
    x = (x - middle.mean((1, 2, 3), keepdim=True)) / (middle.std((1, 2, 3), keepdim=True) + 0.01)
    return x.clamp(-4, 4).contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------- network


class Block(nn.Module):
    """Residual block (He et al. 2016): two 3x3 convolutions with BatchNorm; the shortcut
    averages where it halves."""

    def __init__(self, i: int, o: int, stride: int):
        super().__init__()
        self.a = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.na = nn.BatchNorm2d(o)
        self.b = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.nb = nn.BatchNorm2d(o)
        self.skip = nn.Identity()
        if stride > 1 or i != o:
            self.skip = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.nb(self.b(F.relu(self.na(self.a(x))))) + self.skip(x))


def network(width: int) -> nn.Module:
    """Compact residual network for 48x48 pictures: stem at stride 2, three stages at strides 2,
    4 and 8."""
    w = width
    return nn.Sequential(
        nn.Conv2d(3, w, 5, 2, 2, bias=False),
        nn.BatchNorm2d(w),
        nn.ReLU(),
        Block(w, w, 1),
        Block(w, 2 * w, 2),
        Block(2 * w, 2 * w, 1),
        Block(2 * w, 4 * w, 2),
        Block(4 * w, 4 * w, 1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(16 * w, 43),
    )


def make_optimizer(net: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices alone."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [dict(params=decayed, weight_decay=0.05), dict(params=plain, weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def batches(count: int, batch: int, rng: np.random.Generator):
    """Yields indices without end, each epoch in a new order."""
    order = np.empty(0, int)
    while True:
        if len(order) < batch:
            order = rng.permutation(count)
        yield order[:batch]
        order = order[batch:]


def train(net: nn.Module, drawings: Drawings, args) -> int:
    """Train for so many minutes (the schedule follows the clock); returns the number of steps."""
    rng = np.random.default_rng([args.seed, 99])
    optimizer = make_optimizer(net, args.rate)
    indices = batches(len(drawings.images), args.batch, rng)
    start = time.perf_counter()
    step = 0
    shown = 0.0
    mean = 0.0
    net.train()
    while (done := (time.perf_counter() - start) / (60 * args.minutes)) < 1:
        pick = next(indices)
        x, y = augmented(drawings.images[pick], drawings.labels[pick], rng)
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done))
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(net(standardised(x)).float(), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if done > shown + 0.1:
            shown = done
            speed = step * args.batch / (time.perf_counter() - start)
            print(f"  {done:4.0%}  step {step}  {speed:.0f} crops/s  loss {mean:.3f}")
    return step


@torch.no_grad()
def probabilities(net: nn.Module, images: np.ndarray) -> torch.Tensor:
    """Class probabilities (N, 43) of stored crops, seen at two sizes."""
    net.eval()
    total = 0
    for cut in (1, 6):
        scores = []
        for part in np.array_split(images, max(1, len(images) // 256)):
            inner = part[:, cut:-cut, cut:-cut]
            x = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in inner])
            x = standardised(torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255)
            with torch.autocast("cpu", torch.bfloat16):
                scores.append(net(x).float().softmax(-1))
        total = total + torch.cat(scores)
    return total / 2


# ---------------------------------------------------------------- numbers


@dataclass
class Reading:
    """What the network read on the real crops."""

    guess: np.ndarray  # (N,) classes
    photographs: Photographs

    @property
    def right(self) -> np.ndarray:
        """(N,) bool."""
        return self.guess == self.photographs.labels

    def half(self, name: str) -> np.ndarray:
        """Which crops belong to "all", "development" (even tracks) or "held_out" (odd tracks),
        (N,) bool."""
        odd = self.photographs.odd
        return dict(all=odd >= 0, development=odd == 0, held_out=odd == 1)[name]


def interval(right: np.ndarray, tracks: np.ndarray, rounds: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the accuracy, drawing whole tracks: frames of one are no
    independent evidence."""
    ids, where = np.unique(tracks, return_inverse=True)
    hits = np.bincount(where, right)
    size = np.bincount(where)
    pick = np.random.default_rng(0).integers(0, len(ids), (rounds, len(ids)))
    low, high = np.percentile(hits[pick].sum(1) / size[pick].sum(1), [2.5, 97.5])
    return float(low), float(high)


def score_rows(reading: Reading, half: str) -> list[dict]:
    """Two rows for one half: accuracy over crops with its interval, and the mean over classes."""
    mask = reading.half(half)
    right = reading.right
    labels = reading.photographs.labels
    low, high = interval(right[mask], reading.photographs.tracks[mask])
    row = dict(half=half, class_id="", crops=int(mask.sum()), confused_with="")
    mean = np.mean([right[mask & (labels == c)].mean() for c in range(43)])
    return [
        dict(row, name="all classes", top1=right[mask].mean(), low=low, high=high),
        dict(row, name="mean over classes", top1=mean, low="", high=""),
    ]


def class_rows(reading: Reading, half: str) -> list[dict]:
    """One row per class with its most frequent errors."""
    rows = []
    for c, name in enumerate(SIGN_NAMES):
        mask = reading.half(half) & (reading.photographs.labels == c)
        wrong = np.bincount(reading.guess[mask & ~reading.right], minlength=43)
        worst = "; ".join(f"{j} {SIGN_NAMES[j]}: {wrong[j]}" for j in np.argsort(-wrong)[:3] if wrong[j])
        row = dict(half=half, class_id=c, name=name, crops=int(mask.sum()), top1=reading.right[mask].mean())
        rows.append(dict(row, low="", high="", confused_with=worst))
    return rows


def worst_confusions(reading: Reading, half: str) -> list[tuple]:
    """The 15 most frequent confusions as (count, class, read as)."""
    mask = reading.half(half)
    table = np.zeros((43, 43), int)
    np.add.at(table, (reading.photographs.labels[mask], reading.guess[mask]), 1)
    np.fill_diagonal(table, 0)
    pairs = [(int(table[i, j]), i, j) for i, j in np.ndindex(43, 43) if i != j]
    return sorted(pairs, reverse=True)[:15]


# ---------------------------------------------------------------- telling


def print_tables(rows: list[dict], pairs: list[tuple]):
    """Scores, then confusions."""
    for row in rows:
        tail = f"[{row['low']:.2%}, {row['high']:.2%}]" if row["low"] != "" else row["confused_with"]
        print(f"{row['half']:<12} {row['class_id']!s:>3} {row['name']:<32} {row['crops']:>5} {row['top1']:7.2%} {tail}")
    print("worst confusions:")
    for n, i, j in pairs:
        print(f"  {n:4d}  {SIGN_NAMES[i]} read as {SIGN_NAMES[j]}")


def about(args, rows: list[dict], pairs: list[tuple], facts: dict) -> dict:
    """What the JSON file holds."""
    options = f"--minutes {args.minutes:g} --seed {args.seed} --crops {args.crops}"
    options += f" --width {args.width} --batch {args.batch} --rate {args.rate:g}"
    scores = {}
    intervals = {}
    for row in rows:
        if row["class_id"] != "":
            continue
        scores[row["half"] + ("_mean_over_classes" if "mean" in row["name"] else "")] = row["top1"]
        if row["low"] != "":
            intervals[row["half"]] = [row["low"], row["high"]]
    versions = dict(python=platform.python_version(), torch=torch.__version__)
    return dict(
        command=f"python benchmarks/world_to_real_signs.py --data-root <real root> {options}",
        minutes=args.minutes,
        seed=args.seed,
        crops_drawn=args.crops,
        **facts,
        versions=dict(versions, numpy=np.__version__, opencv=cv2.__version__),
        scores=scores,
        intervals=intervals,
        worst_confusions=[dict(count=n, true=SIGN_NAMES[i], read_as=SIGN_NAMES[j]) for n, i, j in pairs],
    )


def draw_figure(rows: list[dict], path: Path):
    """Bars of the accuracy per class."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6, 8), dpi=80)
    names = [f"{row['class_id']} {row['name']}" for row in rows]
    ax.barh(names, [100 * row["top1"] for row in rows], color="tab:blue")
    ax.set(xlabel="real crops read correctly (%), after training on drawings alone", xlim=(0, 100))
    ax.invert_yaxis()
    ax.tick_params(labelsize=7)
    ax.margins(y=0.01)
    plt.tight_layout()
    plt.savefig(path)
    plt.close()


def write_results(args, rows: list[dict], pairs: list[tuple], facts: dict):
    """The csv, json and png files."""
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / "world_to_real_signs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    draw_figure([row for row in rows if row["class_id"] != ""], args.out / "world_to_real_signs.png")
    text = json.dumps(about(args, rows, pairs, facts), indent=1, default=float)
    (args.out / "world_to_real_signs.json").write_text(text + "\n")


def parse_arguments():
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data-root", type=Path, required=True, help="folder that holds gtsrb/GTSRB/Training")
    p.add_argument("--minutes", type=float, default=20, help="training time, drawing not included")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--crops", type=int, default=40_000, help="drawn crops")
    p.add_argument("--width", type=int, default=32, help="channels of the first stage")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results")
    p.add_argument("--development", action="store_true", help="look at the development half only, write nothing")
    p.add_argument("--weights", type=Path, help="save the weights here")
    return p.parse_args()


def main():
    """Draw, train, read, report."""
    args = parse_arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    drawings = draw(args.crops, args.seed)
    net = network(args.width).to(memory_format=torch.channels_last)
    steps = train(net, drawings, args)
    if args.weights:
        torch.save(net.state_dict(), args.weights)
    photographs = read(args.data_root)
    reading = Reading(probabilities(net, photographs.images).argmax(1).numpy(), photographs)
    halves = ("development",) if args.development else ("all", "development", "held_out")
    rows = []
    for half in halves:
        rows += score_rows(reading, half)
    rows += class_rows(reading, halves[0])
    pairs = worst_confusions(reading, halves[0])
    print_tables(rows, pairs)
    if args.development:
        return
    facts = dict(
        crops_per_cpu_second=round(drawings.per_second),
        steps=steps,
        parameters=sum(p.numel() for p in net.parameters()),
        picture=SIDE,
        real_crops=len(photographs.labels),
        real_tracks=len(set(photographs.tracks)),
    )
    write_results(args, rows, pairs, facts)


if __name__ == "__main__":
    main()
