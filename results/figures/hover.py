"""What a point of a figure says when the pointer is on it: a ``<title>`` in its SVG."""

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from matplotlib.artist import Artist

from headbench.core import escape

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Before the texts in the name of a group of points, which matplotlib takes over as it is.
MARK = "says "
GROUP, POINT, TITLE = (f"{{{SVG}}}{tag}" for tag in ("g", "use", "title"))


def name_points(points: Artist, texts: Sequence[str]) -> None:
    """Let points say texts.

    Args:
        points: a line with markers, or a collection of points.
        texts: one per point that is drawn, in their order.
    """
    points.set_gid(MARK + json.dumps(list(texts)))


def with_titles(svg: bytes) -> bytes:
    """Return a figure in which each point has its text as its title; where they are not as many, none has."""
    if f'id="{MARK}'.encode() not in svg and f"id='{MARK}".encode() not in svg:
        return svg
    for prefix, space in {"": SVG, "xlink": XLINK}.items():
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.fromstring(svg)
    for number, group in enumerate(found for found in root.iter(GROUP) if found.get("id", "").startswith(MARK)):
        texts, points = json.loads(group.attrib["id"].removeprefix(MARK)), list(group.iter(POINT))
        group.set("id", f"points_{number}")
        for point, text in zip(points, texts if len(texts) == len(points) else [], strict=False):
            ElementTree.SubElement(point, TITLE).text = escape.figure(text)
    return ElementTree.tostring(root, encoding="unicode").encode()
