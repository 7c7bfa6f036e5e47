"""Plausible wrong answers to the exercises of 40_lane_decoding."""

WRONG = {
    "40.1": {
        "every threshold": "def good_thresholds():\n    return [k / 10 for k in range(1, 10)]",
        "one half alone": "def good_thresholds():\n    return [0.5]",
        "a number": "def good_thresholds():\n    return 0.5",
    },
    "40.2": {
        "takes the point on the parabola": (
            "def meeting_point(a, y1, y2):\n    y = (y1 + y2) / 2\n    return a * y**2, y"
        ),
        "gives the height alone": "def meeting_point(a, y1, y2):\n    return (y1 + y2) / 2",
        "exchanges x and y": "def meeting_point(a, y1, y2):\n    return (y1 + y2) / 2, a * y1 * y2",
    },
}
