"""Lists as git hosts read them (a hook of mkdocs).

CommonMark takes a list right after a line of text, and lets what belongs to an item begin below the item's
text. Python-Markdown wants an empty line before a list, and four spaces. The pages are written in the first
way; this hook gives mkdocs the second.
"""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ITEM = re.compile(r"( *)([-*]|\d+\.)( +)(?=\S)")
FENCE = re.compile(r" *(```|~~~)")
STEP = 4
"""Spaces that Python-Markdown wants for each level of a list."""


def normalised(markdown: str) -> str:
    """The text with an empty line before each list, and ``STEP`` spaces for each level."""
    lines: list[str] = []
    levels: list[int] = []  # the column at which each open item's text begins
    fenced = False
    for line in markdown.split("\n"):
        column = len(line) - len(line.lstrip(" "))
        if not line.strip():
            lines.append("")
            continue
        item = None if fenced else ITEM.match(line)
        if not fenced:
            after_empty = not lines or not lines[-1]
            while levels and column < levels[-1] and (item or after_empty or FENCE.match(line)):
                levels.pop()
        depth = len(levels)
        inner = line[min(column, levels[-1]) :] if levels else line
        if item:
            if depth == 0 and not after_empty and not _in_list(lines):
                lines.append("")
            levels.append(item.end())
        lines.append(" " * (STEP * depth) + inner)
        if FENCE.match(line):
            fenced = not fenced
    return "\n".join(lines)


def _in_list(lines: list[str]) -> bool:
    """True if the paragraph that ends here belongs to a list."""
    for line in reversed(lines):
        if not line:
            return False
        if ITEM.match(line):
            return True
    return False


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Indents the lists of a page."""
    return normalised(markdown)
