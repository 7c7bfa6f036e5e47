"""Speed of the KITTI metric on one core, on random files of the size of KITTI's training set.

Stored in results/metrics_speed_kitti.csv.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is imported
import argparse
import csv
import resource
import tempfile
import time
from pathlib import Path
import numpy as np
from mtl_course.core.files import atomic_write, project_root
from mtl_course.metrics.kitti_files import kitti_ap

SHARES = dict(Car=0.58, Pedestrian=0.1, Cyclist=0.04, Van=0.06, Truck=0.02, DontCare=0.2)


def line(name, truncation, occlusion, box, score=""):
    corners = " ".join(f"{v:.2f}" for v in box)
    return f"{name} {truncation} {occlusion} -10 {corners} -1 -1 -1 -1000 -1000 -1000 -10{score}\n"


def write_frames(folder: Path, frames: int, detections: int, seed: int = 0):
    "Label files of 0-14 objects, result files of about `detections` boxes, most near an object."
    rng = np.random.default_rng(seed)
    for part in ("label_2", "results"):
        (folder / part).mkdir()
    for k in range(frames):
        n = rng.integers(0, 15)
        kinds = rng.choice(list(SHARES), n, p=list(SHARES.values()))
        x = rng.uniform(-20, 1150, n)
        y = rng.uniform(120, 220, n)
        h = rng.gamma(3, 20, n) + 10
        boxes = np.stack([x, y, x + h * np.where(kinds == "Car", 1.6, 0.5), y + h], 1)
        m = rng.poisson(detections)
        near = rng.integers(0, n, m) if n else np.empty(0, int)
        found = boxes[near] + rng.normal(size=(len(near), 4)) * 0.04 * h[near, None]
        if len(found):
            found[rng.random(m) < 0.3] += [300, 0, 300, 0]
        scores = rng.random(len(found))
        truncation = rng.random(n) ** 3
        objects = zip(kinds, truncation, rng.integers(0, 4, n), boxes)
        labels = [line(name, f"{t:.2f}", occlusion, box) for name, t, occlusion, box in objects]
        results = []
        for j, box, score in zip(near, found, scores):
            if kinds[j] != "DontCare":
                results.append(line(kinds[j], -1, -1, box, f" {score:.4f}"))
        (folder / "label_2" / f"{k:06d}.txt").write_text("".join(labels))
        (folder / "results" / f"{k:06d}.txt").write_text("".join(results))


def measure(folder: Path, corrected: bool, repeats: int) -> tuple[list, list]:
    "Seconds of wall clock and of processor time of each call, reading the files included."
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        kitti_ap(folder / "label_2", folder / "results", corrected=corrected)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return walls, cpus


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=7481, help="images, as many as KITTI's training set has")
    parser.add_argument(
        "--detections",
        type=float,
        nargs="+",
        default=[13.4, 134],
        help="mean number of boxes per image before those of DontCare are left out; a row each",
    )
    parser.add_argument("--repeats", type=int, default=5, help="calls per row; the median is kept")
    parser.add_argument("--out", type=Path, default=project_root() / "results" / "metrics_speed_kitti.csv")
    args = parser.parse_args()
    rows = []
    for detections in args.detections:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_frames(folder, args.frames, detections)
            boxes = sum(len(p.read_text().splitlines()) for p in (folder / "results").iterdir())
            for corrected in (False, True):
                walls, cpus = measure(folder, corrected, args.repeats)
                rows.append(
                    dict(
                        frames=args.frames,
                        detections=boxes,
                        detections_per_frame=round(boxes / args.frames, 1),
                        corrected=corrected,
                        seconds=round(np.median(walls), 3),
                        cpu_seconds=round(np.median(cpus), 3),
                        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                    )
                )
                print(
                    f"{args.frames} frames, {boxes / args.frames:6.1f} detections each, corrected {corrected!s:5}: "
                    f"{np.median(walls):6.2f} s of wall clock, {np.median(cpus):6.2f} s of processor time"
                )
    with atomic_write(args.out) as path, open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
