"""Files of the user's own that register heads, backbones or data sets."""

import hashlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from headbench.backbones import BACKBONES
from headbench.core.errors import UserError, note, typed_reason
from headbench.data import DATASETS
from headbench.data.loading.samplers import SAMPLERS
from headbench.data.loading.views import VIEWS
from headbench.heads import HEADS

# Behind it stands the hash of the file's place.
PREFIX = "_headbench_plugin_"


def load(path: Path) -> None:
    """Import a user's file, once, under a name of its own that no other module has, whatever the file is called.

    Raises:
        UserError: if there is no such file, or it cannot be imported.
    """
    name = f"{PREFIX}{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return
    if not path.is_file() or path.suffix != ".py":
        raise UserError(
            f"--plugin: there is no Python file {path}" + (" (its name must end in .py)" if path.is_file() else "")
        )
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    before = _registered()
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"--plugin {path}: {typed_reason(error, None)}") from error
    if _registered() == before and multiprocessing.parent_process() is None:
        note(f"--plugin {path} registers nothing; is its @register missing?")


def _registered() -> list[list[str]]:
    """Return the names in each registry that a file may add to."""
    return [registry.names() for registry in (HEADS, BACKBONES, DATASETS, VIEWS, SAMPLERS)]


def again() -> Callable[[], None]:
    """Return what loads all files that this process has loaded, in another process."""
    files = [module.__file__ for name, module in sys.modules.items() if name.startswith(PREFIX)]
    return partial(_load_all, [Path(file) for file in files if file is not None])


def _load_all(paths: Sequence[Path]) -> None:
    for path in paths:
        load(path)
