"""How a search's storage is named: never with its password."""

import pytest

from headbench.core.errors import UserError
from headbench.results.tuning import searches


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        (None, "journal"),
        ("sqlite:///search.db", "sqlite:///search.db"),
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?password=secret&user=me", "postgresql://host/db?password=***&user=me"),
        ("postgresql://me@host/db?sslpassword=secret", "postgresql://me@host/db?sslpassword=***"),
        ("postgresql://h/db?passfile=/home/me/.pgpass", "postgresql://h/db?passfile=%2Fhome%2Fme%2F.pgpass"),
        ("mssql://me@h/db?pwd=secret", "mssql://me@h/db?pwd=***"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("secret://", "secret://"),
        ("se cret://me:secret@host", "se cret://..."),
    ],
)
def test_a_storage_is_named_without_its_password(storage: str | None, told: str) -> None:
    assert searches.named(storage) == told


def test_an_empty_name_is_said_to_be_one() -> None:
    """As of a variable of the shell that is not set."""
    with pytest.raises(UserError, match="--storage is empty; give a"):
        searches.check_form("")
