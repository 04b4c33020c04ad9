"""The workflows of the repository's host: each script that they run is there and may be run."""

import os
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_pull_requests_are_checked_by_scripts_that_are_there() -> None:
    checks = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())
    assert "pull_request" in checks[True]  # the key "on", which YAML 1.1 reads so
    run = [step["run"] for job in checks["jobs"].values() for step in job["steps"] if "run" in step]
    scripts = [words for words in run if words.startswith(".ci/")]
    assert sorted(scripts) == [".ci/bundles", ".ci/run"]
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
