"""Attempts at a cell that end without a word."""

import os
from pathlib import Path

from headbench.runners.execution import attempts


def test_a_checkpoint_in_the_middle_of_an_epoch_is_progress(tmp_path: Path) -> None:
    for deaths in (1, 2):
        attempts.begin(tmp_path)
        assert attempts.deaths(tmp_path) == deaths
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    os.utime(tmp_path / "attempts.json", ns=(0, 0))
    assert attempts.deaths(tmp_path) == 0
    attempts.begin(tmp_path)
    os.utime(tmp_path / "checkpoint.pt", ns=(0, 0))
    assert attempts.deaths(tmp_path) == 1
