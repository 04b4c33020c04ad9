"""Runs as event files of TensorBoard, with its table of hyperparameters; the same cells give the same bytes."""

import io
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headbench.results import store
from headbench.results.export.runs import Run

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

# TensorBoard takes files with this word in their names.
FILE = "events.out.tfevents.headbench"
# The first event of a file names its format.
VERSION = "brain.Event:2"


def write(runs: list[Run], folder: Path, grid: str) -> str:
    """Write a folder per run; return what shows them."""
    for run in runs:
        # Named by what cells differed in then: TensorBoard would show it twice.
        for former in folder.glob(f"*-{run.cell_id}*"):
            if former.name != run.name:
                (former / FILE).unlink(missing_ok=True)
                with suppress(OSError):  # where others put files of their own
                    former.rmdir()
        store.write_bytes(folder / run.name / FILE, _records(_events(run)))
    return f"tensorboard --logdir {shlex.quote(str(folder))}"


def _events(run: Run) -> list["Event"]:
    """Return what TensorBoard shows of a run: its parameters, a point per epoch, and its final metrics."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    def scalars(prefix: str, numbers: dict[str, float], step: int, time: float) -> Event:
        values = [Summary.Value(tag=f"{prefix}/{name}", simple_value=number) for name, number in numbers.items()]
        return Event(wall_time=time, step=step, summary=Summary(value=values))

    parameters: Any = hparams_pb(run.parameters, trial_id=run.cell_id, start_time_secs=run.started)
    epochs = [*run.epochs()]
    step, end = (epochs[-1][0], epochs[-1][1]) if epochs else (0, run.started)
    return [
        Event(wall_time=run.started, file_version=VERSION),
        Event(wall_time=run.started, summary=Summary.FromString(parameters.SerializeToString())),
        *(scalars("epoch", numbers, epoch, time) for epoch, time, numbers in epochs),
        *(scalars(selection, numbers, step, end) for selection, numbers in run.metrics.items()),
    ]


def _records(events: list["Event"]) -> bytes:
    """Return events as the content of a file."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
    return buffer.getvalue()
