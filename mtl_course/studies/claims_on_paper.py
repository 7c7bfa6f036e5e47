"""Claims that arithmetic and the described network decide: data, parameters and sizes."""

from typing import NamedTuple

import torch

from ..config import DETECTION_CLASSES, TASKS
from ..models import MultiTaskModel
from ..world.signs import SIGN_NAMES
from .claims import GTSRB_IMAGES, HERE, KITTI_IMAGES, LANES, SCENES, SIGNS, TUSIMPLE_CLIPS, rounds_to

__all__ = []

PARTS = (
    "python -c 'from mtl_course.models import MultiTaskModel as M; "
    'print(M("resnet50", detection_neck="c5", lane_skips=False))\''
)
MB = 1e6
MiB = 2**20
CLAIMED_SUM = 23.5 + 1.2 + 0.85 + 2.0  # millions, the components as the report states them


class Network(NamedTuple):
    "The described network, and its numbers of parameters."

    model: torch.nn.Module
    total: int
    trunk: int
    heads: dict  # task -> parameters
    baseline: int  # of three networks, one per task


def _count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def count_network() -> Network:
    """The network as the report lists its layers, and three single ones.

    PyTorch's meta device builds them without giving their tensors any memory.
    """
    same = dict(detection_neck="c5", lane_skips=False)
    with torch.device("meta"):
        model = MultiTaskModel("resnet50", **same)
        single = [MultiTaskModel("resnet50", tasks=(task,), **same) for task in TASKS]
    heads = {task: _count(head) for task, head in model.heads.items()}
    baseline = sum(_count(network) for network in single)
    return Network(model, _count(model), _count(model.backbone), heads, baseline)


def audit_data(audit):
    "Counts, splits and sizes on disk."
    _audit_splits(audit)
    _audit_counts(audit)
    _audit_images(audit)


def audit_parameters(audit):
    "Parameters, sizes on disk and shapes."
    network = count_network()
    _audit_components(audit, network)
    _audit_sums(audit, network)
    _audit_sizes(audit, network)
    _audit_shapes(audit, network.model)


def _audit_splits(audit):
    "Sizes of the splits, against each other and the published sets."
    audit.add(
        "data",
        "gtsrb_split",
        "39,209 training + 3,921 validation signs, split 90/10",
        "one tenth of the published 39,209 is held out",
        HERE,
        (
            f"3,921 is {3_921 / GTSRB_IMAGES:.1%} of 39,209 and {3_921 / SIGNS:.2%} of the sum: the held-out "
            f"images are counted twice, {GTSRB_IMAGES - 3_921:,} are left to train on"
        ),
        consistent=rounds_to(3_921 / SIGNS, 0.10, 0.01),
    )
    audit.add(
        "data",
        "kitti_split",
        "5,984 + 1,497 road scenes, split 80/20",
        "all labelled images of KITTI, one fifth held out",
        HERE,
        f"sum {SCENES:,}, published {KITTI_IMAGES:,}; {5_984 / SCENES:.1%} to train",
        holds=SCENES == KITTI_IMAGES and rounds_to(5_984 / SCENES, 0.80, 0.01),
    )
    audit.add(
        "data",
        "tusimple_size",
        "400 + 100 lane images",
        "TuSimple's labelled frames",
        HERE,
        f"{LANES} frames against {TUSIMPLE_CLIPS:,} published training clips: {LANES / TUSIMPLE_CLIPS:.0%}",
        holds=LANES == TUSIMPLE_CLIPS,
    )
    audit.add(
        "data",
        "tusimple_split",
        "lane images split 80/20",
        "400 of 500 to train",
        HERE,
        f"{400 / LANES:.0%} to train",
        holds=rounds_to(400 / LANES, 0.80, 0.01),
    )
    audit.add(
        "data",
        "classes",
        "43 sign classes, 7 object classes",
        "the label sets of GTSRB and of KITTI without Person_sitting",
        HERE,
        f"{len(SIGN_NAMES)} and {len(DETECTION_CLASSES)}",
        holds=(len(SIGN_NAMES), len(DETECTION_CLASSES)) == (43, 7),
    )


