"""Check that MuJoCo can draw on this machine, with advice where it cannot."""

from __future__ import annotations

import os

APT_COMMAND = "sudo apt install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri"


class NoRenderer(RuntimeError):
    """MuJoCo cannot draw on this machine; the message says what to install."""

    def __init__(self, cause: BaseException) -> None:
        backend, platform = os.environ.get("MUJOCO_GL", ""), os.environ.get("PYOPENGL_PLATFORM", "")
        remedy = f"On Debian or Ubuntu: {APT_COMMAND}; then MUJOCO_GL=egl, or leave it unset."
        if platform not in ("", backend):  # another project's: MuJoCo sets it itself where it is not set
            remedy = f"PYOPENGL_PLATFORM={platform} is set: `unset PYOPENGL_PLATFORM`, and start again."
        super().__init__(
            f"MuJoCo has no off-screen OpenGL (MUJOCO_GL={backend}: {type(cause).__name__}: {cause}). "
            f"{remedy}"
        )


def load_mujoco() -> None:
    """Import MuJoCo, which loads OpenGL at once. Raises :class:`NoRenderer` where that fails."""
    try:
        import mujoco  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name == "mujoco":
            raise
        raise NoRenderer(error) from error
    except Exception as error:  # PyOpenGL fails with whatever it stumbles over
        if "KeyboardInterrupt" in str(error):  # ctypes makes an error of its own of Ctrl-C in a conversion
            raise KeyboardInterrupt from error
        raise NoRenderer(error) from error
