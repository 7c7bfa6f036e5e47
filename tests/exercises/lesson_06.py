"""Plausible wrong answers to the exercises of 06_backbone."""

_NORM = """class TaskBatchNorm(nn.Module):
    def __init__(self, channels, tasks):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(tasks, channels))
        self.register_buffer("running_var", torch.ones(tasks, channels))

    def forward(self, x, task):
        if self.training:
            mean = x.mean(0)
            var = x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean[task].lerp_(mean, 0.1)
                self.running_var[task].lerp_(x.var(0), 0.1)
        else:
            mean = self.running_mean[task]
            var = self.running_var[task]
        return self.weight * (x - mean) / (var + 1e-5).sqrt() + self.bias
"""

WRONG = {
    "06.1": {
        "counts the rows of all three tasks": (
            "def extra_share(net):\n"
            "    rows = sum(2 * 3 * m.weight.numel() for m in net.modules() if hasattr(m, 'running_mean'))\n"
            "    return rows / sum(p.numel() for p in net.parameters())"
        ),
        "forgets the variance": (
            "def extra_share(net):\n"
            "    rows = sum(2 * m.weight.numel() for m in net.modules() if hasattr(m, 'running_mean'))\n"
            "    return rows / sum(p.numel() for p in net.parameters())"
        ),
        "a guess that is no function": "extra_share = 0.005",
    },
    "06.2": {
        "keeps the biased variance": _NORM.replace("lerp_(x.var(0), 0.1)", "lerp_(var, 0.1)"),
        "normalises by the unbiased variance": _NORM.replace("x.var(0, correction=0)", "x.var(0)"),
        "moves every row": _NORM.replace("self.running_mean[task].lerp_", "self.running_mean.lerp_").replace(
            "lerp_(mean,", "lerp_(mean.expand_as(self.running_mean),"
        ),
        "normalises by the row in training, too": _NORM.replace("mean = x.mean(0)", "mean = self.running_mean[task]"),
        "scale and shift per task": _NORM.replace("torch.ones(channels)", "torch.ones(tasks, channels)"),
        "statistics that learn": _NORM.replace(
            'self.register_buffer("running_mean", torch.zeros(tasks, channels))',
            "self.running_mean = nn.Parameter(torch.zeros(tasks, channels))",
        ),
    },
    "06.3": {
        "the mean of the variances": ("def pooled_weighted(means, variances, p):\n    return p @ means, p @ variances"),
        "weighs all tasks alike": (
            "def pooled_weighted(means, variances, p):\n"
            "    mean = means.mean(0)\n"
            "    return mean, (variances + means**2).mean(0) - mean**2"
        ),
        "gives the mean alone": "def pooled_weighted(means, variances, p):\n    return p @ means",
    },
}
