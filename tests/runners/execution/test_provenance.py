"""Which processor a number was computed on."""

from pathlib import Path

import pytest

from headbench.runners.execution import provenance
from headbench.runners.execution.provenance import Processor
from tests.runners.helpers import CPU

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
