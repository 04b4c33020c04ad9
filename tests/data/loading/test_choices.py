"""One of several functions for every image: each gets its own, and only its own."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headbench.data.loading.choices import Choices, apply, unchanged


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_every_image_gets_the_function_that_it_chose(chosen: list[int]) -> None:
    images = torch.arange(len(chosen) * 2.0).reshape(-1, 1, 1, 2)
    added = 100.0 * torch.arange(len(chosen))
    calls = []

    def scaled(pieces: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        calls.append(len(pieces))
        return -pieces

    def by_place(pieces: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return pieces + added[places][:, None, None, None]

    done = apply([unchanged, scaled, by_place, unchanged], Choices.on(images.device, torch.tensor(chosen)), images)
    for place, (function, image) in enumerate(zip(chosen, images, strict=True)):
        expected = {0: image, 1: -image, 2: image + 100 * place, 3: image}[function]
        assert torch.equal(done[place], expected)
    assert calls == [chosen.count(1)] * (1 in chosen), "one call for all images, none for no image"
