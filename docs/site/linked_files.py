"""Files outside ``docs/`` that the pages link to, taken into the site (a hook of mkdocs).

On a git host ``../benchmarks/README.md`` leads from a page of ``docs/`` to another folder of the repository.
A site begins at ``docs/``. So the linked files join the site under their path in the repository, and the
links are written anew for it. Links that lead nowhere stay as they are: mkdocs then warns, or stops where it
is strict.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\()([^)\s#:]+)(?=[)#])")
"""The path of a Markdown link; addresses with a scheme have a colon."""
EXTRA_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "benchmarks/results/table1.md")
"""Pages of the navigation that stand outside ``docs/``."""


def targets(source: Path) -> Iterator[Path]:
    """The files that a page links to."""
    if source.suffix == ".md":
        for _, path in LINK.findall(source.read_text(encoding="utf-8")):
            yield Path(os.path.normpath(source.parent / path))


def in_site(path: Path) -> PurePosixPath:
    """The place of a file of the repository in the site; README.md at the root is the site's first page."""
    if path.is_relative_to(DOCS):
        return PurePosixPath(path.relative_to(DOCS).as_posix())
    if path == ROOT / "README.md":
        return PurePosixPath("index.md")
    return PurePosixPath(path.relative_to(ROOT).as_posix())


def linked_files() -> set[Path]:
    """All files outside ``docs/`` that a page of the site links to, directly or over another such page."""
    found: set[Path] = set()
    waiting = [*DOCS.rglob("*.md"), *(ROOT / name for name in EXTRA_PAGES)]
    seen = set(waiting)
    found.update(ROOT / name for name in EXTRA_PAGES)
    while waiting:
        for path in targets(waiting.pop()):
            outside = path.is_relative_to(ROOT) and not path.is_relative_to(DOCS)
            if path not in seen and outside and path.is_file() and path != ROOT / "README.md":
                seen.add(path)
                found.add(path)
                waiting.append(path)
    return found


def rewritten(markdown: str, source: Path) -> str:
    """The text of a page with its links as the site has them.

    Args:
        markdown: the text.
        source: the page's file in the repository.
    """
    page = in_site(source)

    def replace(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(source.parent / match[2]))
        if not path.is_relative_to(ROOT) or not path.is_file():
            return match[0]
        return match[1] + os.path.relpath(in_site(path), page.parent)

    return LINK.sub(replace, markdown)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the linked files to the site."""
    for path in sorted(linked_files()):
        files.append(File.generated(config, str(in_site(path)), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Writes the links of a page anew."""
    return rewritten(markdown, Path(str(page.file.abs_src_path)))
