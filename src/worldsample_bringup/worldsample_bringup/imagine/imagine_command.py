"""``worldsample imagine``: its options, and what runs it.

Only the standard library is imported before the command runs, so that help needs no set-up.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from worldsample_bringup.run.options import refuse_unknown


def add_imagine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``worldsample imagine``."""
    parser.add_argument(
        "--run-dir", default="", metavar="RUN", help="the run's folder (default: the newest in runs/)"
    )
    parser.add_argument(
        "--episode", type=int, metavar="N", help="number of the real episode (default: the newest success)"
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=int,
        metavar="STEP",
        help="where the segment starts (default: so that it ends with its episode)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="length of the segment (default: the model's horizon)",
    )
    parser.add_argument(
        "--perturb",
        type=int,
        default=0,
        metavar="K",
        help="also imagine K other courses of action (default: 0)",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="the picture to write: FILE.mp4, FILE.webp, FILE.gif or FILE.png",
    )


def imagine(options: argparse.Namespace) -> int:
    """Imagine a segment of a run and write the picture. Returns the exit code."""
    refuse_unknown(options.rest)
    from worldsample_bringup.imagine.comparison_picture import SUFFIXES, write_comparison
    from worldsample_bringup.imagine.imagined_segments import choose_episode, imagine_rows
    from worldsample_bringup.imagine.run_world_model import find_run, load_world_model
    from worldsample_bringup.run.required_packages import require_optional
    from worldsample_core.config import ConfigError

    out = Path(options.out)
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out is a file that ends in {', '.join(SUFFIXES)}; got {out.name!r}")
    if out.suffix.lower() == ".mp4":
        require_optional("av")
    tell = _Progress()
    run = find_run(options.run_dir, Path("runs"))
    adaptation = load_world_model(run, tell)
    episode = choose_episode(adaptation, options.episode)
    rows, start = imagine_rows(adaptation, episode, options.start, options.steps, options.perturb, tell)
    steps = len(rows[0].images) - 1
    task = run.settings().task
    title = f"{task.name}, episode {episode.number}, steps {start} to {start + steps}"
    tell(f"writing {out.name}")
    write_comparison(rows, title, task.control_period, out)
    tell("")
    psnr = rows[1].psnr
    assert psnr is not None  # of the imagined twin
    print(f"{out}: {title}, imagined by version {adaptation.version}")
    print(f"  like the real frames  {psnr[:, 0].mean():.1f} dB side, {psnr[:, 1].mean():.1f} dB wrist")
    for row in rows:
        print(f"  {row.name:<20}  {'success' if row.success else 'no success'}")
    if options.json:
        result = {
            "file": str(out),
            "run_dir": str(run.path),
            "episode": episode.number,
            "start": start,
            "steps": steps,
            "version": adaptation.version,
            "psnr_side": round(float(psnr[:, 0].mean()), 3),
            "psnr_wrist": round(float(psnr[:, 1].mean()), 3),
            "success": {row.name: row.success for row in rows},
        }
        print(json.dumps(result))
    return 0


class _Progress:
    """One live line at a terminal; elsewhere one line for each kind of work."""

    def __init__(self) -> None:
        self._kind = ""

    def __call__(self, line: str) -> None:
        kind = line.partition(" ")[0]
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif kind and kind != self._kind:
            print(line, file=sys.stderr, flush=True)
        self._kind = kind
