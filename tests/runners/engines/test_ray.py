"""A grid on a real Ray cluster of three nodes, one of which is lost: ``pytest -n 0 -m slow tests/runners/engines``,
where the extra ``ray`` is installed.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from headbench.core.errors import UserError
from headbench.results import store
from headbench.results.tuning import searches
from headbench.runners.commands import grammar, submit
from headbench.runners.commands import main as command_line
from headbench.runners.commands.screen import Screen
from headbench.runners.engines import ray as engine
from headbench.runners.engines import ray_cluster
from headbench.runners.execution import launch, queue
from headbench.runners.execution.options import RunOptions
from headbench.runners.execution.plan import Planned
from headbench.runners.training.history import Glimpse
from tests.runners.helpers import grid, way

# In the actors: every epoch is a checkpoint, and takes long enough for a node to be lost within a cell.
SLOWLY = """
import time
from headbench.runners.training import history
from headbench.runners.training.checkpoint import Checkpoints
Checkpoints.__init__.__defaults__ = (0.0, *Checkpoints.__init__.__defaults__[1:])
append = history.Log.append
def slowly(log):
    append(log)
    time.sleep(0.5)
history.Log.append = slowly
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores, and two nodes of one core, which stay."""
    pytest.importorskip("ray")
    # Actors would have what other processes of the machine leave.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    import ray
    from ray.cluster_utils import Cluster

    arguments = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **arguments})
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@dataclass
class Diary:
    """An ``Events`` that keeps what it is told, and does something once, after the second epoch of some cell."""

    act: Callable[[], None] = lambda: None
    acted: bool = False
    done: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    begun: dict[str, list[int]] = field(default_factory=dict)
    _anew: set[str] = field(default_factory=set)

    def started(self, planned: Planned) -> None:
        self._anew.add(planned.cell_id)

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        if planned.cell_id in self._anew:  # the first epoch of an attempt
            self._anew.remove(planned.cell_id)
            self.begun.setdefault(planned.cell_id, []).append(seen.epoch)

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        if row["epoch"] == 3 and not self.acted:
            self.acted = True
            self.act()

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        self.done.append(planned.cell_id)

    def failed(self, planned: Planned, message: str) -> None:
        pytest.fail(message)

    def pruned(self, planned: Planned, message: str) -> None:
        pytest.fail(message)

    def stopped(self, planned: Planned, message: str) -> None:
        self.lost.append(planned.cell_id)


def prepared(folder: Path) -> launch.Launch:
    file, plugin = folder / "tiny.yaml", folder / "slowly.py"
    recipe = {"base": "fast", "epochs": 6, "batch_size": 128, "lr": 0.05, "pad": 1}
    axes = {"head": ["psc", "dl2pa"], "feature_dim": [9], "seed": [0, 1]}
    file.write_text(yaml.safe_dump(grid(recipe=recipe, axes=axes)))
    plugin.write_text(SLOWLY)
    usual: dict[str, Any] = {"device": "cpu", "precision": "fp32", "workers": 1, "threads": 1}
    return launch.prepare(RunOptions(str(file), data=folder, out=folder / "runs", plugins=(plugin,), **usual))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The cells of the grid, trained in this process."""
    ready = prepared(tmp_path_factory.mktemp("local"))
    queue.run(ready.todo, way(ready.job.out, Diary()))
    return sorted(planned.cell_id for planned in ready.todo), ready.job.out


