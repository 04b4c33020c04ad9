"""Weights of a backbone that were trained before: from a file, or timm's own, kept as a file."""

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headbench.core import arrays, folders
from headbench.core.errors import UserError, reason, typed_reason


def load_weights(
    module: nn.Module, file: Path | str | None, spare: Collection[str] = (), within: str = "backbone."
) -> None:
    """Give a module the weights of a file, all of them; nothing without a file. On the meta device they are checked.

    Args:
        module: whose ``state_dict`` has the names of the file.
        file: of safetensors, or a ``state_dict`` of torch; the ``weights.pt`` of a finished cell too.
        spare: prefixes of names that the file may have and the module has not, those of a classifier.
        within: prefix of the module's names in the ``weights.pt`` of a cell.

    Raises:
        UserError: if the file cannot be read, or its tensors are not those of the module; the first and the count of
            those that are unknown, missing or of another shape are named.
    """
    if file is None:
        return
    found, own = _read(Path(file)), module.state_dict()
    inner = {name.removeprefix(within): tensor for name, tensor in found.items() if name.startswith(within)}
    found = inner or found
    found = {
        name: tensor
        for name, tensor in found.items()
        if name in own or not any(f"{name}.".startswith(f"{prefix}.") for prefix in spare)
    }
    wrong = [f"unknown '{name}'" for name in found if name not in own]
    wrong += [f"missing '{name}'" for name in own if name not in found]
    wrong += [
        f"'{name}' of shape {tuple(found[name].shape)} in place of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if wrong:
        raise UserError(f"{file}: not the weights of this backbone; {len(wrong)} tensors do not fit, first: {wrong[0]}")
    if not any(tensor.is_meta for tensor in own.values()):
        module.load_state_dict(found)


def _read(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, on the CPU."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        arrays.check_archive(file)
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(found, dict) or not all(map(_is_weight, found.items())):
            raise ValueError("no state_dict of real, dense tensors by name")
    except Exception as error:  # torch raises whatever a foreign pickle leads to
        raise UserError(f"{file}: not a file of weights ({typed_reason(error, 100)})") from None
    return found


def _is_weight(named: tuple[Any, Any]) -> bool:
    name, tensor = named
    return (
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.layout is torch.strided
        and not tensor.is_complex()
    )


def timm_weights(model: str) -> Path:
    """Return the file of timm's pretrained weights of a model, which are fetched when they are first asked for.

    They are kept in ``$HEADBENCH_CACHE`` or ``~/.cache/headbench``, then ``weights``, under the name of their training.

    Raises:
        UserError: if there are none, or they cannot be fetched.
    """
    import timm
    from safetensors.torch import save_file

    known = timm.get_pretrained_cfg(model, allow_unregistered=False)
    if known is None or not known.has_weights:
        raise UserError(f"pretrained: timm has no weights of '{model}'; give weights=FILE")
    folder = folders.of_computed() / "weights"
    file = folder / f"{model}.{known.tag or 'pretrained'}.safetensors"
    if file.is_file():
        return file
    try:
        network = timm.create_model(model, pretrained=True, num_classes=0)
        folder.mkdir(parents=True, exist_ok=True)
        # Elsewhere and renamed: several processes may fetch the same.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            whole = Path(scratch) / file.name
            save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, whole)
            whole.replace(file)
    except Exception as error:  # of the network, of whatever library fetches them, of the disk
        raise UserError(
            f"pretrained: cannot fetch timm's weights of '{model}' ({reason(error, 150)}); fetch them elsewhere and "
            f"give weights=FILE"
        ) from None
    return file
