"""Policies of a whole batch equal torchvision's of one image with the same draws, bit for bit."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from headbench.core.errors import UserError
from headbench.core.streams import generator
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.policies import drawn, policy
from headbench.data.loading.views.weak import weak

NAMES = ("autoaugment", "randaugment-9", "trivial")
CPU = torch.device("cpu")
BLACK, GREY = None, 128
THEIRS: dict[str, Callable[[], Any]] = {
    "autoaugment": lambda: v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10, fill=GREY),
    "randaugment-9": lambda: v2.RandAugment(num_ops=2, magnitude=9, fill=GREY),
    "randaugment-30": lambda: v2.RandAugment(num_ops=2, magnitude=30, fill=GREY),
    "trivial": lambda: v2.TrivialAugmentWide(fill=BLACK),
}


def pixels(count: int, channels: int, height: int = 13, width: int = 11) -> Tensor:
    """Images of all kinds: smooth, noise, of few levels, of one colour."""
    stream = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (count, channels, 3, 3), generator=stream).float()
    images = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)
    images[::4] = torch.randint(0, 256, images[::4].shape, generator=stream, dtype=torch.uint8)
    images[1::7] //= 100
    images[2::9] = images[2::9, :, :1, :1]
    return images


def told(monkeypatch: pytest.MonkeyPatch, answers: Iterator[float]) -> None:
    """Make torchvision's next draws these: of a number of things, which; of [0, 1), the number."""
    for name in ("rand", "randint"):
        monkeypatch.setattr(torch, name, lambda *args, **kwargs: torch.tensor(next(answers)))


