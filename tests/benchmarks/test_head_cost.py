"""The benchmark of heads runs for each of them, and shows a contrastive one its own views."""

import importlib

import pytest
import torch

from headbench.heads import HEADS

# A script, not a module of the package.
head_cost = importlib.import_module("benchmarks.head_cost")


def test_every_head_has_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    views: set[tuple[str, ...]] = set()

    def network_part(asked: tuple[str, ...]) -> object:
        views.add(asked)
        return lambda: torch.ones(1000).sum()

    monkeypatch.setattr(head_cost, "network_part", network_part)
    for name, value in {"SIZES": ((4, 3), (4, 2), (4, 6)), "BATCH": 4, "REPETITIONS": 1, "ASSIGNED": (5,)}.items():
        monkeypatch.setattr(head_cost, name, value)
    threads = torch.get_num_threads()
    head_cost.main()
    torch.set_num_threads(threads)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    shown = {line.split()[1] for line in rows[1:]}
    assert shown >= {name for name in HEADS.names() if HEADS.get(name).target.__module__.startswith("headbench.heads")}
    assert all(line.count("|") == 6 for line in rows)
    assert {("weak",), ("weak", "simclr", "simclr")} <= views


def test_the_classes_of_every_size_have_word_vectors() -> None:
    """The benchmark would end at that head otherwise, after all others."""
    entry = HEADS.get("word2vec")
    for num_classes, dim in head_cost.SIZES:
        reason = entry.target.supports(head_cost.info(num_classes), dim, entry.resolve({}, "word2vec"))
        assert (reason is None) == (dim <= 384)


def test_the_network_part_trains_on_all_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_cost, "BATCH", 2)
    head_cost.network_part(("weak", "simclr", "simclr"))()
