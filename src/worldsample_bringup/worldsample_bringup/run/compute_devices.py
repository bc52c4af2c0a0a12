"""The devices on which a run is to compute, looked for before any node starts."""

from __future__ import annotations

import os

from worldsample_core.config import ConfigError
from worldsample_core.settings import Settings


def devices_asked_for(settings: Settings) -> dict[str, str]:
    """The torch device of each part that computes on this machine, by the name of its setting.

    Only training computes on one: a policy that acts does so on the CPU. On the robot's computer of two
    (``WORLDSAMPLE_PART=robot``) nothing learns.
    """
    if settings.run.mode != "train" or os.environ.get("WORLDSAMPLE_PART") == "robot":
        return {}
    asked = {"learner.device": str(settings.learner.get("device", "cpu"))}
    if settings.worldmodel.get("enabled"):
        for part in ("model", "reward"):
            asked[f"worldmodel.{part}.device"] = str(settings.worldmodel.get(part, {}).get("device", "cpu"))
    return asked


def require_devices(settings: Settings) -> None:
    """Check that this machine can compute where the run asks it to.

    Raises:
        ConfigError: a device is missing, or torch knows none of its name; with what to do.
    """
    asked = {name: device for name, device in devices_asked_for(settings).items() if device != "cpu"}
    for device in sorted(set(asked.values())):
        if reason := _missing(device):
            names = [name for name, wanted in asked.items() if wanted == device]
            on_cpu = " ".join(f"{name}=cpu" for name in names)
            remedy = (
                f"to go on here, add {on_cpu}"
                if settings.run.resume
                else f"choose --machine cpu for a new run on this machine, or add {on_cpu}"
            )
            raise ConfigError(
                f"{' and '.join(names)}: the device {device!r} cannot be used: {reason}.\n  {remedy}"
            )


def _missing(device: str) -> str:
    """Why torch cannot compute on a device, in words; "" where it can."""
    import torch  # only here: it takes seconds

    try:
        kind = torch.device(device).type
    except RuntimeError:
        return "torch knows no such device; it is called cpu, cuda or cuda:N"
    if kind == "cuda" and not torch.backends.cuda.is_built():
        return (
            "torch is its build for the CPU (WORLDSAMPLE_TORCH=cuda ./worldsample setup takes the other one)"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        return "no NVIDIA GPU answers (look at nvidia-smi)"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    return ""
