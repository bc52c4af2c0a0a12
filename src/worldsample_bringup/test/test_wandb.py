"""Weights & Biases: the curves arrive, a resumed run continues them, and no trouble with it is the run's."""

from __future__ import annotations

import importlib.util
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from tests.fake_wandb import calls, install
from worldsample_bringup.dashboard import wandb_events
from worldsample_bringup.dashboard.imagined import Figures, ImaginedQuality
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.dashboard.open_events import open_events
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.required_packages import WANDB
from worldsample_core.config import ConfigError
from worldsample_core.observation import VIEWS
from worldsample_core.transition import EpisodeKind, EpisodeSummary

ROOT = Path(__file__).resolve().parents[3]


def planned(folder: Path, project: str = "arms") -> prepare.Plan:
    request = Request("train", method="hil_serl", machine="cpu", overrides=(f"run.wandb={project}",))
    return prepare.plan(request, folder)


class Session:
    """One session of a run that writes metrics."""

    def __init__(self, plan: prepare.Plan) -> None:
        self.told: list[str] = []
        self.warnings: list[str] = []
        events = open_events(plan.folder, plan.settings, self.told.append, self.warnings.append)
        self.log = MetricsLog(plan.folder, events)

    def status(self, real_steps: int) -> None:
        values = {"updates": real_steps, "real_steps": real_steps, "critic_loss": 0.5, "entropy": 2.0}
        self.log.status("learner", values)


def episode(kind: EpisodeKind, index: int, real_steps: int) -> EpisodeSummary:
    return EpisodeSummary(kind, index, 9, 1.0, success=True, truncated=False, real_steps=real_steps)


def twin(log: MetricsLog) -> None:
    one = {view: np.ones(3) for view in VIEWS}
    quality = ImaginedQuality(one, one, one, one)
    log.imagined(np.zeros((4, 6, 3), np.uint8), Figures(1, 0, 0, 20, quality))


def test_curves_arrive_and_a_resumed_run_continues_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, plan = install(tmp_path, monkeypatch), planned(tmp_path / "runs")
    plan.begin().close()
    first = Session(plan)
    first.log.episode(episode("train", 0, 10))
    first.status(20)
    first.log.episode(episode("eval", 0, 10))  # comes late
    twin(first.log)
    first.log.close()
    second = Session(plan)
    second.status(30)
    second.log.close()
    assert "curves at https://example.org/run" in first.told and not first.warnings + second.warnings
    begun, resumed = calls(noted, "init")
    assert begun["id"] == resumed["id"] and begun["resume"] == "allow"
    assert begun["project"] == "arms" and begun["dir"] == str(plan.folder.path)
    assert begun["config"]["learner"]["batch_size"] == 256
    rows = [call["row"] for call in calls(noted, "log")]
    points = [(row["real_steps"], tag, value) for row in rows for tag, value in row.items()]
    for point in (
        (10, "train/success_last_20", 1.0),
        (20, "learner/critic_loss", 0.5),
        (10, "eval/success", 1.0),
        (20, "imagined/psnr_side", 1.0),
        (20, "imagined/real_above_imagined", [6, 4]),
        (30, "learner/entropy", 2.0),
    ):
        assert point in points
    assert len(calls(noted, "finish")) == 2
    assert "words of wandb's own" in (plan.folder.logs / "wandb.log").read_text()


def test_trouble_is_said_once_and_the_metrics_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "raise RuntimeError('no API key')")
    plan = planned(tmp_path / "runs")
    plan.begin().close()
    session = Session(plan)
    until, steps = time.monotonic() + 30, 0
    while not session.warnings and time.monotonic() < until:
        time.sleep(0.05)
        session.status(steps := steps + 1)
    session.status(steps + 1)
    session.log.close()
    (warning,) = session.warnings
    assert "no API key" in warning and "goes on without" in warning
    assert len(session.log.history.statuses["learner"]) == steps + 1


def test_a_server_that_does_not_answer_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "time.sleep(1000)")
    monkeypatch.setattr(wandb_events, "PATIENCE", 0.3)
    monkeypatch.setattr(wandb_events, "LIMIT", 20_000)
    plan = planned(tmp_path / "runs")
    plan.begin().close()
    slow, full = Session(plan), Session(plan)
    began = time.monotonic()
    slow.status(1)
    slow.log.close()
    for step in range(2, 1500):  # more than a pipe and the limit take
        full.status(step)
    full.log.close()
    assert time.monotonic() - began < 60
    assert len(slow.warnings) == 1 and "not everything" in slow.warnings[0]
    assert len(full.warnings) == 1 and "too long" in full.warnings[0]


@pytest.mark.parametrize("there", [None, ModuleSpec("wandb", None)], ids=["nothing", "a folder of this name"])
def test_a_missing_package_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: ModuleSpec | None
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "worldsample_bringup.run.required_packages.find_spec",
        lambda name: there if name == "wandb" else find(name),
    )
    plan = planned(tmp_path / "runs")
    with pytest.raises(ConfigError, match=f"pip install '{WANDB}'"):
        plan.begin()
    assert not plan.folder.path.exists()
    prepare.plan(Request("train", machine="cpu"), tmp_path / "runs").begin().close()  # who asks for none
    for page in ("docs/dependencies.md", "docs/watching.md", "src/worldsample_bringup/setup.py"):
        assert WANDB in (ROOT / page).read_text(), f"{page} names another range"


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WANDB_ENTITY"):
        planned(tmp_path, "team/arms")


def test_the_real_package_works_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: the setting run.wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    plan = planned(tmp_path / "runs")
    plan.begin().close()
    monkeypatch.setattr(wandb_events, "PATIENCE", 60.0)
    for step in (10, 20):
        session = Session(plan)
        session.status(step)
        twin(session.log)
        session.log.close()
        assert not session.warnings
    one = (plan.folder.wandb / "worldsample-id").read_text().strip()
    written = list(plan.folder.wandb.glob(f"offline-run-*/run-{one}.wandb"))
    assert len(written) == 2
    for file in written:
        assert all(word in file.read_bytes() for word in (b"learner/critic_loss", b"batch_size", b"arms"))
