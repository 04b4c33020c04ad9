"""The classifier: backbone, projection and head in one module."""

import json
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from headbench.backbones import BACKBONES, Backbone
from headbench.core import arrays
from headbench.core.batch import Batch, DataInfo, Targets
from headbench.core.errors import DamagedError, UserError, suggest
from headbench.core.streams import derive, seed_global, undisturbed
from headbench.data.loading.augment import scaled_size
from headbench.heads import HEADS, Context, Head
from headbench.results import store
from headbench.runners.devices.group import Group
from headbench.runners.grid.asking import ask
from headbench.runners.grid.cells import Cell
from headbench.runners.grid.recipes import Small
from headbench.runners.grid.resolving import sha256_of
from headbench.runners.training.loop import contract

PARTS = ("backbone", "projection", "head")
# Of images for which a backbone is built to look at its layers.
NOMINAL_SHAPES = ((3, 224, 224), (3, 32, 32), (1, 8, 8))


class Classifier(nn.Module):
    """Images to loss or scores.

    The backbone runs under autocast where ``bf16`` is on; projection and head always compute in float32.

    Args:
        backbone: images (B, channels, H, W) to (B, num_features).
        projection: (B, num_features) to (B, d).
        head: the classifier head.
        bf16: autocast the backbone to bfloat16.
        compiled: compile the backbone where it trains.

    Attributes:
        fixed: names of the parameters that never learn, since they came without gradient.
    """

    def __init__(
        self, backbone: Backbone, projection: nn.Module, head: Head, *, bf16: bool = False, compiled: bool = False
    ) -> None:
        super().__init__()
        self.backbone, self.projection, self.head = backbone, projection, head
        self.bf16, self.compiled = bf16, compiled
        self.fixed = frozenset(name for name, parameter in self.named_parameters() if not parameter.requires_grad)

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W), or the backbone's features of them (B, num_features), to features (B, d),
        float32.
        """
        if images.dim() > 2:
            # Compiled for each size of batch, half a minute each: those of an evaluation are not worth it.
            learns = self.compiled and self.backbone.training and torch.is_grad_enabled()
            images = (_compiled() if learns else pooled)(self.backbone, images, bf16=self.bf16)
        features: Tensor = self.projection(images)
        return features

    def forward(self, batch: Batch, context: Context) -> Tensor:
        """Return the loss of a batch, a scalar; the head observes the features first."""
        return self.judged(self.embedded(batch.images), batch.targets, context)

    def embedded(self, images: Tensor) -> Tensor:
        """Map images (V, B, channels, H, W) to features (V, B, d)."""
        return self.features(images.flatten(0, 1)).reshape(*images.shape[:2], -1)

    def judged(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return the loss of features (V, B, d), which the head observes first."""
        with torch.no_grad():
            self.head.observe(features.detach(), targets, context)
        loss = self.head.loss(features, targets, context)
        contract.check_loss(self.head, loss)
        return loss

    def set_trainable(self, prefixes: Collection[str]) -> None:
        """Let the parameters below prefixes of names (``head``, ``head.scale``) learn, but the fixed ones, and freeze
        all others.

        A module whose parameters are all frozen is in eval mode; one without parameters goes with the module around it.
        """
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in self.fixed and any(_below(name, prefix) for prefix in prefixes))
        for part in PARTS:
            _set_mode(getattr(self, part), part in prefixes)

    def check_trainable(self, prefixes: Collection[str], place: str) -> None:
        """Raise UserError for a prefix that is neither a part nor that of a parameter."""
        names = [name for name, _ in self.named_parameters()]
        for prefix in prefixes:
            if prefix not in PARTS and not any(_below(name, prefix) for name in names):
                own = [name for name in names if _below(name, prefix.partition(".")[0])]
                raise UserError(f"{place}: trainable: unknown parameter '{prefix}'; {suggest(prefix, own or PARTS)}")


