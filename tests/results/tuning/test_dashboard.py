"""optuna-dashboard opens the storage of a search, without a network."""

import io
import json
import re
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import pytest

from headbench.results.tuning import searches
from tests.results.tuning import known

dashboard = pytest.importorskip("optuna_dashboard")


@pytest.mark.parametrize("storage", ["journal.log", "sqlite:///{}/search.db"])
def test_the_dashboard_shows_the_studies(tmp_path: Path, storage: str) -> None:
    name = storage.format(tmp_path)
    place = str(tmp_path / name) if "://" not in name else name
    study = optuna.create_study(study_name="digits psc", storage=searches.open_storage(place, tmp_path))
    study.add_trial(known.trial(0.5, 0.1))
    app = dashboard.wsgi(place)

    def answer(path: str) -> str:
        environ = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}
        setup_testing_defaults(environ)
        status = list[str]()
        content = b"".join(app(environ, lambda told, headers, *_: status.append(told)))
        assert status == ["200 OK"], path
        return content.decode()

    page = answer("/dashboard")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert [one["study_name"] for one in json.loads(answer("/api/studies"))["study_summaries"]] == ["digits psc"]
