"""Run by test_training_processes and test_sharing under torchrun: writes one step's gradients."""

import sys, torch
from mtl_course.config import make_config
from mtl_course.core.seeds import seed_everything
from mtl_course.data.loaders import create_dataloaders
from mtl_course.losses import make_balancer
from mtl_course.models import model_from_config
from mtl_course.training.distributed import start_fabric
from mtl_course.training.steps import compute_gradients


def main(path, name, sharing="hard"):
    config = make_config(
        "smoke", precision="32-true", device="cpu", classification_batch_size=4, cache_images=False, sharing=sharing
    )
    fabric = start_fabric(config)
    loader, _ = create_dataloaders(config, rank=fabric.global_rank, processes=fabric.world_size)
    seed_everything(0)
    model = model_from_config(
        config
    ).eval()  # BatchNorm by its running statistics: a batch's own would depend on how it is divided
    head = model.heads["detection"]
    head.rpn.fg_bg_sampler.batch_size_per_image = head.roi.fg_bg_sampler.batch_size_per_image = (
        10**6
    )  # all samples: nothing is drawn at random
    step = compute_gradients(fabric, model, next(iter(loader)), make_balancer(name, config.tasks))
    if fabric.global_rank == 0:
        torch.save(
            dict(
                processes=fabric.world_size,
                gradients={n: p.grad for n, p in model.named_parameters()},
                losses=step.losses,
                weights=step.weights,
                gramian=step.gramian,
            ),
            path,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