class InGroup(nn.Module):
    """A classifier, of each batch of which this process shows its portion to the backbone, and the head sees all.

    Args:
        classifier: the same in every process of the group.
        group: of the processes.
    """

    def __init__(self, classifier: Classifier, group: Group) -> None:
        super().__init__()
        self.classifier, self.group = classifier, group

    def forward(self, batch: Batch, context: Context) -> Tensor:
        """Return the loss of a batch, a scalar, from the images (V, k, ...) of this process's portion of it."""
        own = self.classifier.embedded(batch.images).transpose(0, 1)
        features = self.group.gathered(own, len(batch.targets.labels)).transpose(0, 1)
        return self.classifier.judged(features, batch.targets, context)


def _below(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


def _set_mode(module: nn.Module, training: bool) -> None:
    learns = [parameter.requires_grad for parameter in module.parameters()]
    module.train(any(learns) if learns else training)
    for child in module.children():
        _set_mode(child, module.training)


def pooled(backbone: nn.Module, images: Tensor, *, bf16: bool) -> Tensor:
    """Map images (B, channels, H, W) to a backbone's features (B, num_features), float32."""
    # Within a caller's own autocast torch would keep the weights of the first step, cast to bfloat16, for all others:
    # it forgets them at the end of the outermost one alone.
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
        found: Tensor = backbone(images.contiguous(memory_format=torch.channels_last))
    return found.float()


@cache
def _compiled() -> Callable[..., Tensor]:
    """Return :func:`pooled`, compiled for each network and size of batch that it is called with."""
    return torch.compile(pooled, dynamic=False)


def build_backbone(cell: Cell, image_shape: tuple[int, int, int]) -> Backbone:
    """Return a cell's backbone on the CPU, initialised from its own stream of the cell's seed; a frozen one is without
    gradient.

    Raises:
        UserError: if a file of its weights is not what it was when the cell was planned.
    """
    with undisturbed():
        seed_global(derive(cell.seed, "backbone"))
        kind = BACKBONES.get(cell.backbone).target
        backbone = kind(image_shape, **cell.backbone_options)
    # Behind the reading, so that a file that changes in between is noticed too.
    _check_files(kind.files(cell.backbone_options), cell.backbone_files)
    if cell.freeze == "backbone":
        backbone.requires_grad_(False)
    return backbone.to(memory_format=torch.channels_last)


def _check_files(files: Mapping[str, Path], planned: Mapping[str, str]) -> None:
    """Raise UserError where a file is not what a cell is known by; both by option."""
    for option, path in files.items():
        if option in planned and sha256_of(path) != planned[option]:
            raise UserError(f"{path} has changed since the run began; start it again")


def build(cell: Cell, info: DataInfo, *, bf16: bool, compiled: bool = False) -> Classifier:
    """Return a cell's classifier on the CPU, each part initialised from its own stream of the cell's seed.

    So for one seed every head gets the same backbone, and for one seed and d the same projection.

    Raises:
        UserError: if a file that backbone or head read is not what it was when the cell was planned.
    """
    backbone = build_backbone(cell, info.image_shape)
    with undisturbed():
        seed_global(derive(cell.seed, "projection"))
        projection = (
            nn.Linear(backbone.num_features, cell.feature_dim) if cell.projection == "linear" else nn.Identity()
        )
        seed_global(derive(cell.seed, "head"))
        kind = HEADS.get(cell.head).target
        head = kind(info, cell.feature_dim, **cell.head_options)
    _check_files(kind.files(cell.head_options), cell.head_files)
    classifier = Classifier(backbone, projection, head, bf16=bf16, compiled=compiled)
    return classifier.to(memory_format=torch.channels_last)


def check_head(head: Head, num_classes: int, features: Tensor) -> None:
    """Check what a training relies on, before it begins.

    Args:
        head: on its device.
        num_classes: C.
        features: (B, d), of any values, on the same device.

    Raises:
        UserError: for a parameter that neither trains nor is stored, and for scores, a scale or class vectors that
            are not what :class:`headbench.heads.Head` says.
    """
    contract.check_parameters(head)
    contract.check_scores(head, num_classes, features)
    contract.native_scale(head)
    contract.prototypes(head, num_classes)


def load_weights(classifier: Classifier, folder: Path) -> None:
    """Give a classifier the weights that were kept of its cell.

    Args:
        classifier: of the cell.
        folder: of the cell.

    Raises:
        DamagedError: if they are not what was written, or those of another classifier.
    """
    try:
        weights = store.read_file(folder, store.WEIGHTS)
        arrays.check_archive(weights)
        weights.seek(0)
        classifier.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever foreign contents lead to
        raise DamagedError(f"{folder / 'weights.pt'}: not the weights of its cell ({str(error)[:200]})") from None


def unsupported(cell: Cell, info: DataInfo) -> str | None:
    """Return why a cell does not apply, or None where it does.

    Raises:
        UserError: if a file of weights is not that of the backbone.
    """
    if cell.projection == "none" or cell.backbone_files:
        width = _width(cell.backbone, json.dumps(cell.backbone_options), info.image_shape)
        if cell.projection == "none" and width != cell.feature_dim:
            return f"without a projection d must equal the backbone's {width} features"
    target = HEADS.get(cell.head).target
    reason: str | None = ask(cell.head, target, "supports", info, cell.feature_dim, cell.head_options)
    if reason is None and cell.projection == "none" and cell.freeze == "backbone":
        head = target(info, cell.feature_dim, **cell.head_options)
        if not any(parameter.requires_grad for parameter in head.parameters()):
            return "with a frozen backbone and no projection nothing of this head is left to train"
    return reason


def check_images(cell: Cell, image_shape: tuple[int, int, int]) -> None:
    """Raise UserError where the cell's backbone cannot take the images of its data set."""
    _, height, width = image_shape
    if not _takes(cell.backbone, json.dumps(cell.backbone_options), image_shape, (height, width)):
        raise UserError(
            f"backbone '{cell.backbone_label}' cannot take the images of '{cell.dataset_label}', {height} x {width} "
            f"pixels; give another backbone, or a data set whose images it brings to another size"
        )


def check_small(cell: Cell, small: Small | None, image_shape: tuple[int, int, int], place: str) -> None:
    """Raise UserError where the cell's backbone cannot take images of that shape when they are small."""
    if small is None:
        return
    height, width = scaled_size(*image_shape[1:], small.side)
    if not _takes(cell.backbone, json.dumps(cell.backbone_options), image_shape, (height, width)):
        raise UserError(
            f"{place}: small: backbone '{cell.backbone_label}' cannot take {height} x {width} pixels; set "
            f"recipe.small=null"
        )


def divided(cell: Cell, devices: int) -> Cell:
    """Return a cell as it is on several devices: another one, if its backbone trains and is not the same to a batch in
    portions as to the whole.
    """
    divides = cell.freeze == "none" and _divides(cell.backbone, json.dumps(cell.backbone_options))
    return cell.model_copy(update={"devices": devices}) if divides else cell


@cache
def _divides(name: str, options: str) -> bool:
    """Say whether a backbone in training mode normalises by its batch, or draws at random."""
    for shape in NOMINAL_SHAPES:
        try:
            with torch.device("meta"):
                backbone = BACKBONES.get(name).target(shape, **json.loads(options))
        # Whatever a network says of images that it is not made for.
        except Exception:
            continue
        return any(
            isinstance(module, nn.modules.batchnorm._BatchNorm)
            or getattr(module, "p", 0)
            or getattr(module, "drop_prob", 0)
            for module in backbone.modules()
        )
    return True


@cache
def _takes(name: str, options: str, image_shape: tuple[int, int, int], size: tuple[int, int]) -> bool:
    """Say whether a backbone for images of a shape also takes them at a size."""
    with torch.device("meta"):
        try:
            backbone = BACKBONES.get(name).target(image_shape, **json.loads(options)).eval()
            backbone(torch.empty(1, image_shape[0], *size))
        except UserError:
            raise
        # Whatever a network says of a size that it was not made for.
        except Exception:
            return False
    return True


@cache
def _width(name: str, options: str, image_shape: tuple[int, int, int]) -> int:
    """Return the features of a backbone, whose weights are checked if it has some."""
    with torch.device("meta"):
        return BACKBONES.get(name).target(image_shape, **json.loads(options)).num_features
