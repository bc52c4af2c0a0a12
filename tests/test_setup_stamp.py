"""Work that the set-up finds: nothing after a whole one, only the missing part after a half-finished one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from worldsample_setup.home import Home
from worldsample_setup.stamp import (
    Stamp,
    Work,
    has_gpu_device,
    lock_digest,
    package_hash,
    read_stamp,
    source_packages,
    work_to_do,
    write_stamp,
)
from worldsample_setup.workspace import colcon_command


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A checkout with a message package and a Python package, and a finished set-up as it looks on disk."""
    root = tmp_path / "checkout"
    write(root / "lock/run.txt", "numpy==2.0.0 --hash=sha256:00\n")
    write(root / "src/some_msgs/package.xml", "<package/>")
    write(root / "src/some_msgs/msg/Pair.msg", "int32 a\n")
    write(root / "src/some_node/package.xml", "<package/>")
    write(root / "src/some_node/setup.py", "")
    write(root / "src/some_node/some_node/loop.py", "x = 1\n")
    write(root / "src/some_node/launch/some.launch.py", "")
    write(root / "src/some_node/config/some.yaml", "a: 1\n")
    home = Home("wheels", root, root / ".venv")
    site_packages = home.folder / "lib/python3.11/site-packages"
    for name in ("pip", "torch", "numpy"):
        write(site_packages / name / "__init__.py")
    write(home.folder / "pyvenv.cfg")
    write(home.python)
    for name in ("some_msgs", "some_node"):
        write(home.installed_share(name) / "package.xml")
        write(home.build_base / name / "built")
    return home


def finished(home: Home) -> Stamp:
    """The stamp after a whole set-up."""
    return Stamp(
        root=str(home.root),
        base_python="/bin/sh",
        requirements=lock_digest(home.root),
        torch="cpu",
        gpu_device=has_gpu_device(),
        top_level=["numpy", "pip", "torch"],
        cmake_paths="/usr/include/python3.11:/numpy/include",
        packages={name: package_hash(path) for name, path in source_packages(home).items()},
        workspace_paths={"PYTHONPATH": [str(home.build_base / "some_node")]},
        graphics={"MUJOCO_GL": "egl"},
        graphics_from="system",
        checked=True,
    )


def test_nothing_to_do_after_a_whole_setup(home: Home) -> None:
    assert not work_to_do(home, finished(home))


def test_looking_is_quick(home: Home) -> None:
    stamp = finished(home)
    begun = time.perf_counter()
    work_to_do(home, stamp)
    assert time.perf_counter() - begun < 0.1


def test_everything_to_do_at_first(home: Home) -> None:
    work = work_to_do(home, None)
    assert work.environment and work.python_packages and work.cmake_paths and work.graphics and work.check
    assert work.build == ["some_msgs", "some_node"]
    assert not work.fresh  # there is nothing to remove


def test_stamp_survives_the_disk(home: Home) -> None:
    write_stamp(home.stamp, finished(home))
    assert read_stamp(home.stamp) == finished(home)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"unknown_part": 1}'])
def test_an_unreadable_stamp_counts_as_none(home: Home, text: str) -> None:
    write(home.stamp, text)
    assert read_stamp(home.stamp) is None


def test_interrupted_installation_repeats_the_packages_only(home: Home) -> None:
    stamp = finished(home)
    stamp.requirements, stamp.checked, stamp.cmake_paths = "", False, ""
    work = work_to_do(home, stamp)
    assert work.python_packages and work.cmake_paths and work.check
    assert not (work.environment or work.fresh or work.build or work.graphics)


def test_interrupted_environment_begins_with_the_environment(home: Home) -> None:
    (home.folder / "pyvenv.cfg").unlink()
    stamp = finished(home)
    stamp.base_python = ""
    work = work_to_do(home, stamp)
    assert work.environment and not work.fresh


def test_lost_python_begins_anew(home: Home) -> None:
    stamp = finished(home)
    stamp.base_python = "/no/such/python3.11"
    work = work_to_do(home, stamp)
    assert work.fresh and work.environment and work.clean_build


def test_moved_checkout_begins_anew(home: Home) -> None:
    stamp = finished(home)
    stamp.root = "/elsewhere"
    work = work_to_do(home, stamp)
    assert work.fresh and work.clean_build and "moved" in work.reasons[0]


def test_interrupted_build_builds_the_rest(home: Home) -> None:
    stamp = finished(home)
    del stamp.packages["some_node"]
    work = work_to_do(home, stamp)
    assert work.build == ["some_node"] and not work.clean_build and not work.python_packages


def test_unknown_workspace_paths_build_again(home: Home) -> None:
    stamp = finished(home)
    stamp.workspace_paths = {}
    assert work_to_do(home, stamp).build == ["some_msgs", "some_node"]


def test_removed_python_package_is_noticed(home: Home) -> None:
    shutil.rmtree(home.site_packages() / "torch")
    work = work_to_do(home, finished(home))
    assert work.python_packages and "torch" in work.reasons[0]


