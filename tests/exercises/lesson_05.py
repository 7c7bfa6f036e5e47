"""Plausible wrong answers to the exercises of 05_loaders."""

_SEQUENCE = """def images_of_step(step, n, per_step, seed):
    images = []
    for position in range(step * per_step, (step + 1) * per_step):
        k, place = divmod(position, n)
        order = np.random.default_rng([seed, k]).permutation(n)
        images.append(int(order[place]))
    return images
"""

WRONG = {
    "05.1": {
        "the share of the images in one step": "times = [32 / 8000, 4 / 800]",
        "divides by all images": "times = [500 * 32 / 8800, 500 * 4 / 8800]",
        "the scenes alone": "times = 2.5",
        "one pass for each": "times = [1, 1]",
    },
    "05.2": {
        "leaves the edges in their order": (
            "def mirror_boxes(boxes, width):\n"
            "    x1, y1, x2, y2 = boxes.unbind(1)\n"
            "    return torch.stack([width - x1, y1, width - x2, y2], 1)"
        ),
        "counts pixels instead of edges": (
            "def mirror_boxes(boxes, width):\n"
            "    x1, y1, x2, y2 = boxes.unbind(1)\n"
            "    return torch.stack([width - 1 - x2, y1, width - 1 - x1, y2], 1)"
        ),
        "moves the left edge only": (
            "def mirror_boxes(boxes, width):\n"
            "    x1, y1, x2, y2 = boxes.unbind(1)\n"
            "    return torch.stack([width - x2, y1, x2, y2], 1)"
        ),
        "mirrors from top to bottom": (
            "def mirror_boxes(boxes, width):\n"
            "    x1, y1, x2, y2 = boxes.unbind(1)\n"
            "    return torch.stack([x1, width - y2, x2, width - y1], 1)"
        ),
        "one box at a time": "def mirror_boxes(boxes, width):\n    return [width - boxes[2], boxes[1], 0, boxes[3]]",
    },
    "05.3": {
        "one order for all passes": _SEQUENCE.replace("[seed, k]", "seed"),
        "forgets the seed": _SEQUENCE.replace("[seed, k]", "k"),
        "shuffles anew for each step": _SEQUENCE.replace("[seed, k]", "[seed, step]"),
        "draws with replacement": (
            "def images_of_step(step, n, per_step, seed):\n"
            "    return np.random.default_rng([seed, step]).integers(n, size=per_step).tolist()"
        ),
        "drops the end of each pass": (
            "def images_of_step(step, n, per_step, seed):\n"
            "    k, place = divmod(step, n // per_step)\n"
            "    order = np.random.default_rng([seed, k]).permutation(n)\n"
            "    return order[place * per_step : (place + 1) * per_step].tolist()"
        ),
        "a generator with a memory": (
            "generator = np.random.default_rng(0)\n\n\n"
            + _SEQUENCE.replace("np.random.default_rng([seed, k])", "generator")
        ),
        "all images of the pass": (
            "def images_of_step(step, n, per_step, seed):\n"
            "    return np.random.default_rng([seed, step * per_step // n]).permutation(n)"
        ),
    },
}
