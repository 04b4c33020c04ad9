"""Ray: actors on the nodes of a cluster train the cells of a grid, each one at a time, until all have ended.

An actor that sees the folder of the runs works there, under the locks that keep all processes of a grid apart.
For another one this process holds the lock; checkpoints and results come as bytes. What is lost with a node is tried
elsewhere, from the newest checkpoint.
"""

import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headbench.core import version
from headbench.core.errors import PrunedError, StoppedError, UserError
from headbench.results import store
from headbench.runners.engines.ray_worker import PROGRESS, RESULT, Worker
from headbench.runners.execution import attempts, locks, queue
from headbench.runners.execution.owner import Owner
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Events
from headbench.runners.execution.workers import PATIENCE, Job

# Seconds between two looks at actors that had no news.
PAUSE = 0.2
# Actors in a row that may be lost before they are ready.
STARTS = 5


@dataclass(frozen=True)
class Cluster:
    """Trains cells by actors of the Ray cluster that this process is connected to; an ``Executor``.

    Attributes:
        job: how cells are trained.
        data: the data folder on every node, or None for each node's own.
        actors: that train at once, at most.
        cpus: cores of each.
        gpus: of each, also a part of one.
        looks: whether actors look for the folder of the runs; otherwise all of them send what they make.
    """

    job: Job
    data: Path | None
    actors: int
    cpus: float
    gpus: float
    looks: bool = True

    def run(self, cells: list[Planned], events: Events) -> None:
        """Train the cells; a lost actor is replaced.

        Raises:
            StoppedError: if no actor can be started, or one cannot write.
            UserError: if a node lacks the data folder, or has another version of this harness.
        """
        with _token(self.job.out, self.looks) as token:
            _Driver(self, token, deque(cells), events).run()


@contextmanager
def _token(out: Path, looks: bool) -> Iterator[Path | None]:
    """Put a file of a name that was never used into the folder of the runs: who sees it sees this folder."""
    if not looks:
        yield None
        return
    token = out.resolve() / f".ray-{uuid.uuid4().hex}"
    store.write_bytes(token, b"")
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


@dataclass
class _Member:
    """An actor, as this process sees it.

    Attributes:
        actor: its handle.
        news: the answer that is waited for.
        ready: whether it is set up.
        shared: whether it sees the folder of the runs.
        planned: the cell that it trains, or None.
        ending: how that has ended, if it is not told yet.
        mine: this process's lock of the cell, where it is not shared.
        lock: gives the lock back.
    """

    actor: Any
    news: Any
    ready: bool = False
    shared: bool = False
    planned: Planned | None = None
    ending: tuple[Any, ...] | None = None
    mine: Owner | None = None
    lock: ExitStack = field(default_factory=ExitStack)

    def free(self) -> None:
        """Have no cell any more."""
        self.planned, self.ending, self.mine = None, None, None
        self.lock.close()


