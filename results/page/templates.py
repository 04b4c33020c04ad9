"""The templates of pages, and the styles and scripts that are put into them."""

from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

FOLDER = Path(__file__).parent


@cache
def environment(*more: Path) -> jinja2.Environment:
    """Return the templates of this folder and of more, into which a style or script of this one is put as it is by
    ``{{ file("page.css") }}``.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([FOLDER, *more]), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.globals["file"] = lambda name: Markup((FOLDER / name).read_text(encoding="utf-8"))
    return made
