"""How many workers a CUDA device has the memory for, by an estimate of what a cell takes at most."""

import json
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from headbench.backbones import BACKBONES
from headbench.core.errors import note
from headbench.core.streams import undisturbed
from headbench.data.loading.resident import TOGETHER, Resident
from headbench.heads import HEADS
from headbench.runners.execution.plan import Outlines, Planned
from headbench.runners.grid.cells import Cell
from headbench.runners.training.hardware import Hardware
from headbench.runners.training.parts import Outline
from headbench.runners.training.stages import stage_plan

GIB = 2**30
# Of a process without any data: its CUDA context, the libraries' work spaces, blocks that torch keeps free.
CONTEXT = GIB
# Copies of the weights: themselves, gradients, two of an optimiser, one that is written or averaged.
COPIES = 5
# Tensors of images in float32, as many as are augmented together, that exist at once: for the first view, with a policy
# and without one, and for each other view. An NVIDIA H200 took 10.9 for one view with AutoAugment, 13.7 for three.
SHOWN, SHOWN_PLAINLY, SHOWN_MORE = 12, 4, 2


def fitting(workers: int, each: int, cells: Sequence[Planned], outlines: Outlines, machine: Hardware) -> int:
    """Return how many of the workers have room on their devices, at least one; a line says so where it is not all.

    One process per device is not asked: it has the device to itself.

    Args:
        workers: as asked for; their processes are dealt to the devices in turn.
        each: processes that each of them has.
        cells: that they train, of which the largest counts.
        outlines: of the cells' data.
        machine: of this process.
    """
    devices = torch.cuda.device_count() if machine.device.type == "cuda" else workers * each
    if workers * each <= devices:
        return workers
    kinds = {planned.cell.kind: planned.cell for planned in cells}
    needs = [(estimate(cell, outlines.of(cell), bf16=machine.bf16), cell) for cell in kinds.values()]
    need, cell = max(needs, key=lambda pair: pair[0])
    free = [torch.cuda.mem_get_info(device)[0] for device in range(devices)]
    # The first process without room on a device has this number.
    room, least = min((memory // need * devices + device, device) for device, memory in enumerate(free))
    if room >= workers * each:
        return workers
    started = max(room // each, 1)
    note(
        f"--workers {workers}: {started} of them {'is' if started == 1 else 'are'} started, since a process may take "
        f"{need / GIB:.1f} GiB ({cell.head_label} with {cell.backbone_label} on {cell.dataset_label}, batches of "
        f"{cell.recipe.batch_size}) and cuda:{least} has {free[least] / GIB:.1f} GiB free"
    )
    return started


def estimate(cell: Cell, outline: Outline, *, bf16: bool) -> int:
    """Return the bytes that a process may take on its device at most while it trains a cell.

    They are those of its data, of the weights with their gradients and the optimiser's, of what a step keeps for its
    backward pass, of the images that are augmented together, of the features and scores that an evaluation holds, and
    of CUDA itself; what a head holds beyond a matrix of weights is not known before it is built.
    """
    channels, height, width = outline.image_shape
    image, classes = channels * height * width, len(outline.class_names)
    images = outline.n_train + outline.n_val + outline.n_test
    plan = stage_plan(cell, HEADS.get(cell.head).target, outline.n_train)
    batch = max(recipe.batch_size for _, recipe in plan)
    at_once = max(recipe.batch_size // recipe.accumulate for _, recipe in plan)
    copies = COPIES + any(recipe.ema for _, recipe in plan)
    views = max(len(stage.views) for stage, _ in plan)
    frozen = cell.freeze == "backbone"
    weights, kept, features = network(cell.backbone, json.dumps(cell.backbone_options), outline.image_shape, frozen)
    resident = outline.kind is Resident
    data = images * image if resident else 0
    known = images * features * 4 if frozen else 0
    first = SHOWN if cell.recipe.policy else SHOWN_PLAINLY
    shown = (first + SHOWN_MORE * (views - 1)) * (max(TOGETHER, batch) if resident else batch) * image * 4
    weights += cell.feature_dim * (features + classes)
    evaluated = 4 * (outline.n_train * cell.feature_dim + 2 * max(outline.n_val, outline.n_test) * classes)
    return (
        CONTEXT + data + known + copies * 4 * weights + at_once * views * kept // (2 if bf16 else 1) + shown + evaluated
    )


@cache
def network(name: str, options: str, image_shape: tuple[int, int, int], frozen: bool) -> tuple[int, int, int]:
    """Return the weights of a backbone, the bytes that its forward pass in float32 keeps of an image for the backward
    pass, and its features; by a pass of two images on the CPU.
    """
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with undisturbed():
        backbone = BACKBONES.get(name).target(image_shape, **json.loads(options)).requires_grad_(not frozen)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            backbone(torch.randn(2, *image_shape))
    own = {weight.untyped_storage().data_ptr() for weight in backbone.parameters()}
    size = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)
    return sum(weight.numel() for weight in backbone.parameters()), size // 2, backbone.num_features
