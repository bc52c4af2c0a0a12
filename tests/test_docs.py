"""The documents name files, modules and commands that exist, and their links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.success_figure import figure
from worldsample_bringup import cli
from worldsample_setup.main import OWN_COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("benchmarks/**/*.md")],
    key=lambda page: str(page),
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
OF_THE_READER = {"button.py", "touch.py"}
"""Files that a guide tells the reader to write, or that stand in the reader's own folder."""


def tracked() -> list[str]:
    """All files of the repository, built and ignored ones left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return listed.stdout.splitlines()


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as on GitHub."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{name} links to {target}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_source_files_exist_where_they_are_said_to_be(name: str) -> None:
    """A file in a sub-package is named with it (``acting/policy_loop.py``), so that a reader finds it."""
    files = tracked()
    for mention in set(re.findall(r"`([\w./-]+\.(?:py|sh))`", (ROOT / name).read_text())) - OF_THE_READER:
        found = [path for path in files if f"/{path}".endswith(f"/{mention.removeprefix('./')}")]
        assert found, f"{name} names {mention}"
        if "/" not in mention:
            depths = [path.count("/") for path in found]
            assert min(depths) <= 3, f"{name} names {mention} without its folder: {found}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_modules_exist(name: str) -> None:
    for mention in set(re.findall(r"\b((?:worldsample|a1x)_\w+(?:\.\w+)+)", (ROOT / name).read_text())):
        package, *parts = mention.split(".")
        folder = ROOT / "src" / package / package
        if parts[-1] in ("py", "md", "yaml", "urdf") or not folder.is_dir():
            continue
        for part in parts:
            if (folder / part).is_dir():
                folder /= part
                continue
            assert (folder / f"{part}.py").is_file(), f"{name} names {mention}"
            break  # what follows is a name in the module


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    known = capsys.readouterr().out + repr(OWN_COMMANDS)
    for command in set(re.findall(r"\./worldsample ([a-z]\w*)", (ROOT / name).read_text())):
        assert re.search(rf"\b{command}\b", known), f"{name} names ./worldsample {command}"


def test_the_figure_of_success_is_that_of_the_table() -> None:
    drawn = figure(json.loads((ROOT / "benchmarks" / "results" / "table1.json").read_text()))
    with Image.open(ROOT / "docs" / "images" / "success.png") as shown:
        assert shown.size == drawn.size
        off = np.abs(np.asarray(shown, np.int16) - np.asarray(drawn, np.int16))
    assert off.mean() < 0.5, "python benchmarks/success_figure.py draws it again"
