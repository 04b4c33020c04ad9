"""Which harness this is: its version and, in a checkout, its commit."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def in_checkout() -> bool:
    """Say whether the harness is a checkout, whose files are the user's own, and not an installed package."""
    return ROOT.joinpath("pyproject.toml").is_file()


def version() -> str:
    """Return the version of the installed package, or ``unknown`` in a checkout that was never installed."""
    # Imported here, since it takes as long as all else that --help needs.
    from importlib import metadata

    try:
        return metadata.version("headbench")
    except metadata.PackageNotFoundError:
        return "unknown"


def git_commit() -> str:
    """Return the harness's commit, with ``-dirty`` if tracked files differ from it, or ``unknown`` outside a git
    checkout.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    # An installed package may lie inside of a repository of the user's, which is not its own.
    if not in_checkout():
        return "unknown"
    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def words() -> str:
    """Return version and commit in one line, as ``--version`` prints them."""
    commit = git_commit()
    return f"headbench {version()}" + ("" if commit == "unknown" else f" ({commit})")