def answers(name: str, actions: list[tuple[str, float]], height: int, width: int) -> list[float]:
    """What torchvision has to draw for these actions, one after the other (RandAugment and TrivialAugmentWide)."""
    theirs = THEIRS[name]()
    found: list[float] = []
    for operation, magnitude in actions:
        values, signed = theirs._AUGMENTATION_SPACE[operation]
        steps = values(31, height, width)
        found.append(list(theirs._AUGMENTATION_SPACE).index(operation))
        if steps is not None:
            if name == "trivial":
                found.append((steps.double() - abs(magnitude)).abs().argmin().item())
            found += [0.2 if magnitude < 0 else 0.8] * signed
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["randaugment-9", "randaugment-30", "trivial"])
def test_every_image_equals_torchvisions_with_the_same_draws(
    name: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pixels(400, channels)
    shape = (channels, *images.shape[2:])
    done = drawn(name, 400, shape, generator(0, "test"), CPU)(images, slice(0, 400))
    chosen = policy(name, *shape[1:])
    numbers = chosen.draw(400, generator(0, "test")).T.tolist()
    theirs, ours = THEIRS[name](), 0
    for image, ids, result in zip(images, numbers, done, strict=True):
        draws = answers(name, [chosen.actions[number] for number in ids], *shape[1:])
        with monkeypatch.context() as patched:
            told(patched, iter(draws))
            assert torch.equal(theirs(image), result), [chosen.actions[number] for number in ids]
        ours += not torch.equal(image, result)
    assert ours > 200


@pytest.mark.parametrize("channels", [1, 3])
def test_autoaugment_equals_torchvisions_with_the_same_draws(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our draws are the first three of the stream: sub-policies, chances and signs."""
    images = pixels(600, channels)
    shape = (channels, *images.shape[2:])
    done = drawn("autoaugment", 600, shape, generator(0, "test"), CPU)(images, slice(0, 600))
    stream = generator(0, "test")
    rows = torch.randint(25, (600,), generator=stream).tolist()
    chances = torch.rand(600, 2, generator=stream).tolist()
    signs = torch.randint(2, (600, 2), generator=stream).tolist()
    theirs = THEIRS["autoaugment"]()
    for image, row, chance, sign, result in zip(images, rows, chances, signs, done, strict=True):
        draws: list[float] = [row]
        for (operation, probability, _), number, positive in zip(theirs._policies[row], chance, sign, strict=True):
            signed = theirs._AUGMENTATION_SPACE[operation][1]
            draws += [number] + [0.8 if positive else 0.2] * (signed and number <= probability)
        with monkeypatch.context() as patched:
            told(patched, iter(draws))
            assert torch.equal(theirs(image), result), theirs._policies[row]


def test_autoaugment_draws_sub_policies_chances_and_signs_as_often_as_it_says() -> None:
    """The frequency of every action is what the 25 sub-policies say, within four standard errors."""
    count, theirs = 100_000, THEIRS["autoaugment"]()
    chosen = policy("autoaugment", 32, 32)
    drawn_actions = chosen.draw(count, generator(0, "test"))
    for place in (0, 1):
        expected: dict[tuple[str, float], float] = {}
        for row in theirs._policies:
            operation, probability, number = row[place]
            values, signed = theirs._AUGMENTATION_SPACE[operation]
            steps = values(10, 32, 32)
            magnitude = 0.0 if steps is None else float(steps[number])
            for sign in (-1, 1):
                action = (operation, sign * magnitude if signed else magnitude)
                expected[action] = expected.get(action, 0) + probability / 50
        expected["Identity", 0.0] = 1 - sum(expected.values())
        found = torch.bincount(drawn_actions[place], minlength=len(chosen.actions)) / count
        for action, share in zip(chosen.actions, found.tolist(), strict=True):
            known = expected.get(action, 0.0)
            assert abs(share - known) <= 4 * (known * (1 - known) / count) ** 0.5, action


@pytest.mark.parametrize(("name", "steps"), [("randaugment-9", 2), ("trivial", 1)])
def test_operations_and_signs_are_drawn_equally_often(name: str, steps: int) -> None:
    count = 60_000
    chosen = policy(name, 32, 32)
    drawn_actions = chosen.draw(count, generator(0, "test"))
    assert drawn_actions.shape == (steps, count)
    names = list(THEIRS[name]()._AUGMENTATION_SPACE)
    operation = torch.tensor([names.index(action[0]) for action in chosen.actions])
    negative = torch.tensor([action[1] < 0 for action in chosen.actions])
    for actions in drawn_actions:
        shares = torch.bincount(operation[actions], minlength=len(names)) / count
        assert abs(shares * len(names) - 1).max() < 0.06
        rotated = operation[actions] == names.index("Rotate")
        assert abs(negative[actions[rotated]].double().mean() - 0.5) < 0.05
    if steps == 2:
        both = torch.bincount(operation[drawn_actions[0]] * len(names) + operation[drawn_actions[1]]) / count
        assert abs(both * len(names) ** 2 - 1).max() < 0.35


@pytest.mark.parametrize("name", NAMES)
def test_images_draw_for_themselves_and_the_batch_changes_nothing(name: str) -> None:
    image = pixels(4, 3)[3:].expand(200, -1, -1, -1)
    shape = (3, *image.shape[2:])

    def shown(batch: int, seed: int = 0) -> Tensor:
        augment = drawn(name, 200, shape, generator(seed, "test"), CPU)
        return torch.cat([augment(image[s : s + batch], slice(s, s + batch)) for s in range(0, 200, batch)])

    whole = shown(200)
    assert whole.dtype == torch.uint8
    assert len(whole.flatten(1).unique(dim=0)) > 20
    assert not torch.equal(whole, shown(200, seed=1))
    for batch in (1, 7):
        assert torch.equal(whole, shown(batch))


def test_the_policy_comes_after_crop_and_flip_and_before_normalisation_and_cutout() -> None:
    images, channels = pixels(30, 3, 16, 16), 3
    statistics = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])

    def shown(**changes: Any) -> Tensor:
        augmentation = Augmentation(pad=2, flip=True, **changes)
        return weak(30, augmentation, statistics, (channels, 16, 16), generator(0, "test"))(images, slice(0, 30))

    def grey_levels(normalised: Tensor) -> Tensor:
        mean, std = (values[:, None, None] for values in statistics)
        return (255 * (normalised * std + mean)).round().to(torch.uint8)

    stream = generator(0, "test")
    plain, whole = shown(), shown(policy="autoaugment", cutout=6)
    black = shown(policy="autoaugment", cutout=6, cutout_fill="black")
    # The crop's, the flip's and cutout's draws come first, so that a policy leaves them as they are.
    torch.randint(0, 5, (2, 30), generator=stream)
    torch.rand(30, generator=stream)
    for side in (16, 16):
        torch.randint(0, side, (30,), generator=stream)
    expected = drawn("autoaugment", 30, (3, 16, 16), stream, CPU)(grey_levels(plain), slice(0, 30))
    hole = (whole == 0).all(dim=1, keepdim=True).expand_as(whole)
    assert 4 <= hole[:, 0].sum(dim=(1, 2)).min() <= hole[:, 0].sum(dim=(1, 2)).max() <= 40
    assert torch.equal(grey_levels(whole)[~hole], expected[~hole])
    assert torch.equal(black[~hole], whole[~hole])
    assert (grey_levels(black)[hole] == 0).all()
    assert torch.allclose(black[hole], (-statistics[0] / statistics[1])[:, None, None].expand_as(black)[hole])


@pytest.mark.parametrize("name", NAMES)
def test_no_step_asks_the_device_for_a_value(name: str) -> None:
    """Tensors on torch's device ``meta`` have none."""
    images, ones = torch.empty(64, 3, 16, 16, dtype=torch.uint8, device="meta"), torch.ones(3, device="meta")
    show = weak(64, Augmentation(policy=name, cutout=4), (ones, ones), (3, 16, 16), generator(0, "test"))
    assert show(images, slice(0, 64)).shape == images.shape


def test_names_and_channels_that_cannot_be_are_one_line() -> None:
    for name in ("rand-m9-mstd0.5-inc1", "original", "randaugment-31", "randaugment"):
        with pytest.raises(
            UserError, match=rf"^policy '{name}' is timm's.* have autoaugment, randaugment-9 .* trivial$"
        ):
            drawn(name, 1, (3, 8, 8), generator(0, "test"), CPU)
    with pytest.raises(UserError, match="policy 'trivial' is for images of 1 or 3 channels, and these have 2"):
        drawn("trivial", 1, (2, 8, 8), generator(0, "test"), CPU)
