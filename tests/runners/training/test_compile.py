"""Compiled backbones train as the others do, resume to the bit and say so; without a compiler it is one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from headbench.core.errors import StoppedError, UserError
from headbench.runners.commands.main import main
from headbench.runners.execution import cell as cells
from headbench.runners.training import classifier, hardware, train
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.hardware import Share
from tests.runners.helpers import CPU, QUICK, cell, digits, planned
from tests.runners.helpers import train as trained

COMPILED = replace(CPU, compiled=True)
# A whole batch, and the rest of an epoch.
RECIPE = QUICK | {"batch_size": 512, "drop_last": False}


@pytest.fixture(scope="module")
def compiler() -> None:
    """What compiles, where there is one."""
    try:
        hardware.check_compiler(torch.device("cpu"))
    except UserError as error:
        pytest.skip(str(error))


def losses(history: list[dict[str, Any]]) -> list[float]:
    return [row["train_loss"] for row in history]


@pytest.mark.usefixtures("compiler")
def test_features_gradients_and_statistics_are_those_of_the_network_as_it_is() -> None:
    one, info = cell("psc"), digits().info(0)
    plain, compiled = (classifier.build(one, info, bf16=False, compiled=choice).train() for choice in (False, True))
    images = torch.randn(96, *info.image_shape)
    for network in (plain, compiled):
        network.features(images).square().mean().backward()
    assert torch.allclose(plain.features(images), compiled.features(images), rtol=1e-4, atol=1e-5)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, compiled.state_dict()[name], rtol=1e-4, atol=1e-6), name
    others = dict(compiled.backbone.named_parameters())
    for name, parameter in plain.backbone.named_parameters():
        gradient, other = parameter.grad, others[name].grad
        assert gradient is not None
        assert other is not None
        assert torch.allclose(gradient, other, rtol=1e-3, atol=1e-3 * gradient.abs().max().item()), name


@pytest.mark.usefixtures("compiler")
def test_a_result_says_that_its_network_was_compiled(tmp_path: Path) -> None:
    (one,) = planned(cell("hpn", recipe=RECIPE))
    off, on = (
        cells.run(one, digits(), tmp_path / name, machine, lambda _: None, keep_weights=False)
        for name, machine in {"off": CPU, "on": COMPILED}.items()
    )
    assert (off["provenance"]["compile"], on["provenance"]["compile"]) == ("off", "on")
    assert on["train_flops"] == off["train_flops"] > 0
    assert on["selections"]["last"]["train_loss"] == pytest.approx(off["selections"]["last"]["train_loss"], rel=0.02)


@pytest.mark.usefixtures("compiler")
def test_only_what_learns_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for what is compiled: it is called in each step, and in no evaluation."""
    sizes = list[int]()

    def noted(backbone: Any, images: torch.Tensor, *, bf16: bool) -> torch.Tensor:
        sizes.append(len(images))
        return classifier.pooled(backbone, images, bf16=bf16)

    monkeypatch.setattr(classifier, "_compiled", lambda: noted)
    run = trained(cell("psc", recipe=RECIPE), digits(), COMPILED, lambda _: None)
    assert sizes == 2 * [512, 512, 1293 - 1024]
    assert losses(run.history) == losses(trained(cell("psc", recipe=RECIPE), digits(), CPU, lambda _: None).history)


@pytest.mark.usefixtures("compiler")
def test_a_compiled_training_resumes_to_the_bit_and_no_other_one_goes_on_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = cell("psc", recipe=RECIPE)

    def stop(row: dict[str, Any]) -> None:
        raise StoppedError

    for folder in ("same", "other"):
        with pytest.raises(StoppedError):
            trained(one, digits(), COMPILED, stop, Checkpoints(tmp_path / folder, "id", seconds=0))
    whole = trained(one, digits(), COMPILED, lambda _: None)
    resumed = train.resume(one, digits(), COMPILED, Checkpoints(tmp_path / "same", "id"))
    assert len(resumed.history) == 1
    resumed.run(lambda _: None)
    assert losses(resumed.history) == losses(whole.history)
    assert not train.resume(one, digits(), CPU, Checkpoints(tmp_path / "other", "id")).history
    assert "another configuration" in capsys.readouterr().err


def test_without_a_compiler_a_run_ends_in_one_line_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("backend='inductor' raised:\nNo working C++ compiler found\n\nSet TORCHDYNAMO_VERBOSE=1 for")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    with pytest.raises(UserError, match=r"^--compile on: .* \(No working C\+\+ compiler found\); use --compile off$"):
        hardware.set_up(Share("cpu", torch.get_num_threads(), "fp32", compiled=True))
    words = ["--grid", "digits-dims", "--compile", "on", "--out", str(tmp_path / "runs"), "--device", "cpu"]
    assert main(["run", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
