"""What all figures share: one look per head everywhere, the width and font of a paper, and the way into files."""

import io
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
import pypdfium2 as pdfium
import seaborn as sns
from markupsafe import Markup
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from headbench.core import escape
from headbench.core.errors import UserError
from headbench.results.figures.fonts import cut_once
from headbench.results.figures.hover import with_titles
from headbench.results.figures.inline import inline

mpl.use("Agg")

# Of a column of a paper, in inches, between two columns, and of its text, in points.
COLUMN, GUTTER, FONT = 3.3, 0.25, 8.0
# Sizes of a letter that a column has at least: in a narrower one axes have no room beside their numbers.
NARROWEST = 12
FORMS = ("svg", "png", "pdf")
FAMILY = "DejaVu Sans"
# A user's own matplotlibrc is for the user's own figures; names are no formulas, however many dollar signs they have.
DEFAULTS = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
mpl.rcParams.update(DEFAULTS | {"text.parse_math": False, "figure.dpi": 150})
LOOKS: dict[Any, Any] = {
    **dict.fromkeys(("axes.labelsize", "axes.titlesize"), "medium"),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), "small"),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width", "patch.linewidth"), 0.6),
    **dict.fromkeys(("grid.linewidth", "hatch.linewidth"), 0.5),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    **dict.fromkeys(("xtick.major.pad", "ytick.major.pad", "axes.labelpad"), 2.0),
    **{"lines.linewidth": 1.2, "lines.markersize": 4.0, "axes.titlepad": 4.0},
    # One that matplotlib brings along, so that a figure is the same on every machine.
    "font.family": FAMILY,
}

# Seaborn's colour-blind palette; these heads keep their colour in every grid, others take the next free one.
PALETTE = sns.color_palette("colorblind").as_hex()
HEADS = {"psc": 0, "word2vec": 1, "hpn": 2, "etf": 4, "dl2pa": 3}
# Points of a line through many that have a marker.
MARKED = 8
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "*"]
# Of the small text, the smallest of a legend.
SMALLEST = 0.75
# On and off in widths of the line, so that heads stay apart in grey print.
DASHES: list[tuple[float, ...]] = [
    (),
    (4, 1.5),
    (1, 1),
    (6, 1.5, 1, 1.5),
    (8, 2),
    (2, 1),
    (4, 1, 1, 1, 1, 1),
    (3, 3),
    (8, 1.5, 2, 1.5),
    (1, 2.5),
]


class Look(NamedTuple):
    """How a head is drawn, everywhere.

    Attributes:
        colour: in hexadecimal digits.
        marker: of its points.
        dash: of its lines, on and off in widths of the line; empty for a solid one.
    """

    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of a line without markers."""
        return {"color": self.colour, "linestyle": (0, self.dash) if self.dash else "-"}

    @property
    def marked(self) -> dict[str, Any]:
        """The arguments of a line with markers."""
        return self.line | {"marker": self.marker}

    def sparsely_marked(self, points: int) -> dict[str, Any]:
        """The arguments of a line through many points, of which a few have a marker."""
        return self.marked | {"markevery": max(1, points // MARKED)}


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        figure: without a title.
        caption: what it shows, in sentences.
    """

    figure: Figure
    caption: str


@dataclass(frozen=True)
class Picture:
    """A figure as the page and the files have it.

    Attributes:
        forms: the content of its files by their suffix; empty where there is no figure.
        caption: what it shows, or why there is none.
        wide: whether it is as wide as a page, and not as a column.
        element: of a page, as :func:`headbench.results.figures.inline.inline` makes it.
    """

    forms: dict[str, bytes]
    caption: str
    wide: bool = False
    element: Markup = Markup("")  # noqa: RUF009 it cannot be changed


def set_size(width: float = COLUMN, font: float = FONT) -> None:
    """Set the width of a column, in inches, and the size of text, in points, of all figures of this process.

    Raises:
        UserError: if there is no room for letters of this size.
    """
    if 72 * width < NARROWEST * font:
        raise UserError(
            f"figures of {width:g} inches have no room for letters of {font:g} points (--figure-width, --font-size); "
            f"there is for {72 * width / NARROWEST:.3g} points"
        )
    mpl.rcParams.update({"figure.figsize": (width, 0.75 * width), "font.size": font})


set_size()


@contextmanager
def canvas(height: float, *, wide: bool = False, grid: bool = True) -> Iterator[Figure]:
    """Yield an empty figure to draw into, in the looks of all figures.

    Args:
        height: in widths of a column.
        wide: whether it is as wide as a page of two columns, and not as a column.
        grid: whether its axes have grid lines.
    """
    width = column()
    with sns.axes_style("whitegrid" if grid else "white"), mpl.rc_context(LOOKS):
        yield Figure((2 * width + GUTTER if wide else width, height * width), dpi=300, layout="constrained")


def column() -> float:
    """Return the width of a column in inches."""
    return float(mpl.rcParams["figure.figsize"][0])


def small() -> float:
    """Return the size of the text of ticks and legends in points."""
    return 0.833 * float(mpl.rcParams["font.size"])


def lines(count: float) -> float:
    """Return the height of lines of small text in widths of a column."""
    return count * 1.35 * small() / 72 / column()


