"""Plausible wrong answers to the exercises of 45_dense_detection_head."""

WRONG = {
    "45.1": {
        "the first box that holds the point": """
def answering_box(point, boxes):
    x, y = point
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        if min(x - x1, y - y1, x2 - x, y2 - y) > 0:
            return i
    return -1
""",
        "the smallest box, whether it holds the point or not": """
def answering_box(point, boxes):
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
    return areas.index(min(areas)) if areas else -1
""",
        "the largest box": """
def answering_box(point, boxes):
    x, y = point
    holding = [(-1, -1)]
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        if min(x - x1, y - y1, x2 - x, y2 - y) > 0:
            holding.append(((x2 - x1) * (y2 - y1), i))
    return max(holding)[1]
""",
    },
    "45.2": {
        "the probability of what is true in the weight": "def how_much_smaller(p):\n    return 1 / (1 - p) ** 2",
        "without the square": "def how_much_smaller(p):\n    return 1 / p",
        "upside down": "def how_much_smaller(p):\n    return p**2",
    },
    "45.3": {
        "IoU alone": """
def giou(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union
""",
        "two negative sides make an area": """
def giou(a, b):
    both = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    around = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return both / union - (around - union) / around
""",
        "the empty part divided by the union": """
def giou(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    around = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return both / union - (around - union) / union
""",
    },
}
