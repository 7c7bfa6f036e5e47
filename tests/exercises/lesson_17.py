"""Plausible wrong answers to the exercises of lesson 17."""

MGDA = """def two_task_mgda(gramian):
    (a, b), (_, c) = gramian.tolist()
    curvature = a + c - 2 * b
    gamma = min(1.0, max(0.0, (c - b) / curvature)) if curvature > 0 else 0.5
    return [gamma, 1 - gamma]
"""
PCGRAD = """def pcgrad(gradients, order):
    step = 0
    for i in range(len(gradients)):
        left = gradients[i].clone()
        for j in order:
            inner = left @ gradients[j]
            if j != i and inner < 0:
                left = left - inner / (gradients[j] @ gradients[j]) * gradients[j]
        step = step + left
    return step
"""
WRONG = {
    "17.1": {
        "takes the shortest vector for one of angles": 'keep_direction = {"mgda", "nash", "imtl_g"}',
        "forgets the bargain": 'keep_direction = {"imtl_g"}',
        "those that harm nobody": 'keep_direction = {"mgda", "nash", "upgrad"}',
        "other names": 'keep_direction = ["Nash-MTL", "IMTL-G"]',
    },
    "17.2": {
        "does not clip": MGDA.replace("min(1.0, max(0.0, (c - b) / curvature))", "(c - b) / curvature"),
        "the weights of the other task": MGDA.replace("[gamma, 1 - gamma]", "[1 - gamma, gamma]"),
        "divides by zero for equal gradients": MGDA.replace(" if curvature > 0 else 0.5", ""),
        "the step, not the weights": "def two_task_mgda(gramian):\n    return gramian.mean()",
    },
    "17.3": {
        "projects friends, too": PCGRAD.replace(" and inner < 0", ""),
        "divides by the length": PCGRAD.replace("(gradients[j] @ gradients[j])", "gradients[j].norm()"),
        "compares with the gradient as it was": PCGRAD.replace("inner = left @", "inner = gradients[i] @"),
        "projects onto what is left of the others": PCGRAD.replace("gradients[i].clone()", "gradients[i]").replace(
            "                left = left -", "                left -="
        ),
        "the mean": PCGRAD.replace("return step", "return step / len(gradients)"),
    },
}
