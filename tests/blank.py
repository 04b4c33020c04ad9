"""Reports whose pictures are blank: what figures read is read and told all the same."""

from collections.abc import Callable
from typing import Any


def draw_blanks(replace: Callable[[Any, str, Any], None]) -> None:
    """Replace every function that draws a figure of a comparison or of a grid, two thirds of the time of a report.

    Args:
        replace: ``setattr``, or a patch's.
    """
    from matplotlib.figure import Figure

    from headbench.results.figures import (
        accuracy,
        assignment,
        base,
        class_cosines,
        compute,
        confusion,
        curves,
        differences,
        ece,
        images,
        imbalance,
        outside,
        ranks,
        reliability,
        sensitivity,
    )

    replace(base, "encode", lambda figure, form: {"svg": b"<svg/>"}.get(form, b"none"))
    for module, name in (
        (accuracy, "accuracy"),
        (assignment, "assignment"),
        (class_cosines, "figure"),
        (compute, "compute"),
        (confusion, "matrices"),
        (confusion, "pairs"),
        (curves, "curves"),
        (differences, "differences"),
        (ece, "calibration_errors"),
        (images, "images"),
        (imbalance, "imbalance"),
        (outside, "outside"),
        (ranks, "diagram"),
        (reliability, "side_by_side"),
        (sensitivity, "sensitivity"),
    ):
        replace(module, name, lambda *_: base.Drawn(Figure(), "blank"))
