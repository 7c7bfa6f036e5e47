"""Plausible wrong answers of lesson 21."""

WRONG = {
    "21.1": {
        "forgets the heads": "def share_saved(backbone, head, tasks):\n    return (tasks - 1) / tasks",
        "counts one backbone": (
            "def share_saved(backbone, head, tasks):\n    return backbone / (tasks * (backbone + head))"
        ),
    },
    "21.2": {
        "the inverse": "def backbone_share(ratio):\n    return 1 / ratio",
        "a share of three": "def backbone_share(ratio):\n    return ratio / 3",
    },
    "21.3": {
        "the input's height": (
            "def band(scene, given_size, centre):\n    return centre - given_size[1] / 2, centre + given_size[1] / 2"
        ),
        "leaves the scene": (
            "def band(scene, given_size, centre):\n"
            "    height = scene[0] * given_size[1] / given_size[0]\n"
            "    return centre - height / 2, centre + height / 2"
        ),
        "clips the band": (
            "def band(scene, given_size, centre):\n"
            "    height = scene[0] * given_size[1] / given_size[0]\n"
            "    return max(0, centre - height / 2), min(scene[1], centre + height / 2)"
        ),
    },
}