class _Driver:
    """Gives cells to actors until all have ended."""

    def __init__(self, cluster: Cluster, token: Path | None, waiting: deque[Planned], events: Events) -> None:
        import ray

        self.ray, self.cluster, self.waiting, self.events = ray, cluster, waiting, events
        self.known = {planned.cell_id: planned for planned in waiting}
        self.crew: list[_Member] = []
        self.watch, self.code, self.lost = locks.Watch(), version.words(), 0
        # When a cell that somebody else had is looked at again, and the pause before that.
        self.later: dict[str, tuple[float, float]] = {}
        share = replace(
            cluster.job.share,
            device="cuda" if cluster.gpus else "cpu",
            threads=max(int(cluster.cpus), 1),
            workers=round(1 / cluster.gpus) if cluster.gpus else 1,
        )
        own = replace(cluster.job, out=cluster.job.out.resolve(), share=share, plugins=(), environment={})
        added = [(path.name, path.read_bytes()) for path in cluster.job.plugins]
        self.given = own, cluster.data, added, token

    def run(self) -> None:
        """Train all cells."""
        try:
            while self.waiting or self._busy():
                self._hire()
                self._listen()
                for member in self.crew:
                    if member.ready and member.planned is None:
                        self._assign(member)
        finally:
            self._dismiss()

    def _busy(self) -> list[_Member]:
        return [member for member in self.crew if member.planned is not None]

    def _hire(self) -> None:
        """Have as many actors as there is work for; others give their resources back."""
        wanted = min(self.cluster.actors, len(self.waiting) + len(self._busy()))
        for member in [member for member in self.crew if member.planned is None][: max(len(self.crew) - wanted, 0)]:
            self.crew.remove(member)
            self.ray.kill(member.actor)
        while len(self.crew) < wanted:
            resources = {"num_cpus": self.cluster.cpus, "num_gpus": self.cluster.gpus}
            # A thread for what an actor is asked, one for what it answers.
            made = self.ray.remote(Worker).options(**resources, max_concurrency=2, scheduling_strategy="SPREAD")
            actor = made.remote(*self.given)
            self.crew.append(_Member(actor, actor.news.remote()))

    def _listen(self) -> None:
        """Heed the news of the actors; where there are none, wait a little."""
        waited = {member.news: member for member in self.crew}
        there, _ = self.ray.wait(list(waited), num_returns=len(waited), timeout=0)
        if not there:  # Ray's own waiting makes a Ctrl-C of every signal
            time.sleep(PAUSE)
        for news in there:
            member = waited[news]
            try:
                messages = self.ray.get(news)
                member.news = member.actor.news.remote()
            except self.ray.exceptions.RayError as error:
                self._lose(member, error)
                continue
            for message in messages:
                self._heed(member, *message)

    def _heed(self, member: _Member, kind: str, *content: Any) -> None:
        if kind == "ready":
            host, code, member.shared = content
            member.ready, self.lost = True, 0
            if code != self.code:
                raise UserError(f"submit ray: node {host} has {code}, and this is {self.code}; make them the same")
        elif kind == "refused":
            raise UserError(f"submit ray: node {content[0]}: {content[1]}")
        elif kind == "broken":
            raise StoppedError(f"submit ray: node {content[0]}: {content[1]}")
        elif kind == "files":
            self._write(member, content[0])
        elif kind in {"ended", "halted"}:
            self._end(member, in_order=kind == "halted" or member.ending is not None)
        elif kind in {"finished", "failed", "pruned"}:
            member.ending = (kind, *content)
        else:
            try:
                getattr(self.events, kind)(self.known[content[0]], *content[1:])
            except PrunedError as pruned:
                member.actor.prune.remote(content[0], str(pruned))

    def _assign(self, member: _Member) -> None:
        """Give an actor the first cell that can be had."""
        now = time.monotonic()
        for _ in range(len(self.waiting)):
            planned = self.waiting.popleft()
            if self.later.get(planned.cell_id, (now, 0.0))[0] > now:
                self.waiting.append(planned)
            elif member.shared:
                member.planned = planned
                member.actor.train.remote(planned, None)
                return
            elif self._lock(member, planned):
                folder = store.cell_folder(self.cluster.job.out, planned.cell_id)
                member.planned = planned
                there = [folder / name for name in (*PROGRESS, attempts.NAME) if (folder / name).is_file()]
                files = {path.name: path.read_bytes() for path in there}
                queue.keep_damaged(folder)
                attempts.begin(folder)
                member.actor.train.remote(planned, files)
                return

    def _lock(self, member: _Member, planned: Planned) -> bool:
        """Lock a cell for an actor that cannot; return False where another process has it, or it has ended."""
        out, folder = self.cluster.job.out, store.cell_folder(self.cluster.job.out, planned.cell_id)
        member.mine = member.lock.enter_context(locks.locked(folder, self.watch))
        if member.mine is None:
            member.free()
            self._postpone(planned)
            return False
        result, ending = queue.result_of(planned.cell_id, out), store.read_ending(folder)
        deaths = attempts.deaths(folder)
        if result is not None:
            self.events.finished(planned, result)
        elif ending is not None:
            getattr(self.events, ending[0])(planned, ending[1])
        elif deaths >= attempts.UNSEEN:
            queue.fail(planned, folder, f"its actor ended without a word, {deaths} times", self.events)
        else:
            return True
        member.free()
        return False

    def _postpone(self, planned: Planned) -> None:
        """Look at a cell again after the others, and after a while."""
        _, pause = self.later.get(planned.cell_id, (0.0, queue.PAUSE))
        self.later[planned.cell_id] = time.monotonic() + pause, min(pause * 2, queue.LONGEST_PAUSE)
        self.waiting.append(planned)

    def _write(self, member: _Member, files: dict[str, bytes]) -> None:
        """Write what an actor has sent of its cell, as long as the cell is this process's."""
        assert member.planned is not None
        folder = store.cell_folder(self.cluster.job.out, member.planned.cell_id)
        if locks.owner_of(folder) != member.mine:
            member.ending = None
            return
        for name, content in sorted(files.items(), key=lambda pair: pair[0] == RESULT):
            store.write_bytes(folder / name, content)
        if RESULT in files:
            (folder / PROGRESS[-1]).unlink(missing_ok=True)

    def _end(self, member: _Member, *, in_order: bool) -> None:
        """Tell how an actor's cell has ended; one that has not is tried again, and counted unless it is in order."""
        planned, ending = member.planned, member.ending
        assert planned is not None
        if member.mine is not None and in_order:
            attempts.end(store.cell_folder(self.cluster.job.out, planned.cell_id))
        member.free()
        if ending is None:
            self._postpone(planned)
        else:
            getattr(self.events, ending[0])(planned, *ending[2:])

    def _lose(self, member: _Member, error: Exception) -> None:
        """Have another actor for one that is gone, with its process or its node."""
        self.crew.remove(member)
        self.ray.kill(member.actor)
        planned = member.planned
        member.free()
        if planned is not None:
            self.waiting.appendleft(planned)
            self.events.stopped(planned, "its node or process was lost; it goes on elsewhere")
        self.lost += not member.ready
        if self.lost >= STARTS:
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise StoppedError(f"submit ray: no actor could start: {said[-1] if said else type(error).__name__}")

    def _dismiss(self) -> None:
        """Have running cells write their checkpoints, wait a little for that, then end all actors."""
        try:
            for member in self._busy():
                member.actor.halt.remote()
            deadline = time.monotonic() + PATIENCE
            while self._busy() and time.monotonic() < deadline:
                self._listen()
        finally:
            for member in self.crew:
                self.ray.kill(member.actor)
                member.free()
