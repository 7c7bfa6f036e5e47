"""Plausible wrong answers to the exercises of 14_one_step."""

WRONG = {
    "14.1": {
        "the weights are forgotten": "theta = 0.0",
        "uphill": "theta = -0.4",
        "the factor 2 of the square is forgotten": "theta = 0.2",
    },
    "14.2": {
        "gradients are never emptied": """
def training_step(model, loss, optimizer, batch, weights):
    losses = {}
    for task, images in batch["images"].items():
        value = loss(task, model(images, task), batch[task])
        (weights[task] * value).backward()
        losses[task] = value.item()
    optimizer.step()
    return losses
""",
        "the weights are forgotten": """
def training_step(model, loss, optimizer, batch, weights):
    optimizer.zero_grad()
    losses = {}
    for task, images in batch["images"].items():
        value = loss(task, model(images, task), batch[task])
        value.backward()
        losses[task] = value.item()
    optimizer.step()
    return losses
""",
        "weighted losses are returned": """
def training_step(model, loss, optimizer, batch, weights):
    optimizer.zero_grad()
    losses = {}
    for task, images in batch["images"].items():
        value = weights[task] * loss(task, model(images, task), batch[task])
        value.backward()
        losses[task] = value.item()
    optimizer.step()
    return losses
""",
        "each task steps on its own": """
def training_step(model, loss, optimizer, batch, weights):
    losses = {}
    for task, images in batch["images"].items():
        optimizer.zero_grad()
        value = loss(task, model(images, task), batch[task])
        (weights[task] * value).backward()
        optimizer.step()
        losses[task] = value.item()
    return losses
""",
    },
    "14.3": {
        "parts count alike": """
def accumulate_gradient(parameters, loss, parts):
    for p in parameters:
        p.grad = None
    for part in parts:
        (loss(part) / len(parts)).backward()
""",
        "the sum of the means": """
def accumulate_gradient(parameters, loss, parts):
    for p in parameters:
        p.grad = None
    for part in parts:
        loss(part).backward()
""",
        "what was there before counts": """
def accumulate_gradient(parameters, loss, parts):
    total = sum(len(part) for part in parts)
    for part in parts:
        (loss(part) * (len(part) / total)).backward()
""",
    },
    "14.4": {
        "trusts everybody": """
def trust(step):
    return True
""",
        "trusts nobody": """
def trust(step):
    return False
""",
        "one step with equal weights": """
import torch


def trust(step):
    theta = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([theta], lr=0.1)
    one = torch.tensor(1.0)
    batch = dict(images=dict(a=one, b=one), a=one, b=one)
    step(lambda x, task: theta * x, lambda task, p, y: (p - y) ** 2, optimizer, batch, dict(a=1.0, b=1.0))
    return abs(theta.item() - 0.4) < 1e-4
""",
    },
}
