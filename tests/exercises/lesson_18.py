"""Plausible wrong answers to the exercises of lesson 18."""

STEP = """def streamed_step(parameters, closures, weigh):
    import torch

    rows = []
    for closure in closures.values():
        for p in parameters:
            p.grad = None
        closure().backward()
        rows.append([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
    jacobian = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
    gramian = jacobian @ jacobian.T
    weights = weigh(gramian)
    for i, p in enumerate(parameters):
        p.grad = sum(float(w) * row[i] for w, row in zip(weights, rows))
    return gramian
"""
TOGETHER = STEP.replace("    rows = []\n", "    rows = []\n    losses = [closure() for closure in closures.values()]\n")
TOGETHER = TOGETHER.replace("for closure in closures.values():\n        for", "for loss in losses:\n        for")
TOGETHER = TOGETHER.replace("closure().backward()", "loss.backward()")
WRONG = {
    "18.1": {
        "one process sees nothing": "jacobians = (1.0, 0.0)",
        "both see the same": "jacobians = [2.0, 2.0]",
        "nothing at all": "jacobians = (0.0, 0.0)",
    },
    "18.2": {
        "lets .grad add up": STEP.replace("            p.grad = None\n", "            pass\n"),
        "keeps all graphs": TOGETHER,
        "forgets to put the gradient back": STEP.replace("        p.grad = sum(", "        combined = sum("),
        "an unweighted sum": STEP.replace("float(w) * row[i]", "row[i]"),
        "a None where a task does not reach": STEP.replace(
            "torch.zeros_like(p) if p.grad is None else p.grad", "p.grad"
        ),
    },
    "18.3": {
        "binds late": """def make_closures(task_loss, tasks):
    return {task: lambda: task_loss(task) for task in tasks}""",
        "computes at once": """def make_closures(task_loss, tasks):
    return {task: task_loss(task) for task in tasks}""",
        "computes once and remembers": """def make_closures(task_loss, tasks):
    losses = {task: task_loss(task) for task in tasks}
    return {task: (lambda task=task: losses[task]) for task in tasks}""",
    },
    "18.4": {
        "rounds down": "images = 15",
        "all gradients, not one fewer": "images = 24",
        "forgets the streamed activations": "images = 11",
    },
}
