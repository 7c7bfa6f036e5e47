"""Plausible wrong answers of lesson 20."""

WRONG = {
    "20.1": {
        "the frame itself counted": (
            "def probability_of_no_sibling(frames=10, held_out=0.1):\n    return held_out**frames"
        ),
        "none of the others held out": (
            "def probability_of_no_sibling(frames=10, held_out=0.1):\n    return (1 - held_out) ** (frames - 1)"
        ),
    },
    "20.2": {
        "takes the mean over classes along": (
            "def worst_read_sign(table):\n    return table.loc[table.top1.idxmin(), 'name']"
        ),
        "the best one": (
            "def worst_read_sign(table):\n"
            "    rows = table[(table.half == 'all') & table.class_id.notna()]\n"
            "    return rows.loc[rows.top1.idxmax(), 'name']"
        ),
    },
}
