"""The loop of a textbook: a DataLoader of PIL images, float32, and a look at loss and accuracy in every step."""

import io
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from headbench.core.batch import Targets
from headbench.data import ImageSet
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.views import FILE_VIEWS
from headbench.heads import Context
from headbench.runners.execution import stops
from headbench.runners.inspection.speed import loops
from headbench.runners.inspection.speed.timing import Action, Watch
from headbench.runners.training.train import Training

WORKERS = 2
# Batches that the workers have at hand: torch's default, two each.
AHEAD = 2 * WORKERS
TOP = 5

Sample = tuple[Tensor, int, int]


class Pictures(Dataset[Sample]):
    """Images as torchvision's data sets give them: one by one, from PIL, transformed.

    Args:
        images: N of them.
        transforms: of each view.
        count: of the samples; the images come again and again.
    """

    def __init__(self, images: ImageSet, transforms: list[Callable[[Image.Image], Tensor]], count: int) -> None:
        self.pixels = images.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels, self.transforms, self.count = images.labels.tolist(), transforms, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> Sample:
        """Return the views (V, channels, H, W) of an image, its label and its place among the images."""
        place %= len(self.labels)
        image = Image.fromarray(self.pixels[place])
        return torch.stack([transform(image) for transform in self.transforms]), self.labels[place], place


def textbook(training: Training, images: ImageSet) -> Action:
    """Return what takes as many steps as an epoch, on as many images.

    Its memory layout is torch's default one. The workers are under way when the clock starts, and make one batch for
    each step that is timed; then they are left nothing to do, so that they take no time of other loops.
    """
    (stage, recipe), part = training.plan[0], training.parts.train
    steps, batch_size, device = loops.steps_of(training), recipe.batch_size, part.labels.device
    size, augmentation = part.image_shape[-1], recipe.augmentation()
    transforms = [_transform(view, part.statistics, augmentation, size) for view in stage.views]
    pictures = Pictures(images, transforms, (1 + steps + AHEAD) * batch_size)
    loader = DataLoader(
        pictures,
        batch_size,
        shuffle=True,
        num_workers=WORKERS,
        pin_memory=device.type == "cuda",
        persistent_workers=True,
        worker_init_fn=_stay,
    )
    step = _step(training, device)

    def run() -> dict[str, float]:
        """Take the steps, after one that starts the workers and does not count; return their seconds."""
        context, shown = loops.context_of(training), iter(loader)
        step(next(shown), context)
        watch = Watch(device)
        for _ in range(steps):
            step(next(shown), context)
        watch.lap("textbook")
        for _ in shown:
            pass
        return watch.spent

    return run


def _stay(worker: int) -> None:
    """Leave signals to the main process, which ends its workers, and complain of nothing: its own errors reach it."""
    stops.ignore((signal.SIGINT, *stops.SIGNALS))
    sys.stderr = io.StringIO()


def _transform(
    view: str, statistics: tuple[tuple[float, ...], tuple[float, ...]], augmentation: Augmentation, size: int
) -> Callable[[Image.Image], Tensor]:
    """Return torchvision's transform of a view."""
    from torchvision import transforms as tv

    if view != "weak":
        return FILE_VIEWS.get(view).target(augmentation, size, statistics)
    made: Callable[[Image.Image], Tensor] = tv.Compose(
        [
            tv.RandomCrop(size, padding=augmentation.pad),
            tv.RandomHorizontalFlip(),
            tv.ToTensor(),
            tv.Normalize(*statistics),
        ]
    )
    return made


def _step(training: Training, device: torch.device) -> Callable[[Any, Context], None]:
    """Return what takes a step on a batch, with a copy of the classifier in torch's default memory layout."""
    classifier, optimiser = loops.copied(training)
    classifier = classifier.to(memory_format=torch.contiguous_format)
    head, seen = classifier.head, {"loss": 0.0, "right": 0.0, "top": 0.0}

    def step(batch: list[Tensor], context: Context) -> None:
        """Train on images (B, V, channels, H, W), labels (B,) and their places (B,), and count the hits."""
        images, labels, places = (each.to(device) for each in batch)
        targets = Targets.plain(labels, places)
        features = classifier.projection(classifier.backbone(images.transpose(0, 1).flatten(0, 1)).float())
        features = features.reshape(images.shape[1], len(labels), -1)
        with torch.no_grad():
            head.observe(features.detach(), targets, context)
        loss = head.loss(features, targets, context)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        head.after_step()
        seen["loss"] += loss.item()
        with torch.no_grad():
            hits = head.logits(features[0].detach()).topk(TOP).indices == labels[:, None]
        seen["right"] += hits[:, 0].sum().item()
        seen["top"] += hits.sum().item()

    return step
