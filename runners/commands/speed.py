"""``bench.py speed``: what a training step costs here, by the bare arithmetic, by this runner, by a textbook's loop."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from headbench.core import escape
from headbench.core.errors import UserError
from headbench.runners.commands.arguments import add_plugin, path
from headbench.runners.commands.screen import say
from headbench.runners.execution.options import CHOICES

HELP = "measure images per second: the bare arithmetic, this runner, a textbook's pipeline"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--backbone", default="resnet32", metavar="NAME(...)", help="default: resnet32")
    parser.add_argument("--head", nargs="+", default=["dl2pa"], metavar="NAME(...)", help="default: dl2pa")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="default: 128")
    parser.add_argument("--feature-dim", type=int, default=50, metavar="N", help="d, of 100 classes (default: 50)")
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=CHOICES["precision"],
        default=["auto"],
        help="auto: bfloat16 autocast where the hardware has it",
    )
    parser.add_argument(
        "--compile",
        nargs="+",
        choices=CHOICES["compile"],
        default=["off"],
        help="on: bare loop and runner train a network that torch.compile has compiled (default: off)",
    )
    parser.add_argument(
        "--device", choices=CHOICES["device"], default="auto", help="auto: CUDA if there is a GPU (default)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the cores)")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="whose median is shown (default: 5)")
    parser.add_argument("--json", type=path, metavar="FILE", help="keep the numbers in a file")
    add_plugin(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure each head in each precision, print the table, and keep it where asked."""
    from headbench.results import store
    from headbench.runners.inspection.speed import case, rows

    file = arguments.json
    if file and (file.is_symlink() or file.exists()) and (not file.is_file() or file.stat().st_size):
        raise UserError(f"--json: {file} exists, and is not overwritten; name another file, or remove it")
    request = case.Request(
        backbone=arguments.backbone,
        heads=arguments.head,
        batch_size=arguments.batch_size,
        feature_dim=arguments.feature_dim,
        precisions=arguments.precision,
        compile=arguments.compile,
        device=arguments.device,
        threads=arguments.threads,
        repetitions=arguments.repetitions,
    )
    with case.enough_memory(request):
        cases, measured = case.cases(request), list[dict[str, Any]]()
        if file:
            _check_place(file)
        for line in rows.heading(cases):
            console.out(escape.plain(line), highlight=False)
        for one in cases:
            measured.append(rows.measure(one, request.repetitions))
            console.out(escape.plain(rows.line(cases, measured[-1])), highlight=False)
    if file:
        document = rows.document(cases, measured, request.repetitions)
        store.write_text(file.resolve(), json.dumps(document, indent=2) + "\n")
        say(console, f"written: {file}")
    return 0


def _check_place(file: Path) -> None:
    """Raise UserError for a file that cannot be written, before minutes are spent on what is to be in it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise UserError(f"--json: {file} cannot be written ({error.strerror or error})") from None
