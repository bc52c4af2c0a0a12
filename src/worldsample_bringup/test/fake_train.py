"""A stand-in of ``worldsample train`` for tests of the grid: leaves what a run leaves, in no time.

FOLDER STEPS start|resume [--die-at=STEPS] [--seconds=S] [--imagined=TRANSITIONS]; it dies only when
it starts, not when it resumes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

folder, steps, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
said = dict(argument.removeprefix("--").split("=") for argument in sys.argv[4:])


def on_signal(number: int, frame: FrameType | None) -> None:
    (folder / "summary.json").write_text(json.dumps({"finished": False}))
    sys.exit(128 + number)


def record(kind: str, **values: object) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": kind, "t": 1.0, **values}) + "\n")


signal.signal(signal.SIGTERM, on_signal)
if how == "start" and folder.exists():
    sys.exit("it exists already and is not overwritten")
folder.mkdir(parents=True, exist_ok=True)
began = time.time()
with (folder / "calls").open("a") as calls:
    calls.write(how + "\n")
(folder / "domain").write_text(os.environ.get("ROS_DOMAIN_ID", "none"))
(folder / "config.yaml").write_text(f"run: {{git_revision: abc}}\ntask: {{max_real_steps: {steps}}}\n")
(folder / "pid").write_text(str(os.getpid()))
if how == "start" and "die-at" in said:
    if int(said["die-at"]):
        record("policy", real_steps=int(said["die-at"]))
    print("out of luck", file=sys.stderr)
    sys.exit(3)
time.sleep(float(said.get("seconds", 0.0)))
record("policy", real_steps=steps)
summary = {
    "finished": True,
    "real_steps": steps,
    "wall_seconds": 1.0,
    "eval_success_rate": 0.95,
    "eval_episodes": 50,
    "eval_history": [[steps // 2, 20, 0.9], [steps, 20, 0.95], [steps, 50, 0.95]],
    "intervention_rate": 0.1,
    "synthetic_transitions": int(said["imagined"]) if "imagined" in said else None,
}
(folder / "summary.json").write_text(json.dumps(summary))
(folder / "span").write_text(f"{began} {time.time()}")
