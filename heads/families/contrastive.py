"""Supervised contrastive losses: pure functions of unit features, labels and a temperature.

Each anchor i looks at members k and is drawn to its positives p: minus the mean over p of
log(exp(a_i . d_p / T) / sum over its others of exp(a_i . d_k / T)).
"""

import torch
from torch import Tensor


def supervised_contrastive(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the mean supervised contrastive loss of unit features (N, p) whose positives have the same label (N,).

    A feature that is alone in its class counts with a loss of 0.

    Source: Khosla et al., NeurIPS 2020, L_out (equation 2), without a base temperature.
    """
    others = distinct(features, features)
    positives = (labels[:, None] == labels) & others
    return contrast(similarities(features, features, temperature), evenly(positives), others)


def similarities(anchors: Tensor, members: Tensor, temperature: float | Tensor) -> Tensor:
    """Return a_i . d_k / T (N, M) of anchors (N, p) and members (M, p), at least in float32 also under autocast.

    Args:
        anchors: unit rows.
        members: unit rows.
        temperature: T, one for all or (N, 1).
    """
    wide = torch.promote_types(anchors.dtype, torch.float32)
    with torch.autocast(anchors.device.type, enabled=False):
        return anchors.to(wide) @ members.to(wide).T / temperature


def distinct(anchors: Tensor, members: Tensor) -> Tensor:
    """Return which members (M, p) an anchor (N, p) looks at: all but itself, (N, M); the first N members are the
    anchors.
    """
    return ~torch.eye(len(anchors), len(members), dtype=torch.bool, device=anchors.device)


def evenly(positives: Tensor) -> Tensor:
    """Return weights (N, M) of 1 / |P(i)| on each anchor's positives (N, M); none where it has none."""
    return positives / positives.sum(dim=1, keepdim=True).clamp(min=1)


def contrast(similarity: Tensor, weights: Tensor, others: Tensor, log_sizes: Tensor | None = None) -> Tensor:
    """Return the mean over anchors of sum over k of w_ik (log sum over l in others of exp(s_il) / N_il - s_ik).

    Large similarities do not overflow, and an anchor without others or weights counts with a loss of 0.

    Args:
        similarity: s (N, M), anchor by member, temperature included.
        weights: w (N, M), usually :func:`evenly` of the positives.
        others: members in the denominator (N, M) bool.
        log_sizes: log N (N, M); without it N = 1.
    """
    terms = similarity if log_sizes is None else similarity - log_sizes
    # The least finite number, since a row of nothing but -inf has a gradient of NaN.
    total = terms.masked_fill(~others, torch.finfo(terms.dtype).min).logsumexp(dim=1, keepdim=True)
    return (weights * (total - similarity)).sum(dim=1).mean()
