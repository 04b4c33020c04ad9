"""What a head owes the training: looked at before it begins, and in all that the head's methods return."""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from headbench.core.errors import UserError
from headbench.heads import Head

M = TypeVar("M", bound=nn.Module)
# Columns of ``history.csv`` that are the harness's own.
OWN = frozenset(
    "epoch stage chance_loss lr train_loss images seconds first_loss worst_loss gradient_norm gradient_spike "
    "val_top1 val_nll test_top1 test_nll side".split()
)


def name(head: nn.Module) -> str:
    """Return how messages call a head: by its class."""
    return type(head).__name__


def copied(module: M) -> M:
    """Return a copy of a head, or of what has one; a tensor that it keeps with a graph, as its last loss, is copied
    without it.

    Raises:
        Exception: whatever what a head holds raises.
    """
    held = {id(t): t for part in module.modules() for t in _tensors(vars(part), type(part).__module__, set())}
    return copy.deepcopy(module, {key: t.detach().clone() for key, t in held.items() if not t.is_leaf})


def check_parameters(head: Head) -> None:
    """Raise UserError for a parameter that neither trains nor is stored, since no module has it."""
    known = {id(parameter) for parameter in head.parameters()}
    for module in head.modules():
        for attribute, value in vars(module).items():
            held = _tensors(value, type(head).__module__, set())
            if any(t.requires_grad and t.is_leaf and id(t) not in known for t in held):
                raise UserError(
                    f"{name(head)}: '{attribute}' holds a parameter that is none of the module's, so that nothing "
                    f"trains or stores it; make it a torch.nn.Parameter, or of several a torch.nn.ParameterList; of "
                    f"modules a torch.nn.ModuleList"
                )


