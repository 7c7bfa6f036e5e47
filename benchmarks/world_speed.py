"""Speed of the world's generator on one core: sign crops and road scenes per second, files written; stored in results/world_speed.csv."""

import argparse, csv, tempfile, time
from pathlib import Path
import cv2
from mtl_course.core.files import atomic_write, project_root
from mtl_course.world import build as W

PARTS = {  # row -> (stream, pictures per job)
    "sign crops in tracks": ("track", W.WorldOptions().frames_per_track),
    "sign crops of the test set": ("sign_test", 1),
    "kitti scenes": ("kitti", 1),
    "tusimple scenes": ("lane", 1),
    "joint scenes": ("joint", 1),
}


def measure(stream: str, jobs: int) -> tuple[float, float]:
    "Seconds of wall clock and of processor time for some jobs in this process, after a warm-up."
    options = W.WorldOptions()
    with tempfile.TemporaryDirectory() as folder:
        work = [(stream, i, i % 43) for i in range(jobs + 43)]
        W._work(folder, options, work[:43])  # fills the banks of textures and signs
        wall, cpu = time.perf_counter(), time.process_time()
        W._work(folder, options, work[43:])
        return time.perf_counter() - wall, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=86, help="tracks or scenes per row")
    parser.add_argument("--out", type=Path, default=project_root() / "results" / "world_speed.csv")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for name, (stream, each) in PARTS.items():
        wall, cpu = measure(stream, args.jobs)
        n = args.jobs * each
        rows.append(
            dict(
                what=name,
                pictures=n,
                seconds=round(wall, 3),
                cpu_seconds=round(cpu, 3),
                per_second=round(n / wall, 1),
                per_cpu_second=round(n / cpu, 1),
            )
        )
        print(f"{name:28s} {n / wall:7.1f} per second of wall clock  {n / cpu:7.1f} per second of processor time")
    with atomic_write(args.out) as path, open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
