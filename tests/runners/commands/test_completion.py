"""Shell completion of the command line."""

import shutil
import subprocess

import pytest

from headbench.runners.commands.grammar import COMMANDS
from headbench.runners.commands.main import main

pytest.importorskip("shtab")


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["--print-completion", shell]) == 0
    return capsys.readouterr().out


def completed(text: str, words: list[str]) -> set[str]:
    """Return what bash offers for the last of some words."""
    ask = f"\nCOMP_WORDS=({' '.join(map(repr, words))})\nCOMP_CWORD={len(words) - 1}\n"
    ask += 'COMP_LINE="${COMP_WORDS[*]}"\n$(complete -p headbench | sed "s/.*-F \\([^ ]*\\).*/\\1/") headbench\n'
    ask += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash"], input=text + ask, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    text = script("bash", capsys)
    assert set(COMMANDS) <= completed(text, ["headbench", ""])
    assert completed(text, ["headbench", "run", "--prec"]) == {"--precision"}
    assert completed(text, ["headbench", "run", "--device", ""]) == {"auto", "cpu", "cuda"}


def test_zsh_has_a_script_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("zsh", capsys).startswith("#compdef headbench")


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", "fish"]) == 2
    assert "invalid choice: 'fish'" in capsys.readouterr().err
    assert main(["--print-complet", "bash"]) == 2
    assert "did you mean '--print-completion'" in capsys.readouterr().err
