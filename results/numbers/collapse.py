"""Neural collapse of trained features: how tight, how evenly spread and how well aligned with the class vectors classes
are.

Source: Papyan, Han & Donoho, PNAS 2020, NC1 to NC4.
"""

import numpy as np

from headbench.results.numbers.statistics import Floats

NAMES = ("nc1", "nc2_angle", "nc2_length", "nc3", "nc4")


def measure(geometry: dict[str, Floats]) -> dict[str, float]:
    """Return the collapse of one cell's training features.

    Args:
        geometry: ``class_means`` (C, d), ``within`` and ``between`` (d, d), ``prototypes`` (C, d) or (0, d),
            ``nearest_mean_agreement`` ().

    Returns:
        ``nc1``: tr(within between^+) / C, 0 at collapse. ``nc2_angle``: mean |cos + 1/(C-1)| over pairs of centred
            class means, 0 for a simplex. ``nc2_length``: coefficient of variation of their lengths, 0 where equal.
            ``nc3``: mean cosine of centred class means and centred class vectors, 1 where they agree, NaN without class
            vectors. ``nc4``: part of the images whose prediction is the nearest class mean, 1 at collapse.
    """
    seen = ~np.isnan(geometry["class_means"]).any(axis=1)
    means = geometry["class_means"][seen].astype(np.float64)
    count = len(means)
    if count < 2:
        return dict.fromkeys(NAMES, np.nan)
    centred = means - means.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    pairs = cosines(centred, centred)[~np.eye(count, dtype=bool)]
    vectors = geometry["prototypes"].astype(np.float64)
    alignment = np.nan
    if len(vectors):
        alignment = float(np.diag(cosines(centred, vectors[seen] - vectors[seen].mean(axis=0))).mean())
    return {
        "nc1": float(
            np.trace(geometry["within"] @ np.linalg.pinv(geometry["between"], rcond=1e-6, hermitian=True)) / count
        ),
        "nc2_angle": float(np.abs(pairs + 1 / (count - 1)).mean()),
        "nc2_length": float(lengths.std() / lengths.mean()) if lengths.any() else np.nan,
        "nc3": alignment,
        "nc4": float(geometry.get("nearest_mean_agreement", np.nan)),
    }


def cosines(a: Floats, b: Floats) -> Floats:
    """Return the cosines (n, m) of vectors a (n, d) and b (m, d), NaN for a zero vector."""
    with np.errstate(invalid="ignore"):
        found: Floats = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (
            b / np.linalg.norm(b, axis=1, keepdims=True)
        ).T
    return found
