"""The docs: what they show runs, and what they point to is there."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml

from headbench.results import columns
from tests.forked import Forked

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize(("page", "least"), [("python.md", 6), ("tuning.md", 2)])
def test_every_python_block_of_a_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, least: int
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= least
    (tmp_path / "page.py").write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    # One core, as the other process of the suite has the second one.
    script = Forked(runpy.run_path, "page.py", more={"SLURM_CPUS_PER_TASK": "1"})
    printed = script.communicate()
    assert script.returncode == 0, printed


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for found in LINK.findall(page.read_text()):
        link = found[0] or found[1]
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_column_is_explained_in_its_place() -> None:
    cells = re.findall(r"^\| (`[^|]*`) \| .+ \|$", (ROOT / "docs" / "columns.md").read_text(), re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(cells)) == columns.names()


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_every_file_that_the_architecture_names_is_there() -> None:
    named = re.findall(r"`([a-z]+/[\w/]*)(\.py)?`", (ROOT / "ARCHITECTURE.md").read_text())
    assert len(named) > 20
    for name, suffix in named:
        assert (ROOT / f"{name}{suffix}").exists(), name
