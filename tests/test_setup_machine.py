"""Messages of the set-up when the machine lacks something, and repairs of what it installs."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from worldsample_setup import lock_files, prerequisites, python_packages, ros_wheels, workspace
from worldsample_setup import main as front
from worldsample_setup.debian_packages import apt_options
from worldsample_setup.environment import (
    base_environment,
    child_environment,
    environment_for,
    shell_exports,
)
from worldsample_setup.graphics import private_variables
from worldsample_setup.home import Home, find_home
from worldsample_setup.prerequisites import Interpreter
from worldsample_setup.problem import CommandFailed, SetupProblem
from worldsample_setup.progress import Progress, clock
from worldsample_setup.single_setup import group_members, only_one
from worldsample_setup.stamp import REQUIREMENT_FILES, Stamp, write_stamp

ROOT = Path(__file__).resolve().parent.parent
GOOD = Interpreter("/usr/bin/python3.11", (3, 11, 2), headers=True, venv=True)


def only(*tools: str) -> object:
    """Stands in for shutil.which on a machine with just these tools."""
    return lambda name: f"/usr/bin/{name}" if name in tools else None


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home("wheels", tmp_path, tmp_path / ".venv")
    (home.folder / "lib/python3.11/site-packages/ros_rclpy.libs").mkdir(parents=True)
    return home


# What is missing, and the command that installs it


def test_names_every_missing_tool_at_once() -> None:
    poor = Interpreter("/usr/bin/python3.11", (3, 11, 2), headers=False, venv=False)
    with pytest.raises(SetupProblem) as caught:
        prerequisites.refuse_missing(prerequisites.missing_tools(poor, compiler=None))
    text = caught.value.text()
    assert "C++ compiler" in text and "venv" in text and "Python.h" in text and "install" in text


def test_nothing_missing() -> None:
    assert prerequisites.missing_tools(GOOD, "/usr/bin/c++") == {}
    prerequisites.refuse_missing({})


@pytest.mark.parametrize(
    ("tools", "root", "expected"),
    [
        (("apt-get",), False, "sudo apt install g++ python3-dev"),
        (("apt-get",), True, "apt install g++ python3-dev"),
        (("dnf",), False, "sudo dnf install gcc-c++ python3-devel"),
        (("pacman",), False, "sudo pacman -S gcc python"),
        ((), False, "Install the counterparts of these Debian packages: g++ python3-dev"),
    ],
)
def test_install_command_fits_the_machine(tools: tuple[str, ...], root: bool, expected: str) -> None:
    assert prerequisites.install_command(["compiler", "headers"], only(*tools), root) == expected


def test_graphics_remedy_names_the_packages() -> None:
    command = prerequisites.install_command(["graphics"], only("apt-get"), False)
    assert command == "sudo apt install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri"


def test_prefers_the_python_that_lacks_nothing() -> None:
    bare = Interpreter("/usr/bin/python3.12", (3, 12, 1), headers=False, venv=True)
    assert prerequisites.choose_interpreter([bare, GOOD]) is GOOD
    assert prerequisites.choose_interpreter([bare]) is bare


def test_refuses_pythons_without_wheels() -> None:
    old = Interpreter("/usr/bin/python3.9", (3, 9, 1), headers=True, venv=True)
    new = Interpreter("/usr/bin/python3.14", (3, 14, 0), headers=True, venv=True)
    assert prerequisites.choose_interpreter([new, old, GOOD]) is GOOD
    with pytest.raises(
        SetupProblem, match=r"3\.10 to 3\.13 is needed; found: Python 3\.14\.0, Python 3\.9\.1"
    ):
        prerequisites.choose_interpreter([new, old])


def test_ros_wants_its_own_python() -> None:
    other = Interpreter("/usr/bin/python3.12", (3, 12, 3), headers=True, venv=True)
    assert prerequisites.choose_interpreter([GOOD, other], "3.12") is other
    with pytest.raises(SetupProblem, match=r"built for Python 3\.12"):
        prerequisites.choose_interpreter([GOOD], "3.12")


def test_this_python_answers_the_probe() -> None:
    found = prerequisites.probe_interpreter(sys.executable)
    assert found is not None and found.version[:2] == sys.version_info[:2]
    assert prerequisites.probe_interpreter("/bin/false") is None


def test_full_disk_is_noticed_beforehand(tmp_path: Path) -> None:
    gib = prerequisites.GIB
    with pytest.raises(SetupProblem, match=r"needs 4 GiB, 1\.5 GiB are free"):
        prerequisites.check_disk(tmp_path / "not/yet/there", "cpu", installed=False, free=int(1.5 * gib))
    prerequisites.check_disk(tmp_path, "cpu", installed=True, free=int(1.5 * gib))
    prerequisites.check_disk(tmp_path, "cpu", installed=False, free=5 * gib)


def test_full_disk_is_explained_afterwards(home: Home) -> None:
    problem = front._explain_os_error(OSError(errno.ENOSPC, "No space left on device"), home)
    assert "full" in problem.what
    problem = front._explain_os_error(PermissionError(errno.EACCES, "Permission denied", "/x"), home)
    assert "/x" in problem.what and "WORLDSAMPLE_VENV" in problem.remedy


@pytest.mark.parametrize(
    ("line", "what", "expected"),
    [
        ("ERROR: OSError: [Errno 28] No space left on device", "x", "full"),
        ("NewConnectionError: Failed to establish a new connection: [Errno -2]", "x", "No connection"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "torch 2 (cpu)", "No fitting build"),
        ("error: Failed to fetch: `https://x/`: dns error: failed to lookup address", "x", "No connection"),
        ("  × No solution found when resolving dependencies:", "torch 2 (cpu)", "No fitting build"),
        ("ERROR: something else", "x", "Installing x failed"),
    ],
)  # fmt: skip
def test_failed_installations_are_explained(line: str, what: str, expected: str) -> None:
    problem = python_packages.explain_failure(["Collecting x", line], what, Path("setup.log"))
    assert expected in problem.what and problem.remedy


def test_missing_cpu_torch_names_both_ways_out() -> None:
    tail = ["ERROR: No matching distribution found for torch==2.13.0+cpu"]
    remedy = python_packages.explain_failure(tail, "torch 2.13.0 (cpu)", Path("setup.log")).remedy
    assert "PIP_FIND_LINKS" in remedy and "WORLDSAMPLE_TORCH=cuda" in remedy


# Python packages


def test_cpu_machine_never_asks_for_the_cuda_build() -> None:
    for way in python_packages.torch_arguments("2.13.0", "cpu"):
        assert way[-1] == "torch==2.13.0+cpu"
    assert python_packages.torch_arguments("2.13.0", "cuda") == [
        ["--no-deps", "--require-hashes", "-r", "lock/torch-cuda.txt"]
    ]


def test_uv_asks_the_indexes_that_pip_is_configured_with() -> None:
    said = (
        "global.index-url='https://packages.example/simple'\n"
        "global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'\n"
        "global.find-links='/from/a/file'\n"
        ":env:.find-links='/one /two'\n"
        ":env:.disable-pip-version-check='1'\n"
    )
    assert python_packages.uv_settings(said) == {
        "UV_DEFAULT_INDEX": "https://packages.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/one,/two",
    }


def pins(lock: str) -> dict[str, set[str]]:
    """The versions that a lock file pins, by distribution; more than one where Pythons differ."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "lock" / f"{lock}.txt").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([\w.-]+)==(\S+)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.mark.parametrize(("lock", "sources"), lock_files.SOURCES.items())
