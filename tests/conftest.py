"""Fixtures of the whole suite."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# One thread for each of the suite's two processes; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nobody is asked: a name that is no folder is refused at once. Read when the hub's library is imported, by timm too.
os.environ["HF_HUB_OFFLINE"] = "1"

# The same examples every time, so that a red suite is red for everybody.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


# Files of whole programs, minutes each: they start first, so that no process ends the suite with them alone.
LONG = ("test_survival.py", "test_stops.py", "test_bench.py", "test_killed.py", "test_wheel.py", "test_docs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, in this order; all others keep theirs."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep computed prototypes out of the user's cache."""
    os.environ["HEADBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Give every test the same random numbers of torch each time, also those that set no seed."""
    import torch

    torch.manual_seed(0)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """An empty data folder; the digits need no more."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing of figures, most of the time of a report; what they read is read all the same."""
    from tests.blank import draw_blanks

    draw_blanks(monkeypatch.setattr)
