"""Text that others wrote, for each place where it is shown: nothing of it is run, hides, or is taken for markup.

Names stay readable.
"""

import hashlib
import html as standard
import re
import unicodedata

from rich.text import Text

# Control characters, surrogates, line and paragraph separators, and those that turn the direction of the text around
# them.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
# What Markdown would take for emphasis, code, a table's bar, a formula, an entity, a tag or a link.
_MARKDOWN = re.compile(r"[\\`*|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|<(?=[A-Za-z/!?])|\](?=[(\[])")
# What spreadsheets take for the start of a formula, also in full width; the apostrophe is what keeps them from it.
_FORMULA = re.compile("^['=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "-": r"-{}",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "†": r"$\dagger$",
    "–": "--",
    "—": "---",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}
_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327", "`'^~=u.\"rHvc", strict=True)
)
LONGEST_FILE_NAME = 80
LONGEST_IN_FIGURE = 300


def plain(text: object) -> str:
    r"""Return text on one line in which hidden characters are visible: ``\n``, ``\x1b``, ``\u202e``."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def terminal(text: object, style: str = "") -> Text:
    """Return text for rich, in which no bracket is markup and no sequence moves the cursor."""
    return Text(plain(text), style)


def html(text: object) -> str:
    """Return text for HTML, also within an attribute."""
    return standard.escape(plain(text))


def markdown(text: object) -> str:
    """Return text for a line or a table's cell of Markdown."""
    return _MARKDOWN.sub(r"\\\g<0>", plain(text))


def latex(text: object) -> str:
    """Return text for LaTeX's body, cells and captions.

    What pdflatex has no letter for is its number there, and itself under XeLaTeX and LuaLaTeX.
    """
    return re.sub(r"-\{\}(?!-)", "-", "".join(map(_latex, unicodedata.normalize("NFC", plain(text)))))


def _latex(character: str) -> str:
    if character in _LATEX or character.isascii():
        return _LATEX.get(character, character)
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return rf"\ifdefined\Umathchar {character}\else U+{ord(character):04X}\fi{{}}"


def csv(text: str) -> str:
    """Return text for a cell of CSV: what a spreadsheet would run, and what begins with an apostrophe, begins with one
    more; numbers stay as they are.
    """
    shown = plain(text)
    return f"'{shown}" if (_FORMULA.match(text) or _FORMULA.match(shown)) and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    return text == "-" or re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None


def figure(text: str) -> str:
    """Return text for a figure, whose own line breaks stay and whose lines end somewhere."""
    lines = (plain(line) for line in text.split("\n"))
    return "\n".join(line if len(line) <= LONGEST_IN_FIGURE else f"{line[:LONGEST_IN_FIGURE]}..." for line in lines)


def file_name(label: str) -> str:
    """Return a name for a file: the label where that is one, else at most 80 letters and digits of it and a hash, so
    that two labels never share a file.
    """
    slug = re.sub(r"[^a-z0-9._=+-]+", "-", unicodedata.normalize("NFKD", label).lower()).strip("-.")
    if len(slug) > LONGEST_FILE_NAME:
        # The end says what is shown.
        slug = f"{slug[: LONGEST_FILE_NAME // 2 - 1]}--{slug[1 - LONGEST_FILE_NAME // 2 :]}"
    digest = hashlib.sha256(label.encode(errors="backslashreplace")).hexdigest()[:8]
    return slug if slug and slug == label else f"{slug}-{digest}".strip("-")