def test_the_lock_has_what_the_requirements_ask_for(lock: str, sources: list[str]) -> None:
    locked = pins(lock) | (pins("torch-cuda") | pins("ros") if lock == "run" else {})
    if lock == "torch-cuda":
        locked |= pins("run") | pins("ros")
    for line in "\n".join((ROOT / name).read_text(encoding="utf-8") for name in sources).splitlines():
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            versions = locked[re.sub(r"[-_.]+", "-", requirement.name).lower()]
            assert all(requirement.specifier.contains(version) for version in versions), (text, versions)


def test_every_locked_package_has_hashes_and_no_address() -> None:
    for path in (ROOT / "lock").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        for entry in lock_files.entries(text).values():
            assert "--hash=sha256:" in entry, entry


def test_numpy_and_setuptools_of_a_sourced_ros_stay() -> None:
    for lock in ("run", "optional", "test"):
        assert not {"numpy", "setuptools", "torch"} & set(pins(lock))


def test_torch_is_pinned_in_the_requirements() -> None:
    assert python_packages.pinned_torch((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    with pytest.raises(SetupProblem):
        python_packages.pinned_torch("numpy\n")


def test_torch_build_can_be_chosen() -> None:
    assert python_packages.wanted_torch({"WORLDSAMPLE_TORCH": "cuda"}) == "cuda"
    with pytest.raises(SetupProblem):
        python_packages.wanted_torch({"WORLDSAMPLE_TORCH": "tpu"})


CMAKE = (
    'set_target_properties(x INTERFACE_INCLUDE_DIRECTORIES "${_IMPORT_PREFIX}/include/x;'
    "/opt/python/cp311-cp311/include/python3.11;"
    '/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include")\n'
)


def test_cmake_paths_are_repaired_once(tmp_path: Path) -> None:
    path = write(tmp_path / "std_msgs/cmake/export_std_msgs__rosidl_generator_pyExport.cmake", CMAKE)
    other = write(tmp_path / "std_msgs/cmake/other.cmake", 'set(x "/opt/vendor/include")\n')
    assert ros_wheels.repair_cmake_files(tmp_path, "/usr/include/python3.11", "/v/numpy/include") == [path]
    assert path.read_text(encoding="utf-8") == (
        'set_target_properties(x INTERFACE_INCLUDE_DIRECTORIES "${_IMPORT_PREFIX}/include/x;'
        '/usr/include/python3.11;/v/numpy/include")\n'
    )
    assert other.read_text(encoding="utf-8") == 'set(x "/opt/vendor/include")\n'
    assert ros_wheels.repair_cmake_files(tmp_path, "/usr/include/python3.11", "/v/numpy/include") == []


@pytest.mark.parametrize("tag", ["cp310-cp310", "cp312-cp312", "cp313-cp313"])
def test_cmake_repair_knows_every_builder(tag: str) -> None:
    text = CMAKE.replace("cp311-cp311", tag).replace("python3.11", f"python3.{tag[3:5]}")
    assert "/opt/python" not in ros_wheels.repair_text(text, "/include", "/numpy")


# The environment for children


def test_ros_sourced_or_wheels(tmp_path: Path) -> None:
    ros = tmp_path / "opt/ros/jazzy/lib/python3.12/site-packages"
    (ros / "rclpy").mkdir(parents=True)
    sourced = {"ROS_DISTRO": "jazzy", "PYTHONPATH": str(ros)}
    home = find_home(tmp_path, sourced)
    assert (home.kind, home.distro, home.ros_python) == ("ros", "jazzy", "3.12")
    assert home.install_base == tmp_path / "install" and home.folder == tmp_path / ".venv-jazzy"
    assert find_home(tmp_path, {}).kind == "wheels"
    assert find_home(tmp_path, {"ROS_DISTRO": "jazzy"}).kind == "wheels"  # named, but not importable
    assert find_home(tmp_path, {**sourced, "WORLDSAMPLE_ROS": "wheels"}).kind == "wheels"
    assert find_home(tmp_path, {"WORLDSAMPLE_VENV": str(tmp_path / "other")}).folder == tmp_path / "other"


def test_wheels_environment(home: Home) -> None:
    stamp = Stamp(
        workspace_paths={"AMENT_PREFIX_PATH": ["/ws/install"], "PYTHONPATH": ["/ws/build/node"]},
        graphics={"MUJOCO_GL": "egl", "LD_LIBRARY_PATH": "/gl/lib"},
    )
    caller = {"PATH": "/usr/bin", "PYTHONPATH": "/mine", "LD_LIBRARY_PATH": "/theirs", "ROS_DISTRO": "humble"}
    env = child_environment(home, stamp, caller)
    assert env["AMENT_PREFIX_PATH"] == f"/ws/install:{home.folder}"
    assert env["PYTHONPATH"] == "/ws/build/node:/mine"
    assert env["PATH"] == f"{home.folder}/bin:/usr/bin"
    libraries = env["LD_LIBRARY_PATH"].split(":")
    assert libraries[0] == str(home.folder / "lib") and libraries[-1] == "/gl/lib"  # foreign libraries last
    assert str(home.site_packages() / "ros_rclpy.libs") in libraries and "/theirs" in libraries
    assert env["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"
    assert env["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] == "1"  # Python is started once only
    assert env["MUJOCO_GL"] == "egl"
    assert "ROS_DISTRO" not in env and "ROS_DOMAIN_ID" not in env


def test_byte_code_is_kept_where_the_callers_shell_forbids_it(home: Home) -> None:
    env = base_environment(home, {"PYTHONDONTWRITEBYTECODE": "1"})
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["PYTHONPYCACHEPREFIX"].startswith(str(home.folder))


def test_the_users_word_counts(home: Home) -> None:
    caller = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_DOMAIN_ID": "7", "MUJOCO_GL": "osmesa"}
    env = child_environment(home, Stamp(graphics={"MUJOCO_GL": "egl"}), caller)
    assert {name: env[name] for name in caller} == caller


def test_environment_within_itself_is_the_same(home: Home) -> None:
    stamp = Stamp(workspace_paths={"PYTHONPATH": ["/ws/build/node"]}, graphics={"LD_LIBRARY_PATH": "/gl/lib"})
    env = child_environment(home, stamp, {"PATH": "/usr/bin"})
    assert child_environment(home, stamp, env) == env


def test_sourced_ros_stays_in_front_of_nothing(tmp_path: Path) -> None:
    home = Home("ros", tmp_path, tmp_path / ".venv-jazzy", "jazzy", "3.12")
    caller = {
        "AMENT_PREFIX_PATH": "/opt/ros/jazzy",
        "ROS_DISTRO": "jazzy",
        "RMW_IMPLEMENTATION": "rmw_zenoh_cpp",
    }
    env = base_environment(home, caller)
    assert env["AMENT_PREFIX_PATH"] == "/opt/ros/jazzy" and env["ROS_DISTRO"] == "jazzy"
    assert env["RMW_IMPLEMENTATION"] == "rmw_zenoh_cpp"


def test_environment_of_a_checkout(home: Home) -> None:
    with pytest.raises(FileNotFoundError, match="setup"):
        environment_for(home.root, {})
    write_stamp(home.stamp, Stamp())
    assert environment_for(home.root, {})["VIRTUAL_ENV"] == str(home.folder)


def test_shell_exports_can_be_sourced(tmp_path: Path) -> None:
    lines = shell_exports({"A": "it's $HOME\n2", "SAME": "1"}, {"SAME": "1", "GONE": "1"})
    script = write(tmp_path / "env.sh", lines)
    command = f'GONE=1; . {script}; printf \'%s|%s\' "$A" "$GONE"'
    answer = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert answer.stdout == "it's $HOME\n2|" and "SAME" not in lines


def test_private_graphics_variables(tmp_path: Path) -> None:
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    (libraries / "dri").mkdir(parents=True)
    (tmp_path / "usr/share/glvnd/egl_vendor.d").mkdir(parents=True)
    variables = private_variables(tmp_path, "egl")
    assert variables["MUJOCO_GL"] == "egl" and variables["LD_LIBRARY_PATH"] == str(libraries)
    assert variables["LIBGL_DRIVERS_PATH"] == str(libraries / "dri")
    vendors = variables["__EGL_VENDOR_LIBRARY_DIRS"].split(":")
    assert vendors[0] == "/etc/glvnd/egl_vendor.d" and vendors[-1].startswith(str(tmp_path))


def test_apt_stays_in_its_folder(tmp_path: Path) -> None:
    options = apt_options(tmp_path)
    places = [option for option in options if option.startswith(("Dir::State=", "Dir::Cache=", "Dir::Log="))]
    assert len(places) == 3 and all(str(tmp_path) in place for place in places)


# The build


def test_colcon_command_of_both_homes(home: Home, tmp_path: Path) -> None:
    wheels = workspace.colcon_command(home, ["some_msgs"])
    assert "--merge-install" in wheels and "--symlink-install" in wheels and "-GNinja" in wheels
    ros = workspace.colcon_command(Home("ros", tmp_path, tmp_path / ".venv-jazzy", "jazzy"), ["some_msgs"])
    assert "--merge-install" not in ros and "--symlink-install" in ros


def test_only_our_paths_are_kept() -> None:
    variables = {"PYTHONPATH": "/w/build/a:/usr/lib", "PATH": "/bin", "X": "/w/install", "PWD": "/w/install"}
    paths = workspace.paths_below(variables, ("/w/install", "/w/build"))
    assert paths == {"PYTHONPATH": ["/w/build/a"], "X": ["/w/install"]}


class Scripted(Progress):
    """Runs nothing: each call takes the next scripted outcome, lines of output or a failure."""

    def __init__(self, log: Path, outcomes: list[list[str] | CommandFailed]) -> None:
        super().__init__([("Building", 1.0)], log)
        self.outcomes = outcomes
        self.commands: list[list[str]] = []

    def run(self, command, env=None, cwd=None, describe=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        self.commands.append(command)
        outcome = self.outcomes.pop(0)
        lines = outcome.tail if isinstance(outcome, CommandFailed) else outcome
        for line in lines:
            describe(line)
        if isinstance(outcome, CommandFailed):
            raise outcome
        return lines


def test_build_on_bad_remains_is_repeated_from_nothing(home: Home, tmp_path: Path) -> None:
    write(home.build_base / "node/half-written")
    failure = CommandFailed(["colcon"], 1, ["Finished <<< msgs [1s]", "Failed   <<< node"])
    progress = Scripted(tmp_path / "log", [failure, ["Finished <<< node [1s]"]])
    finished: list[str] = []
    workspace.build(home, ["msgs", "node"], clean=False, progress=progress, finished=finished.append)
    assert finished == ["msgs", "node"]
    assert not (home.build_base / "node").exists()
    assert "msgs" not in progress.commands[1]  # what was built stays built


def test_build_of_bad_sources_fails_with_their_error(home: Home, tmp_path: Path) -> None:
    failure = CommandFailed(["colcon"], 1, ["Pair.msg:1: unknown type", "Failed   <<< msgs"])
    with pytest.raises(SetupProblem, match="did not build") as caught:
        workspace.build(home, ["msgs"], False, Scripted(tmp_path / "log", [failure]), lambda name: None)
    assert "unknown type" in caught.value.text()


# Progress, lock, interruption


def test_clock() -> None:
    assert [clock(7.4), clock(65), clock(3725)] == ["7 s", "1:05 min", "1:02:05 h"]


def test_command_output_goes_to_the_log(tmp_path: Path) -> None:
    progress = Progress([("Trying", 1.0)], tmp_path / "log", stream=io.StringIO())
    with progress.step():
        assert progress.run(["/bin/sh", "-c", "echo one; echo two >&2"]) == ["one", "two"]
        with pytest.raises(CommandFailed) as caught:
            progress.run(["/bin/sh", "-c", "echo bad; exit 3"])
    assert caught.value.code == 3 and caught.value.tail == ["bad"]
    progress.close()
    assert "two" in (tmp_path / "log").read_text(encoding="utf-8")


def test_interruption_ends_the_command_and_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    progress = Progress([("Waiting", 1.0)], tmp_path / "log", stream=io.StringIO())
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt() -> None:
        while not (pid_file.exists() and pid_file.read_text().strip()):
            time.sleep(0.01)
        signal.pthread_kill(main_thread, signal.SIGINT)

    # A shell starts background jobs with SIGINT ignored, the tests perhaps among them.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt), progress.step():
            progress.run(["/bin/sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"])
    finally:
        signal.signal(signal.SIGINT, before)
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    """True if a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_second_setup_waits_for_the_first(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with only_one(tmp_path / "lock", tmp_path):
            order.append("second begins")

    with only_one(tmp_path / "lock", tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first ends")
    thread.join(5)
    assert order == ["first ends", "second begins"]
    assert f"process {os.getpid()}" in capfd.readouterr().err


def test_what_a_killed_setup_left_running_is_ended(tmp_path: Path) -> None:
    script = f"sleep 60 & echo {tmp_path}; wait"
    orphan = subprocess.Popen(["/bin/sh", "-c", script, str(tmp_path)], start_new_session=True)
    write(tmp_path / "lock", f"99999999 {orphan.pid}\n")
    with only_one(tmp_path / "lock", tmp_path):
        orphan.wait(5)
        assert not group_members(orphan.pid)


def test_a_reused_process_number_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    write(tmp_path / "lock", f"99999999 {other.pid}\n")
    with only_one(tmp_path / "lock", tmp_path / "folder"):
        assert group_members(other.pid) == [other.pid]
    other.kill()
    other.wait()


def test_a_foreign_environment_is_left_alone(home: Home) -> None:
    write(home.folder / "pyvenv.cfg", "mine")
    with pytest.raises(SetupProblem, match="did not make it"):
        front.set_up(home)
    assert (home.folder / "pyvenv.cfg").read_text() == "mine"


# The command line


def run_worldsample(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "worldsample"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_help_lists_the_commands() -> None:
    answer = run_worldsample("--help")
    assert answer.returncode == 0
    for command in ("train", "eval", "demos", "label", "bench", "test", "check", "setup"):
        assert f"  {command} " in answer.stdout


def test_no_command_is_an_error_with_help() -> None:
    answer = run_worldsample()
    assert answer.returncode == 2 and "usage" in answer.stdout


def test_unknown_command_starts_no_setup() -> None:
    answer = run_worldsample("trian")
    assert answer.returncode == 2 and "did you mean train?" in answer.stderr and not answer.stdout


def test_front_door_and_command_line_know_the_same_commands() -> None:
    cli = pytest.importorskip("worldsample_bringup.cli")
    assert set(front.CLI_COMMANDS) == set(cli.DESCRIPTIONS)
    for command in front.CLI_COMMANDS + front.OWN_COMMANDS:
        assert f"\n  {command} " in front.HELP


def test_help_is_quick() -> None:
    begun = time.perf_counter()
    run_worldsample("setup", "--help")
    assert time.perf_counter() - begun < 2.0


def test_unknown_setup_option_is_refused() -> None:
    answer = run_worldsample("setup", "--no-such-thing")
    assert answer.returncode == 2 and "--no-such-thing" in answer.stderr


def test_every_dependency_is_explained() -> None:
    explained = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    for name in REQUIREMENT_FILES:
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            package = re.split(r"[<>=!~ #]", line.strip())[0]
            if package and not package.startswith("ros-jazzy-"):
                assert f"| {package} |" in explained, f"{package} of {name} is not in docs/dependencies.md"
