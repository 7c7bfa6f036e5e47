"""Plausible wrong answers to the exercises of 31_add_a_task."""

COLLATE = "import torch\n\n\ndef collate(samples):\n    return {}"

WRONG = {
    "31.1": {
        "counts the background in both": "ious = (0.3, 0.3)",
        "forgets the alternative lanes": "ious = (1.0, 0.3)",
        "the wrong way round": "ious = (0.3, 0.75)",
    },
    "31.2": {
        "a list in place of a tensor": COLLATE.format('[int(s["rain"]) for s in samples]'),
        "truth values": COLLATE.format('torch.tensor([s["rain"] for s in samples])'),
        "a column": COLLATE.format('torch.tensor([[int(s["rain"])] for s in samples])'),
    },
    "31.3": {
        "no module": "class RainHead:\n    def __init__(self, channels):\n        self.channels = channels",
        "keeps the map": (
            "from torch import nn\n\n\n"
            "class RainHead(nn.Module):\n"
            "    def __init__(self, channels):\n"
            "        super().__init__()\n"
            '        self.conv = nn.Conv2d(channels["c5"], 2, 1)\n\n'
            "    def forward(self, features, image_size):\n"
            '        return self.conv(features["c5"])\n'
        ),
    },
}
