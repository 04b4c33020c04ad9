"""The measured cases as rows of a table, and as a file."""

from collections.abc import Iterable, Sequence
from typing import Any

from headbench.runners.execution import provenance
from headbench.runners.inspection.speed import loops, timing
from headbench.runners.inspection.speed.case import CLASSES, Case
from headbench.runners.inspection.speed.textbook import textbook
from headbench.runners.training import compute, hardware
from headbench.runners.training.train import Training

LOOPS = ("bare", "runner", "textbook")
TITLES = (
    *(f"{loop} images/s" for loop in LOOPS),
    "runner / bare",
    "runner / textbook",
    *(f"{part} %" for part in loops.PARTS),
    "peak MiB",
    "GFLOP/s",
    "of matmul %",
)
# What a row is of.
LEFT = ("head", "precision", "compile")
# The head that a file's first numbers are of, where it was measured.
MAIN = "dl2pa"


def measure(case: Case, repetitions: int) -> dict[str, Any]:
    """Time one case; return its row.

    Returns:
        ``bare_images_per_second``, ``runner_images_per_second`` and ``textbook_images_per_second``; ``shares`` of the
        parts of the runner's step, which sum to 1; ``peak_memory_mb`` of the runner; ``flops_per_second`` of the runner
        and ``matmul_flops_per_second`` of a large product, None where torch cannot count; and what was measured.
    """
    provenance.reset_peak_memory(case.hardware)
    training = Training(case.cell, case.parts, case.hardware)
    training.evaluated = {}  # which is outside of the seconds, and would only take time
    epoch = loops.runner(training)
    epoch()
    peak = provenance.peak_memory_mb(case.hardware)
    actions = [
        loops.bare(training),
        epoch,
        textbook(training, case.images),
        loops.split(training),
        loops.product(case.hardware),
    ]
    seconds = timing.medians(actions, repetitions)
    newest = training.history[-1:]
    flops = compute.measure(training.classifier, training.parts.train, training.plan[:1], newest)["train_flops"]
    whole = sum(seconds[part] for part in loops.PARTS)
    return {
        "head": case.cell.head_label,
        "precision": case.hardware.precision,
        "compile": case.hardware.compile,
        **{f"{loop}_images_per_second": newest[0]["images"] / seconds[loop] for loop in LOOPS},
        "shares": {part: seconds[part] / whole for part in loops.PARTS},
        "peak_memory_mb": peak,
        "flops_per_second": None if flops is None else flops / seconds["runner"],
        "matmul_flops_per_second": loops.flops_of_product(case.hardware) / seconds["product"],
    }


def heading(cases: Sequence[Case]) -> list[str]:
    """Return the first lines of the table of some cases: what was measured where, and the titles in Markdown."""
    case, known = cases[0], provenance.describe(cases[0].hardware)
    cell, flags = case.cell, known["processor_flags"] or "no known flags"
    titles = [*_left(cases, *LEFT), *TITLES]
    machines = dict.fromkeys(case.hardware for case in cases)
    slow = [f"precision: {hardware.spelled(machine)}" for machine in machines if hardware.emulated(machine)]
    return [
        f"{cell.backbone_label}, batches of {cell.recipe.batch_size}, d = {cell.feature_dim}, {CLASSES} classes, "
        f"{len(case.images)} images a repetition",
        f"{known['device']}, {known['processor'] or 'unknown processor'} ({flags}), {known['threads']} threads, "
        f"torch {known['torch_version']}",
        *slow,
        "",
        _line(titles),
        _line(["-" * len(title) for title in titles[: len(LEFT)]] + ["-" * (len(title) - 1) + ":" for title in TITLES]),
    ]


def line(cases: Sequence[Case], row: dict[str, Any]) -> str:
    """Return the line of a row, in Markdown."""
    numbers = (text.rjust(len(title)) for text, title in zip(_numbers(row), TITLES, strict=True))
    return _line([*_left(cases, *(row[name] for name in LEFT)), *numbers])


def _left(cases: Sequence[Case], head: str, *others: str) -> list[str]:
    widest = max(len(case.cell.head_label) for case in cases)
    return [head.ljust(widest), *(text.ljust(len(name)) for text, name in zip(others, LEFT[1:], strict=True))]


def _numbers(row: dict[str, Any]) -> list[str]:
    bare, runner, textbook = (row[f"{loop}_images_per_second"] for loop in LOOPS)
    flops = row["flops_per_second"]
    return [
        *(f"{speed:.0f}" for speed in (bare, runner, textbook)),
        f"{runner / bare:.3f}",
        f"{runner / textbook:.2f}",
        *(f"{100 * row['shares'][part]:.1f}" for part in loops.PARTS),
        f"{row['peak_memory_mb']:.0f}",
        "-" if flops is None else f"{flops / 1e9:.0f}",
        "-" if flops is None else f"{100 * flops / row['matmul_flops_per_second']:.0f}",
    ]


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def document(cases: Sequence[Case], rows: Sequence[dict[str, Any]], repetitions: int) -> dict[str, Any]:
    """Return what a file keeps: the speeds of ``dl2pa``, or of the first row where it is not there; then what was
    measured where, and all rows.
    """
    of = next((number for number, case in enumerate(cases) if case.cell.head == MAIN), 0)
    cell, known = cases[of].cell, provenance.describe(cases[of].hardware)
    speeds = {f"{loop}_images_per_second": rows[of][f"{loop}_images_per_second"] for loop in LOOPS}
    measured = {
        "head": cell.head_label,
        "backbone": cell.backbone_label,
        "batch_size": cell.recipe.batch_size,
        "feature_dim": cell.feature_dim,
        "num_classes": CLASSES,
        "images": len(cases[of].images),
        "repetitions": repetitions,
    }
    return speeds | measured | known | {"rows": list(rows)}