def _audit_counts(audit):
    "Annotations, images and shares."
    audit.add(
        "data",
        "kitti_boxes",
        "41,705 bounding boxes",
        "lines of all label files that belong to the seven classes",
        "mtl_data check FOLDER",
        f"{41_705 / KITTI_IMAGES:.2f} per image would be needed",
        without="KITTI's 7,481 label files",
    )
    parts = 41_705 + SIGNS + LANES
    audit.add(
        "data",
        "annotations",
        "51,865+ annotations: objects + lanes + classifications",
        "the sum of the three",
        HERE,
        (
            f"41,705 boxes + {SIGNS:,} signs + {LANES} lane masks = {parts:,}; without the boxes 51,865 leaves "
            f"{51_865 - 41_705:,}, fewer than the signs alone"
        ),
        consistent=rounds_to(parts, 51_865, 1_000),
    )
    listed, distinct = SIGNS + SCENES + LANES, GTSRB_IMAGES + SCENES + LANES
    audit.add(
        "data",
        "images",
        "~50,000 images",
        "the sum of the three sets, to the nearest ten thousand",
        HERE,
        f"{listed:,} as listed, {distinct:,} with the validation signs counted once",
        holds=rounds_to(distinct, 50_000, 10_000),
    )
    audit.add(
        "data",
        "shares",
        "GTSRB 78 %, KITTI 12 %, TuSimple 0.8 %",
        "shares of all images: they sum to 100 %",
        HERE,
        (
            f"they sum to {78 + 12 + 0.8:.1f} %: training images ({GTSRB_IMAGES / 500:.1f}, {5_984 / 500:.1f}, "
            f"{400 / 500:.1f} %) over 50,000; of all images {GTSRB_IMAGES / distinct:.0%}, "
            f"{SCENES / distinct:.0%}, {LANES / distinct:.1%}"
        ),
        consistent=rounds_to(78 + 12 + 0.8, 100, 1),
    )


def _audit_images(audit):
    "Sizes on disk and in pixels."
    bytes_per_frame = 11e6 / LANES
    audit.add(
        "data",
        "disk",
        "12.9 GB: 12 GB + 907 MB + 11 MB",
        "the sum of the three folders",
        HERE,
        f"{12 + 0.907 + 0.011:.2f} GB",
        holds=rounds_to(12 + 0.907 + 0.011, 12.9, 0.1),
    )
    audit.add(
        "data",
        "synthetic",
        "lane images: TuSimple, 1280×720, synthetic",
        "either filmed (the benchmark) or drawn",
        "mtl_data check FOLDER",
        (
            f"11 MB over {LANES} frames: {bytes_per_frame / 1e3:.0f} kB or "
            f"{8 * bytes_per_frame / (1280 * 720):.2f} bit per pixel each"
        ),
        without="the report's own frames",
    )
    audit.add(
        "data",
        "kitti_size",
        "road scenes 1242×375",
        "the size of every image",
        "mtl_data check FOLDER",
        "the sizes of the images in the slice are printed below",
        without="all of KITTI's images",
    )


def _audit_components(audit, network):
    "Each component of the network."
    total = network.total
    heads = network.heads
    trunk = network.trunk
    audit.add(
        "parameters",
        "total",
        "70.2 M parameters in total",
        "all weights of the described network",
        PARTS,
        f"{total / 1e6:.2f} M",
        holds=rounds_to(total / 1e6, 70.2, 0.1),
    )
    audit.add(
        "parameters",
        "trunk",
        "ResNet-50 trunk: 23.5 M",
        "without its ImageNet classifier",
        PARTS,
        f"{trunk / 1e6:.2f} M",
        holds=rounds_to(trunk / 1e6, 23.5, 0.1),
    )
    fc = 512 * 7 * 7 * 1024  # the layers that the report itself lists
    audit.add(
        "parameters",
        "detection_head",
        "detection head: 1.2 M",
        "RPN and box head together",
        PARTS,
        f"{heads['detection'] / 1e6:.1f} M; the listed layer 512·7·7 → 1024 alone has {fc / 1e6:.1f} M",
        rounds_to(heads["detection"] / 1e6, 1.2, 0.1),
        fc / 1e6 < 1.25,
    )
    reduce = 2048 * 512  # a 1×1 convolution, the smallest that does it
    audit.add(
        "parameters",
        "lane_head",
        "lane head: 850 K",
        "U-Net style decoder",
        PARTS,
        f"{heads['lane'] / 1e6:.2f} M; the listed step 2048 → 512 has at least {reduce / 1e6:.2f} M",
        rounds_to(heads["lane"] / 1e6, 0.85, 0.01),
        reduce / 1e6 < 0.855,
    )
    layers = 2048 * 1024 + 1024 * 512 + 512 * 43
    audit.add(
        "parameters",
        "classification_head",
        "classification head: 2.0 M",
        "three linear layers",
        PARTS,
        f"{heads['classification'] / 1e6:.2f} M; the listed layers' weights have {layers / 1e6:.2f} M",
        rounds_to(heads["classification"] / 1e6, 2.0, 0.1),
        layers / 1e6 < 2.05,
    )


