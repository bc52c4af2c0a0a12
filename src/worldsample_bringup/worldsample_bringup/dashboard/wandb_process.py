"""Hands the rows of its standard input to Weights & Biases; started with each run that has ``run.wandb``.

A row is one line of JSON: ``{"step": 20, "scalars": {"learner/critic_loss": 0.5}}``, or with ``images``, each
a PNG file in base64. It ends when its input ends.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from worldsample_bringup.dashboard.wandb_events import SAY_PROBLEM, SAY_URL
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import read_yaml

STEP = "real_steps"
"""The axis of all curves. Rows of evaluations come late; wandb's own axis would refuse them."""


def hand_over(folder: RunFolder, rows: Iterable[str], say: Callable[[str, str], object]) -> None:
    """Make or continue the run's twin at Weights & Biases, and log all rows there.

    Args:
        folder: of the run; its ``config.yaml`` goes along.
        rows: lines of JSON.
        say: gets a first word and a text.
    """
    import wandb

    config = read_yaml(folder.config)
    run = wandb.init(
        project=config["run"]["wandb"],
        name=config["run"]["name"],
        id=run_id(folder),
        resume="allow",
        dir=str(folder.path),
        config=config,
        settings=wandb.Settings(silent=True),
    )
    if not run.offline and run.url:
        say(SAY_URL, run.url)
    run.define_metric("*", step_metric=STEP)
    for line in rows:
        row = json.loads(line)
        images = {tag: _image(wandb, text) for tag, text in row.get("images", {}).items()}
        run.log({STEP: row["step"], **row.get("scalars", {}), **images})
    run.finish()


def run_id(folder: RunFolder) -> str:
    """The id of the run at Weights & Biases, kept in the run folder: a resumed run continues its curves."""
    file = folder.wandb / "worldsample-id"
    kept = file.read_text(encoding="ascii", errors="replace").strip() if file.is_file() else ""
    if re.fullmatch("[0-9a-f]{16}", kept):
        return kept
    file.parent.mkdir(exist_ok=True)
    new = secrets.token_hex(8)
    file.write_text(f"{new}\n", encoding="ascii")
    return new


def _image(wandb: Any, text: str) -> Any:
    from PIL import Image

    return wandb.Image(Image.open(io.BytesIO(base64.b64decode(text))))


def main(arguments: list[str]) -> int:
    """Hand over the rows of standard input. Returns the exit code."""
    words = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # wandb's own output goes to the log

    def say(word: str, text: str) -> None:
        print(word, " ".join(text.split()), file=words, flush=True)

    try:
        hand_over(RunFolder(Path(arguments[0])), sys.stdin, say)
    except Exception as error:  # whatever it is, the run goes on without these curves
        say(SAY_PROBLEM, str(error).rstrip(". ") or type(error).__name__)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
