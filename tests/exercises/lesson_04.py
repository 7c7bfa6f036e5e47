"""Plausible wrong answers to the exercises of 04_built_in_world."""

WRONG = {
    "04.1": {
        "turns the fraction over": "def depth_from_height(h, focal=360.5, tall=1.75):\n    return h / (focal * tall)",
        "forgets the focal length": "def depth_from_height(h, focal=360.5, tall=1.75):\n    return tall / h",
        "uses the camera's height": "def depth_from_height(h, focal=360.5, tall=1.75):\n    return focal * 1.65 / h",
        "ignores the arguments": "def depth_from_height(h, focal=360.5, tall=1.75):\n    return 360.5 * 1.75 / h",
    },
    "04.2": {
        "gives the share inside": """
def truncation(box, width, height):
    x1, y1, x2, y2 = box
    wide = max(min(x2, width) - max(x1, 0), 0)
    tall = max(min(y2, height) - max(y1, 0), 0)
    return wide * tall / ((x2 - x1) * (y2 - y1))
""",
        "two negative sides make a positive area": """
def truncation(box, width, height):
    x1, y1, x2, y2 = box
    wide = min(x2, width) - max(x1, 0)
    tall = min(y2, height) - max(y1, 0)
    return 1 - wide * tall / ((x2 - x1) * (y2 - y1))
""",
        "clips on the right and below alone": """
def truncation(box, width, height):
    x1, y1, x2, y2 = box
    wide = max(min(x2, width) - x1, 0)
    tall = max(min(y2, height) - y1, 0)
    return 1 - wide * tall / ((x2 - x1) * (y2 - y1))
""",
        "swaps width and height": """
def truncation(box, width, height):
    x1, y1, x2, y2 = box
    wide = max(min(x2, height) - max(x1, 0), 0)
    tall = max(min(y2, width) - max(y1, 0), 0)
    return 1 - wide * tall / ((x2 - x1) * (y2 - y1))
""",
    },
}
