"""What all figures share: one colour and marker per head everywhere, and the way into a file."""

import io
import warnings
from collections.abc import Iterable

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

from headbench.core import escape
from headbench.results.figures.hover import with_titles

mpl.use("Agg")
# Names are no formulas, however many dollar signs they have.
mpl.rcParams["text.parse_math"] = False

# Seaborn's colour-blind palette; these heads keep their colour in every grid, others take the next free one.
PALETTE = sns.color_palette("colorblind").as_hex()
HEADS = {"psc": 0, "word2vec": 1, "hpn": 2, "etf": 4, "dl2pa": 3}
# More heads than this have their legend beside the axes.
CROWD = 10
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "*"]


def heads_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the name of each head by its label, in the order of the rows."""
    return dict(zip(rows["head_label"], rows["head"], strict=True))


def styles(heads: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each head, a different pair for each of up to fifty.

    Colours repeat earlier.

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
    return {label: (PALETTE[pairs[label][0]], MARKERS[pairs[label][1]]) for label in heads}


def encode(figure: Figure, form: str) -> bytes:
    """Return a figure as ``png`` or ``svg``, the same bytes for the same figure; letters without a glyph are boxes."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "headbench", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing")
        for text in figure.findobj(Text):
            text.set_text(escape.figure(text.get_text()))
        if figure.get_layout_engine() is not None:
            # Laid out once and not again for each form: a third of a report's time, by benchmarks/report_size.py.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        figure.savefig(buffer, format=form, dpi=150, metadata={"Date": None} if form == "svg" else {"Software": None})
    return with_titles(buffer.getvalue()) if form == "svg" else buffer.getvalue()


def without_glyphs(names: Iterable[str]) -> str:
    """Return the letters of names that the font of the figures lacks, each once."""
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(dict.fromkeys(letter for name in names for letter in escape.plain(name) if ord(letter) not in known))