def test_removed_build_result_is_noticed(home: Home) -> None:
    shutil.rmtree(home.installed_share("some_msgs"))
    assert work_to_do(home, finished(home)).build == ["some_msgs"]


def test_removed_private_graphics_are_noticed(home: Home) -> None:
    stamp = finished(home)
    stamp.graphics_from = "private"
    assert work_to_do(home, stamp).graphics


def test_changed_requirements_are_installed(home: Home) -> None:
    stamp = finished(home)
    write(home.root / "lock/run.txt", "numpy==2.0.1 --hash=sha256:00\n")
    work = work_to_do(home, stamp)
    assert work.python_packages and not work.environment and not work.again


def test_what_may_not_be_whole_is_installed_again(home: Home) -> None:
    stamp = finished(home)
    stamp.requirements = ""
    assert work_to_do(home, stamp).again
    stamp = finished(home)
    shutil.rmtree(home.site_packages() / "torch")
    assert work_to_do(home, stamp).again


@pytest.mark.parametrize("before", [True, False])
def test_the_build_of_torch_is_chosen_again_when_the_machine_changes(
    home: Home, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.delenv("WORLDSAMPLE_TORCH", raising=False)
    monkeypatch.setattr("worldsample_setup.stamp.has_gpu_device", lambda: not before)
    stamp = finished(home)
    stamp.gpu_device = before
    work = work_to_do(home, stamp)
    assert work.python_packages and work.again and "GPU" in work.reasons[0]
    stamp.torch_chosen = True  # a person's word counts more than the machine
    assert not work_to_do(home, stamp)


def test_another_word_about_torch_counts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSAMPLE_TORCH", "cuda")
    work = work_to_do(home, finished(home))
    assert work.python_packages and work.again
    monkeypatch.setenv("WORLDSAMPLE_TORCH", "cpu")
    assert not work_to_do(home, finished(home))


def test_the_lock_digest_can_be_had_in_a_shell(home: Home) -> None:
    write(home.root / "lock/ros.txt", "x==1 --hash=sha256:11\n")
    command = "cat lock/*.txt | sha256sum | cut -c 1-16"
    said = subprocess.run(["sh", "-c", command], cwd=home.root, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == lock_digest(home.root)


@pytest.mark.parametrize(
    ("path", "rebuilds"),
    [
        ("some_msgs/msg/Pair.msg", ["some_msgs"]),  # generated code
        ("some_msgs/msg/New.msg", ["some_msgs"]),
        ("some_node/setup.py", ["some_node"]),
        ("some_node/launch/new.launch.py", ["some_node"]),  # a new file gets a link of its own
        ("some_node/config/new.yaml", ["some_node"]),
        ("some_node/launch/some.launch.py", []),  # links: live already
        ("some_node/config/some.yaml", []),
        ("some_node/some_node/loop.py", []),
        ("some_node/some_node/new.py", []),
        ("some_node/test/test_loop.py", []),
        ("some_node/some_node/__pycache__/loop.pyc", []),
    ],
)
def test_what_an_edit_rebuilds(home: Home, path: str, rebuilds: list[str]) -> None:
    stamp = finished(home)
    write(home.source / path, "changed\n")
    assert work_to_do(home, stamp).build == rebuilds


def test_new_package_is_built_alone(home: Home) -> None:
    stamp = finished(home)
    write(home.source / "new_node/package.xml", "<package/>")
    work = work_to_do(home, stamp)
    assert work.build == ["new_node"] and not work.clean_build


def test_removed_package_leaves_nothing_behind(home: Home) -> None:
    stamp = finished(home)
    shutil.rmtree(home.source / "some_node")
    work = work_to_do(home, stamp)
    assert work.clean_build and work.build == ["some_msgs"]


def test_folder_without_package_xml_is_no_package(home: Home) -> None:
    os.makedirs(home.source / "notes")
    assert list(source_packages(home)) == ["some_msgs", "some_node"]


def test_what_the_wheels_lack_of_ros_is_built_for_them_only(home: Home) -> None:
    write(home.root / "worldsample_setup/ros_packages/tf2_msgs/package.xml", "<package/>")
    assert sorted(source_packages(home)) == ["some_msgs", "some_node", "tf2_msgs"]
    assert work_to_do(home, finished(home)).build == ["tf2_msgs"]  # not installed yet
    ros = Home("ros", home.root, home.folder, "jazzy")
    assert list(source_packages(ros)) == ["some_msgs", "some_node"]
    command = colcon_command(home, ["tf2_msgs"])
    assert str(home.root / "worldsample_setup/ros_packages/tf2_msgs") in command


def test_no_work_is_false() -> None:
    assert not Work()
    assert Work(check=True)


def test_stopped_before_the_first_step_is_as_good_as_nothing(home: Home) -> None:
    work = work_to_do(home, Stamp())
    assert work.environment and not work.fresh
