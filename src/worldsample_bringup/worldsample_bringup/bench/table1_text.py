"""The table of ``bench table1`` for people: beside the paper's figures, in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldsample_bringup.bench.method_variants import METHODS, TASKS
from worldsample_bringup.dashboard.progress import duration

PAPER = {
    "vlaw": (86, 47, 78, 76, 32, 64),
    "wmpo": (90, 82, 72, 78, 23, 69),
    "hil_serl": (84, 63, 66, 55, 10, 56),
    "worldsample": (95, 95, 95, 84, 42, 82),
}
"""Success, per cent, of the tasks in the table's order and on average (arXiv 2607.02431, real robot)."""
PAPER_STEPS = (8_000, 10_000, 20_000, 36_000, 40_000, 23_000)
"""Real steps of WorldSample there."""
NAMES = {
    "vlaw": "VLAW",
    "wmpo": "WMPO",
    "hil_serl": "HiL-SERL",
    "rlpd_plus": "WorldSample without imagination",
    "worldsample": "WorldSample",
}
WITHOUT_WORLD_MODEL = ("hil_serl", "rlpd_plus")
EMPTY = "–"

Rows = list[tuple[str, ...]]


def rows(result: Mapping[str, Any]) -> dict[str, Rows]:
    """Title -> head and rows: success; then real steps, interventions and wall time."""
    head = ("", *TASKS, "average")

    def line(name: str, key: str, show: Any) -> tuple[str, ...]:
        cells = [result["cells"][task][name] for task in TASKS]
        shown = [EMPTY if cell[key] is None else show(cell) for cell in cells]
        average = result["averages"][name]
        value = average.get(key)
        incomplete = f" ({average['tasks']} of {len(TASKS)})" if average["tasks"] < len(TASKS) else ""
        return (NAMES[name], *shown, EMPTY if value is None else show(average) + incomplete)

    def success(cell: Mapping[str, Any]) -> str:
        interval = cell.get("ci")
        within = f" [{100 * interval[0]:.0f}–{100 * interval[1]:.0f}]" if interval else ""
        return f"{100 * cell['success']:.0f}{within}"

    successes: Rows = [head]
    for name in METHODS:
        successes.append(line(name, "success", success))
        if name in PAPER:
            successes.append(("  paper", *(str(value) for value in PAPER[name])))
    return {
        "success, % [95 % confidence]": successes,
        "real steps": [
            head,
            *(line(name, "real_steps", lambda cell: f"{cell['real_steps']:,.0f}") for name in METHODS),
            ("  paper, WorldSample", *(f"{value:,}" for value in PAPER_STEPS)),
        ],
        "driven by the operator": [
            head,
            *(line(m, "interventions", lambda cell: f"{100 * cell['interventions']:.0f} %") for m in METHODS),
        ],
        "wall time of a run": [
            head,
            *(line(name, "wall_seconds", lambda cell: duration(cell["wall_seconds"])) for name in METHODS),
        ],
    }


def ratio_lines(result: Mapping[str, Any]) -> list[str]:
    """Real steps to the success that HiL-SERL ends with, as far as that is known."""
    lines = []
    for task, steps in result["steps_to_the_same_success"].items():
        parts = [
            f"{NAMES[name]} {'' if each['is'] == 'exact' else each['is'] + ' '}{100 * each['ratio']:.0f} %"
            for name, each in steps["methods"].items()
            if each["ratio"] is not None and name != "hil_serl"
        ]
        if parts:
            success = f"{100 * steps['success']:.0f} % success"
            lines.append(f"{task}, to HiL-SERL's {success}, of its real steps: {', '.join(parts)}")
    return lines


def warnings(result: Mapping[str, Any]) -> list[str]:
    """Runs with a world model that were none: nothing that it imagined was ever learned from."""
    return [
        f"{task}, {NAMES[method]}: nothing imagined was learned from: {seed['run_dir']}/logs/worldmodel.log"
        for task, row in result["cells"].items()
        for method, cell in row.items()
        for seed in cell["seeds"]
        if method not in WITHOUT_WORLD_MODEL and seed.get("imagined_transitions") == 0
    ]


def table(result: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    blocks = []
    for title, lines in rows(result).items():
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        text = ["   ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        blocks.append("\n".join([title, *text]))
    notes = [ratio_lines(result), warnings(result)]
    return "\n\n".join([*blocks, *("\n".join(lines) for lines in notes if lines)])


def markdown(result: Mapping[str, Any]) -> str:
    """The table as ``table1.md``."""
    parts = [
        "# Five tasks, four methods, one control",
        f"`{result['command']}`, revision {result['git_revision']}, seeds {result['seeds']}; "
        f"{result['solved']}. {EMPTY}: not run. The paper's figures are of the real robot, ours of the "
        "simulated cell.",
    ]
    for title, (head, *lines) in rows(result).items():
        body = [f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *lines)]
        parts.append("\n".join([f"**{title}**", "", *body]))
    notes = [*ratio_lines(result), *warnings(result)]
    parts += ["\n".join(f"- {line}" for line in notes)] if notes else []
    return "\n\n".join([*parts, "![Curves](table1.png)"]) + "\n"
