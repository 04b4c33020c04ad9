"""Backbones with weights from a file: all of them are taken, and a file that does not fit is one line."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from headbench.backbones import BACKBONES
from headbench.core.errors import UserError

SHAPE = (3, 16, 16)
TIMM: dict[str, Any] = {"model": "test_efficientnet"}


def named(folder: Path, state: dict[str, Tensor], name: str = "weights.pt") -> Path:
    """A file of these tensors."""
    path = folder / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [("fast_convnet", {"widths": (4, 6, 8)}), ("resnet32", {"width": 4}), ("timm", TIMM)],
)
def test_a_backbone_takes_the_weights_of_a_finished_cell(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    first, other = (BACKBONES.get(name).target(SHAPE, **options) for _ in range(2))
    images = torch.randn(4, *SHAPE)
    assert not torch.equal(first.eval()(images), other.eval()(images))
    state = {f"backbone.{key}": value for key, value in first.state_dict().items()}
    file = named(tmp_path, state | {"projection.weight": torch.zeros(2, 2), "head.bank": torch.zeros(2)})
    taken = BACKBONES.get(name).target(SHAPE, **options, weights=file)
    assert torch.equal(taken.eval()(images), first(images))


@pytest.mark.parametrize("classifier", [True, False])
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_timm_takes_its_own_names_with_or_without_the_classifier(classifier: bool, name: str, tmp_path: Path) -> None:
    model: Any = timm.create_model(TIMM["model"], num_classes=5 if classifier else 0).eval()
    file = named(tmp_path, model.state_dict(), name)
    taken = BACKBONES.get("timm").target(SHAPE, **TIMM, weights=file).eval()
    images = torch.randn(2, *SHAPE)
    model.reset_classifier(0)
    assert torch.equal(taken(images), model(images))


def test_images_are_resized_before_the_model() -> None:
    backbone: Any = BACKBONES.get("timm").target(SHAPE, **TIMM, size=32).eval()
    images = torch.randn(2, *SHAPE)
    larger = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(backbone(images), backbone.model(larger))


def test_what_does_not_fit_is_one_line_with_the_first_and_the_count(tmp_path: Path) -> None:
    entry = BACKBONES.get("fast_convnet")
    state = entry.target(SHAPE, widths=(4, 6, 8)).state_dict()
    first, second, *_ = state
    for changed, words in [
        ({key: value for key, value in state.items() if key not in {first, second}}, f"2 tensors .* missing '{first}'"),
        (state | {"extra": torch.zeros(1)}, "1 tensors .* unknown 'extra'"),
        (state | {first: torch.zeros(1, 2)}, rf"1 tensors .*'{first}' of shape \(1, 2\) in place of \(4, 3, 3, 3\)"),
    ]:
        with pytest.raises(UserError, match=words):
            entry.target(SHAPE, widths=(4, 6, 8), weights=named(tmp_path, changed))
        # As a plan checks it, without a network of its own.
        with torch.device("meta"), pytest.raises(UserError, match=words):
            entry.target(SHAPE, widths=(4, 6, 8), weights=named(tmp_path, changed))
    odd_ones: list[Any] = [{1: torch.zeros(2)}, {first: torch.eye(3).to_sparse()}, {first: torch.zeros(2) * 1j}]
    for odd in odd_ones:
        with pytest.raises(UserError, match=r"not a file of weights \(ValueError: no state_dict of real, dense"):
            entry.target(SHAPE, widths=(4, 6, 8), weights=named(tmp_path, odd))
    for contents in (b"no weights", b""):
        (tmp_path / "other.pt").write_bytes(contents)
        with pytest.raises(UserError, match=r"other\.pt: not a file of weights"):
            entry.target(SHAPE, weights=tmp_path / "other.pt")


def test_pretrained_weights_are_fetched_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    create, asked = timm.create_model, []

    def fetched(model: str, pretrained: bool = False, **options: Any) -> Any:
        asked.append(pretrained)
        return create(model, **options)

    monkeypatch.setattr(timm, "create_model", fetched)
    entry = BACKBONES.get("timm")
    options = entry.resolve(TIMM | {"pretrained": True}, "here")
    assert set(entry.target.files(options)) == {"pretrained"}
    first, second = (entry.target(SHAPE, **options).eval() for _ in range(2))
    assert sum(asked) == 1
    images = torch.randn(2, *SHAPE)
    assert torch.equal(first(images), second(images))
    with pytest.raises(UserError, match="two sources"):
        entry.target.files(options | {"weights": "some.pt"})


def test_without_a_network_pretrained_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))

    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("no route\nto host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(UserError, match=r"cannot fetch timm's weights of 'test_efficientnet' \(no route to host\)"):
        BACKBONES.get("timm").target.files({"model": "test_efficientnet", "pretrained": True})
    with pytest.raises(UserError, match="timm has no weights of 'botnet50ts_256'"):
        BACKBONES.get("timm").target.files({"model": "botnet50ts_256", "pretrained": True})
