"""Seconds of TuSimple's metric for as many clips as the official test set has, drawn at random.

Reading is included. Stored in results/metrics_speed_tusimple.csv.
"""

import argparse
import csv
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
import numpy as np
from mtl_course.core.files import atomic_write, project_root
from mtl_course.metrics.tusimple_files import tusimple_metric

HEIGHTS = np.arange(160, 720, 10)


def random_lanes(rng) -> np.ndarray:
    "Three to five lanes that meet near the horizon, each from its own height downwards."
    slopes = rng.uniform(-2.5, 2.5, (rng.integers(3, 6), 1))
    x = 640 + slopes * (HEIGHTS - 230)
    present = (HEIGHTS >= rng.integers(230, 500, slopes.shape)) & (x >= 0) & (x < 1280)
    return np.where(present, x.round(), -2).astype(int)


def write_files(folder: Path, clips: int):
    "Labels and predictions: the labels with noise, sometimes with a lane less or more."
    rng = np.random.default_rng(0)
    with open(folder / "gt.json", "w") as gt, open(folder / "pred.json", "w") as pred:
        for i in range(clips):
            lanes, name = random_lanes(rng), f"clips/0530/{i}/20.jpg"
            guess = np.where(lanes >= 0, np.maximum(lanes + rng.integers(-25, 26, lanes.shape), 0), -2)
            guess = np.vstack([guess, lanes[:1]])[rng.integers(0, 2) :]
            print(json.dumps(dict(lanes=lanes.tolist(), h_samples=HEIGHTS.tolist(), raw_file=name)), file=gt)
            print(json.dumps(dict(raw_file=name, lanes=guess.tolist(), run_time=10)), file=pred)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2782)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=project_root() / "results" / "metrics_speed_tusimple.csv")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_files(folder, args.clips)
        for what, corrected in (("official scores", False), ("official and corrected scores", True)):
            wall, cpu = [], []
            for _ in range(args.repeats):
                began, busy = time.perf_counter(), time.process_time()
                tusimple_metric(folder / "pred.json", folder / "gt.json", corrected)
                wall.append(time.perf_counter() - began)
                cpu.append(time.process_time() - busy)
            rows.append(
                dict(
                    what=what,
                    clips=args.clips,
                    repeats=args.repeats,
                    median_seconds=round(statistics.median(wall), 3),
                    slowest_seconds=round(max(wall), 3),
                    median_cpu_seconds=round(statistics.median(cpu), 3),
                    machine=platform.machine(),
                )
            )
            print(
                f"{what:30s} {args.clips} clips: median {rows[-1]['median_seconds']:.2f} s, "
                f"of processor time {rows[-1]['median_cpu_seconds']:.2f} s"
            )
    with atomic_write(args.out) as path, open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
