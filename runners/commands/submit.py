"""``bench.py submit``: have a grid trained by the engine of a cluster."""

import argparse
import dataclasses
import shlex
from typing import TYPE_CHECKING

from rich.console import Console

from headbench.core.errors import UserError
from headbench.runners.commands import tune
from headbench.runners.commands.arguments import (
    Parser,
    add_cells,
    add_checkpoints,
    add_compile,
    add_data,
    add_grid,
    add_out,
    add_plugin,
    add_quiet,
    add_words,
    path,
    run_options,
)
from headbench.runners.commands.screen import Screen, say
from headbench.runners.execution.options import RunOptions, words

if TYPE_CHECKING:
    from headbench.runners.engines.slurm import Array
    from headbench.runners.execution.launch import Launch

HELP = "have a grid trained by a cluster: slurm, ray"
# Drainers, unless the user says how many.
TASKS = 16
MOST_CPUS = 1024


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    engines = parser.add_subparsers(dest="engine", required=True, metavar="{slurm,ray}", parser_class=Parser)
    _add_slurm(engines.add_parser("slurm", help="an array of tasks, and a job that writes the report after them"))
    _add_ray(
        engines.add_parser(
            "ray", help="processes of a Ray cluster train cells; this command stays until they have ended"
        )
    )
    for engine in engines.choices.values():
        engine.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Submit a grid; return the exit status."""
    for name, usual in (("objective", "val_top1"), ("storage", None), ("seed", 0)):
        if arguments.trials is None and getattr(arguments, name) != usual:
            raise UserError(f"--{name} is of a search, which --trials asks for; seeds of cells are --set axes.seed=...")
    return {"slurm": _slurm, "ray": _ray}[arguments.engine](arguments, console)


def _add_shared(parser: argparse.ArgumentParser, whose: str, gpus: str) -> None:
    """Add what every engine is asked: the cells, and how they are trained.

    Args:
        parser: of the engine.
        whose: what the readers of images are counted for.
        gpus: the option by which a cell has a GPU.
    """
    add_grid(parser)
    add_out(parser)
    add_data(parser)
    add_cells(parser, "train only")
    parser.add_argument("--tuned", type=path, metavar="FILE.yaml", help="values that bench.py tune has found")
    parser.add_argument(
        "--readers", type=int, metavar="N", help=f"processes that read streamed images, {whose} (as for run)"
    )
    add_checkpoints(parser)
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help=f"the same on every node (default: bf16 with {gpus}, else fp32)",
    )
    add_compile(parser)
    add_plugin(parser)
    parser.add_argument("--keep-weights", action="store_true", help="keep each cell's last weights")
    parser.add_argument("--retry-failed", action="store_true", help="train cells again that failed or were pruned")
    tune.add_search(parser, required=False)


def _add_slurm(parser: argparse.ArgumentParser) -> None:
    _add_shared(parser, "for each worker", "--gpus")
    parser.add_argument(
        "--tasks", type=int, metavar="N", help=f"tasks, which all take cells until none is free (default: {TASKS})"
    )
    parser.add_argument("--max-running", type=int, metavar="N", help="tasks that run at once (default: as many as fit)")
    parser.add_argument("--cpus", type=int, default=4, metavar="N", help="cores of each task (default: 4)")
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs of each task (default: none)")
    parser.add_argument("--time", metavar="HH:MM:SS", help="time limit of each task (default: that of the partition)")
    parser.add_argument("--partition", metavar="NAME", help="partition (default: that of the cluster)")
    more = "more options of sbatch, for the tasks and the report: account=lab mem=8G"
    add_words(parser, "--sbatch-option", "KEY=VALUE", more)
    parser.add_argument(
        "--devices", type=int, default=1, metavar="N", help="GPUs of each cell (default: 1; as for run)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="cells at once in each task (default: as its GPUs, or one)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads of each worker (default: its part of the cores)"
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything and show the scripts, submit nothing")


def _add_ray(parser: argparse.ArgumentParser) -> None:
    _add_shared(parser, "for each cell", "--gpus-per-cell")
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the cluster (default: $RAY_ADDRESS, else the one of this machine, else one is started here)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="cells at once (default: as many as have room now)")
    parser.add_argument("--cpus-per-cell", type=float, default=1.0, metavar="N", help="cores of each cell (default: 1)")
    parser.add_argument(
        "--gpus-per-cell",
        type=float,
        default=0.0,
        metavar="N",
        help="GPUs of each cell, 0.25 for four on one (default: none)",
    )
    parser.set_defaults(cell=[], devices=1, no_report=False, json=False, timeout=None)
    add_quiet(parser)


def _ray(arguments: argparse.Namespace, console: Console) -> int:
    """Train a grid on a Ray cluster, and build its report here."""
    from headbench.core.folders import from_environment
    from headbench.runners.commands.run import ended
    from headbench.runners.engines import ray, ray_cluster
    from headbench.runners.execution import launch

    cpus, gpus = arguments.cpus_per_cell, arguments.gpus_per_cell
    _check_resources(cpus, gpus)
    arguments.device, arguments.threads = "cuda" if gpus else "cpu", max(int(cpus), 1)
    arguments.precision = arguments.precision or ("bf16" if gpus else "fp32")
    data = arguments.data or from_environment("HEADBENCH_DATA")
    if arguments.trials is not None:
        from headbench.runners.search.search import Team

        own = _for_a_search(arguments)
        ray_cluster.connect(arguments.address)
        actors = arguments.workers or ray_cluster.room(cpus, gpus)
        members = Team(actors, lambda job: ray.Cluster(job, data, actors, cpus, gpus))
        return tune.by(arguments, dataclasses.replace(own, device="cpu", workers=1), console, members)
    prepared, _ = _prepared(arguments)
    left, team = len(prepared.todo), None
    if left:
        ray_cluster.connect(arguments.address)
        actors = min(arguments.workers or ray_cluster.room(cpus, gpus), left)
        share = dataclasses.replace(prepared.job.share, compiled=arguments.compile == "on")
        job = dataclasses.replace(prepared.job, keep_weights=arguments.keep_weights, share=share)
        team = ray.Cluster(job, data, actors, cpus, gpus)
        say(console, f"{prepared.grid.name}: {left} cells for up to {actors} at once on the Ray cluster")
    launch.execute(prepared, Screen(quiet=True) if arguments.quiet else console, team)
    return ended(prepared, arguments, console)


def _for_a_search(arguments: argparse.Namespace) -> RunOptions:
    """Return how the cells of a search are trained, and refuse what a search does not have.

    Raises:
        UserError: for an option that goes with no search.
    """
    for name in ("tuned", "keep_weights"):
        if getattr(arguments, name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{option} goes with no search (--trials): it begins with the grid's own values and keeps none"
            )
    if arguments.devices > 1:
        raise UserError(f"--devices {arguments.devices} goes with no search (--trials): each trial has one device")
    return run_options(arguments, retry_failed=arguments.retry_failed)


def _check_resources(cpus: float, gpus: float) -> None:
    """Raise UserError for a part of the cluster that no cell can have."""
    if not 0 < cpus <= MOST_CPUS:
        raise UserError(f"--cpus-per-cell: {cpus:g} is not above 0 and at most {MOST_CPUS}")
    if not (0 <= gpus < 1 or gpus == 1):
        raise UserError(f"--gpus-per-cell: {gpus:g} is not between 0 and 1; a cell computes on one GPU")


def _slurm(arguments: argparse.Namespace, console: Console) -> int:
    """Write the scripts of an array and of its report, submit both, and say how to watch."""
    from headbench.results import store
    from headbench.runners.commands.report import command_of
    from headbench.runners.engines import slurm
    from headbench.runners.execution import earlier, launch, queue

    _complete(arguments)
    array = slurm.Array(
        arguments.tasks or TASKS,
        arguments.max_running,
        arguments.cpus,
        arguments.gpus,
        arguments.time,
        arguments.partition,
        arguments.sbatch_option,
    )
    slurm.check(array, dry_run=arguments.dry_run)
    if arguments.trials is not None:
        from headbench.runners.search import search
        from headbench.runners.search.trials import check_validation

        here = dataclasses.replace(_for_a_search(arguments), device="cpu", compile="off")
        search.check(tune.options_of(arguments, here))
    prepared, options = _prepared(arguments)
    if arguments.trials is None:
        earlier.tell_untried(prepared.untried)
    else:
        check_validation(prepared.wanted, prepared.grid.name)
    grid, left = prepared.grid.name, _left(arguments, prepared)
    what = "cells" if arguments.trials is None else "trials"
    if not left:
        say(console, f"{grid}: no cell is left to train; this builds its report: {command_of(arguments.out, grid)}")
        return 0
    array = _no_more_than_cells(array, arguments, left, console)
    folder = store.grid_folder(arguments.out, grid) / ("slurm" if arguments.trials is None else "slurm-search")
    drain = _drain(arguments, options)
    report = ["report", "--grid", grid, "--out", str(arguments.out)]
    report += ["--storage", arguments.storage] if arguments.storage else []
    scripts = slurm.scripts(array, grid, drain, report, folder)
    if arguments.dry_run:
        for name, script in scripts.items():
            for line in (f"{folder / name}:", "", *script.splitlines(), ""):
                say(console, line)
        say(console, f"{left} {what} to train; nothing was submitted")
        return 0
    if arguments.trials is None:
        launch.write_plan(prepared)
        queue.clear_endings(prepared.again, arguments.out)
    for name, script in scripts.items():
        # The URL of a storage may hold a password.
        store.write_text(folder / name, script, 0o600 if arguments.storage else 0o644)
    drainers, reporter = slurm.submit(folder)
    where = shlex.join(["--grid", grid, "--out", str(arguments.out)])
    # Of a search there is no plan that status could read.
    status = f"; python bench.py status {where}" if arguments.trials is None else ""
    say(console, f"{grid}: {left} {what} for array {drainers} of {array.tasks} tasks, then report {reporter}")
    say(console, f"scripts and what they print: {folder}")
    say(console, f"watch: squeue --array --jobs {drainers},{reporter}{status}")
    say(console, f"stop: scancel {drainers} {reporter}; finished cells and checkpoints are kept")
    return 0


def _left(arguments: argparse.Namespace, prepared: "Launch") -> int:
    """Return how many cells are left to train, or trials of a search."""
    if arguments.trials is None:
        return len(prepared.todo)
    applying = (planned.cell for planned in prepared.wanted if planned.not_applicable is None)
    return int(arguments.trials) * len({cell.with_seed(0).point for cell in applying})


def _complete(arguments: argparse.Namespace) -> None:
    """Say explicitly what follows from the resources of a task, so that it is the same on every node.

    Raises:
        UserError: if a cell is to have more devices than a task.
    """
    cpus, gpus, devices = arguments.cpus, arguments.gpus, arguments.devices
    if 0 < gpus < devices:
        raise UserError(f"--devices {devices}: a task has no more than its --gpus {gpus}")
    arguments.device = "cuda" if gpus else "cpu"
    arguments.precision = arguments.precision or ("bf16" if gpus else "fp32")
    arguments.workers = arguments.workers or max(gpus // devices, 1)
    arguments.threads = arguments.threads or max(cpus // (arguments.workers * devices), 1)


def _prepared(arguments: argparse.Namespace) -> "tuple[Launch, RunOptions]":
    """Return the grid, which is checked here, where there need be no GPU, and what its drainers are asked for."""
    from headbench.runners.execution import launch

    options = run_options(
        arguments, retry_failed=arguments.retry_failed, tuned=arguments.tuned, devices=arguments.devices
    )
    prepared = launch.prepare(dataclasses.replace(options, device="cpu", compile="off"))
    asked = dataclasses.replace(options, data=prepared.job.root)
    return dataclasses.replace(prepared, command=words(asked)), asked


def _no_more_than_cells(array: "Array", arguments: argparse.Namespace, left: int, console: Console) -> "Array":
    """Return the array with no more tasks than have something to do; say so where the user asked for more."""
    useful = -(-left // arguments.workers)
    if array.tasks <= useful:
        return array
    if arguments.tasks:
        say(console, f"--tasks: {useful} in place of {array.tasks}, since {left} cells are left to train")
    return dataclasses.replace(array, tasks=useful)


def _drain(arguments: argparse.Namespace, options: RunOptions) -> list[str]:
    """Return the words of a drainer."""
    shared = ["--out", str(arguments.out), "--workers", str(arguments.workers), "--threads", str(arguments.threads)]
    shared += [] if arguments.readers is None else ["--readers", str(arguments.readers)]
    minutes = arguments.checkpoint_minutes
    shared += [] if minutes is None else ["--checkpoint-minutes", f"{minutes:g}"]
    if arguments.trials is not None:
        search = ["--trials", str(arguments.trials), "--objective", arguments.objective, "--seed", str(arguments.seed)]
        search += ["--storage", arguments.storage] if arguments.storage else []
        search += ["--retry-failed"] if arguments.retry_failed else []
        return ["tune", *words(options), *search, *shared, "--no-report"]
    shared += ["--keep-weights"] if arguments.keep_weights else []
    return ["run", *words(options), *shared, "--no-wait", "--no-report"]
