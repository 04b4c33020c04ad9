"""Text of others, for each place where it is shown: whatever it is, it is neither run nor hidden, and two names stay
two names.
"""

import csv as standard_csv
import html as standard_html
import html.parser
import io
import re
import unicodedata
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from headbench.core import escape

NASTY = [
    "<img src=x onerror=alert(1)>",
    "</td></table><script>alert(1)</script>",
    "\"' onmouseover='alert(1)",
    "<unk>",
    "<b>bold<",
    "a&b &lt; &amp;",
    "a|b",
    "`code` *em* _em_ __x__ ~~s~~ $x$",
    "[click](javascript:alert(1)) ![x](http://x)",
    "\\input{/etc/passwd} \\ { } ~ ^ # % $ & _",
    "R&D #1 {50%}_~^",
    "$_{x$ y",
    "p$5-$10",
    "=1+1",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\uff1d1+1",
    "'quoted",
    "[/data/stats.npy]",
    "q[red]v[/]",
    "[bold",
    "ends with \\",
    "\x1b[2J\x1b[31mred\x07\b\x00",
    "two\nlines\r\nand\u2028more\u2029",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "\ud800 lone",
    "../../../etc/passwd",
    "/absolute",
    "..",
    ".hidden",
    "CON",
    "",
    " ",
    "x" * 300,
    "中文 עברית 😀 é ß",
    "{{ 7 * 7 }} {% raw %}",
    "`?!`--<<>>''",
]


def names(test: Callable[[str], None]) -> Callable[[], None]:
    """Try a property on every nasty name and on random text."""
    text = st.text(st.characters() | st.sampled_from("<>&\"'|*_`$\\{}[]()=+-@#%~^\n\r\t\x1b\u202e\ud800"), max_size=40)
    wrapped = given(name=text)(test)
    for name in NASTY:
        wrapped = example(name=name)(wrapped)
    return settings(max_examples=60, deadline=None)(wrapped)


@names
def test_plain_text_is_one_line_without_hidden_characters(name: str) -> None:
    shown = escape.plain(name)
    assert not any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert len(shown.splitlines()) <= 1
    assert name.isprintable() <= (shown == name)


class Seen(html.parser.HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@names
def test_html_has_the_text_and_no_tag(name: str) -> None:
    seen = Seen()
    seen.feed(f'<p title="{escape.html(name)}">{escape.html(name)}</p>')
    seen.close()
    assert seen.tags == [("p", [("title", escape.plain(name))])]
    assert seen.text == escape.plain(name)


@names
def test_markdown_shows_the_text_and_nothing_else(name: str) -> None:
    """A cell of a table, by another implementation of Markdown."""
    shown = escape.plain(name).strip()
    printed = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(f"| a | b |\n|:--|:--|\n| x{escape.markdown(shown)}x | **{escape.markdown('y')}** |\n")
    )
    seen = Seen()
    seen.feed(printed)
    assert [tag for tag, _ in seen.tags] == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "strong"]
    assert [standard_html.unescape(text) for text in re.findall(r"<td[^>]*>(.*?)</td>", printed)] == [
        f"x{shown}x",
        "<strong>y</strong>",
    ]


@names
def test_latex_has_no_command_of_the_name(name: str) -> None:
    known = (
        r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textasciigrave)\{\}"
        r"|\\[&%$#_{}]|\$\\(pm|geq|leq|times)\$"
    )
    known += (
        r"|\\(ss|o|O|ae|AE|l|L)\{\}|\\[`'^~=u.\"rHvc]\{[A-Za-z]\}|\\ifdefined\\Umathchar .\\else "
        r"U\+[0-9A-F]{4,6}\\fi\{\}|-\{\}"
    )
    rest = re.sub(known, "", escape.latex(name))
    assert not set(rest) & set("\\{}$&#%^_~<>|`")
    assert rest.isascii()


@names
def test_no_spreadsheet_runs_a_cell(name: str) -> None:
    buffer = io.StringIO()
    pd.DataFrame({"a": [escape.csv(name), "z"]}).to_csv(buffer, index=False)
    (cell,), *_ = list(standard_csv.reader(io.StringIO(buffer.getvalue())))[1:]
    assert not re.match("[=+@\t\r\uff1d\uff0b\uff0d\uff20]|-.", cell) or re.fullmatch(
        r"[+-]?[\d.]+([eE][+-]?\d+)?", cell
    )
    assert cell.removeprefix("'" if cell != escape.plain(name) else "") == escape.plain(name)


@names
def test_a_terminal_shows_the_text_and_obeys_nothing(name: str) -> None:
    console = Console(file=io.StringIO(), width=2000, force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        console.print(escape.terminal(name), soft_wrap=True)
    assert captured.get() == escape.plain(name) + "\n"


@names
def test_a_file_name_is_one_short_part_of_its_own(name: str) -> None:
    file = escape.file_name(name)
    assert re.fullmatch(r"[a-z0-9_=+][a-z0-9._=+-]*", file)
    assert len(file) <= escape.LONGEST_FILE_NAME + 9


def test_file_names_differ_where_labels_differ() -> None:
    labels = [*NASTY, *(f"{name}x" for name in NASTY), "x" * 299 + "y", "a/b", "a b", "a-b", "A-b", "a:b"]
    assert len({escape.file_name(label).lower() for label in labels}) == len(set(labels))


@pytest.mark.parametrize("label", ["toy-accuracy-last", "digits-1-accuracy-best_test", "cifar100-heads+3bf1d1"])
def test_usual_names_stay_as_they_are(label: str) -> None:
    assert escape.file_name(label) == label


@pytest.mark.parametrize("number", ["-1.5", "+3", "1e-7", "-", "0"])
def test_numbers_stay_numbers(number: str) -> None:
    assert escape.csv(number) == number


def test_the_end_of_a_long_name_says_what_is_shown() -> None:
    assert "-accuracy-last-" in escape.file_name("d" * 200 + "-accuracy-last")


@names
def test_a_figure_has_no_hidden_characters_and_short_lines(name: str) -> None:
    shown = escape.figure(name)
    assert all(len(line) <= escape.LONGEST_IN_FIGURE + 3 for line in shown.split("\n"))
    assert not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in shown if letter != "\n")
