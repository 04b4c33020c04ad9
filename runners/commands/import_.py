"""``bench.py import``: the scores of a classifier that was trained elsewhere become a finished cell."""

import argparse

from rich.console import Console

from headbench.runners.commands.arguments import add_data, add_out, add_plugin, grid_name, path
from headbench.runners.commands.screen import say

HELP = "make a finished cell of the scores of a classifier that was trained elsewhere"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "file", type=path, metavar="FILE", help="scores and labels of the test images: .npz, .csv, .parquet"
    )
    parser.add_argument("--head", required=True, help="what its head is called in tables")
    parser.add_argument(
        "--dataset", required=True, help="a data set's name, or {name: folder, path: flowers, size: 32}"
    )
    parser.add_argument("--seed", type=int, default=0, help="of its training (default: 0)")
    parser.add_argument(
        "--val", type=path, metavar="FILE", help="scores and labels of held-out images, for the temperature"
    )
    parser.add_argument("--kind", choices=("logits", "probabilities"), help="of the scores, where it cannot be told")
    parser.add_argument(
        "--grid", default="imported", help="the grid that lists it, a name or a .yaml file (default: imported)"
    )
    parser.add_argument("--d", type=int, help="dimension of its features (default: as many as classes)")
    for option, text in (
        ("backbone", "its network"),
        ("recipe", "how it was trained"),
        ("protocol", "which images trained and validated"),
        ("projection", "from the backbone to the features"),
    ):
        parser.add_argument(f"--{option}", default="unknown", metavar="TEXT", help=f"{text} (default: unknown)")
    parser.add_argument("--imbalance-factor", type=float, default=1.0, help="of the training images (default: 1)")
    parser.add_argument("--epochs", type=int, help="of its training")
    parser.add_argument("--no-report", action="store_true", help="write no tables, figures and report")
    add_out(parser)
    add_data(parser)
    add_plugin(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Import a classifier, say what was measured and what it is compared with, and build the grid's report."""
    from headbench.results import columns
    from headbench.runners.commands.report import show_report
    from headbench.runners.exchange import imported, reference, score_files

    about = imported.About(
        head_label=arguments.head,
        seed=arguments.seed,
        feature_dim=arguments.d,
        backbone=arguments.backbone,
        recipe=arguments.recipe,
        protocol=arguments.protocol,
        projection=arguments.projection,
        imbalance_factor=arguments.imbalance_factor,
        epochs=arguments.epochs or 0,
    )
    grid, dataset = grid_name(arguments.grid), reference.named(arguments.dataset)
    given = score_files.read(arguments.file, arguments.kind, arguments.val)
    found = imported.write(score_files.told(arguments.file), given, dataset, about, arguments.out, grid, arguments.data)
    shown = [columns.NAMED[name] for name in ("top1", "nll", "ece_temperature" if given.val else "ece_native")]
    numbers = ", ".join(f"{column.heading} {column.shown(found.measured[column.name])}" for column in shown)
    say(console, f"imported: cell {found.cell_id}, {numbers}")
    say(
        console,
        f"labels: those of {found.source}"
        if found.source
        else "labels: compared with nothing, as the data set is not at hand (--data)",
    )
    alone = (
        "no other head; give --protocol, --backbone, --projection, --recipe and --d as the table of the others has them"
    )
    say(console, f"compared with: {', '.join(found.beside) or alone}")
    if not arguments.no_report:
        show_report(arguments.out, grid, console)
    return 0
