"""Plausible wrong answers to the exercises of 10_ways_of_sharing."""

_NAMES = """def shared_names(backbone, images):
    names, parameters = zip(*backbone.named_parameters())
    askers = dict.fromkeys(names, 0)
    for task in backbone.tasks:
        loss = sum(f.square().mean() for f in backbone(images, task).values())
        for name, grad in zip(names, torch.autograd.grad(loss, parameters, allow_unused=True)):
            askers[name] += grad is not None
    return {name for name, count in askers.items() if count > 1}
"""

WRONG = {
    "10.1": {
        "counts networks, not passes": (
            "def passes(sharing, T):\n    return (T, T) if sharing in ('separate', 'cross_stitch') else (1, 1)"
        ),
        "says three whatever T": (
            "def passes(sharing, T):\n    return {'separate': (1, 3), 'cross_stitch': (3, 3)}.get(sharing, (1, 1))"
        ),
        "gives one number": "def passes(sharing, T):\n    return 1",
    },
    "10.2": {
        "exchanges listener and speaker": (
            "def stitch(alpha, streams):\n    return torch.einsum('tsc,tbchw->sbchw', alpha, streams)"
        ),
        "uses the diagonal only": (
            "def stitch(alpha, streams):\n    return torch.einsum('ttc,tbchw->tbchw', alpha, streams)"
        ),
    },
    "10.3": {
        "asks for every task": _NAMES.replace("count > 1", "count == len(backbone.tasks)"),
        "takes a parameter of any task": _NAMES.replace("count > 1", "count > 0"),
        "lists what requires a gradient": (
            "def shared_names(backbone, images):\n"
            "    return {n for n, p in backbone.named_parameters() if p.requires_grad}"
        ),
    },
}
