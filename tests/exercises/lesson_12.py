"""Plausible wrong answers of lesson 12."""

WRONG = {
    "12.1": {
        "plain accuracy": "def balanced_accuracy(confusion):\n    return confusion.trace() / confusion.sum()",
        "counts an absent class as 0": (
            "def balanced_accuracy(confusion):\n"
            "    recall = [row[k] / max(row.sum(), 1) for k, row in enumerate(confusion)]\n"
            "    return sum(recall) / len(recall)"
        ),
        "divides by columns": (
            "import numpy as np\n\n\n"
            "def balanced_accuracy(confusion):\n"
            "    called = confusion.sum(0)\n"
            "    return (np.diag(confusion)[called > 0] / called[called > 0]).mean()"
        ),
    },
    "12.2": {
        "takes the IoU for the share": "def lane_share(pixel_accuracy, iou):\n    return iou",
        "takes what is right for false": (
            "def lane_share(pixel_accuracy, iou):\n    return iou * pixel_accuracy / (1 - iou)"
        ),
    },
    "12.3": {
        "between the cars": "wrong_score = 0.85",
        "above both": "wrong_score = 0.95",
        "far too low": "wrong_score = 0.1",
    },
}
