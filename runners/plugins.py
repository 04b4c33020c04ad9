"""Files of the user's own that register heads, backbones or data sets."""

import importlib.util
import sys
from pathlib import Path

from core.errors import UserError


def load(path: Path) -> None:
    """Import a user's file.

    Raises:
        UserError: if there is no such file, or it cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"--plugin: there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--plugin {path}: {type(error).__name__}: {' '.join(str(error).split())}") from error
