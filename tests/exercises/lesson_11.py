"""Plausible wrong answers to the exercises of 11_multi_task_model."""

WRONG = {
    "11.1": {
        "the heads are the shared part": "answer = [(70.18 - 23.51) / 70.18, 117.2]",
        "three times the whole": "answer = [23.51 / 70.18, 3 * 70.18]",
        "one number": "answer = 0.335",
        "counts with the stated parts": "answer = [23.5 / 27.55, 27.55 + 2 * 23.5]",
    },
    "11.2": {
        "a pass for each head": (
            "def forward(backbone, heads, images):\n"
            "    if isinstance(images, dict):\n"
            "        return {task: heads[task](backbone(x, task)) for task, x in images.items()}\n"
            "    return {task: head(backbone(images, None)) for task, head in heads.items()}"
        ),
        "pooled statistics always": (
            "def forward(backbone, heads, images):\n"
            "    if isinstance(images, dict):\n"
            "        return {task: heads[task](backbone(x, None)) for task, x in images.items()}\n"
            "    features = backbone(images, None)\n"
            "    return {task: head(features) for task, head in heads.items()}"
        ),
        "knows one tensor only": (
            "def forward(backbone, heads, images):\n"
            "    features = backbone(images, None)\n"
            "    return {task: head(features) for task, head in heads.items()}"
        ),
        "asks for images of every task": (
            "def forward(backbone, heads, images):\n"
            "    if isinstance(images, dict):\n"
            "        return {task: head(backbone(images[task], task)) for task, head in heads.items()}\n"
            "    features = backbone(images, None)\n"
            "    return {task: head(features) for task, head in heads.items()}"
        ),
        "a list of outputs": (
            "def forward(backbone, heads, images):\n"
            "    features = backbone(images, None)\n"
            "    return [head(features) for head in heads.values()]"
        ),
    },
    "11.3": {
        "forgets the sum": (
            "def balancing_weights(losses):\n    return {task: 1 / loss for task, loss in losses.items()}"
        ),
        "larger losses weigh more": (
            "def balancing_weights(losses):\n"
            "    total = sum(losses.values())\n"
            "    return {task: len(losses) * loss / total for task, loss in losses.items()}"
        ),
        "a list of weights": "def balancing_weights(losses):\n    return [1 / loss for loss in losses.values()]",
        "ones": "def balancing_weights(losses):\n    return dict.fromkeys(losses, 1.0)",
    },
}
