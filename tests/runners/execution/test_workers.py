"""What the parent hears from its workers."""

import multiprocessing
import os
import struct
from pathlib import Path
from typing import Any, cast

import pytest

from headbench.core.errors import PrunedError
from headbench.runners.execution import workers
from tests.forked import Forked
from tests.runners.helpers import cell, planned


def test_a_worker_that_is_killed_in_the_middle_of_a_message_has_ended() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    os.write(sender.fileno(), struct.pack("!i", 1000) + b"half a message")
    sender.close()
    worker = workers._Worker(cast(Any, None), receiver)
    assert not workers._listen(worker, {}, cast(Any, None))
    assert not worker.ended


def test_a_word_that_a_cell_is_pruned_is_heeded_but_not_after_its_last_epoch() -> None:
    parent, own = multiprocessing.Pipe()
    (one,) = planned(cell("psc"))
    sender, last = workers.Sender(own), one.facts["epochs"]
    parent.send((one.cell_id, "it is behind"))
    sender.epoch(one, {"epoch": last})
    with pytest.raises(PrunedError, match="it is behind"):
        sender.epoch(one, {"epoch": last - 1})


def _send_to_nobody(folder: Path) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    receiver.close()
    (one,) = planned(cell("psc"))
    workers.Sender(sender).epoch(one, {"epoch": 0})
    (folder / "went-on").touch()


def test_a_worker_whose_parent_is_gone_ends_without_blaming_its_cell(tmp_path: Path) -> None:
    process = Forked(_send_to_nobody, tmp_path)
    process.communicate()
    assert process.returncode == 1
    assert not (tmp_path / "went-on").exists()
