"""Plausible wrong answers to the exercises of 01_signs."""

WRONG = {
    "01.1": {
        "the share of training images": "share = 0.9",
        "both sisters in training": "share = 0.9**2",
        "none in training": "share = 0.1**2",
    },
    "01.2": {
        "deals out images": """
def held_out(groups, share, seed):
    import numpy as np

    return (np.random.default_rng(seed).random(len(groups)) < share).tolist()
""",
        "forgets the seed": """
def held_out(groups, share, seed):
    import numpy as np

    names = np.unique(groups)
    return np.isin(groups, np.random.default_rng().permutation(names)[: max(1, round(share * len(names)))]).tolist()
""",
        "draws in the order of the images": """
def held_out(groups, share, seed):
    import numpy as np

    names = list(dict.fromkeys(groups))
    chosen = np.random.default_rng(seed).permutation(names)[: max(1, round(share * len(names)))]
    return np.isin(groups, chosen).tolist()
""",
        "takes the first groups": """
def held_out(groups, share, seed):
    import numpy as np

    names = np.unique(groups)
    return np.isin(groups, names[: max(1, round(share * len(names)))]).tolist()
""",
        "rounds to no group": """
def held_out(groups, share, seed):
    import numpy as np

    names = np.unique(groups)
    return np.isin(groups, np.random.default_rng(seed).permutation(names)[: round(share * len(names))]).tolist()
""",
    },
}
