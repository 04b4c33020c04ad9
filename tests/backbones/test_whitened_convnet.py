"""The whitening stem against covariances of patches, and what the other options of the network change."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.backbones import BACKBONES
from headbench.backbones.whitened_convnet import FLOOR, WhitenedConvNet, whitening
from headbench.core.errors import UserError
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, QUICK, cell, digits, train

TINY = {"name": "whitened_convnet", "widths": [4, 6, 8]}


def smooth(count: int) -> Tensor:
    """Images (count, 3, 9, 11) whose neighbours and channels are alike, and whose mean is not zero."""
    noise = torch.randn(count, 3, 10, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    near = F.avg_pool2d(noise, 2, stride=1) * 2
    return near + 0.5 * near.flip(1) + 1


def test_the_covariance_of_filtered_patches_is_the_identity() -> None:
    images = smooth(400)
    filters = whitening(images.split(150), 2)
    assert torch.equal(filters[12:], -filters[:12])
    filtered = F.conv2d(images, filters[:12].double()).transpose(0, 1).flatten(1)
    plain = F.unfold(images, 2).transpose(0, 1).flatten(1)
    least = torch.linalg.eigvalsh(plain.cov())[0].item()
    assert 10 * FLOOR < least < 0.1, "the images are to be correlated, and far from the floor"
    assert torch.allclose(filtered.cov(), torch.eye(12, dtype=torch.float64), atol=2 * FLOOR / least)
    assert not torch.allclose(plain.cov(), torch.eye(12, dtype=torch.float64), atol=0.5)


def test_images_of_one_colour_do_not_divide_by_zero() -> None:
    assert whitening([torch.ones(2, 1, 4, 4)], 2).isfinite().all()


def test_the_stem_is_that_of_evenly_spaced_training_images_for_every_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headbench.runners.training.train.PREPARED", 100)
    quick = QUICK | {"epochs": 1}
    runs = [
        train(cell(head, axes={"backbone": [TINY]}, recipe=quick), digits(), CPU, lambda _: None)
        for head in ("psc", "hpn")
    ]
    filters = [run.classifier.backbone.get_buffer("filters") for run in runs]
    part = digits().train
    images = torch.cat(list(part.plain_batches()))[[number * len(part) // 100 for number in range(100)]]
    assert torch.equal(filters[0], filters[1])
    assert torch.allclose(filters[0], whitening([images], 2), atol=1e-5)
    assert torch.equal(runs[0].selected["last"].state["backbone.filters"], filters[0])


def test_a_frozen_network_keeps_the_stem_that_it_began_with() -> None:
    run = Training(
        cell("psc", axes={"backbone": [TINY]}, freeze="backbone", recipe=QUICK | {"epochs": 1}), digits(), CPU
    )
    before = run.classifier.backbone.get_buffer("filters").clone()
    run.run(lambda _: None)
    assert torch.equal(run.classifier.backbone.get_buffer("filters"), before)


@pytest.mark.parametrize(("pool", "sides"), [("between", [31, 15, 15, 7, 7, 3]), ("after", [31, 31, 15, 15, 7, 7])])
def test_pooling_between_the_convolutions_of_a_group_or_after_both(pool: str, sides: list[int]) -> None:
    network = WhitenedConvNet((3, 32, 32), widths=(4, 6, 8), pool=pool)  # type: ignore[arg-type]
    seen: list[int] = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, given, made: seen.append(given[0].shape[-1]))
    network(torch.randn(1, 3, 32, 32))
    assert seen == sides


def test_a_dirac_convolution_begins_by_handing_its_inputs_on() -> None:
    x = torch.randn(1, 24, 5, 5)
    for dirac in (True, False):
        network = WhitenedConvNet((3, 32, 32), widths=(30, 30, 30), dirac=dirac)
        found = network.get_submodule("layers.0.convolution")(x)
        assert torch.allclose(found[:, :24], x, atol=1e-6) is dirac
        assert found[:, 24:].std() > 0.1


@pytest.mark.parametrize(("learns", "count"), [(False, 6), (True, 12)])
def test_batch_norm_learns_its_offset_and_a_scale_where_asked(learns: bool, count: int) -> None:
    network = WhitenedConvNet((3, 32, 32), widths=(4, 6, 8), norm_scale=learns)
    trained = [p for p in network.parameters() if p.requires_grad and p.dim() == 1]
    assert len(trained) == count


def test_without_a_stem_the_pixels_come_first() -> None:
    network = WhitenedConvNet((3, 32, 32), widths=(4, 6, 8), stem=False)
    network.prepare([torch.randn(2, 3, 32, 32)])
    assert "filters" not in network.state_dict()
    assert network.get_submodule("layers.0.convolution").in_channels == 3


def test_images_of_one_pixel_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="images of 1 x 7 pixels; at least 2 x 2"):
        BACKBONES.get("whitened_convnet").target((3, 1, 7))
