"""Muon: steps of orthogonal matrices for the weights of layers, SGD for all other parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Of the quintic polynomial a x + b x^3 + c x^5, steep at zero and near one on (0, 1].
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.SGD):
    """SGD, whose groups with ``orthogonal_steps`` above 0 take the orthogonal factor of Nesterov's momentum as step.

    A weight is seen as a matrix (outputs, rest). Before each step it is brought to the Frobenius norm sqrt(outputs), so
    that weight decay would do nothing, and such groups have none.

    Args:
        params: groups; those of matrices with ``orthogonal_steps``, the number of Newton-Schulz steps, and what else
            differs from the rest: ``lr``, ``momentum``.
        settings: of :class:`torch.optim.SGD` for the rest.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the norm as in their
        airbench94_muon.
    """

    def __init__(self, params: Iterable[dict[str, Any]], **settings: Any) -> None:
        super().__init__([{"orthogonal_steps": 0} | group for group in params], **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; afterwards those weights have no gradient."""
        for group in self.param_groups:
            for weight in group["params"] if group["orthogonal_steps"] else ():
                if weight.grad is not None:
                    self._orthogonal_step(weight, group)
                    # Without one SGD passes over it.
                    weight.grad = None
        loss: float | None = super().step(closure)
        return loss

    def _orthogonal_step(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[weight], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer: Tensor = state["momentum_buffer"].mul_(momentum).add_(weight.grad)
        ahead = weight.grad.add(buffer, alpha=momentum)  # type: ignore[union-attr]
        direction = orthogonalised(ahead.flatten(1), group["orthogonal_steps"])
        weight.mul_(len(weight) ** 0.5 / weight.norm().clamp(min=1e-12))
        weight.sub_(direction.reshape(weight.shape), alpha=group["lr"])


def orthogonalised(matrix: Tensor, steps: int) -> Tensor:
    """Return about the orthogonal factor U V^T of a matrix U S V^T (m, n), by Newton-Schulz steps from S / norm(S).

    Each step maps every singular value s to a s + b s^3 + c s^5; after a few steps those that were not tiny are between
    0.7 and 1.2.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def matrices(*modules: nn.Module) -> list[Tensor]:
    """Return the weights of the convolutions and linear layers in modules."""
    layers = (layer for module in modules for layer in module.modules())
    return [layer.weight for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)]
