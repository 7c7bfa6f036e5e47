"""Speed of the KITTI metric on one core: random label and result files of the size of KITTI's training set; stored in results/metrics_speed_kitti.csv."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is imported
import argparse, csv, resource, tempfile, time
from pathlib import Path
import numpy as np
from mtl_course.core.files import atomic_write, project_root
from mtl_course.metrics.kitti_files import kitti_ap

KINDS, SHARES = ("Car", "Pedestrian", "Cyclist", "Van", "Truck", "DontCare"), (0.58, 0.1, 0.04, 0.06, 0.02, 0.2)


def write_frames(folder: Path, frames: int, detections: int, seed: int = 0):
    "Label files of 0-14 objects, result files of about `detections` boxes: most near an object, the others anywhere."
    rng = np.random.default_rng(seed)
    for part in ("label_2", "results"):
        (folder / part).mkdir()
    for k in range(frames):
        n = rng.integers(0, 15)
        kinds = rng.choice(KINDS, n, p=SHARES)
        x, y, h = rng.uniform(-20, 1150, n), rng.uniform(120, 220, n), rng.gamma(3, 20, n) + 10
        boxes = np.stack([x, y, x + h * np.where(kinds == "Car", 1.6, 0.5), y + h], 1)
        m = rng.poisson(detections)
        near = rng.integers(0, n, m) if n else np.empty(0, int)
        found = boxes[near] + rng.normal(size=(len(near), 4)) * 0.04 * h[near, None]
        if len(found):
            found[rng.random(m) < 0.3] += [300, 0, 300, 0]
        scores = rng.random(len(found))
        row = lambda c, t, o, b, s="": (
            f"{c} {t} {o} -10 {b[0]:.2f} {b[1]:.2f} {b[2]:.2f} {b[3]:.2f} -1 -1 -1 -1000 -1000 -1000 -10{s}\n"
        )
        (folder / "label_2" / f"{k:06d}.txt").write_text(
            "".join(
                row(c, f"{t:.2f}", o, b) for c, t, o, b in zip(kinds, rng.random(n) ** 3, rng.integers(0, 4, n), boxes)
            )
        )
        (folder / "results" / f"{k:06d}.txt").write_text(
            "".join(
                row(kinds[j], -1, -1, b, f" {s:.4f}") for j, b, s in zip(near, found, scores) if kinds[j] != "DontCare"
            )
        )


def measure(folder: Path, corrected: bool, repeats: int) -> tuple[list, list]:
    "Seconds of wall clock and of processor time of each call; everything is included, reading the files too."
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
                    f"{args.frames} frames, {boxes / args.frames:6.1f} detections each, corrected {corrected!s:5}: {np.median(walls):6.2f} s of wall clock, {np.median(cpus):6.2f} s of processor time"
                )
    with atomic_write(args.out) as path, open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
