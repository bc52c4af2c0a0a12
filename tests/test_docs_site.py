"""The documents as a site: it builds without a warning and has every page; its error messages are real."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Links(HTMLParser):
    """The addresses that a page links to or shows, and the names of its parts."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: set[str] = set()
        self.names: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.addresses.add(value)
            if name == "id" and value:
                self.names.add(value)


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix(".html")
        assert (site / (name.with_name("index.html") if page.stem == "README" else name)).is_file(), page


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    """Also those that lead out of ``docs/`` on a git host."""
    pages = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    for page, links in pages.items():
        for address in links.addresses:
            if re.match(r"[a-z]+:", address):
                continue
            path, _, name = unquote(address).partition("#")
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page.relative_to(site)} links to {address}"
            assert not name or name in pages[target].names, f"{page.relative_to(site)} links to {address}"


def test_no_markdown_is_left_in_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<p>(- |\d+\. |\| |```)", text), page


def hook(name: str) -> ModuleType:
    """A hook of the site."""
    spec = spec_from_file_location(name, DOCS / "site" / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_out_of_the_folder_are_written_anew() -> None:
    rewritten = hook("linked_files").rewritten
    text = "[b](../benchmarks/README.md#x), [r](../README.md), [n](nowhere.md), [h](https://a.b/c)"
    assert rewritten(text, DOCS / "methods.md") == (
        "[b](benchmarks/README.md#x), [r](index.md), [n](nowhere.md), [h](https://a.b/c)"
    )
    assert rewritten("[t](../docs/tasks.md)", ROOT / "benchmarks" / "README.md") == "[t](../tasks.md)"


def test_lists_are_indented_as_the_site_wants_them() -> None:
    text = "Text:\n- one\n  more\n- two\n\n1. a\n   ```\n   x:\n     y\n   ```\n\nEnd\n- last"
    assert hook("list_indentation").normalised(text) == (
        "Text:\n\n- one\n    more\n- two\n\n1. a\n    ```\n    x:\n      y\n    ```\n\nEnd\n\n- last"
    )
    fenced = "```yaml\n- a\n  b: 1\n```"
    assert hook("list_indentation").normalised(fenced) == fenced


@cache
def texts_of_the_code() -> str:
    """Every text in the code, a line each; what is filled in is an ellipsis."""
    found = []
    folders = (ROOT / "src", ROOT / "worldsample_setup")
    for path in (path for folder in folders for path in folder.rglob("*.py") if "test" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(text.replace("\n", " ") for text in found)


def test_the_messages_of_troubleshooting_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (`.*?`) \| ", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert len(messages) > 40
    for message in messages:
        if message.startswith("ros2 "):
            continue
        pattern = ".*".join(re.escape(part) for part in message.split("…"))
        assert re.search(pattern, texts_of_the_code()), f"no error says: {message}"
