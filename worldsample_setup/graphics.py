"""Off-screen rendering for MuJoCo: tries what is there, fetches Mesa's software renderer where nothing is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from worldsample_setup import debian_packages
from worldsample_setup.environment import base_environment
from worldsample_setup.home import Home
from worldsample_setup.prerequisites import install_command
from worldsample_setup.problem import CommandFailed, SetupProblem
from worldsample_setup.progress import Progress

BACKENDS = ("egl", "osmesa")
DEBIAN_SETS = (("egl", ["libegl1", "libegl-mesa0", "libgl1", "libgl1-mesa-dri"]), ("osmesa", ["libosmesa6"]))

# Renders one red box; black or an exception means that this backend does not work.
RENDER_PROGRAM = """
import mujoco
model = mujoco.MjModel.from_xml_string('''<mujoco><worldbody>
  <light pos="0 0 3"/><geom type="box" size="1 1 1" rgba="1 0 0 1"/>
</worldbody></mujoco>''')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    image = renderer.render()
assert image[..., 0].mean() > 5, "the picture is black"
print("rendered")
"""


def renders(home: Home, variables: dict[str, str], progress: Progress) -> bool:
    """True if MuJoCo renders a picture in a process of its own under these variables."""
    env = base_environment(home, os.environ)
    for name, value in variables.items():
        env[name] = (
            os.pathsep.join(filter(None, (env.get(name), value))) if name == "LD_LIBRARY_PATH" else value
        )
    try:
        answer = subprocess.run(
            [str(home.python), "-c", RENDER_PROGRAM],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        progress.write_log(f"rendering with {variables['MUJOCO_GL']}: no answer within 120 s")
        return False
    progress.write_log(
        f"rendering with {variables}: exit code {answer.returncode}\n{answer.stdout}{answer.stderr}"
    )
    return answer.returncode == 0 and "rendered" in answer.stdout


def private_variables(folder: Path, backend: str) -> dict[str, str]:
    """The variables that make programs find the unpacked graphics libraries.

    Args:
        folder: root of the unpacked packages.
        backend: value for MUJOCO_GL.
    """
    libraries = [
        path for path in (folder / "usr/lib", folder / "lib") for path in [*sorted(path.glob("*-linux-gnu"))]
    ]
    variables = {"MUJOCO_GL": backend, "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}
    drivers = [path / "dri" for path in libraries if (path / "dri").is_dir()]
    if drivers:
        variables["LIBGL_DRIVERS_PATH"] = os.pathsep.join(map(str, drivers))
    gbm = [path / "gbm" for path in libraries if (path / "gbm").is_dir()]
    if gbm:
        variables["GBM_BACKENDS_PATH"] = os.pathsep.join(map(str, gbm))
    vendors = folder / "usr/share/glvnd/egl_vendor.d"
    if vendors.is_dir():
        # The system's own vendors (a GPU's driver) come first.
        places = ["/etc/glvnd/egl_vendor.d", "/usr/share/glvnd/egl_vendor.d", str(vendors)]
        variables["__EGL_VENDOR_LIBRARY_DIRS"] = os.pathsep.join(places)
    return variables


def set_up_graphics(home: Home, progress: Progress) -> tuple[dict[str, str], str]:
    """Finds variables under which MuJoCo renders.

    Returns:
        The variables to set for every process, and where the libraries come from: "system", "private" or
        "skipped".

    Raises:
        SetupProblem: nothing renders and nothing could be fetched.
    """
    if os.environ.get("WORLDSAMPLE_GL") == "skip":
        return {}, "skipped"
    chosen = os.environ.get("MUJOCO_GL", "")
    for backend in dict.fromkeys(([chosen] if chosen else []) + list(BACKENDS)):
        progress.detail = f"trying {backend}"
        progress.tick()
        if renders(home, {"MUJOCO_GL": backend}, progress):
            shutil.rmtree(home.graphics_folder, ignore_errors=True)
            progress.detail = f"{backend} of this system"
            return {"MUJOCO_GL": backend}, "system"
    if (platform := os.environ.get("PYOPENGL_PLATFORM", "")) not in ("", *BACKENDS):
        raise SetupProblem(
            f"MuJoCo cannot render here while PYOPENGL_PLATFORM={platform} is set.",
            f"unset PYOPENGL_PLATFORM\nthen start again. Log: {home.log}",
        )
    reason = "this is no Debian or Ubuntu, so the libraries could not be fetched"
    if debian_packages.is_debian():
        for backend, packages in DEBIAN_SETS:
            try:
                fetched = debian_packages.unpack(
                    packages, home.graphics_folder, home.folder / "apt", progress
                )
            except CommandFailed as failure:
                reason = "fetching the libraries failed: " + debian_packages.explain(failure)
                continue
            variables = private_variables(home.graphics_folder, backend)
            if renders(home, variables, progress):
                progress.detail = (
                    f"{backend}; {len(fetched)} packages unpacked in {home.graphics_folder.name}/"
                )
                return variables, "private"
            reason = "the fetched libraries do not render either"
        shutil.rmtree(home.graphics_folder, ignore_errors=True)
    raise SetupProblem(
        f"MuJoCo cannot render here, with EGL or with OSMesa ({reason}).",
        f"{install_command(['graphics'])}\n"
        f"then start again. Log: {home.log}\n"
        "A computer that only drives the real arm needs no rendering: WORLDSAMPLE_GL=skip ./worldsample …",
    )
