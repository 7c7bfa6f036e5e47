"""Frames in the form that KITTI's metric takes: written as text, and random ones."""

import numpy as np
from mtl_course.metrics.kitti import kitti_ap_arrays
from mtl_course.metrics.kitti_frames import KittiDetections, KittiLabels

A = "100 100 200 200"
B = "400 100 500 200"
C = "700 100 800 200"
P1 = 100 / 11  # p0 = 1 and nothing else: 9.0909…


def rows(text, width):
    "Names and numbers of the `;`-separated rows; labels without truncation and occlusion get 0 0."
    out = []
    for row in filter(None, (r.strip() for r in text.split(";"))):
        name, *v = row.split()
        v = [float(x) for x in v]
        out.append((name, v if len(v) == width else [0.0, 0.0] + v))
    return [n for n, _ in out], np.array([v for _, v in out]).reshape(-1, width)


def entry_of(labels, found, n=1, name="Car", corrected=False):
    names, v = rows(labels, 6)
    said, w = rows(found, 5)
    truth, detections = KittiLabels(names, v[:, 0], v[:, 1], v[:, 2:]), KittiDetections(said, w[:, :4], w[:, 4])
    return kitti_ap_arrays([truth] * n, [detections] * n, corrected)[name]


def at(x, height=100):
    return f"{x} 100 {x + 100} {100 + height}"


def random_frame(rng, crowded):
    "A frame in which every rule has work to do: few places, heights, scores and spellings."

    def box():
        x, y = (
            rng.choice([-30, -5, 0, 10, 100, 115, 130]) + rng.integers(0, 3) * rng.choice([0, 1, 3.5]),
            rng.choice([0, 4, 8]),
        )
        h = rng.choice([20, 24.99, 25, 25.5, 26, 30, 39.5, 40, 41, 44, 50])
        return [x, y, x + rng.choice([30, 33, 40]), y + h]

    def near(b, jitter):
        return (np.array(b) + rng.integers(-jitter, jitter + 1, 4)).tolist()

    kinds = ["Car", "Car", "Pedestrian", "pedestrian", "Cyclist", "VAN", "Van", "Person_sitting", "Truck", "DontCare"]
    n = rng.integers(0, 9 if crowded else 4)
    names, boxes = [kinds[k] for k in rng.integers(0, len(kinds), n)], [box() for _ in range(n)]
    boxes = [[b[0] - 20, b[1] - 20, b[0] + 60, b[3] + 10] if k == "DontCare" else b for k, b in zip(names, boxes)]
    labels = KittiLabels(
        names,
        rng.choice([0, 0.15, 0.16, 0.3, 0.5, 0.6], n, p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]),
        rng.choice(4, n, p=[0.6, 0.2, 0.1, 0.1]),
        np.reshape(boxes, (-1, 4)),
    )
    said, where = [], []
    for kind, b in zip(names, boxes):
        for _ in range(rng.integers(0, 3)):
            said.append(rng.choice([kind, kind, "CAR", "Car", "Pedestrian", "Cyclist"]))
            where.append(near(b, rng.choice([0, 1, 4])))
    for _ in range(rng.integers(0, 4)):
        said.append(rng.choice(["Car", "Pedestrian", "Cyclist", "Truck"]))
        where.append(box())
    if where and rng.random() < 0.1:
        where[0] = [where[0][2], where[0][1], where[0][0], where[0][3]]  # turned round
    scores = (
        rng.choice([-1, 0, 0.5, 0.5, 0.75, 1], len(said)) if rng.random() < 0.5 else rng.normal(size=len(said)).round(2)
    )
    return labels, KittiDetections(said, np.reshape(where, (-1, 4)), scores)
