"""NVIDIA's service for several workers on one card: when it is started, who uses it, and that it ends; by a program of
its name that keeps a diary.
"""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headbench.runners.execution import executors, workers
from headbench.runners.execution.executors import Processes
from headbench.runners.execution.sharing import mps
from headbench.runners.execution.workers import Job
from headbench.runners.training.hardware import Share

# A daemon is the file "alive" in its pipe folder, its server the file "server".
FAKE = """#!/bin/sh
pipe="${CUDA_MPS_PIPE_DIRECTORY:-$HOME/usual}"
[ "$1" = -d ] && word=-d || read word rest
echo "$word $pipe ${CUDA_VISIBLE_DEVICES-unset}" >> "$DIARY"
[ "$word" = "$FAILS" ] && { echo "no $word here"; exit 1; }
[ "$word" = -d ] && { touch "$pipe/alive"; exit 0; }
[ -e "$pipe/alive" ] || { echo "Cannot find MPS control daemon process"; exit 1; }
case "$word" in
start_server)
    [ -z "$NO_SERVER" ] && touch "$pipe/server" || echo "no card for it" > "$CUDA_MPS_LOG_DIRECTORY/server.log" ;;
get_server_list) [ -e "$pipe/server" ] && echo 4711 ;;
quit) rm "$pipe/alive" ;;
esac
exit 0
"""


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the program was asked for, a line each: the word, the pipe folder, the devices that it sees."""
    program, file = tmp_path / "bin" / mps.CONTROL, tmp_path / "diary"
    (tmp_path / "tmp").mkdir()
    (tmp_path / "usual").mkdir()
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    file.touch()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DIARY", str(file))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    return file


def asked(diary: Path) -> list[str]:
    return [line.split()[0] for line in diary.read_text().splitlines()]


def test_the_service_is_there_before_the_workers_and_ends_after_them(diary: Path, tmp_path: Path) -> None:
    with mps.service("cuda", 3) as variables:
        pipe = Path(variables["CUDA_MPS_PIPE_DIRECTORY"])
        assert (pipe / "server").exists()
        assert pipe.is_relative_to(tmp_path / "tmp")
        assert Path(variables["CUDA_MPS_LOG_DIRECTORY"]).is_dir()
        lines = diary.read_text().splitlines()
        assert lines[0] == f"get_server_list {tmp_path}/usual 3", "first whether one of the user's runs"
        assert lines[1] == f"-d {pipe} unset", "its own devices are all, which workers choose from"
        assert "quit" not in asked(diary)
    assert asked(diary)[-1] == "quit"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("device_and_workers", [("cuda", 2), ("cpu", 8)])
def test_workers_that_share_no_card_have_no_service(device_and_workers: tuple[str, int], diary: Path) -> None:
    with mps.service(*device_and_workers) as variables:
        assert variables == {}
    assert asked(diary) == []


def test_a_service_of_the_users_is_used_and_left_alone(diary: Path, tmp_path: Path) -> None:
    (tmp_path / "usual/alive").touch()
    with mps.service("cuda", 3) as variables:
        assert variables == {}
    assert asked(diary) == ["get_server_list"]
    assert (tmp_path / "usual/alive").exists()


@pytest.mark.parametrize(
    ("variable", "reason"), [({"FAILS": "-d"}, "no -d here"), ({"NO_SERVER": "1"}, "no card for it")]
)
def test_a_service_that_does_not_start_is_one_line(
    variable: dict[str, str],
    reason: str,
    diary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(mps, "START", 0.5)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    with mps.service("cuda", 3) as variables:
        assert variables == {}
        assert list((tmp_path / "tmp").iterdir()) == [], "it is gone before the workers start"
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(f"workers take turns on their card: {reason}")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_process_however_that_ends(end: signal.Signals, diary: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
            with mps.service("cuda", 3):
                os.write(writer, b"there")
                time.sleep(60)
        finally:
            os._exit(1)
    assert os.read(reader, 5) == b"there"
    os.kill(child, end)
    os.waitpid(child, 0)
    deadline = time.monotonic() + 20
    while list((tmp_path / "tmp").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert asked(diary)[-1] == "quit"


def test_the_workers_get_the_variables(diary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Job] = []
    monkeypatch.setattr(workers, "run", lambda job, cells, events: seen.append(job))
    job = Job((), tmp_path, tmp_path, Share("cuda", 1, "fp32", 8), keep_weights=False, wait=True)
    executors.Processes(job).run([None] * 3, None)  # type: ignore[list-item, arg-type]
    assert Path(seen[0].environment["CUDA_MPS_PIPE_DIRECTORY"]).is_relative_to(tmp_path / "tmp")
    assert asked(diary)[-1] == "quit"
    Processes(replace(job, share=Share("cuda", 1, "fp32", 2))).run([None] * 3, None)  # type: ignore[list-item, arg-type]
    assert "CUDA_MPS_PIPE_DIRECTORY" not in seen[1].environment
