"""NVIDIA's Multi-Process Service: with it the workers of one card compute at the same time, without it in turns."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from headbench.core.errors import note

CONTROL = "nvidia-cuda-mps-control"
# Seconds that the control program has for an answer, and its server to be there.
ANSWER, START = 10.0, 15.0
# A shell that waits for the end of this process, however that comes: then the pipe that it reads is closed. It has a
# session of its own, so that Ctrl-C does not reach it.
GUARD = 'cat > /dev/null; echo quit | "$0" > /dev/null 2>&1; rm -rf "$1"'


@contextmanager
def service(device: str, processes: int) -> Iterator[dict[str, str]]:
    """Give the variables by which processes that start in the block use the service; it ends with the block, or with
    this process.

    One of the user's that runs already is used as it is and left alone.
    Where the service is not installed, or does not start, which one line says, processes go on without it.

    Args:
        device: ``cpu`` or ``cuda``.
        processes: that are to start; there is no service unless some of them share a card.
    """
    shared = device == "cuda" and processes > torch.cuda.device_count()
    control = shutil.which(CONTROL) if shared else None
    if control is None or _ask(control, os.environ, "get_server_list") is not None:
        yield {}
        return
    folder = Path(tempfile.mkdtemp(prefix="headbench-mps-"))
    variables = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "log")}
    # A service that sees some devices only would number them anew, and the workers, which see the same ones, once more.
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | variables
    guard = subprocess.Popen(
        ["/bin/sh", "-c", GUARD, control, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    try:
        reason = _start(control, environment, folder)
        if reason is not None:
            note(f"NVIDIA's Multi-Process Service did not start, so that workers take turns on their card: {reason}")
            _end(guard)
        yield {} if reason is not None else variables
    finally:
        _end(guard)


def _start(control: str, environment: Mapping[str, str], folder: Path) -> str | None:
    """Start daemon and server; return why there is none, or None."""
    for name in ("pipe", "log"):
        (folder / name).mkdir()
    said = folder / "said.txt"
    with said.open("wb") as file:  # a pipe would be held open by the daemon
        try:
            done = subprocess.run(
                [control, "-d"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
                timeout=START,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    if done.returncode:
        return _last(said) or f"{control} -d ended with status {done.returncode}"
    deadline, asked = time.monotonic() + START, False
    while time.monotonic() < deadline:
        servers = _ask(control, environment, "get_server_list")
        if servers:
            return None
        if servers is not None and not asked:
            # Else the first worker would have it started, and all of them would fail where that cannot be done.
            asked = _ask(control, environment, f"start_server -uid {os.getuid()}") is not None
        time.sleep(0.1)
    return _last(folder / "log/server.log") or _last(folder / "log/control.log") or "it has no server"


def _ask(control: str, environment: Mapping[str, str], command: str) -> str | None:
    """Return what the daemon answers, without blanks around it; None where there is none."""
    try:
        done = subprocess.run(
            [control],
            input=f"{command}\n",
            capture_output=True,
            text=True,
            env=environment,
            timeout=ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.strip()


def _last(file: Path) -> str:
    """Return the last line of a file, nothing where there is none."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _end(guard: "subprocess.Popen[bytes]") -> None:
    """Have the guard end the service, and wait for that."""
    assert guard.stdin is not None
    guard.stdin.close()
    try:
        guard.wait(ANSWER)
    except subprocess.TimeoutExpired:
        note("NVIDIA's Multi-Process Service has not ended yet")
