"""Figures as SVG: as files, and as small elements of a page whose colours follow light and dark."""

import functools
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.figures.hover import HoverPoint, marks
from analysis.figures.style import FAINT, INK
from analysis.report.dark_mode import dark_twin

_PAGE_COLOURS = {INK: "currentColor", FAINT: "var(--faint)", "#ffffff": "var(--paper)"}
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True)
class Drawing:
    """A figure for a page: its element, what it shares with other figures, and its named points.

    `glyphs` are the letters it uses, by id; `colours` are what its variables stand for on white;
    `size` is its width and height in the units of `marks`.
    """

    element: Markup
    glyphs: dict[str, Markup]
    colours: frozenset[str]
    marks: tuple[HoverPoint, ...]
    size: tuple[float, float]


@functools.cache
def svg(figure: Figure, name: str) -> str:
    """The figure as an SVG file; the same figure and name give the same bytes."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="none")
    figure.set_layout_engine("none")  # it is laid out; to do so again costs as much as to draw
    # Links to runs lead somewhere in the report only.
    return re.sub(r'<a xlink:href="#run-[^"]*"[^>]*>|</a>', "", buffer.getvalue())


def drawing(figure: Figure, name: str, label: str) -> Drawing:
    """The figure as an element of a page, spoken as `label`.

    Letters are moved out, for all figures to share; ids that nothing refers to, comments and digits
    beyond a hundredth of a point are dropped, about two thirds of the file.
    """
    root = ET.fromstring(svg(figure, name))
    found = tuple(marks(figure))
    size = (figure.get_figwidth() * 72, figure.get_figheight() * 72)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.tail = None
        for key in [key for key in element.attrib if key.startswith("{")]:
            element.attrib[key.rpartition("}")[2]] = element.attrib.pop(key)
    glyphs = _take_glyphs(root)
    _drop(root, lambda element: element.tag in ("metadata", "style"))
    used = _referenced(root)
    colours: set[str] = set()
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        for key in ("d", "x", "y"):
            if key in element.attrib:
                element.attrib[key] = _rounded(element.attrib[key])
        if "style" in element.attrib:
            colours |= set(_COLOUR.findall(element.attrib["style"])) - _PAGE_COLOURS.keys()
            element.attrib["style"] = _COLOUR.sub(_variable, element.attrib["style"])
    _drop(root, lambda element: element.tag in ("g", "defs") and not len(element))
    _unwrap(root)
    root.attrib = {
        "viewBox": f"0 0 {size[0]:g} {size[1]:g}",
        "role": "img",
        "aria-label": label,
    }
    element = Markup(ET.tostring(root, encoding="unicode"))
    return Drawing(element, glyphs, frozenset(colours), found, size)


def colour_variables(colours: frozenset[str], dark: bool) -> str:
    """Declarations of the variables that `drawing` puts in the place of colours."""
    return " ".join(f"--c{c[1:]}: {dark_twin(c) if dark else c};" for c in sorted(colours))


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, facecolor="white")
    return buffer.getvalue()


def _variable(match: re.Match[str]) -> str:
    colour = match.group()
    return _PAGE_COLOURS.get(colour) or f"var(--c{colour[1:]})"


def _rounded(numbers: str) -> str:
    shorter = _NUMBER.sub(lambda match: f"{float(match.group()):.2f}", numbers)
    return " ".join(shorter.split())


def _take_glyphs(root: ET.Element) -> dict[str, Markup]:
    """Remove the letters' outlines from a tree, and return them by id."""
    taken = {}
    for parent in list(root.iter("g")):
        for definitions in [child for child in parent if child.tag == "defs"]:
            for path in list(definitions):
                # Matplotlib scales the outlines of letters, and nothing else, from font units.
                if path.get("transform", "").startswith("scale("):
                    path.set("d", " ".join(path.get("d", "").split()))
                    definitions.remove(path)
                    taken[path.get("id", "")] = Markup(ET.tostring(path, encoding="unicode"))
    return taken


def _referenced(root: ET.Element) -> set[str]:
    found = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "href":
                found.add(value.removeprefix("#"))
            found |= set(_REFERENCE.findall(value))
    return found


def _unwrap(parent: ET.Element) -> None:
    """Put the children of groups that say nothing in the place of the groups."""
    for child in list(parent):
        _unwrap(child)
        if child.tag == "g" and not child.attrib:
            at = list(parent).index(child)
            parent[at : at + 1] = list(child)


def _drop(parent: ET.Element, unwanted: Callable[[ET.Element], bool]) -> None:
    """Remove elements from a tree, children first, so that emptied groups go too."""
    for child in list(parent):
        _drop(child, unwanted)
        if unwanted(child):
            parent.remove(child)
