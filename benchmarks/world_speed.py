"""Speed of the world's generator on one core: sign crops and road scenes per second, files written.

    python benchmarks/world_speed.py

Writes results/world_speed.csv.
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path

import cv2

from mtl_course.core.files import atomic_write, project_root
from mtl_course.world.layouts import Shelf, draw_picture
from mtl_course.world.options import WorldOptions

STREAMS = {  # row -> (stream, pictures per job)
    "sign crops in tracks": ("track", WorldOptions().frames_per_track),
    "sign crops of the test set": ("sign_test", 1),
    "kitti scenes": ("kitti", 1),
    "tusimple scenes": ("lane", 1),
    "joint scenes": ("joint", 1),
}
WARM_UP = 43  # jobs that fill the banks of textures and signs


def draw(folder: str, stream: str, indices: range):
    """Draw and write some pictures, sign classes in turn."""
    shelf = Shelf(Path(folder))
    for index in indices:
        draw_picture(shelf, WorldOptions(), stream, index, index % 43)


def measure(stream: str, jobs: int) -> tuple[float, float]:
    """Seconds of wall clock and of processor time for some jobs in this process."""
    with tempfile.TemporaryDirectory() as folder:
        draw(folder, stream, range(WARM_UP))
        wall = time.perf_counter()
        cpu = time.process_time()
        draw(folder, stream, range(WARM_UP, WARM_UP + jobs))
        return time.perf_counter() - wall, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=86, help="tracks or scenes per row")
    parser.add_argument("--out", type=Path, default=project_root() / "results" / "world_speed.csv")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for name, (stream, pictures_per_job) in STREAMS.items():
        wall, cpu = measure(stream, args.jobs)
        n = args.jobs * pictures_per_job
        row = dict(what=name, pictures=n, seconds=round(wall, 3), cpu_seconds=round(cpu, 3))
        rows.append(dict(row, per_second=round(n / wall, 1), per_cpu_second=round(n / cpu, 1)))
        print(f"{name:28s} {n / wall:7.1f} per second of wall clock  {n / cpu:7.1f} per second of processor time")
    with atomic_write(args.out) as path, open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