def _audit_sums(audit, network):
    "What the report's own table adds up to."
    total = network.total
    heads = network.heads
    trunk = network.trunk
    audit.add(
        "parameters",
        "sum",
        "23.5 M + 1.2 M + 850 K + 2.0 M = 70.2 M",
        "the parts of the table sum to its total",
        HERE,
        f"they sum to {CLAIMED_SUM:.2f} M; the real parts to {total / 1e6:.2f} M",
        consistent=rounds_to(CLAIMED_SUM, 70.2, 0.2),
    )
    percent = [33.5, 1.7, 1.2, 2.8]
    audit.add(
        "parameters",
        "percent",
        "33.5 + 1.7 + 1.2 + 2.8 % = 100 %",
        "the parts' shares of the total",
        HERE,
        f"they sum to {sum(percent):.1f} %; real shares: trunk {trunk / total:.1%}, "
        + ", ".join(f"{t} {n / total:.1%}" for t, n in heads.items()),
        consistent=rounds_to(sum(percent), 100, 0.4),
    )
    audit.add(
        "parameters",
        "size",
        "model size 106 MB (90 + 5 + 3 + 8)",
        "70.2 M parameters of four bytes",
        HERE,
        (
            f"{CLAIMED_SUM:.2f} M × 4 bytes = {CLAIMED_SUM * 4e6 / MiB:.0f} MiB is the sum of the wrong parts; "
            f"70.2 M × 4 bytes = {70.2e6 * 4 / MB:.0f} MB ({70.2e6 * 4 / MiB:.0f} MiB)"
        ),
        consistent=rounds_to(70.2 * 4, 106, 10) or rounds_to(70.2e6 * 4 / MiB, 106, 10),
    )


def _audit_sizes(audit, network):
    "The checkpoint, and the saving against three networks."
    total = network.total
    trunk = network.trunk
    baseline = network.baseline
    checkpoint = {
        "weights": 4 * total,
        "weights and Adam's two moments": 12 * total,
        "weights and the trunk's moments": 4 * total + 8 * trunk,
        "three single networks": 4 * baseline,
    }

    audit.add(
        "parameters",
        "checkpoint",
        "checkpoint 468 MB",
        "the weights alone, as the example loads them",
        HERE,
        "; ".join(f"{k} {v / MB:.0f} MB" for k, v in checkpoint.items()),
        consistent=any(rounds_to(checkpoint["weights"] / u, 468, 10) for u in (MB, MiB)),
    )
    saving = 1 - total / baseline
    audit.add(
        "parameters",
        "baseline",
        "95M+ for three separate models",
        "three networks with the same heads, within 5 %",
        HERE,
        f'{baseline / 1e6:.1f} M: 3 × {trunk / 1e6:.1f} M and the heads; "95M+" is true as a lower bound only',
        holds=abs(baseline / 95e6 - 1) < 0.05,
    )
    audit.add(
        "parameters",
        "saving",
        "26 % fewer parameters",
        "1 − 70.2 / 95",
        HERE,
        f"{1 - 70.2 / 95:.1%} of 95 M as computed; against three real networks {saving:.1%}: the claim is too modest",
        holds=rounds_to(100 * saving, 26, 1),
    )
    audit.add(
        "parameters",
        "baseline_size",
        "360 MB+ for three separate models",
        "95 M parameters of four bytes; real networks within 5 %",
        HERE,
        f"95 M × 4 bytes = {95e6 * 4 / MiB:.0f} MiB; three real networks {4 * baseline / MiB:.0f} MiB",
        holds=abs(4 * baseline / MiB / 360 - 1) < 0.05,
    )
    audit.add(
        "parameters",
        "size_saving",
        "71 % smaller",
        "1 − 106 / 360; with four bytes per parameter it must equal the saving in parameters",
        HERE,
        f"1 − 106/360 = {1 - 106 / 360:.1%}, but parameters fall by 26 %; measured, both fall by {saving:.1%}",
        consistent=rounds_to(71, 26, 2),
    )


def _shape(parameters, ending) -> tuple:
    "The shape of the parameter whose name ends so."
    return tuple(next(p for name, p in parameters.items() if name.endswith(ending)).shape)


def _audit_shapes(audit, model):
    "Shapes that the report states."
    detector = dict(model.heads["detection"].named_parameters())
    lane = dict(model.heads["lane"].named_parameters())
    c5 = model.backbone(torch.empty(1, 3, 384, 640, device="meta"), "lane")["c5"].shape
    audit.add(
        "parameters",
        "trunk_output",
        "trunk output (B, 2048, H/32, W/32)",
        "shape of the last feature map",
        PARTS,
        f"{tuple(c5)} for 384×640",
        holds=tuple(c5) == (1, 2048, 384 // 32, 640 // 32),
    )
    anchors, classes = _shape(detector, "cls_logits.weight")[0], _shape(detector, "cls_score.weight")[0]
    audit.add(
        "parameters",
        "anchors",
        "9 anchors per location, 8-class detector",
        "three scales × three shapes; seven classes and background",
        PARTS,
        f"{anchors} anchors, {classes} classes",
        holds=(anchors, classes) == (9, 8),
    )
    blocks = len({n.split(".")[1] for n in lane if n.startswith("blocks.")})
    last = _shape(lane, "classifier.weight")[:2]
    audit.add(
        "parameters",
        "lane_blocks",
        "lane decoder: 5 blocks, then 16 → 2",
        "32-fold upsampling",
        PARTS,
        f"{blocks} blocks, {last[1]} → {last[0]}, 2⁵ = {2**blocks}",
        holds=(blocks, *last) == (5, 2, 16),
    )
