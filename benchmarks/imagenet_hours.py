"""What the grids of ImageNet and iNaturalist cost: ``python benchmarks/imagenet_hours.py`` prints a table.

The arithmetic of each network is counted without data and without a GPU; the seconds that it takes are an estimate: the
images/s that timm has measured on one card, scaled by what limits such networks on cards, the memory's speed.
"""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from headbench.backbones import BACKBONES
from headbench.heads import HEADS
from headbench.runners.grid import config
from headbench.runners.grid.cells import Cell
from headbench.runners.training.stages import stage_plan

SHAPE = (3, 224, 224)
COUNTED = 2
# Forward passes that a training step costs: the backward pass is two. Torch counts too many for grouped convolutions.
STEP = 3
# Training steps of timm in mixed precision and channels-last, in images/s on an RTX 3090: results/
# benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv of its repository.
MEASURED = {"resnet50": 1218, "resnet101": 748, "resnext50_32x4d": 1001, "swin_tiny_patch4_window7_224": 649}


@dataclass(frozen=True)
class Card:
    """A GPU by its data sheet: dense FLOP/s in bfloat16, and bytes/s of its memory."""

    flops: float
    memory: float


MEASURED_ON = Card(71e12, 0.936e12)
CARDS = {"A100": Card(312e12, 2.04e12), "H100": Card(989e12, 3.35e12)}


@dataclass(frozen=True)
class Sizes:
    """Images of a data set, as its grid divides it."""

    train: int
    val: int
    test: int


# Of ImageNet-1K a tenth is held out.
SIZES = {
    "imagenet-d512": Sizes(1_153_050, 128_117, 50_000),
    "imagenet-lt": Sizes(115_846, 20_000, 50_000),
    "inaturalist2018": Sizes(437_513, 0, 24_426),
}


def forward_flops(cell: Cell) -> float:
    """Return the floating-point operations of an image's forward pass through the backbone."""
    with torch.device("meta"):
        backbone = BACKBONES.get(cell.backbone).target(SHAPE, **cell.backbone_options)
        with FlopCounterMode(display=False) as counter:
            backbone(torch.empty(COUNTED, *SHAPE))
    flops: float = counter.get_total_flops() / COUNTED
    return flops


def cell_flops(cell: Cell, sizes: Sizes, forward: float) -> float:
    """Return those of a cell: its stages, the evaluation after each epoch of the last one, and the final features.

    What a head adds is below 1 %.
    """
    total, stages = 0.0, stage_plan(cell, HEADS.get(cell.head).target, sizes.train)
    for stage, _ in stages:
        learns = any(prefix.startswith("backbone") for prefix in stage.trainable)
        total += stage.epochs * sizes.train * len(stage.views) * (STEP if learns else 1) * forward
    evaluated = stages[-1][0].epochs * (sizes.val + sizes.test) + sizes.train
    return total + evaluated * forward


def main() -> None:
    """Print the table."""
    print("| grid | network | cells | GFLOP an image | EFLOP in all |", *(f"{card}: % | hours |" for card in CARDS))
    print("|---|---|---|---|---|" + "---|---|" * len(CARDS))
    for name, sizes in SIZES.items():
        found: dict[str, list[Cell]] = {}
        for cell in config.expand(config.parse_grid(*config.read_grid(name)), "bf16"):
            found.setdefault(cell.backbone_options["model"], []).append(cell)
        for model, cells in found.items():
            forward = forward_flops(cells[0])
            flops, speed = sum(cell_flops(cell, sizes, forward) for cell in cells), MEASURED[model] * STEP * forward
            line = f"| `{name}` | {model} | {len(cells)} | {STEP * forward / 1e9:.1f} | {flops / 1e18:,.0f} |"
            for card in CARDS.values():
                reached = speed * card.memory / MEASURED_ON.memory
                line += f" {reached / card.flops:.0%} | {flops / reached / 3600:,.0f} |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
