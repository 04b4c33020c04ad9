"""The figure of ``docs/performance.md``: ``python benchmarks/speed_figure.py``.

It writes ``docs/figures/speed.png`` of ``results/measured/speed.json``, a file of ``bench.py speed --json``; nothing is
timed.
"""

import json
from pathlib import Path
from typing import Any

from headbench.results import recorded
from headbench.results.figures.base import canvas, encode, styles

FILE = recorded.FOLDER / "speed.json"
LOOPS = ("bare", "runner", "textbook")
PARTS = ("forward", "backward", "data", "optimiser", "head")
# Of a bar; a row has three.
HEIGHT = 0.26
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "speed.png"


def named(row: dict[str, Any]) -> str:
    """Return what a row is called."""
    return f"{row['head']}, {row['precision']}" + (", compiled" if row["compile"] == "on" else "")


def main() -> None:
    """Write the figure."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    places, looks = range(len(rows)), styles({name: name for name in (*LOOPS, *PARTS)})
    with canvas(0.25 + 0.045 * len(rows), wide=True) as figure:
        speeds, shares = figure.subplots(1, 2, sharey=True)
        for number, loop in enumerate(LOOPS):
            lengths = [row[f"{loop}_images_per_second"] for row in rows]
            at = [place + (number - 1) * HEIGHT for place in places]
            speeds.barh(at, lengths, HEIGHT, color=looks[loop].colour, label=loop)
        left = [0.0] * len(rows)
        for part in PARTS:
            widths = [100 * row["shares"][part] for row in rows]
            shares.barh(places, widths, 3 * HEIGHT, left=left, color=looks[part].colour, label=part)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        speeds.set(xlabel="training images/s", yticks=places, yticklabels=map(named, rows))
        speeds.invert_yaxis()
        shares.set(xlabel="share of a step (%)", xlim=(0, 100))
        for axis, columns in ((speeds, len(LOOPS)), (shares, len(PARTS))):
            axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, handlelength=1)
    FIGURE.write_bytes(encode(figure, "png"))


if __name__ == "__main__":
    main()
