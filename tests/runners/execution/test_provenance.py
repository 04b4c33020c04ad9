"""Which processor, code and attempts a number is of."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headbench.core.errors import StoppedError
from headbench.runners.execution import cell as cells
from headbench.runners.execution import provenance
from headbench.runners.execution.provenance import Processor
from headbench.runners.training.checkpoint import Checkpoints
from tests.runners.helpers import CPU, QUICK, cell, digits, planned

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) 6975P-C: a colon
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_bf16_more amx_bf16 amx_tile
power management:

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
EPYC = "model name : AMD EPYC\nflags : fpu avx avx2 sha_ni\n"
ARM = "processor : 0\nFeatures : fp asimd bf16\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (XEON, Processor("Intel(R) Xeon(R) 6975P-C: a colon", "avx2 avx512f avx512_bf16 amx_bf16")),
        (EPYC, Processor("AMD EPYC", "avx2")),
        (ARM, Processor("", "")),
        ("", Processor("", "")),
    ],
)
def test_the_first_processor_and_its_flags_are_read(text: str, expected: Processor, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert provenance.processor(file) == expected


def test_a_system_without_the_file_has_no_flags(tmp_path: Path) -> None:
    assert provenance.processor(tmp_path / "nothing").flags == ""


def test_every_result_tells_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "processor", lambda: Processor("AMD EPYC", "avx2"))
    described = provenance.describe(CPU)
    assert (described["processor"], described["processor_flags"]) == ("AMD EPYC", "avx2")


def test_a_cell_in_two_attempts_tells_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of code and machine, and when the first began; the head's source and the precision are one throughout."""
    (one,) = planned(cell("psc", recipe=QUICK | {"epochs": 3}))

    def attempt(commit: str, device: str, on_epoch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        described = provenance.describe(CPU) | {"git_commit": commit, "device": device}
        monkeypatch.setattr(provenance, "describe", lambda _: described)
        checkpoints = Checkpoints(tmp_path, one.cell_id, seconds=0)
        return cells.run(one, digits(), tmp_path, CPU, on_epoch, keep_weights=False, checkpoints=checkpoints)

    def stop(row: dict[str, Any]) -> None:
        raise StoppedError

    times = iter(["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"])
    monkeypatch.setattr(cells, "_now", lambda: next(times))
    with pytest.raises(StoppedError):
        attempt("a", "cpu", stop)
    result = attempt("b", "cpu", lambda _: None)
    told = result["provenance"]
    assert (told["git_commit"], told["device"], told["precision"]) == ("a + b", "cpu", "fp32")
    assert (result["started_at"], result["finished_at"]) == ("2026-01-01T00:00:00+00:00", "2026-01-03T00:00:00+00:00")


def test_what_is_told_of_attempts_is_told_once() -> None:
    now = dict.fromkeys(provenance.TOLD, "x") | {"started_at": "2"}
    first = provenance.together({}, now)
    assert provenance.together(first, now | {"started_at": "3"}) == first == now
    third = provenance.together(provenance.together(first, now | {"git_commit": "y"}), now)
    assert third["git_commit"] == "x + y"


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="of Linux")
def test_the_peak_memory_is_in_mebibytes() -> None:
    """No less than what the kernel tells in another place, and no more than the machine has."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found = provenance.peak_memory_mb(CPU)
    assert int(told["VmHWM"].split()[0]) / 1024 <= 1.05 * found
    assert found < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