def _tensors(value: object, file: str, seen: set[int]) -> Iterator[Tensor]:
    """Yield the tensors in a value: in a module's parameters, a collection, or an object of a class of a file."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, dict | list | tuple | set):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part, file, seen)
    elif type(value).__module__ == file:
        for part in getattr(value, "__dict__", {}).values():
            yield from _tensors(part, file, seen)


def check_scores(head: Head, num_classes: int, features: Tensor) -> None:
    """Ask a head for scores as an evaluation does.

    Args:
        head: on its device.
        num_classes: C.
        features: (B, d), of any values, on the same device.

    Raises:
        UserError: for logits of another shape than (B, C), and for a buffer or parameter that they change.
    """
    training, wanted, before = head.training, (len(features), num_classes), _state(head)
    with torch.no_grad():
        logits = head.eval().logits(features.clone())
    head.train(training)
    if not isinstance(logits, Tensor):
        raise UserError(f"{name(head)}: logits are a tensor (B, C), and not {_told(logits)}")
    if (found := tuple(logits.shape)) != wanted:
        raise UserError(
            f"{name(head)}: logits of features {tuple(features.shape)} are {found}, and not (B, C) = {wanted}"
        )
    for key, value in _state(head).items():
        if key not in before or not _same(value, before[key]):
            raise UserError(
                f"{name(head)}: logits change '{key}' in eval mode, so that what is evaluated would have its part in "
                f"the training; running statistics move in observe"
            )


def _state(head: Head) -> dict[str, Tensor]:
    held = (*head.named_buffers(), *head.named_parameters())
    return {key: value.detach().clone() for key, value in held if value.layout == torch.strided}


def _same(one: Tensor, other: Tensor) -> bool:
    """Say whether two tensors are the same to the bit, NaN where the other one has it."""
    return one.shape == other.shape and one.dtype == other.dtype and torch.allclose(one, other, 0, 0, equal_nan=True)


def native_scale(head: Head) -> float:
    """Return the scale inside a head's logits.

    Raises:
        UserError: if it is no finite number above 0.
    """
    found = head.native_scale
    try:
        if isinstance(found, str | bytes):
            raise TypeError
        scale = float(found)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"{name(head)}: native_scale is a property, a number above 0, not {_told(found)}") from None
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(f"{name(head)}: native_scale is a finite number above 0, not {scale:g}")
    return scale


def prototypes(head: Head, num_classes: int) -> Tensor | None:
    """Return a head's class vectors (C, d), or None where it has none.

    Raises:
        UserError: if they are something else.
    """
    found: Any = head.prototypes()
    if found is None:
        return None
    if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != num_classes:
        told = tuple(found.shape) if isinstance(found, Tensor) else _told(found)
        raise UserError(f"{name(head)}: prototypes are a tensor (C, d) with C = {num_classes}, or None, not {told}")
    return found.detach()


def check_loss(head: Head, loss: Any) -> None:
    """Raise UserError for a loss that is no scalar, or where one is asked for comes with no gradient."""
    if not isinstance(loss, Tensor):
        raise UserError(f"{name(head)}: the loss is a tensor, the batch's mean, not {_told(loss)}")
    if loss.dim():
        raise UserError(f"{name(head)}: the loss is a scalar, the batch's mean, not {tuple(loss.shape)}")
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise UserError(f"{name(head)}: the loss has no gradient; is it detached, or computed under no_grad?")


def logged(found: Any, head: nn.Module) -> dict[str, float]:
    """Return what a head logs in ``history.csv``, as :func:`numbers` does.

    Raises:
        UserError: also for the name of a column of the harness.
    """
    own = numbers(found, head)
    for key in own:
        if key in OWN:
            raise UserError(f"{name(head)} logs '{key}', which is a column of the harness; give it another name")
    return own


def numbers(found: Any, head: nn.Module) -> dict[str, float]:
    """Return what a head's method found as Python's own numbers, as a checkpoint holds; numpy's and tensors are none.

    Args:
        found: numbers by name; None, what a method without a return gives, is none.
        head: whose they are.

    Raises:
        UserError: naming what is no number.
    """
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise UserError(f"{name(head)} logs no numbers by name, a dict, but {_told(found)}")
    own: dict[str, float] = {}
    for key, value in found.items():
        try:
            if isinstance(value, str | bytes):
                raise TypeError
            own[str(key)] = value if type(value) in (int, float) else float(value)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(f"{name(head)} logs no number as '{key}': {_told(value)}") from None
    return own


def check_kept(head: Head, fresh: Head, features: Tensor) -> None:
    """Check that a head's state is all in its parameters and buffers.

    Args:
        head: that has trained.
        fresh: an equal one that has not; it is given the state of the other.
        features: (B, d), of any values.

    Raises:
        UserError: if the fresh one cannot take the state, or gives other logits with it, so that neither a resumed
            training nor an earlier epoch would have the head that was trained.
    """
    advice = "all that a head learns is a parameter or a buffer, of the same shape from the start"
    before, now = (_shapes(one) for one in (fresh, head))
    for key, shape in now.items():
        if before.get(key) != shape:
            raise UserError(f"{name(head)}: '{key}' was not of shape {shape} when training began; {advice}")
    for key in before.keys() - now.keys():
        raise UserError(f"{name(head)}: '{key}' was there when training began; {advice}")
    fresh.load_state_dict(head.state_dict())
    modes = [(module, module.training) for module in head.modules()]
    with torch.no_grad():
        own, again = (one.eval().logits(features.clone()) for one in (head, fresh))
    for module, training in modes:
        module.training = training
    # Copies may lie otherwise in memory, which is enough for another rounding.
    near = 1e-4 * max(1.0, own.abs().max().item())
    if not torch.allclose(own, again, rtol=1e-3, atol=near, equal_nan=True):
        raise UserError(
            f"{name(head)}: a head with the same parameters and buffers gives other logits, so that this one has state "
            f"elsewhere, which no checkpoint has; {advice}"
        )


def _shapes(head: Head) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what a head keeps, but for what it keeps by a way of its own (``get_extra_state``)."""
    return {key: tuple(value.shape) for key, value in head.state_dict().items() if isinstance(value, Tensor)}


def check_learners(head: Head, optimiser: torch.optim.Optimizer) -> None:
    """Raise UserError for a parameter of a head that should learn, and that the stage's optimiser does not have."""
    held = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    for key, parameter in head.named_parameters():
        if parameter.requires_grad and id(parameter) not in held:
            raise UserError(
                f"{name(head)}: '{key}' is not what it was when the stage began, so that nothing trains it; change "
                f"parameters in place, as with copy_"
            )


def _told(value: Any) -> str:
    return " ".join(repr(value).split())[:80]
