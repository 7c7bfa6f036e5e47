"""Train a sign classifier on drawings alone and read real GTSRB crops with it.

    python benchmarks/world_to_real_signs.py --data-root <folder with gtsrb/> --minutes 25 --seed 0

Draws sign crops with `mtl_course.world.signs`, trains a compact residual network on them (defined below, random
initialisation, no photograph is ever seen), reads every real crop and writes results/world_to_real_signs.{csv,json,png}.
Tracks with an even number are the development half: their errors were looked at while the drawings were improved.
Tracks with an odd number are the held-out half.
"""

import argparse, csv, json, math, os, platform, sys, time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation, too
from mtl_course.world.signs import SIGN_MIRROR, SIGN_NAMES, draw_sign_crop

STORE, SIDE = 64, 48  # side of a stored crop and of what the network sees


# ---------------------------------------------------------------- pictures
def drawn(count: int, seed: int, log=print) -> tuple[np.ndarray, np.ndarray, float]:
    "`count` drawn crops, classes in turn: uint8 (count, 64, 64, 3), labels, crops per CPU second; the n-th depends on (seed, n) alone."
    images, labels = np.empty((count, STORE, STORE, 3), np.uint8), np.arange(count) % 43
    start = time.process_time()
    for i in range(count):
        crop, _ = draw_sign_crop(int(labels[i]), np.random.default_rng([seed, i]))
        images[i] = cv2.resize(
            crop, (STORE, STORE), interpolation=cv2.INTER_AREA if crop.shape[0] > STORE else cv2.INTER_LINEAR
        )
    rate = count / (time.process_time() - start)
    log(f"drew {count} crops, {rate:.0f} a CPU second")
    return images, labels, rate


def real(root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    "All real training crops: uint8 (N, 64, 64, 3), labels, track numbers (unique over classes), parity of the track."
    images, labels, tracks, odd = [], [], [], []
    for table in sorted((root / "gtsrb/GTSRB/Training").glob("*/GT-*.csv")):
        for row in csv.DictReader(open(table), delimiter=";"):
            crop = cv2.imread(str(table.parent / row["Filename"]))[..., ::-1]
            images.append(
                cv2.resize(
                    crop, (STORE, STORE), interpolation=cv2.INTER_AREA if crop.shape[0] > STORE else cv2.INTER_LINEAR
                )
            )
            track = int(row["Filename"].split("_")[0])
            (
                labels.append(int(row["ClassId"])),
                tracks.append(int(row["ClassId"]) * 100_000 + track),
                odd.append(track % 2),
            )
    return np.stack(images), np.array(labels), np.array(tracks), np.array(odd)


def augmented(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    "A batch turned, scaled, moved, sheared and, where the label allows it, mirrored: float32 (B, 3, 48, 48), labels."
    out, labels = np.empty((len(images), SIDE, SIDE, 3), np.uint8), labels.copy()
    for i, image in enumerate(images):
        a, s = rng.normal(0, 0.08), SIDE / STORE * np.exp(rng.normal(0.05, 0.09))
        A = s * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ (np.eye(2) + rng.normal(0, 0.06, (2, 2)))
        if int(labels[i]) in SIGN_MIRROR and rng.random() < 0.5:
            labels[i] = SIGN_MIRROR[int(labels[i])]
            A = A @ np.diag([-1, 1])
        move = SIDE / 2 + rng.normal(0, 1.2, 2) - A @ np.array([STORE / 2, STORE / 2])
        cv2.warpAffine(image, np.column_stack([A, move]), (SIDE, SIDE), dst=out[i], borderMode=cv2.BORDER_REFLECT)
        if rng.random() < 0.15:
            (x, y), (w, h) = rng.integers(0, SIDE, 2), rng.integers(4, 16, 2)
            out[i, y : y + h, x : x + w] = rng.integers(0, 256, 3)
    x = torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255
    u = torch.from_numpy(rng.random((len(x), 4)).astype(np.float32))[..., None, None]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62)))) * x.std(
        (1, 2, 3), keepdim=True
    )
    return x + 0.06 * (u[:, :1] - 0.5) + 0.06 * u[:, 1:2] * noise, torch.from_numpy(labels)