def plain_log(axis: Axis) -> None:
    """Give an axis that is logarithmic numbers without powers, also where it spans less than a decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Put a legend beneath the axes, in as many columns as there is room for; the figure grows by it.

    One that would be higher than the axes has two columns of smaller letters.
    """
    for size, least in ((small(), 1), (SMALLEST * small(), 2)):
        room = figure.get_figwidth() / (0.6 * size / 72)
        names = [textwrap.fill(label, min(45, int(room / least) - 8)) for label in labels]
        longest = max((len(line) for name in names for line in name.split("\n")), default=0)
        columns = max(1, min(len(names), int(room / (longest + 8))))
        below = -(-sum(name.count("\n") + 1 for name in names) // columns)
        height = lines(below) * column() * size / small()
        if height < figure.get_figheight():
            break
    figure.set_figheight(figure.get_figheight() + height)
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=size,
        handlelength=3.2,
        columnspacing=1.2,
        borderpad=0,
        labelspacing=0.3,
    )


def short(name: str, letters: int = 24) -> str:
    """Return a name for a tick of an axis, on one line of so many letters."""
    shown = escape.plain(name)
    return shown if len(shown) <= letters else f"{shown[: letters - 1]}…"


def heads_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the name of each head by its label, in the order of the rows."""
    return dict(zip(rows["head_label"], rows["head"], strict=True))


def names_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return what figures call each head, by its label: the label where the rows have nothing else."""
    if "head_display" not in rows:
        return {label: label for label in heads_of(rows)}
    shown = dict(zip(rows["head_label"], rows["head_display"], strict=True))
    twice = {name for name in shown.values() if list(shown.values()).count(name) > 1}
    return {
        label: name if isinstance(name, str) and name and name not in twice else label for label, name in shown.items()
    }


def styles(heads: dict[str, str]) -> dict[str, Look]:
    """Return the look of each head, a different one for each of up to fifty; colours repeat earlier.

    Args:
        heads: names by label; one and the same for a plain head.
    """
    free = [number for number in range(len(PALETTE)) if number not in HEADS.values()]
    # The plain head, or else the first of its forms, has the head's own colour.
    first: dict[str, str] = {}
    for label, name in sorted(heads.items(), key=lambda head: head[0] != head[1]):
        first.setdefault(name, label)
    pairs = {first[name]: (number, number) for name, number in HEADS.items() if name in first}
    others = [label for label in heads if label not in pairs]
    for place, label in enumerate(others):
        turn, number = place // len(free), free[place % len(free)]
        pairs[label] = number, (number + turn) % len(MARKERS)
    return {
        label: Look(PALETTE[colour], MARKERS[marker], DASHES[marker])
        for label, (colour, marker) in ((label, pairs[label]) for label in heads)
    }


def picture(drawn: Drawn | str) -> Picture:
    """Return a figure as its files; for the sentence why there is none, one without files."""
    if isinstance(drawn, str):
        return Picture({}, drawn)
    wide = drawn.figure.get_figwidth() > column() + GUTTER
    forms = _encoded(drawn.figure, FORMS)
    return Picture(forms, drawn.caption, wide, inline(forms["svg"]))


def encode(figure: Figure, form: str) -> bytes:
    """Return a figure as ``png``, ``svg`` or ``pdf``, the same bytes for the same figure; letters without a glyph are
    boxes.
    """
    return _encoded(figure, [form])[form]


def _encoded(figure: Figure, forms: Sequence[str]) -> dict[str, bytes]:
    """Return a figure in several forms as :func:`encode` does."""
    # Publishers take no fonts of type 3, matplotlib's usual ones.
    settings: dict[Any, Any] = {"svg.hashsalt": "headbench", "svg.fonttype": "none", "pdf.fonttype": 42}
    # The figure is laid out here, once for all forms; with any engine, even "none", each of them is drawn twice.
    settings |= {"figure.autolayout": False, "figure.constrained_layout.use": False}
    with mpl.rc_context(settings), warnings.catch_warnings(), cut_once():
        warnings.filterwarnings("ignore", r"Glyph .* missing")
        for text in figure.findobj(Text):
            text.set_text(escape.figure(text.get_text()))
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        return _saved(figure, forms)


def _saved(figure: Figure, forms: Sequence[str]) -> dict[str, bytes]:
    """Return a figure that is laid out in its forms; the PNG is made of the PDF, in a third of the time."""
    vectors = {form: _drawn(figure, form) for form in dict.fromkeys("pdf" if form == "png" else form for form in forms)}
    return {form: _raster(vectors["pdf"], figure.dpi) if form == "png" else vectors[form] for form in forms}


def _drawn(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(buffer, format=form, metadata=undated[form])
    return with_titles(buffer.getvalue()) if form == "svg" else buffer.getvalue()


def _raster(pdf: bytes, dpi: float) -> bytes:
    """Return the first page of a PDF as a PNG of so many points to the inch."""
    buffer = io.BytesIO()
    with pdfium.PdfDocument(pdf) as document:
        picture = document[0].render(scale=dpi / 72).to_pil()
    # A tenth larger than by the usual level, in half the time.
    picture.save(buffer, "png", dpi=(dpi, dpi), compress_level=3)
    return buffer.getvalue()


def without_glyphs(names: Iterable[str]) -> str:
    """Return the letters of names that the font of the figures lacks, each once."""
    known = get_font(findfont(FAMILY)).get_charmap()
    return "".join(dict.fromkeys(letter for name in names for letter in escape.plain(name) if ord(letter) not in known))
