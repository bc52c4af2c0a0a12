"""``report.html``: one page that stands alone, with what the run did and how well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from shlex import quote
from typing import Any

from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.report.curves import Series, chart
from worldsample_bringup.report.filmstrip import data_url, evaluation_clips, strips
from worldsample_bringup.report.palette import BLUE, GREEN, GREY, INK, ORANGE
from worldsample_bringup.report.summary import evaluations_of, lockstep_lapses, summarise, write_summary
from worldsample_bringup.report.world_curves import world_sections
from worldsample_bringup.run.history import (
    WINDOW,
    EvaluationRecord,
    History,
    Record,
    intervention_rate,
    read_history,
    success_rate,
)
from worldsample_bringup.run.recorded_episodes import drop_unrecorded
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.command_name import command_name
from worldsample_core.config import to_mapping
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.settings import Settings

LEARNER_CURVES = (
    ("Critic loss", "critic_loss", BLUE),
    ("Actor loss", "actor_loss", ORANGE),
    ("Mean Q of the batch", "q_mean", INK),
    ("Policy entropy, nats", "entropy", GREEN),
    ("Temperature", "temperature", ORANGE),
    ("Updates per second", "updates_per_second", GREY),
)

_STYLE = (Path(__file__).parent / "report.css").read_text()


REFRESH = 60
"""Seconds after which the page of a run that goes on is written, and read, again."""


@cpu_piece("report")
def write_live_report(folder: RunFolder, settings: Settings, history: History) -> None:
    """Write ``report.html`` of a run that goes on; ``summary.json`` is written at its end.

    Raises:
        OSError: it cannot be written.
    """
    summary = summarise(folder, settings, history)
    _write_page(folder, render(folder, settings, history, summary, live=True))


@cpu_piece("report")
def write_report(
    folder: RunFolder, settings: Settings | None = None, history: History | None = None
) -> dict[str, Any]:
    """Write ``summary.json`` and ``report.html`` of a run folder from what stands in it.

    Returns:
        the summary.

    Raises:
        ConfigError: the folder is no run folder.
        OSError: it cannot be written.
    """
    settings = settings or folder.settings()
    history = history or read_history(folder.metrics)
    drop_unrecorded(folder, history)
    summary = write_summary(folder, settings, history)
    _write_page(folder, render(folder, settings, history, summary))
    return summary


def _write_page(folder: RunFolder, page: str) -> None:
    """A browser sees the old page or the new one, never a part."""
    partial = folder.report.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(folder.report)


def render(
    folder: RunFolder, settings: Settings, history: History, summary: dict[str, Any], live: bool = False
) -> str:
    """The page; ``live``: the run goes on, and the browser reads the page again every minute."""
    title = f"{settings.task.name} · {settings.run.method} · seed {settings.run.seed}"
    title = MODES.get(settings.run.mode, "") + title
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_subtitle(settings, history))}</p>',
        _unfinished(settings, summary, live),
        _cards(settings, summary, history),
        *_main_curves(settings, history),
        *_pictures(folder, history),
        *world_sections(folder, history),
        *_learning(history),
        *_evaluations(settings, history),
        *_clips(folder, evaluations_of(settings, history)),
        *_settings_tables(settings),
    ]
    refresh = f'<meta http-equiv="refresh" content="{REFRESH}">' if live else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{refresh}"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _subtitle(settings: Settings, history: History) -> str:
    run = settings.run
    when = history.starts[0]["utc"][:16].replace("T", " ") + " UTC · " if history.starts else ""
    cell = "simulated cell" if run.sim else "real cell"
    lapses = lockstep_lapses(settings, history)
    not_kept = f" not kept, {lapses:,} times" if lapses else ""
    return (
        f"{when}{run.name} · {cell}, {'lockstep' if run.lockstep else 'real time'}{not_kept}"
        f" · code {run.git_revision}"
    )


def _unfinished(settings: Settings, summary: dict[str, Any], live: bool) -> str:
    if summary["finished"]:
        return ""
    if live:
        return '<p class="note">This run goes on. The page is written again every minute.</p>'
    again = (
        f" Go on with: <code>{command_name()} train --resume {escape(quote(settings.run.directory))}</code>"
    )
    return f'<p class="note">This run is not finished.{again if settings.run.mode == "train" else ""}</p>'


def _demonstrations(summary: dict[str, Any]) -> str:
    """Words below the number of demonstrations."""
    failed = summary["demo_episodes"] - summary["demo_successes"]
    return f"demonstrations, {failed} more did not succeed" if failed else "demonstrations"


def _cards(settings: Settings, summary: dict[str, Any], history: History) -> str:
    rate, helped = summary["eval_success_rate"], summary["intervention_rate"]
    cards = [
        (
            _percent(rate),
            f"success in {summary['eval_episodes']} evaluation episodes"
            if rate is not None
            else "not evaluated yet",
        ),
        (f"{summary['real_steps']:,}", f"real steps of {settings.task.max_real_steps:,}"),
        (_percent(helped), "of the training steps driven by the operator"),
        (f"{summary['demo_successes']}", _demonstrations(summary)),
        (duration(summary["wall_seconds"]), "wall time"),
    ]
    if settings.run.mode != "train":
        cards = [cards[0], cards[4]] if settings.run.mode == "eval" else [cards[3], cards[4]]
    if summary["psnr"] is not None:
        cards.append(
            (f"{summary['psnr']:.1f} dB", f"PSNR of the world model, SSIM {summary['ssim'] or 0:.3f}")
        )
    if summary["synthetic_transitions"] is not None:
        cards.append((f"{summary['synthetic_transitions']:,}", "imagined transitions"))
    return (
        '<div class="cards">'
        + "".join(f'<div class="card"><b>{b}</b>{escape(t)}</div>' for b, t in cards)
        + "</div>"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _rolling(episodes: Sequence[Record], rate: Any) -> list[tuple[float, float]]:
    """(real steps, rate over the last episodes) after every episode."""
    windows = (episodes[max(0, end - WINDOW) : end] for end in range(1, len(episodes) + 1))
    return [(float(window[-1]["real_steps"]), float(rate(window) or 0.0)) for window in windows]


def _main_curves(settings: Settings, history: History) -> list[str]:
    """Success and intervention rate over real steps."""
    evaluations = evaluations_of(settings, history)
    budget = float(settings.task.max_real_steps)
    success = [
        Series(
            f"training, last {WINDOW} episodes (with interventions)",
            _rolling(history.train, success_rate),
            BLUE,
        ),
        Series(
            "evaluation (policy alone)",
            [(float(e.real_steps), e.success_rate) for e in evaluations],
            INK,
            marks=True,
        ),
    ]
    helped = [Series(f"last {WINDOW} episodes", _rolling(history.train, intervention_rate), ORANGE)]
    return [
        chart("Success rate", success, "real steps", (0.0, 1.0), True, budget),
        chart("Intervention rate", helped, "real steps", (0.0, 1.0), True, budget, height=200),
    ]


def _pictures(folder: RunFolder, history: History) -> list[str]:
    parts = [
        f'<figure class="strip"><figcaption>{escape(caption)}</figcaption>'
        f'<img alt="side view above, wrist view below" src="{data_url(image)}"></figure>'
        for caption, image in strips(folder.path, history)
    ]
    return (
        ["<h2>What the cameras saw</h2>", '<p class="soft">Side view above, wrist view below.</p>', *parts]
        if parts
        else []
    )


def _learning(history: History) -> list[str]:
    records = history.statuses.get("learner", [])
    figures = []
    for name, key, colour in LEARNER_CURVES:
        points = [
            (float(r["real_steps"]), float(r[key]) if r.get(key) is not None else math.nan)
            for r in records
            if r.get("state") == "training"
        ]
        figures.append(chart(name, [Series(name, points, colour)], "real steps", width=340, height=180))
    shown = "".join(figures)
    return ["<h2>Learner</h2>", f'<div class="pair">{shown}</div>'] if shown else []


def _evaluations(settings: Settings, history: History) -> list[str]:
    evaluations = evaluations_of(settings, history)
    if not evaluations:
        return []
    rows = "".join(
        f"<tr><td>{e.real_steps:,}</td><td>{e.successes} of {e.episodes}</td>"
        f"<td>{_percent(e.success_rate)}</td><td>{'final' if e.final else ''}</td></tr>"
        for e in evaluations
    )
    head = "<tr><th>real steps</th><th>successes</th><th>rate</th><th></th></tr>"
    return ["<h2>Evaluations</h2>", f"<table>{head}{rows}</table>"]


MODES = {"eval": "Evaluation of ", "demos": "Demonstrations of ", "label": "Labels of "}
"""First words of the title, where the run is no training."""
WITH_CLIPS = 6
"""Evaluations whose moving pictures are in the page: the newest ones."""


def _clips(folder: RunFolder, evaluations: Sequence[EvaluationRecord]) -> list[str]:
    """Moving pictures of the newest evaluations, the failures first."""
    parts = []
    episodes = {e.real_steps: e.episodes for e in evaluations}
    for step, clips in list(evaluation_clips(folder.path).items())[:WITH_CLIPS]:
        shown = "".join(
            f'<figure><figcaption title="scene {clip.scene}">{"success" if clip.success else "no success"}'
            f"</figcaption>"
            f'<img loading="lazy" alt="evaluation episode" src="{clip.url}"></figure>'
            for clip in clips
        )
        many = f": {len(clips)} of {episodes[step]} episodes" if len(clips) < episodes.get(step, 0) else ""
        parts.append(f'<p class="soft">After {step:,} real steps{many}</p><div class="clips">{shown}</div>')
    return parts


def _settings_tables(settings: Settings) -> list[str]:
    parts = ["<h2>Settings</h2>"]
    for section, values in to_mapping(settings).items():
        rows = "".join(
            f"<tr><td>{escape(k)}</td><td><code>{escape(str(v))}</code></td></tr>" for k, v in values.items()
        )
        if rows:
            opened = " open" if section == "task" else ""
            parts.append(
                f"<details{opened}><summary>{escape(section)}</summary><table>{rows}</table></details>"
            )
    return parts
