"""Make a drawing fit to stand inside an HTML page beside others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(text: str, *, prefix: str, label: str, colors: Mapping[str, str]) -> str:
    """Rewrite an SVG document for use inside HTML.

    Ids get a prefix of their own and those that nothing refers to go; so do metadata, style sheets (they
    would style the whole page) and the fixed size. Colours and the font become the page's.

    Parameters
    ----------
    text : an SVG document of our own drawing.
    prefix : unlike that of any other drawing on the page.
    label : what the drawing shows, for readers that cannot see it.
    colors : colour, as written in the document, to the CSS value that takes its place.
    """
    root = ET.fromstring(text)  # noqa: S314 - drawn by matplotlib in this process
    for parent in list(root.iter()):
        for child in [child for child in parent if _local(child.tag) in ("metadata", "style")]:
            parent.remove(child)
    used = {name for element in root.iter() for value in element.attrib.values() for name in _targets(value)}
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(key): value for key, value in element.attrib.items()}
        element.attrib.clear()
        for key, value in attributes.items():
            if key == "id":
                if value in used:
                    element.set("id", f"{prefix}-{value}")
            elif key == "href":
                element.set("href", f"#{prefix}-{value.removeprefix('#')}")
            else:
                element.set(key, _restyle(_REFERENCE.sub(rf"url(#{prefix}-\1)", value), colors))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", label)
    return ET.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _targets(value: str) -> list[str]:
    return [value[1:]] if value.startswith("#") else _REFERENCE.findall(value)


def _restyle(value: str, colors: Mapping[str, str]) -> str:
    for color, replacement in colors.items():
        value = value.replace(color, replacement)
    return value.replace("'DejaVu Sans'", "var(--font)")
