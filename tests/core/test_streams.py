"""Named streams: reproducible, and independent of each other."""

import torch

from headbench.core.streams import derive, generator


def test_a_stream_depends_on_seed_and_every_name() -> None:
    seeds = {
        derive(0),
        derive(1),
        derive(0, "a"),
        derive(0, "b"),
        derive(0, "a", 1),
        derive(0, "a", 2),
        derive(0, "a", "b"),
    }
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_same_stream_gives_the_same_numbers() -> None:
    assert torch.equal(torch.rand(5, generator=generator(3, "x", 1)), torch.rand(5, generator=generator(3, "x", 1)))
    assert not torch.equal(torch.rand(5, generator=generator(3, "x", 1)), torch.rand(5, generator=generator(3, "x", 2)))


def test_seeds_do_not_change_between_versions() -> None:
    """The first 63 bits of SHA-256("0/order"), computed with coreutils' sha256sum."""
    assert derive(0, "order") == 0x91374D56F0AE015B >> 1