@pytest.mark.slow
@pytest.mark.parametrize("looks", [True, False], ids=["shared folder", "bytes"])
def test_a_lost_node_costs_nothing_but_time(
    looks: bool, cluster: Any, local: tuple[list[str], Path], tmp_path: Path
) -> None:
    ray_cluster.connect(cluster.address)
    ready, node = prepared(tmp_path), cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    cluster.wait_for_nodes()
    actors = ray_cluster.room(1, 0)
    assert actors == 3

    events = Diary(lambda: cluster.remove_node(node, allow_graceful=False))
    engine.Cluster(ready.job, tmp_path, actors, 1, 0, looks).run(ready.todo, events)

    ids, trained_here = local
    assert sorted(events.done) == ids
    (again,) = events.lost
    assert events.begun[again][-1] > 1, "it went on from a checkpoint"
    for cell_id in ids:
        folder, other = (store.cell_folder(out, cell_id) for out in (ready.job.out, trained_here))
        found, expected = store.read_result(folder), store.read_result(other)
        assert found is not None
        assert expected is not None
        store.verify(folder, found)
        assert found["selections"] == expected["selections"]
        for name in ("predictions.npz", "geometry.npz"):
            with np.load(folder / name) as one, np.load(other / name) as two:
                assert one.files == two.files
                for key in one.files:
                    np.testing.assert_array_equal(one[key], two[key])
        left = {path.name for path in folder.iterdir()} - {*found["sha256"], "result.json"}
        assert left == set(), "no lock, no checkpoint, no count of attempts"
    assert not list(ready.job.out.glob(".ray-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_the_command_trains_a_grid_and_builds_its_report(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(tmp_path)
    words = ["submit", "ray", "--grid", f"{tmp_path}/tiny.yaml", "--out", f"{tmp_path}/runs", "--data", str(tmp_path)]
    words += ["--address", cluster.address, "--where", "head=psc", "seed=0"]
    assert command_line.main(words) == 0
    assert "1 cells for up to 1 at once" in capsys.readouterr().out
    assert (tmp_path / "runs/tiny+fp32/report.html").is_file()
    assert command_line.main(words) == 0, "nothing is left, and no cluster is needed"


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_a_search_on_the_cluster_has_all_its_trials_and_prunes(cluster: Any, tmp_path: Path) -> None:
    prepared(tmp_path)
    words = ["submit", "ray", "--grid", f"{tmp_path}/tiny.yaml", "--out", f"{tmp_path}/runs", "--data", str(tmp_path)]
    words += ["--address", cluster.address, "--trials", "8", "--plugin", f"{tmp_path}/slowly.py"]
    assert command_line.main(words) == 0
    found = searches.trials(searches.studies(tmp_path / "runs", "tiny+fp32"))
    counted = found[found["state"].isin(["complete", "pruned"])]
    assert counted.groupby("head_label").size().to_dict() == {"dl2pa": 8, "psc": 8}
    assert "pruned" in set(counted["state"])
    for trial in counted.itertuples():
        folder = store.cell_folder(tmp_path / "runs", str(trial.cell_id))
        assert (folder / ("result.json" if trial.state == "complete" else "pruned.txt")).is_file()
    assert (tmp_path / "runs/tiny+fp32/tuned.yaml").is_file()


@pytest.mark.slow
def test_what_a_cluster_cannot_do_is_one_line(cluster: Any, tmp_path: Path) -> None:
    ray_cluster.connect(cluster.address)
    with pytest.raises(UserError, match=r"no node has 64 CPUs \(most: 1\) and 0\.5 GPUs \(most: 0\)"):
        ray_cluster.room(64, 0.5)
    ready = prepared(tmp_path)
    with pytest.raises(UserError, match="node .*: the data folder .*nowhere does not exist"):
        engine.Cluster(ready.job, tmp_path / "nowhere", 1, 1, 0).run(ready.todo, Diary())


def test_the_options_reach_the_actors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(tmp_path)
    seen: list[engine.Cluster] = []
    monkeypatch.setattr(ray_cluster, "connect", lambda address: None)
    monkeypatch.setattr(ray_cluster, "room", lambda *_: 3)
    monkeypatch.setattr(engine.Cluster, "run", lambda cluster, *_: seen.append(cluster))
    words = ["--grid", f"{tmp_path}/tiny.yaml", "--out", f"{tmp_path}/runs", "--data", str(tmp_path), "--keep-weights"]
    asked = grammar.parse(["submit", "ray", *words, "--readers", "5", "--checkpoint-minutes", "7"])
    asked.no_report = True
    assert submit.run(asked, Screen(quiet=True)) == 0
    (team,) = seen
    assert (team.actors, team.cpus, team.gpus, team.data) == (3, 1.0, 0.0, tmp_path)
    assert (team.job.keep_weights, team.job.checkpoint_minutes, team.job.share.readers) == (True, 7.0, 5)
    assert (tmp_path / "runs/tiny+fp32/grid.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cpus-per-cell", "0"], "--cpus-per-cell: 0 is not above 0"),
        (["--cpus-per-cell", "nan"], "--cpus-per-cell: nan is not above 0"),
        (["--gpus-per-cell", "2"], "--gpus-per-cell: 2 is not between 0 and 1"),
    ],
)
def test_resources_that_no_cell_can_have_are_refused(words: list[str], message: str) -> None:
    asked = grammar.parse(["submit", "ray", *words])
    with pytest.raises(UserError, match=message):
        submit.run(asked, None)  # type: ignore[arg-type]
