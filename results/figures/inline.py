"""A figure's SVG as a part of a page: small, and with no name that another figure of the page has."""

import hashlib
import re
from xml.etree import ElementTree

from markupsafe import Markup

# Digits behind the point that a screen can show.
NUMBER = re.compile(r"(\.\d\d)\d+")
USED = re.compile(r"url\(#([^)]*)\)")
# Of a style; the page has one font for all figures.
FONT = re.compile(r"font-family: [^;]*(; )?")
DROPPED = ("metadata", "style")
LENGTHS = ("d", "x", "y", "width", "height", "transform", "points", "style", "viewBox")


def inline(svg: bytes) -> Markup:
    """Return a figure of matplotlib as an element of HTML, which :func:`labelled` completes.

    Args:
        svg: the file.

    Raises:
        xml.etree.ElementTree.ParseError: if the file is no XML.
    """
    root, prefix = ElementTree.fromstring(svg), f"f{hashlib.sha256(svg).hexdigest()[:8]}-"
    used = _used(root)
    for parent in list(root.iter()):
        for child in [child for child in parent if _plain(child.tag) in DROPPED]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _plain(element.tag)
        if element.tag not in ("text", "title"):
            element.text = None
        element.tail = None
        attributes = {_plain(name): value for name, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(_attributes(attributes, used, prefix))
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "role": "img"})
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def labelled(figure: Markup, label: str, size: str) -> Markup:
    """Return an element of :func:`inline` that says what it shows.

    Args:
        figure: the element.
        label: what it shows.
        size: its class.
    """
    return Markup('<svg class="{}" aria-label="{}"').format(size, label) + Markup(figure.removeprefix("<svg"))


def _plain(name: str) -> str:
    return name.rpartition("}")[2]


def _used(root: ElementTree.Element) -> set[str]:
    """Return the names that something in the figure refers to."""
    found = set[str]()
    for element in root.iter():
        for name, value in element.attrib.items():
            found |= {value[1:]} if _plain(name) == "href" and value.startswith("#") else set(USED.findall(value))
    return found


def _attributes(attributes: dict[str, str], used: set[str], prefix: str) -> dict[str, str]:
    """Return an element's attributes with other names and shorter numbers."""
    kept = {name: value for name, value in attributes.items() if name != "id" or value in used}
    for name, value in kept.items():
        if name == "id":
            kept[name] = prefix + value
        elif name == "href" and value.startswith("#"):
            kept[name] = f"#{prefix}{value[1:]}"
        elif name in LENGTHS:
            kept[name] = NUMBER.sub(r"\1", FONT.sub("", value).replace("\n", ""))
        if "url(#" in kept[name]:
            kept[name] = USED.sub(rf"url(#{prefix}\1)", kept[name])
    return kept
