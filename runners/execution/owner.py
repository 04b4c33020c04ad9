"""Who holds a lock: one process of one machine, told apart from every other whatever the wall clock says."""

import os
import socket
import uuid
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PROC = Path("/proc")
Name = Annotated[str, Field(max_length=255)]


class Place(BaseModel):
    """Where a process number means something.

    Attributes:
        host: name of the machine.
        boot: identity of its start, empty where there is no ``/proc``.
        namespace: of its process numbers, as of a container; empty where there is no ``/proc``.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    host: Name
    boot: Name
    namespace: Name


class Owner(BaseModel):
    """A process and one of its locks.

    Attributes:
        place: where the process runs.
        pid: its number there, which may be used again.
        ticks: since the machine's start when it was started, which with the number is never used again; 0 where there
            is no ``/proc``.
        token: of this lock alone.
        job: of Slurm that the process belongs to, empty for none.
        team: of workers that the process belongs to, empty for none.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    place: Place
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    ticks: Annotated[int, Field(ge=0)]
    token: Name
    job: Name = ""
    team: Name = ""

    def words(self) -> str:
        """Say who that is: ``process 312 on node7, Slurm job 41_3``."""
        return f"process {self.pid} on {self.place.host}" + (f", Slurm job {self.job}" if self.job else "")

    def lives(self) -> bool | None:
        """Say whether the process still runs, or None where this one cannot know."""
        if self.place.host != socket.gethostname() or self.place != here():
            return None
        if not self.place.boot:
            return None if _exists(self.pid) else False
        if _own_number() != os.getpid():
            return None
        try:
            state, ticks = _state(self.pid)
        except (OSError, ValueError, IndexError):
            return None if _exists(self.pid) else False
        return ticks == self.ticks and state not in "ZX"


def here() -> Place:
    """Return the place of this process."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = str((PROC / "self/ns/pid").readlink())
    except OSError:
        boot = namespace = ""
    return Place(host=socket.gethostname(), boot=boot, namespace=namespace)


def this_process(team: str = "") -> Owner:
    """Return the owner of a new lock of this process, a worker of a team if that has a name."""
    place = here()
    ticks = _state("self")[1] if place.boot else 0
    return Owner(place=place, pid=os.getpid(), ticks=ticks, token=uuid.uuid4().hex, job=slurm_job(), team=team)


def slurm_job() -> str:
    """Return the Slurm job of this process, of an array its task (``12_3``), or nothing outside of one.

    Never the number that every task of an array has beside: one of them shares it with the array itself.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def _state(process: int | str) -> tuple[str, int]:
    """Return a process's state and start ticks, fields 3 and 22 of its ``stat``.

    Its name, field 2, may hold blanks and brackets.
    """
    fields = (PROC / str(process) / "stat").read_bytes().rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[19])


def _own_number() -> int | None:
    """Return this process's number in ``/proc``, which in a namespace of its own may still be that of the machine."""
    try:
        return int(str((PROC / "self").readlink()))
    except (OSError, ValueError):
        return None


def _exists(pid: int) -> bool:
    """Say whether there is a process of that number, also where ``/proc`` hides those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
