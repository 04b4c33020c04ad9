"""What a cell of CIFAR-100 computes by network and recipe: ``python benchmarks/recipe_cost.py`` prints a table.

Counted in one step of each size of images, for ``psc`` at d = 50 and 45,000 training images; no data are needed.
"""

from typing import Any

import torch

from headbench.core.batch import DataInfo
from headbench.data.loading.resident import Resident
from headbench.heads import HEADS
from headbench.runners.grid import config
from headbench.runners.training import compute
from headbench.runners.training.classifier import build
from headbench.runners.training.stages import side, stage_plan

IMAGES, SHAPE, CLASSES, DIM = 45_000, (3, 32, 32), 100, 50
NARROW = {"name": "whitened_convnet", "widths": [32, 96, 128]}
COUNTED: tuple[tuple[Any, Any], ...] = (
    (NARROW, "fast2"),
    (NARROW | {"stem": False}, "fast2"),
    (NARROW | {"pool": "after"}, "fast2"),
    (NARROW, {"base": "fast2", "optimiser": "sgd"}),
    (NARROW, {"base": "fast2", "small": None}),
    (NARROW, {"base": "fast2", "small": None, "epochs": 10}),
    (NARROW, "fast-narrow2"),
    ({"name": "fast_convnet", "widths": [32, 96, 128]}, "fast2"),
    ("whitened_convnet", "fast2"),
    ("fast_convnet", "fast"),
    ({"name": "fast_convnet", "widths": [16, 32, 128]}, "fast"),
)


def counted(backbone: Any, recipe: Any) -> tuple[str, str, float, float]:
    """Return the labels of a network and a recipe, the FLOPs of a cell, and those by an image that it shows."""
    axes = {"dataset": ["cifar100"], "backbone": [backbone], "head": ["psc"], "feature_dim": [DIM]}
    (cell,) = config.expand(config.parse_grid({"name": "cost", "recipe": recipe, "axes": axes}, "cost"), "fp32")
    names = tuple(map(str, range(CLASSES)))
    info = DataInfo(
        CLASSES, torch.full((CLASSES,), IMAGES // CLASSES), names, IMAGES, SHAPE, torch.Generator(), IMAGES // 9
    )
    batch = cell.recipe.batch_size
    images, positions = torch.zeros(batch, *SHAPE, dtype=torch.uint8), torch.zeros(batch, dtype=torch.int64)
    part = Resident(images, positions, positions, torch.zeros(SHAPE[0]), torch.ones(SHAPE[0]))
    each, epochs = IMAGES - IMAGES % batch, cell.recipe.epochs
    sides = [side(cell.recipe, epoch, epochs, SHAPE) for epoch in range(epochs)]
    history = [{"images": each} | ({} if pixels is None else {"side": pixels}) for pixels in sides]
    plan = stage_plan(cell, HEADS.get("psc").target, IMAGES)
    flops = compute.measure(build(cell, info, bf16=False), part, plan, history)["train_flops"]
    return cell.backbone_label, cell.recipe_label, flops, flops / (each * epochs)


def main() -> None:
    """Print the table."""
    print("| network | recipe | TFLOP | GFLOP an image |\n|---|---|---|---|")
    for backbone, recipe in COUNTED:
        network, name, whole, single = counted(backbone, recipe)
        print(f"| `{network}` | `{name}` | {whole / 1e12:.1f} | {single / 1e9:.3f} |", flush=True)


if __name__ == "__main__":
    main()
