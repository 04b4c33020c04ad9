"""What trains cells: this process, or several of this machine; a cluster is another class with the same method."""

from dataclasses import dataclass, replace
from typing import Protocol

from headbench.runners.execution import queue, workers
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Events
from headbench.runners.execution.sharing import mps
from headbench.runners.execution.workers import Job
from headbench.runners.training.hardware import Hardware


class Executor(Protocol):
    """Trains cells."""

    def run(self, cells: list[Planned], events: Events) -> None:
        """Train cells until all have ended, and tell how each of them goes on."""


@dataclass(frozen=True)
class InProcess:
    """Trains cells in this process, one after the other.

    Attributes:
        job: how they are trained.
        machine: of this process.
    """

    job: Job
    machine: Hardware

    def run(self, cells: list[Planned], events: Events) -> None:
        """Train the cells; one that may have killed the processes that had it gets a process of its own."""

        def apart(planned: Planned) -> None:
            workers.run(replace(self.job, wait=False), [planned], events)

        queue.run(cells, workers.way_of(self.job, self.machine, events, apart=apart))


@dataclass(frozen=True)
class Processes:
    """Trains cells in several processes of this machine.

    Attributes:
        job: how they are trained, and how many processes share the machine.
    """

    job: Job

    def run(self, cells: list[Planned], events: Events) -> None:
        """Train the cells; a process that dies is replaced, and those of one card compute at the same time."""
        share = self.job.share
        with mps.service(share.device, min(share.workers, len(cells)) * share.devices) as variables:
            workers.run(replace(self.job, environment=self.job.environment | variables), cells, events)
