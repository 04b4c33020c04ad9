"""What the state of a training must be before one goes on from it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from headbench.runners.training.checkpoint import same_structure


@dataclass(frozen=True)
class Snapshot:
    """The weights of one epoch: its row of the history and the ``state_dict``, on the CPU."""

    row: dict[str, Any]
    state: dict[str, Tensor]


def on_cpu(state: Any) -> Any:
    """Return a copy of a state of dictionaries, lists and tensors, whose tensors are on the CPU."""
    if isinstance(state, Tensor):
        return state.to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    return [on_cpu(value) for value in state] if isinstance(state, list) else copy.deepcopy(state)


def fits(state: dict[str, Any], like: dict[str, Any], lengths: Sequence[int]) -> bool:
    """Say whether a state is one of a training, between two epochs of a stage or within one.

    Foreign contents may also lead to any exception.

    Args:
        state: with the number of a stage that there is.
        like: what some of its entries must have the structure of, ``classifier`` among them.
        lengths: epochs of each stage.
    """
    number, finished, rows = state["stage"], state["epochs"], state["history"]
    if type(finished) is not int or not 0 <= finished <= lengths[number]:
        return False
    done = sum(lengths[:number]) + finished
    if "within" in state:
        placed = finished < lengths[number] and state["within"]["begun"]["epoch"] == done + 1
    else:
        placed = finished > 0
    selected = [Snapshot(**snapshot) for snapshot in state["selected"].values()]
    return (
        placed
        and all(same_structure(state[key], value) for key, value in like.items())
        and [row["epoch"] for row in rows] == list(range(1, done + 1))
        and all(isinstance(row[key], int | float) for row in rows for key in ("train_loss", "images", "seconds"))
        and all(same_structure(own.state, like["classifier"]) and own.row in rows for own in selected)
    )


def moments_fit(optimiser: Optimizer) -> bool:
    """Say whether what an optimiser keeps of each parameter has its shape."""
    return all(
        value.shape == weight.shape
        for weight, own in optimiser.state.items()
        for value in own.values()
        if isinstance(value, Tensor) and value.dim()
    )
