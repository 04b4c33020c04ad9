"""What memory a step of ``proco`` takes: ``python benchmarks/proco_memory.py`` prints a line.

Its ``observe``, ``loss`` and the backward pass through both, at the size of iNaturalist 2018: 8,142 classes, 256 images
in three views, features of 2,048, a projector of 2,048 and 1,024. The peak is the process's own, which has nothing else
to do; what it held before the head was built is given beside it.
"""

import resource

import torch

from headbench.core.batch import DataInfo, Targets
from headbench.core.streams import generator
from headbench.heads import HEADS, Context

CLASSES, BATCH, WIDTH = 8142, 256, 2048


def peak() -> float:
    """Return the most memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Take two steps and print the peak."""
    counts = torch.full((CLASSES,), 54)
    info = DataInfo(
        CLASSES, counts, tuple(map(str, range(CLASSES))), int(counts.sum()), (3, 224, 224), generator(0, "memory")
    )
    context, target = Context("train", 0, 1, 0), HEADS.get("proco").target
    before = peak()
    head = target(info, WIDTH, hidden=2048, projection_dim=1024, normed=True, temperature=0.07)
    features = torch.randn(3, BATCH, WIDTH).requires_grad_()
    targets = Targets.plain(torch.randint(0, CLASSES, (BATCH,)))
    for _ in range(2):
        head.on_epoch_start(context)
        with torch.no_grad():
            head.observe(features.detach(), targets, context)
        torch.autograd.backward(head.loss(features, targets, context))
        head.on_epoch_end(context)
    state = sum(value.nbytes for value in head.state_dict().values()) / 1e9
    print(f"peak {peak():.2f} GB, of which {before:.2f} GB before the head; parameters and statistics {state:.2f} GB")


if __name__ == "__main__":
    main()
