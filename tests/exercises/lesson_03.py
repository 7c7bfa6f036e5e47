"""Plausible wrong answers to the exercises of 03_lanes."""

WRONG = {
    "03.1": {
        "divides by one mask": "def iou_when_shifted(width, shift):\n    return max(0, width - shift) / width",
        "lets the overlap be negative": "def iou_when_shifted(w, s):\n    return (w - s) / (w + s)",
        "counts the overlap twice": "def iou_when_shifted(w, s):\n    return max(0, w - s) / (2 * w)",
    },
    "03.2": {
        "fills beyond the ends": """
def fill_gaps(lanes):
    import numpy as np

    filled = lanes.copy()
    for lane in filled:
        present = np.flatnonzero(lane >= 0)
        if len(present):
            lane[:] = np.interp(np.arange(len(lane)), present, lane[present])
    return filled
""",
        "changes what it was given": """
def fill_gaps(lanes):
    import numpy as np

    for lane in lanes:
        present = np.flatnonzero(lane >= 0)
        if len(present):
            inner = np.arange(present[0], present[-1] + 1)
            lane[inner] = np.interp(inner, present, lane[present])
    return lanes
""",
        "forgets lanes without a point": """
def fill_gaps(lanes):
    import numpy as np

    filled = lanes.copy()
    for lane in filled:
        present = np.flatnonzero(lane >= 0)
        inner = np.arange(present[0], present[-1] + 1)
        lane[inner] = np.interp(inner, present, lane[present])
    return filled
""",
    },
}
