"""What detection heads have in common; torchvision's two stages of Faster R-CNN with the papers'
numbers.
"""

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers

from .roi_pooling import RoIPool

__all__ = []


class Detector(nn.Module):
    "A detection head: whatever its `losses` are, training descends their sum."

    def loss(self, output: dict, targets: list[dict]) -> Tensor:
        "The sum of `losses`. A target: boxes (N, 4), labels (N,) 1…, sometimes ignore (M, 4)."
        return sum(self.losses(output, targets).values())


def make_rpn(
    anchors: AnchorGenerator,  # nine per place
    channels: int,  # of the maps
    samples: int,  # anchors per image in the loss
    proposals: int,  # per image, after non-maximum suppression
    train_proposals: int,  # the same in training
) -> RegionProposalNetwork:
    """The first stage (Ren et al. 2015, section 3): IoU 0.7 and 0.3, NMS at 0.7.

    Twice as many of the best anchors of each level enter non-maximum suppression as come out.
    """
    return RegionProposalNetwork(
        anchors,
        RPNHead(channels, 9),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=samples,
        positive_fraction=0.5,
        pre_nms_top_n=dict(training=2 * train_proposals, testing=2 * proposals),
        post_nms_top_n=dict(training=train_proposals, testing=proposals),
        nms_thresh=0.7,
    )


def propose(
    rpn: RegionProposalNetwork,
    maps: dict[str, Tensor],  # level -> (B, C, h, w)
    image_size: tuple[int, int],  # (H, W)
) -> dict:
    """What the first stage says: "anchors" (per image (A, 4)), "objectness" (B, A), "rpn_deltas"
    (B, A, 4) and, after non-maximum suppression, "proposals" (per image (P, 4)).

    With them go "features" (the maps in float32) and "image_size", which the second stage reads.
    """
    levels = list(maps.values())
    objectness, deltas = rpn.head(levels)
    anchors_per_level = [o[0].numel() for o in objectness]
    batch = len(levels[0])
    sizes = [image_size] * batch
    blank = ImageList(levels[0].new_zeros(batch, 3, *image_size), sizes)  # only its size is read
    anchors = rpn.anchor_generator(blank, levels)
    objectness, deltas = concat_box_prediction_layers(objectness, deltas)
    objectness = objectness.float()  # float32 before boxes are computed
    deltas = deltas.float()
    boxes = rpn.box_coder.decode(deltas.detach(), anchors).view(batch, -1, 4)
    proposals, _ = rpn.filter_proposals(boxes, objectness, sizes, anchors_per_level)
    return dict(
        anchors=anchors,
        objectness=objectness.view(batch, -1),
        rpn_deltas=deltas.view(batch, -1, 4),
        proposals=proposals,
        features={name: m.float() for name, m in maps.items()},
        image_size=image_size,
    )


def make_roi_heads(
    levels: list[str],  # maps that regions are cut from
    channels: int,  # of the maps
    num_classes: int,  # without background
    anchor_scale: float,  # in strides; a box of 56 times this size (root of its area, pixels) is cut from c4
    samples: int,  # proposals per image in the loss
    objects: float,  # largest share of objects among them
    shared_box: bool,  # one correction of a box for all classes, as in Dai et al. 2016 (R-FCN)
) -> RoIHeads:
    """The second stage (Girshick 2015, section 2.3): 7×7 cells of 2×2 points, IoU 0.5.

    The level of a box: Lin et al. 2017, equation 1, whose 224 pixels belong to a scale of 4.
    """
    layers = TwoMLPHead(channels * 49, 1024)
    predictor = FastRCNNPredictor(1024, num_classes + 1)
    if shared_box:
        predictor.bbox_pred = nn.Linear(1024, 4)
    return RoIHeads(
        RoIPool(levels, output_size=7, sampling_ratio=2, canonical_scale=int(56 * anchor_scale)),
        layers,
        predictor,
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=samples,
        positive_fraction=objects,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=100,
    )


def box_head(
    roi: RoIHeads,
    output: dict,  # of `propose`: "features" and "image_size" are read
    boxes: list[Tensor],  # per image (P, 4)
) -> dict:
    """ "class_logits" (ΣP, classes + 1) and "box_deltas" (ΣP, 4·(classes + 1)) of some boxes.

    A correction that all classes share is repeated for each.
    """
    sizes = [output["image_size"]] * len(boxes)
    x = roi.box_roi_pool(output["features"], boxes, sizes)  # (ΣP, C, 7, 7)
    logits, deltas = roi.box_predictor(roi.box_head(x))
    if deltas.shape[1] == 4:
        deltas = deltas.repeat(1, logits.shape[1])
    return dict(class_logits=logits.float(), box_deltas=deltas.float())


def detections(
    roi: RoIHeads,
    output: dict,  # "proposals", "image_size", "class_logits" and "box_deltas" are read
    score_threshold: float,  # boxes of a lower score are left out
    nms_iou: float,  # of two boxes of a class that overlap by more, the one of the lower score is left out
) -> list[dict]:
    'Per image {"boxes" (N, 4) pixels, "labels" (N,) 1…, "scores" (N,)}, best first.'
    roi.score_thresh = score_threshold
    roi.nms_thresh = nms_iou
    sizes = [output["image_size"]] * len(output["proposals"])
    answers = (output["class_logits"], output["box_deltas"])
    columns = roi.postprocess_detections(*answers, output["proposals"], sizes)
    return [dict(boxes=boxes, labels=labels, scores=scores) for boxes, scores, labels in zip(*columns)]