def standardised(x: torch.Tensor) -> torch.Tensor:
    "Contrast-normalise each picture by mean and deviation of its middle, so that dark crops count as much as bright ones."
    q = SIDE // 5
    middle = x[..., q:-q, q:-q]
    return ((x - middle.mean((1, 2, 3), keepdim=True)) / (middle.std((1, 2, 3), keepdim=True) + 0.01)).clamp(-4, 4)


# ---------------------------------------------------------------- network
class Block(nn.Module):
    "Residual block (He et al. 2016): two 3x3 convolutions with BatchNorm; the shortcut averages where the size halves."

    def __init__(self, i: int, o: int, stride: int):
        super().__init__()
        self.a, self.na = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.b, self.nb = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.skip = nn.Identity()
        if stride > 1 or i != o:
            self.skip = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.nb(self.b(F.relu(self.na(self.a(x))))) + self.skip(x))


def network(width: int) -> nn.Module:
    "Compact residual network for 48x48 pictures: stem at stride 2, three stages at strides 2, 4 and 8."
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


def train(net: nn.Module, pool: tuple, minutes: float, batch: int, rate: float, seed: int, log=print) -> int:
    "Train for so many minutes (the schedule follows the clock); returns the number of steps."
    images, labels = pool
    rng = np.random.default_rng([seed, 99])
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [dict(params=decay, weight_decay=0.05), dict(params=plain, weight_decay=0.0)], lr=rate, fused=True
    )
    start, step, order, shown, mean = time.perf_counter(), 0, np.empty(0, int), 0.0, 0.0
    net.train()
    while (done := (time.perf_counter() - start) / (60 * minutes)) < 1:
        if len(order) < batch:
            order = rng.permutation(len(images))
        pick, order = order[:batch], order[batch:]
        x, y = augmented(images[pick], labels[pick], rng)
        x = standardised(x).contiguous(memory_format=torch.channels_last)
        for g in optimiser.param_groups:
            g["lr"] = rate * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done))
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(net(x).float(), y, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        step += 1
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if done > shown + 0.1:
            shown, rate_ = done, step * batch / (time.perf_counter() - start)
            log(f"  {done:4.0%}  step {step}  {rate_:.0f} crops/s  loss {mean:.3f}")
    return step


@torch.no_grad()
def logits(net: nn.Module, images: np.ndarray) -> torch.Tensor:
    "Class scores (N, 43) of stored crops, seen at two sizes."
    net.eval()
    total = 0
    for cut in (1, 6):
        out = []
        for part in np.array_split(images, max(1, len(images) // 256)):
            x = np.stack(
                [cv2.resize(im[cut:-cut, cut:-cut], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for im in part]
            )
            x = standardised(torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255).contiguous(
                memory_format=torch.channels_last
            )
            with torch.autocast("cpu", torch.bfloat16):
                out.append(net(x).float().softmax(-1))
        total = total + torch.cat(out)
    return total / 2


# ---------------------------------------------------------------- numbers
def interval(right: np.ndarray, tracks: np.ndarray, rounds: int = 2000) -> tuple[float, float]:
    "95 % bootstrap interval of the accuracy, drawing whole tracks (frames of one track are no independent evidence)."
    ids, where = np.unique(tracks, return_inverse=True)
    hits, size = np.bincount(where, right), np.bincount(where)
    pick = np.random.default_rng(0).integers(0, len(ids), (rounds, len(ids)))
    low, high = np.percentile(hits[pick].sum(1) / size[pick].sum(1), [2.5, 97.5])
    return float(low), float(high)


def main():
    "Draw, train, read, report."
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
    a = p.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(a.seed)
    *pool, speed = drawn(a.crops, a.seed)
    net = network(a.width).to(memory_format=torch.channels_last)
    steps = train(net, pool, a.minutes, a.batch, a.rate, a.seed)
    if a.weights:
        torch.save(net.state_dict(), a.weights)
    images, labels, tracks, odd = real(a.data_root)
    guess = logits(net, images).argmax(1).numpy()
    right = guess == labels
    report(a, right, guess, labels, tracks, odd, steps, speed, sum(q.numel() for q in net.parameters()))


def scores(half, m, right, tracks, labels):
    "Two rows for one half: accuracy over crops with its interval, and the mean over classes."
    low, high = interval(right[m], tracks[m])
    row = dict(half=half, class_id="", crops=int(m.sum()), confused_with="")
    yield dict(row, name="all classes", top1=right[m].mean(), low=low, high=high)
    yield dict(
        row,
        name="mean over classes",
        top1=np.mean([right[m & (labels == c)].mean() for c in range(43)]),
        low="",
        high="",
    )


def per_class(half, m, right, guess, labels):
    "One row per class with its most frequent errors."
    for c in range(43):
        k = m & (labels == c)
        wrong = np.bincount(guess[k & ~right], minlength=43)
        worst = "; ".join(f"{j} {SIGN_NAMES[j]}: {wrong[j]}" for j in np.argsort(-wrong)[:3] if wrong[j])
        yield dict(
            half=half,
            class_id=c,
            name=SIGN_NAMES[c],
            crops=int(k.sum()),
            top1=right[k].mean(),
            low="",
            high="",
            confused_with=worst,
        )


def report(a, right, guess, labels, tracks, odd, steps, speed, parameters):
    "Print the table and write the result files."
    halves = (
        {"development": odd == 0} if a.development else {"all": odd >= 0, "development": odd == 0, "held_out": odd == 1}
    )
    first = next(iter(halves))
    m = halves[first]
    rows = [row for half, k in halves.items() for row in scores(half, k, right, tracks, labels)]
    rows += per_class(first, m, right, guess, labels)
    columns = ("half", "class_id", "name", "crops", "top1", "low", "high", "confused_with")
    for r in rows:
        tail = f"[{r['low']:.2%}, {r['high']:.2%}]" if r["low"] != "" else r["confused_with"]
        print(f"{r['half']:<12} {r['class_id']!s:>3} {r['name']:<32} {r['crops']:>5} {r['top1']:7.2%} {tail}")
    pairs = [(int((m & (labels == i) & (guess == j)).sum()), i, j) for i in range(43) for j in range(43) if i != j]
    pairs = sorted(pairs, reverse=True)[:15]
    print("worst confusions:")
    for n, i, j in pairs:
        print(f"  {n:4d}  {SIGN_NAMES[i]} read as {SIGN_NAMES[j]}")
    if a.development:
        return
    a.out.mkdir(parents=True, exist_ok=True)
    with open(a.out / "world_to_real_signs.csv", "w", newline="") as f:
        w = csv.DictWriter(f, columns)
        w.writeheader()
        w.writerows(rows)
    figure([r for r in rows if r["class_id"] != ""], a.out / "world_to_real_signs.png")
    options = f"--minutes {a.minutes:g} --seed {a.seed} --crops {a.crops} --width {a.width} --batch {a.batch} --rate {a.rate:g}"
    about = dict(
        command=f"python benchmarks/world_to_real_signs.py --data-root <real root> {options}",
        minutes=a.minutes,
        seed=a.seed,
        crops_drawn=a.crops,
        crops_per_cpu_second=round(speed),
        steps=steps,
        parameters=parameters,
        picture=SIDE,
        real_crops=len(labels),
        real_tracks=len(set(tracks)),
        versions=dict(
            python=platform.python_version(), torch=torch.__version__, numpy=np.__version__, opencv=cv2.__version__
        ),
        scores={
            r["half"] + ("_mean_over_classes" if "mean" in r["name"] else ""): r["top1"]
            for r in rows
            if r["class_id"] == ""
        },
        intervals={r["half"]: [r["low"], r["high"]] for r in rows if r["low"] != ""},
        worst_confusions=[dict(count=n, true=SIGN_NAMES[i], read_as=SIGN_NAMES[j]) for n, i, j in pairs],
    )
    (a.out / "world_to_real_signs.json").write_text(json.dumps(about, indent=1, default=float) + "\n")


def figure(rows, path):
    "Bars of the accuracy per class."
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6, 8), dpi=80)
    ax.barh([f"{r['class_id']} {r['name']}" for r in rows], [100 * r["top1"] for r in rows], color="tab:blue")
    ax.set(xlabel="real crops read correctly (%), after training on drawings alone", xlim=(0, 100))
    ax.invert_yaxis()
    ax.tick_params(labelsize=7)
    ax.margins(y=0.01)
    plt.tight_layout()
    plt.savefig(path)
    plt.close()


if __name__ == "__main__":
    main()
