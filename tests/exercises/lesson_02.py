"""Plausible wrong answers to the exercises of 02_objects."""

_COUNT = """
def count_easy(record):
    import numpy as np

    tall = record.boxes[:, 3] - record.boxes[:, 1] {tall}
    clear = (record.occlusion {hidden}) & (record.truncation <= 0.15)
    return int((tall & clear{names}).sum())
"""
_NAMES = " & np.isin(record.names, DETECTION_CLASSES)"

WRONG = {
    "02.1": {
        "counts what is ignored": _COUNT.format(tall=">= 40", hidden="<= 0", names=""),
        "taller than 40": _COUNT.format(tall="> 40", hidden="== 0", names=_NAMES),
        "takes partly hidden objects": _COUNT.format(tall=">= 40", hidden="<= 1", names=_NAMES),
        "whether there is one": """
def count_easy(record):
    return int((record.boxes[:, 3] - record.boxes[:, 1] >= 40).any())
""",
    },
    "02.2": {
        "the smallest object decides": """
def input_height(heights, frame_height, share=0.9, pixels=8):
    import math

    return math.ceil(pixels * frame_height / min(heights))
""",
        "rounds down": """
def input_height(heights, frame_height, share=0.9, pixels=8):
    heights = sorted(heights, reverse=True)
    return int(pixels * frame_height / heights[round(share * len(heights)) - 1])
""",
        "ignores share and pixels": """
def input_height(heights, frame_height, share=0.9, pixels=8):
    import math

    heights = sorted(heights, reverse=True)
    return math.ceil(8 * frame_height / heights[round(0.9 * len(heights)) - 1])
""",
    },
}
