"""The structure of the workspace: which package may import which, no circles, every dependency declared.

Every ``import`` counts, wherever it stands: in a function, and under ``TYPE_CHECKING`` as well, because two
modules that need each other's types are one idea in two files.
"""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGES = sorted(path.parent.name for path in SOURCE.glob("*/package.xml"))
PYTHON_PACKAGES = [name for name in PACKAGES if (SOURCE / name / "setup.py").is_file()]

MAY_IMPORT = {
    "worldsample_msgs": set[str](),
    "worldsample_core": {"worldsample_msgs"},
    "worldsample_policy": {"worldsample_msgs", "worldsample_core"},
    "worldsample_worldmodel": {"worldsample_msgs", "worldsample_core"},
    "a1x_driver": {"worldsample_msgs", "worldsample_core"},
    "a1x_sim": {"worldsample_msgs", "worldsample_core"},
    "worldsample_bringup": set(PACKAGES) - {"worldsample_bringup"},
}
"""The packages that each package may import."""

ROSDEP_KEYS = {
    "PIL": "python3-pil",
    "hypothesis": "python3-hypothesis",
    "mujoco": "python3-mujoco-pip",
    "numpy": "python3-numpy",
    "pytest": "python3-pytest",
    "rosbags": "python3-rosbags-pip",
    "tensorboardX": "python3-tensorboardX-pip",
    "torch": "python3-pytorch-pip",
    "yaml": "python3-yaml",
}
"""rosdep's key of each library from outside ROS (rosdep/python.yaml of ros/rosdistro)."""

WITHOUT_ROSDEP_KEY = {"safetensors"}
DISTRIBUTIONS = {"PIL": "pillow", "rerun": "rerun-sdk", "yaml": "pyyaml"}
"""The name on the package index where it differs from the module's."""

OPTIONAL = {"av", "gymnasium", "pyarrow", "rerun", "scipy"}
"""Libraries of single commands: in requirements-optional.txt and in a package's extra, in no package.xml."""

ON_REQUEST = {"wandb"}
"""Libraries of single settings, each an extra of its own in setup.py. The set-up does not install them."""

STARTED_BY_NAME = {"worldsample_bringup": {"joy", "realsense2_camera", "ros2launch", "spacenav"}}
"""ROS packages whose nodes or commands are started, not imported."""


@cache
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, modules: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every module that a file imports; `from package import module` is resolved where `modules` has it."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:  # relative: the test folders only
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


@cache
def module_graph() -> dict[str, set[str]]:
    """For each module of the workspace the workspace's modules that it imports."""
    files = {}
    for package in PYTHON_PACKAGES:
        for path in sorted((SOURCE / package / package).rglob("*.py")):
            parts = path.relative_to(SOURCE / package).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    modules = frozenset(files)
    return {name: set(imports(path, modules)) & modules - {name} for name, path in files.items()}


def test_the_packages_name_what_they_import_in_full() -> None:
    """Relative imports would be left out of the graph."""
    for package in PYTHON_PACKAGES:
        for path in (SOURCE / package / package).rglob("*.py"):
            nodes = ast.walk(syntax(path))
            assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), path


def third_party(folder: Path, package: str) -> set[str]:
    """Top-level modules from outside the package and the standard library that a folder's files import."""
    return imported(folder, package) - OPTIONAL - ON_REQUEST


def imported(folder: Path, package: str) -> set[str]:
    """The same with the optional ones."""
    found = {name.split(".")[0] for path in folder.rglob("*.py") for name in imports(path)}
    return found - set(sys.stdlib_module_names) - {package, "tests"}


def declared(package: str, *tags: str) -> set[str]:
    """The dependencies in a package.xml under these tags."""
    root = ElementTree.parse(SOURCE / package / "package.xml").getroot()
    return {element.text for tag in tags for element in root.iter(tag) if element.text}


def list_in_setup(package: str, argument: str, extra: str = "test") -> set[str]:
    """The distribution names in `install_requires` or in an extra of a setup.py."""
    tree = ast.parse((SOURCE / package / "setup.py").read_text(encoding="utf-8"))
    (value,) = (n.value for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == argument)
    content = ast.literal_eval(value)
    names = content if argument != "extras_require" else content.get(extra, [])
    return {re.split(r"[<>=!~ ]", name)[0].lower() for name in names}


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_packages_import_in_one_direction(package: str) -> None:
    wrong = {
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in (SOURCE / package / package).rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in set(PACKAGES) - MAY_IMPORT[package] - {package}
    }
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(module_graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_process_of_a_run_imports_the_compiler() -> None:
    """The first optimizer of ``torch.optim`` does: 1.4 s of CPU time in each process that learns."""
    for path in SOURCE.glob("*/*/**/*.py"):
        if path.parent.name != "test":
            assert not re.search(
                r"^[^\"`]*\b(torch\.optim|torch\._dynamo)\b", path.read_text(), re.MULTILINE
            ), path


def test_no_two_classes_have_one_name() -> None:
    """One word has one meaning, in the packages, the tests and the tools."""
    places: dict[str, list[str]] = {}
    for folder in ("benchmarks", "examples", "src", "tests", "worldsample_setup"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(syntax(path)):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not {name: found for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_package_xml_declares_what_is_imported(package: str) -> None:
    used = third_party(SOURCE / package / package, package) | third_party(
        SOURCE / package / "launch", package
    )
    keys = {ROSDEP_KEYS.get(name, name) for name in used - WITHOUT_ROSDEP_KEY}
    assert declared(package, "exec_depend") == keys | STARTED_BY_NAME.get(package, set())


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_package_xml_declares_what_the_tests_import(package: str) -> None:
    used = third_party(SOURCE / package / "test", package) - WITHOUT_ROSDEP_KEY
    keys = {ROSDEP_KEYS.get(name, name) for name in used}
    assert declared(package, "test_depend") == keys - declared(package, "exec_depend")


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_setup_py_declares_what_comes_from_the_package_index(package: str) -> None:
    def from_index(folder: str) -> set[str]:
        used = third_party(SOURCE / package / folder, package) & (set(ROSDEP_KEYS) | WITHOUT_ROSDEP_KEY)
        return {DISTRIBUTIONS.get(name, name).lower() for name in used}

    needed = from_index(package)
    assert list_in_setup(package, "install_requires") == needed | {"setuptools"}
    assert list_in_setup(package, "extras_require") == (from_index("test") - needed) | {"pytest"}


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_the_extra_of_a_package_is_what_single_commands_import(package: str) -> None:
    used = imported(SOURCE / package / package, package) & OPTIONAL
    assert list_in_setup(package, "extras_require", "optional") == distributions(used)
    assert required("requirements-optional.txt") == distributions(OPTIONAL)


def distributions(modules: set[str]) -> set[str]:
    """The names on the package index of these modules."""
    return {DISTRIBUTIONS.get(name, name) for name in modules}


def required(*files: str) -> set[str]:
    """The distributions in requirement files."""
    lines = [line for name in files for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    texts = [line.partition("#")[0].strip() for line in lines]
    return {re.split(r"[<>=!~ ]", text)[0].lower() for text in texts if text}


def test_every_distribution_is_among_the_requirements() -> None:
    known = required("requirements.txt", "requirements-test.txt")
    for package in PYTHON_PACKAGES:
        for argument in ("install_requires", "extras_require"):
            assert list_in_setup(package, argument) - {"setuptools"} <= known
