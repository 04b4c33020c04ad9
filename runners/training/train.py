"""The training loop: the only one, for every head, data set and recipe."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from headbench.core.batch import Batch
from headbench.core.streams import derive, seed_global
from headbench.data.loading.epoch import Epoch, batches, sample
from headbench.heads import HEADS, Context, Head
from headbench.runners.grid.cells import Cell
from headbench.runners.training import evaluate, health, optimisation
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.classifier import Classifier, InGroup, build, check_head
from headbench.runners.training.hardware import Hardware, out_of_memory
from headbench.runners.training.history import Glimpse, Glimpses
from headbench.runners.training.loop import contract, random_states
from headbench.runners.training.loop.average import Average
from headbench.runners.training.loop.record import Record
from headbench.runners.training.loop.state import Snapshot, fits, moments_fit, on_cpu
from headbench.runners.training.parts import Parts
from headbench.runners.training.stages import side, stage_plan

# Training images that a backbone may see before training begins.
PREPARED = 2000


class ForeignStateError(Exception):
    """A checkpoint holds something else than the state of this training."""


class NonFiniteLossError(Exception):
    """The training loss of an epoch is NaN or infinite."""


class Training:
    """The training of one cell, from its start or from the state that an earlier one had after an epoch or within.

    Of a trial of a search nothing is evaluated on test.

    The processes of a group each have an equal one; only the first one's is asked for what came of it.

    Args:
        cell: the cell.
        parts: its data on the device.
        hardware: device, precision and group.

    Raises:
        UserError: if what a stage trains is not there.

    Attributes:
        classifier: with the weights of the newest step; once training has ended, with those that are evaluated.
        evaluated: the parts that each epoch of the last stage is evaluated on, and that choose a best epoch.
        history: one row per finished epoch.
        selected: by selection's name, the epoch it chose; ``best_val`` only where there is a validation part.
        begun: what the processes that train it tell of themselves; a training that goes on has that of all before.
        features: (N, d) of the training part by the weights of the last epoch, once it has ended.
        losses: the head's own loss of these, ``trained_loss``, and its chance level, ``chance_loss``.
    """

    def __init__(self, cell: Cell, parts: Parts, hardware: Hardware) -> None:
        info = parts.info(cell.seed)
        self.cell, self.parts, self._group = cell, parts, hardware.group
        self.classifier = build(cell, info, bf16=hardware.bf16, compiled=hardware.compiled).to(hardware.device)
        self._asked = torch.ones(2, cell.feature_dim, device=hardware.device)
        # As it begins, for the check of what is kept of it.
        self._fresh = _copied(self.classifier.head)
        check_head(self.classifier.head, info.num_classes, self._asked)
        self.plan = stage_plan(cell, type(self.classifier.head), len(parts.train))
        for stage, recipe in self.plan:
            self.classifier.check_trainable(stage.trainable, f"head '{cell.head}', stage '{stage.name}'")
            self.classifier.set_trainable(stage.trainable)
            optimisation.optimiser(self.classifier, recipe, stage)
        self.evaluated = {"val": parts.val} | ({"test": parts.test} if cell.purpose == "final" else {})
        self.history: list[dict[str, Any]] = []
        self.begun: dict[str, str] = {}
        self.selected: dict[str, Snapshot] = {}
        self.features = torch.empty(0)
        self.losses: dict[str, float] = {}
        self._generator = info.generator
        # An epoch by other code or in another precision is none of the training that the result will tell of.
        self._trained_by = {"head_source": HEADS.get(cell.head).source, "precision": hardware.precision}
        self._trained_by |= {"compile": "on"} if hardware.compiled else {}
        # The stage under way and its finished epochs.
        self._number = self._finished = 0
        # The epoch under way.
        self._record: Record | None = None
        self._average: Average | None = None
        self._weights: dict[str, Tensor] | None = None

    def run(
        self,
        on_epoch: Callable[[dict[str, Any]], None],
        checkpoints: Checkpoints | None = None,
        on_glimpse: Callable[[Glimpse], None] = lambda _: None,
    ) -> None:
        """Train all epochs that are left, then leave the group.

        Args:
            on_epoch: called with each finished row of the history; what it raises ends the training.
            checkpoints: where the state is kept at the end of each epoch, and in the middle of long ones, or None.
            on_glimpse: called while an epoch runs.

        Raises:
            NonFiniteLossError: at the end of the epoch in which the loss left the finite numbers.
        """
        group, leads = self._group, self._group is None or self._group.leads
        if not self.history and self._record is None:
            seed_global(derive(self.cell.seed, "global"), self.parts.train.labels.device)
            if self.cell.freeze == "none" and not self.cell.backbone_files:
                self.classifier.backbone.prepare(sample(self.parts.train, PREPARED))
        while self._number < len(self.plan):
            stage, _ = self.plan[self._number]
            if not self._finished and self._record is None:
                self._begin()
            while self._finished < stage.epochs:
                self.history.append(self._epoch(on_glimpse, checkpoints))
                self._finished, self._record = self._finished + 1, None
                # An accuracy on smaller images is no accuracy on whole ones.
                if self._number == len(self.plan) - 1 and "side" not in self.history[-1] and leads:
                    self._select()
                if checkpoints:
                    checkpoints.offer(self.state_dict())
                on_epoch(self.history[-1])
            if self._average:  # the next stage goes on with what this one is judged by
                self.classifier.load_state_dict(self._average.evaluated().state_dict())
            self._number, self._finished = self._number + 1, 0
        self.classifier.set_trainable(())
        self.features = evaluate.embed_together(self.classifier, self.parts.train, group=group)
        if group is not None:
            group.leave()
            self._group = None
        if leads:
            stage, head, labels = self.plan[-1][0], self.classifier.head, self.parts.train.labels
            context = Context(stage.name, stage.epochs - 1, stage.epochs, 0)
            self.losses = health.final_losses(head, self.features, labels, self.next_epoch(), context)

    def weights(self) -> dict[str, Tensor]:
        """Return the classifier's state after the newest step, copied once, to the CPU."""
        if self._weights is None:
            self._weights = on_cpu(self.classifier.state_dict())
        return self._weights

    def state_dict(self) -> dict[str, Any]:
        """Return what the rest of the training depends on, after a step: copies of what goes on changing."""
        state = {
            "trained_by": self._trained_by,
            "stage": self._number,
            "epochs": self._finished,
            "classifier": self.weights(),
            "optimiser": on_cpu(self._optimiser.state_dict()),
            "schedule": copy.deepcopy(self._schedule.state_dict()),
            "history": list(self.history),
            "begun": dict(self.begun),
            "selected": {name: {"row": own.row, "state": own.state} for name, own in self.selected.items()},
        }
        state |= random_states.kept(self.parts.train.labels.device, self._generator)
        average = {"average": self._average.state_dict()} if self._average else {}
        return state | average | ({"within": self._record.state_dict()} if self._record else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state that an equal training had.

        Raises:
            ForeignStateError: if it is not that of such a training; this one is of no use then.
            Exception: what the machine raises, such as out of memory, as it is: the state may be sound.
        """
        try:
            self._load(state)
        except Exception as error:  # whatever foreign contents lead to
            if out_of_memory(error) or isinstance(error, torch.AcceleratorError):  # of the machine, not of the state
                raise
            raise ForeignStateError from error

    def context(self, name: str, epochs: int = 1, epoch: int = 0, step: int = 0) -> Context:
        """Return what a head is told of where training stands, see :class:`headbench.heads.Context`."""

        def collect(split: str, view: str) -> tuple[Tensor, Tensor, Tensor]:
            # A seed of its own: what a head looks at is drawn apart from what the same epoch trains on.
            drawn = replace(self.next_epoch(), seed=derive(self.cell.seed, "collect"))
            return evaluate.collect(self.classifier, offered, split, view, drawn, self._group)

        offered = {"train": self.parts.train, "val": self.parts.val}
        return Context(name, epoch, epochs, step, collect)

    def _begin(self, *, anew: bool = True) -> None:
        """Make ready what learns in the stage under way; ``anew`` where it has no epoch yet."""
        stage, recipe = self.plan[self._number]
        self.classifier.set_trainable(stage.trainable)
        if anew:
            self.classifier.head.on_stage_start(self.context(stage.name, stage.epochs))
        self._average = Average(self.classifier, recipe.ema) if recipe.ema else None
        self._optimiser = optimisation.optimiser(self.classifier, recipe, stage)
        steps = len(self.next_epoch().slices(len(self.parts.train)))
        self._schedule = optimisation.schedule(self._optimiser, recipe, stage.epochs, steps)

    def next_epoch(self) -> Epoch:
        """Return the next epoch of the stage under way, after training as if the last stage went on."""
        stage, recipe = self.plan[min(self._number, len(self.plan) - 1)]
        return Epoch(
            views=stage.views,
            augmentation=recipe.augmentation(),
            batch_size=recipe.batch_size,
            drop_last=recipe.drop_last,
            sampler=stage.sampler,
            seed=self.cell.seed,
            number=len(self.history),
            side=self._side(),
            portion=self._group,
            parts=recipe.accumulate,
        )

    def _side(self) -> int | None:
        """Return the side in pixels to which the next epoch scales images, None where it does not."""
        if self._number == len(self.plan):
            return None
        stage, recipe = self.plan[self._number]
        return side(recipe, self._finished, stage.epochs, self.parts.train.image_shape)

    def _epoch(self, on_glimpse: Callable[[Glimpse], None], checkpoints: Checkpoints | None) -> dict[str, Any]:
        """Train the next epoch of the stage under way, or what is left of it, and evaluate it in the last one; return
        its row.
        """
        (stage, _), head, epoch = self.plan[self._number], self.classifier.head, self.next_epoch()
        steps, self._weights = len(epoch.slices(len(self.parts.train))), None
        context = self.context(stage.name, stage.epochs, self._finished, self._finished * steps)
        self.classifier.set_trainable(stage.trainable)
        if self._record is None:
            self._record = self._opened(epoch, context)
        record, device = self._record, self.parts.train.labels.device
        self._steps(epoch, context, Glimpses(on_glimpse, len(self.history) + 1, steps, device), checkpoints)
        if self._group is not None:
            self._group.align(self.classifier)
            if self._average:
                self._group.align(self._average.classifier)
        row = record.begun | {"lr": self._schedule.get_last_lr()[0]} | record.row()
        if not math.isfinite(row["train_loss"]):
            raise NonFiniteLossError(f"the training loss is {row['train_loss']} in epoch {row['epoch']}")
        ended = head.on_epoch_end(replace(context, step=context.step + steps))
        logged = record.logged | contract.logged(ended, head)
        if self._number == len(self.plan) - 1:
            metrics = ("top1", "nll") if self.cell.purpose == "tune" else ("top1",)
            for name, part in self.evaluated.items():
                measured = evaluate.measure(self._evaluated(), part, metrics, epoch.side, self._group)
                row |= {f"{name}_{metric}": value for metric, value in measured.items()}
        if not self.history and self._fresh is not None:
            contract.check_kept(head, self._fresh, self._asked)
            self._fresh = None
        return row | logged | ({} if epoch.side is None else {"side": epoch.side})

    def _opened(self, epoch: Epoch, context: Context) -> Record:
        """Begin an epoch; return its record before the first step."""
        head, labels = self.classifier.head, self.parts.train.labels
        logged = contract.logged(head.on_epoch_start(context), head)
        contract.check_learners(head, self._optimiser)
        nothing = health.zero(labels, self.cell.feature_dim)
        begun = {
            "epoch": len(self.history) + 1,
            "stage": context.stage,
            "chance_loss": health.loss_of(head, nothing, labels, epoch, context),
        }
        return Record(begun, logged, torch.zeros((), device=labels.device))

    def _steps(self, epoch: Epoch, context: Context, glimpses: Glimpses, checkpoints: Checkpoints | None) -> None:
        """Take the steps of an epoch that its record does not have yet.

        The device is not waited for, but for a checkpoint.
        """
        record, classifier, group = self._record, self.classifier, self._group
        assert record is not None
        asked = classifier if group is None else group.parallel(InGroup(classifier, group))
        for batch in batches(self.parts.train, epoch, record.steps):
            if group is not None and not group.leads and self.cell.devices > 1:
                # What a backbone draws for its own images; anew in each step, so that no checkpoint needs to hold it.
                # Where none does, all processes draw what one device would, as a head may.
                drawn = derive(self.cell.seed, "global", group.rank, len(self.history), record.steps)
                seed_global(drawn, self.parts.train.labels.device)
            self._optimiser.zero_grad()
            loss = self._backward(asked, batch, replace(context, step=context.step + record.steps))
            norm = health.gradient_norm(classifier)
            self._optimiser.step()
            self._schedule.step()
            classifier.head.after_step()
            if self._average:
                self._average.update(classifier)
            record.add(loss, norm, len(batch.targets.labels))
            glimpses.offer(record.total, record.steps, record.images)
            if checkpoints and checkpoints.is_due():
                checkpoints.offer(self.state_dict())
                checkpoints.write()
                self._weights = None

    def _backward(self, asked: nn.Module, batch: Batch, context: Context) -> Tensor:
        """Leave the gradient of a batch, which goes through the classifier in parts; return its loss."""
        _, recipe = self.plan[self._number]
        total = torch.zeros((), device=batch.images.device)
        for share, part in batch.split(recipe.accumulate, self._group.size if self._group else 1):
            loss = share * asked(part, context)
            loss.backward()
            total += loss.detach()
        return total

    def _evaluated(self) -> Classifier:
        """Return the classifier that is evaluated: with averaged weights where the recipe has them."""
        return self._average.evaluated() if self._average else self.classifier

    def _select(self) -> None:
        """Keep the newest epoch as ``last``, and as a best one where it is strictly better than all before."""
        newest = Snapshot(self.history[-1], self._average.state_dict() if self._average else self.weights())
        self.selected["last"] = newest
        for name in (name for name, part in self.evaluated.items() if len(part)):
            before = self.selected.get(f"best_{name}")
            if before is None or newest.row[f"{name}_top1"] > before.row[f"{name}_top1"]:
                self.selected[f"best_{name}"] = newest

    def _load(self, state: dict[str, Any]) -> None:
        number = state["stage"]
        # Earlier harnesses did not tell.
        if state.get("trained_by", self._trained_by) != self._trained_by:
            raise ForeignStateError
        if type(number) is not int or not 0 <= number < len(self.plan):
            raise ForeignStateError
        self._number = number
        self._begin(anew=False)
        classifier, schedule, device = self.classifier, self._schedule, self.parts.train.labels.device
        weights: dict[str, Any] = {"classifier": classifier.state_dict()}
        like = weights | {"schedule": schedule.state_dict(), "random": torch.get_rng_state()}
        like |= {"average": like["classifier"]} if self._average else {}
        if not fits(state, like, [stage.epochs for stage, _ in self.plan]):
            raise ForeignStateError
        self._record = Record.from_state(state["within"], device) if "within" in state else None
        self._optimiser.load_state_dict(state["optimiser"])
        if not moments_fit(self._optimiser):
            raise ForeignStateError
        classifier.load_state_dict(state["classifier"])
        if self._average:
            self._average.classifier.load_state_dict(state["average"])
            # Of a whole epoch of the last stage it was evaluated before it was kept, and of no other.
            self._average.moved = "within" in state or self._number < len(self.plan) - 1
        schedule.load_state_dict(state["schedule"])
        random_states.take_up(state, device, self._generator, derive(self.cell.seed, "global"))
        self._finished, self.history = state["epochs"], list(state["history"])
        if self.history:
            self._fresh = None
        self.begun = {str(name): str(value) for name, value in state.get("begun", {}).items()}
        self.selected = {name: Snapshot(**snapshot) for name, snapshot in state["selected"].items()}


def _copied(head: Head) -> Head | None:
    """Return a copy of a head, or None where something in it cannot be copied."""
    try:
        return contract.copied(head)
    except Exception:  # whatever a head holds
        return None


def resume(cell: Cell, parts: Parts, hardware: Hardware, checkpoints: Checkpoints) -> Training:
    """Return the training of a cell, as far as its checkpoint has it; one that does not fit is set aside.

    In a group the first process looks first, so that the others find what it goes on from.
    """
    group = hardware.group
    if group is not None and not group.leads:
        group.wait_for_first(hardware.device)
    training = _resumed(cell, parts, hardware, checkpoints)
    if group is not None and group.leads:
        group.wait_for_first(hardware.device)
    return training


def _resumed(cell: Cell, parts: Parts, hardware: Hardware, checkpoints: Checkpoints) -> Training:
    training, state = Training(cell, parts, hardware), checkpoints.load()
    if state is None:
        return training
    try:
        training.load_state_dict(state)
    except ForeignStateError:
        checkpoints.set_aside()
        return Training(cell, parts, hardware)
    return training
