"""Metrics, summary and report of a run folder, without nodes."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worldsample_bringup.dashboard.imagined import Figures, ImaginedQuality, store
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.dashboard.progress import Pace, duration, live_line
from worldsample_bringup.graph.announcement import closing
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.report import report
from worldsample_bringup.report.curves import NARROW, Series, chart, ticks
from worldsample_bringup.report.filmstrip import filmstrip, png
from worldsample_bringup.report.open_page import open_page
from worldsample_bringup.report.report import write_live_report, write_report
from worldsample_bringup.report.summary import lockstep_lapses
from worldsample_bringup.run import prepare
from worldsample_bringup.run.history import History, read_history
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.episodes.episode_bag import encode_transition, write_bag
from worldsample_core.observation import Observation
from worldsample_core.transition import EpisodeSummary, Transition
from worldsample_policy.acting.evaluation_pictures import EvaluationPictures

CONTRACT = [
    "task",
    "method",
    "seed",
    "real_steps",
    "synthetic_transitions",
    "episodes",
    "eval_episodes",
    "eval_success_rate",
    "intervention_rate",
    "psnr",
    "ssim",
    "wall_seconds",
    "checkpoint",
]


@pytest.fixture
def plan(tmp_path: Path) -> prepare.Plan:
    overrides = ("run.eval_every=40", "run.eval_episodes=2", "run.final_eval_episodes=4")
    plan = prepare.plan(
        Request("train", method="hil_serl", machine="cpu", steps=80, overrides=overrides), tmp_path
    )
    plan.begin().close()
    return plan


def episode(kind: str, index: int, **said: object) -> EpisodeSummary:
    values: dict[str, object] = {
        "steps": 10,
        "episode_return": 1.0,
        "success": True,
        "truncated": False,
        **said,
    }
    return EpisodeSummary(kind=kind, episode=index, **values)  # type: ignore[arg-type]


def fabricate(plan: prepare.Plan, until: int = 8, done: bool = True) -> MetricsLog:
    """A run of ``until`` training episodes of 10 steps, an evaluation of two episodes after every four."""
    log = MetricsLog(plan.folder)
    log.start(False, "abc")
    for index in range(2):
        log.episode(episode("demo", index))
    evals = 0
    for index in range(until):
        steps = 10 * (index + 1)
        success = index % 2 == 0
        log.episode(episode("train", 2 + index, success=success, real_steps=steps, intervention_steps=4))
        learner = {"state": "training", "updates": 2 * steps, "real_steps": steps, "critic_loss": 1.0 / steps}
        log.status("learner", {**learner, "updates_per_second": 30.0, "actor_loss": float("nan")})
        if steps % 40 == 0 and steps < 80:
            for _ in range(2):
                log.episode(episode("eval", evals, real_steps=steps, success=evals == 0))
                evals += 1
    if done:
        for _ in range(4):
            log.episode(episode("eval", evals, real_steps=80, success=evals != 5))
            evals += 1
        log.done()
    log.close()
    return log


def test_the_summary_is_the_contract(plan: prepare.Plan) -> None:
    fabricate(plan)
    (plan.folder.checkpoints / "step_80").mkdir(parents=True)
    (plan.folder.checkpoints / "step_80" / "checkpoint.json").write_text("{}")
    summary = write_report(plan.folder)
    assert summary == json.loads(plan.folder.summary.read_text())
    assert list(summary)[: len(CONTRACT)] == CONTRACT
    assert {name: summary[name] for name in CONTRACT if name != "wall_seconds"} == {
        "task": "pushing",
        "method": "hil_serl",
        "seed": 0,
        "real_steps": 80,
        "synthetic_transitions": None,
        "episodes": 8,
        "eval_episodes": 4,
        "eval_success_rate": 0.75,
        "intervention_rate": 0.4,
        "psnr": None,
        "ssim": None,
        "checkpoint": "checkpoints/step_80",
    }
    assert summary["finished"] and summary["demo_steps"] == 20
    assert summary["eval_history"] == [[40, 2, 0.5], [80, 4, 0.75]]


def test_a_run_that_was_stopped_has_a_summary_too(plan: prepare.Plan) -> None:
    fabricate(plan, until=5, done=False)
    summary = write_report(plan.folder)
    assert not summary["finished"] and summary["real_steps"] == 50 and summary["checkpoint"] is None
    assert (summary["eval_episodes"], summary["eval_success_rate"]) == (2, 0.5)
    assert "not finished" in plan.folder.report.read_text()


def test_a_run_that_was_stopped_at_once_has_a_summary_too(plan: prepare.Plan) -> None:
    summary = write_report(plan.folder)
    assert summary["real_steps"] == 0 and summary["eval_success_rate"] is None and summary["episodes"] == 0


def test_attack_09_a_lockstep_that_was_not_kept_is_told(plan: prepare.Plan) -> None:
    fabricate(plan, done=False)
    assert write_report(plan.folder)["lockstep_lapses"] is None, "no node has said"
    log = MetricsLog(plan.folder)
    log.status("policy", {"phase": "train", "real_steps": 80, "lockstep_lapses": 0})
    log.status("learner", {"state": "training", "updates": 500, "lockstep_lapses": 0})
    assert write_report(plan.folder)["lockstep_lapses"] == 0
    assert "not kept" not in "".join(closing(plan.folder, plan.settings, Outcome(0)))
    log.status("policy", {"phase": "train", "real_steps": 80, "lockstep_lapses": 3})
    log.status("learner", {"state": "training", "updates": 501, "lockstep_lapses": 1})
    log.status("learner", {"state": "training", "updates": 502, "lockstep_lapses": 0})  # it was started again
    log.close()
    assert write_report(plan.folder)["lockstep_lapses"] == 4
    said = "\n".join(closing(plan.folder, plan.settings, Outcome(0)))
    assert "not kept: 4 times" in said and "does not repeat by its seed" in said
    assert "lockstep not kept, 4 times" in plan.folder.report.read_text()
    real_time = dataclasses.replace(plan.settings, run=dataclasses.replace(plan.settings.run, lockstep=False))
    assert lockstep_lapses(real_time, read_history(plan.folder.metrics)) is None


def test_half_an_evaluation_is_not_its_result(plan: prepare.Plan) -> None:
    log = fabricate(plan, until=5, done=False)
    more = MetricsLog(plan.folder)
    more.episode(episode("eval", 2, real_steps=50, success=True))
    more.close()
    assert write_report(plan.folder)["eval_success_rate"] == 0.5
    assert len(log.history.evals) == 2


def test_the_report_stands_alone_and_shows_every_part(plan: prepare.Plan) -> None:
    fabricate(plan)
    write_report(plan.folder)
    page = plan.folder.report.read_text()
    for text in (
        "Success rate",
        "Intervention rate",
        "Critic loss",
        "75 %",
        "Evaluations",
        "batch_size",
        "80",
    ):
        assert text in page
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "<script" not in page
    assert page.count("<svg") >= 3 and "nan" not in page.lower().replace("nano", "")


def test_the_report_shows_frames_of_an_episode(plan: prepare.Plan) -> None:
    size = plan.settings.run.image_size
    transitions = [transition(seq, size) for seq in range(5)]
    summary = episode("train", 0, steps=5, real_steps=5, path="episodes/episode_000000")
    plan.folder.episodes.mkdir()
    write_bag(plan.folder.path / summary.path, [encode_transition(t) for t in transitions], summary, {})
    log = MetricsLog(plan.folder)
    log.episode(summary)
    log.episode(episode("train", 1, path="episodes/episode_000001", real_steps=15))
    (plan.folder.episodes / "episode_000001").mkdir()  # its bag is empty
    log.close()
    write_report(plan.folder)
    assert "data:image/png;base64," not in plan.folder.report.read_text()  # the newest one cannot be read
    log = MetricsLog(plan.folder)
    log.episode(dataclasses.replace(summary, kind="demo", episode=7))
    log.close()
    write_report(plan.folder)
    assert plan.folder.report.read_text().count("data:image/png;base64,") == 1


def transition(seq: int, size: int) -> Transition:
    def observe(value: int) -> Observation:
        images = np.full((2, size, size, 3), value, np.uint8)
        return Observation(images, np.zeros(10, np.float32), stamp=float(value))

    action = np.zeros(7, np.float32)
    return Transition(observe(seq), action, 0.0, observe(seq + 1), False, False, False, False, seq, 0, seq)


def test_a_filmstrip_has_both_views_and_ends_with_the_last_frame() -> None:
    strip = filmstrip([transition(seq, 8) for seq in range(20)], frames=5)
    assert strip.shape == (18, 48, 3)
    assert strip[0, 0, 0] == 0 and strip[-1, -1, 0] == 20


def test_png_is_a_png() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert (np.asarray(Image.open(io.BytesIO(png(image)))) == image).all()


def test_after_a_resume_nothing_stands_twice(plan: prepare.Plan) -> None:
    fabricate(plan, until=5, done=False)
    with plan.folder.metrics.open("a") as file:
        file.write('{"kind": "episode", "epi')  # torn by a crash
    log = MetricsLog(plan.folder)
    wall = round(log.wall, 3)
    log.start(True, "abc")
    assert not log.episode(episode("train", 6, real_steps=50))
    assert not log.status("learner", {"state": "training", "updates": 60, "real_steps": 30})  # its checkpoint
    assert log.status("learner", {"state": "training", "updates": 102, "real_steps": 51})
    assert log.episode(episode("train", 7, real_steps=60))
    log.close()
    records = [json.loads(line) for line in plan.folder.metrics.read_text().splitlines()]
    episodes = [(r["episode_kind"], r["episode"]) for r in records if r["kind"] == "episode"]
    assert len(episodes) == len(set(episodes)) == 10
    assert sum(r["kind"] == "start" for r in records) == 2
    assert [r["t"] for r in records] == sorted(r["t"] for r in records) and records[-1]["t"] >= wall


def test_a_finished_run_that_is_trained_further_is_not_finished(plan: prepare.Plan) -> None:
    fabricate(plan)
    log = MetricsLog(plan.folder)
    log.start(True, "abc")
    log.close()
    assert not write_report(plan.folder)["finished"]


class Events:
    def __init__(self) -> None:
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.images: list[tuple[str, tuple[int, ...], int]] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.scalars.setdefault(tag, []).append((global_step, scalar_value))

    def add_image(self, tag: str, img_tensor: Any, global_step: int, *, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.images.append((tag, img_tensor.shape, global_step))

    def flush(self) -> None: ...

    def close(self) -> None: ...


def test_tensorboard_has_the_curves(plan: prepare.Plan) -> None:
    events = Events()
    log = MetricsLog(plan.folder, events)
    log.episode(episode("train", 0, real_steps=10, success=True))
    log.episode(episode("train", 1, real_steps=20, success=False, intervention_steps=10))
    log.episode(episode("eval", 0, real_steps=20))
    log.status("learner", {"updates": 3, "real_steps": 20, "critic_loss": 0.5, "actor_loss": float("nan")})
    log.close()
    assert events.scalars["train/success_last_20"] == [(10, 1.0), (20, 0.5)]
    assert events.scalars["train/interventions_last_20"] == [(10, 0.0), (20, 0.5)]
    assert events.scalars["eval/success"] == [(20, 1.0)]
    assert events.scalars["learner/critic_loss"] == [(20, 0.5)] and "learner/actor_loss" not in events.scalars


WORLD = {
    "publisher": "worldmodel",
    "state": "generating",
    "version": 2,
    "transitions": 1500,
    "psnr": 28.25,
    "ssim": 0.9,
    "psnr_copy_last": 20.0,
}
PACING = {"enabled": True, "rho": 0.125, "entropy_normalised": 0.5, "q_real": 0.1, "rejected_bounds": 3}


def imagine(plan: prepare.Plan, events: Events | None = None) -> MetricsLog:
    """A run with a world model, from its first word to an open gate."""
    fabricate(plan)
    log = MetricsLog(plan.folder, events)
    log.status("worldmodel", {**WORLD, "state": "adapting", "transitions": 0, "psnr": 0.0, "ssim": 0.0})
    log.status("pacing", {**PACING, "rejected_bounds": 0})
    log.status("worldmodel", WORLD)
    log.status("pacing", PACING)
    psnr, ssim = {"side": [30.0, 28.0], "wrist": [31.0, 29.0]}, {"side": [0.9, 0.8], "wrist": [0.9, 0.7]}
    figures = Figures(2, 5, 7, 80, ImaginedQuality(psnr, ssim, psnr_copied=psnr, ssim_copied=ssim))
    image = np.zeros((40, 60, 3), np.uint8)
    store(plan.folder.imagined, image, figures)
    log.imagined(image, figures)
    log.close()
    return log


def test_the_report_of_a_run_with_a_world_model_shows_it(plan: prepare.Plan) -> None:
    imagine(plan)
    summary = write_report(plan.folder)
    page = plan.folder.report.read_text()
    assert (summary["psnr"], summary["ssim"], summary["synthetic_transitions"]) == (28.25, 0.9, 1500)
    for text in (
        "World model",
        "PSNR, held out, dB",
        "last frame copied",
        "SSIM, held out",
        "PSNR of the segments above, dB",
        "SSIM of the segments above",
        "After 80 real steps, version 2: episode 5, steps 7 to 9; side 29.0 dB, SSIM 0.850; "
        "wrist 30.0 dB, SSIM 0.800",
        "Policy-Paced Learning",
        "rho",
        "Mean Q",
        "bounds",
    ):
        assert text in page, text
    assert "stale" not in page.split("Settings")[0], "a reason that never occurred is no curve"
    assert page.count("data:image/png;base64,") == 1 and not re.search(r"(src|href)=\"(?!data:)", page)


def test_a_run_without_a_world_model_does_not_speak_of_one(plan: prepare.Plan) -> None:
    log = fabricate(plan)
    more = MetricsLog(plan.folder)
    more.status("pacing", {"enabled": False, "rho": 0.0})
    more.close()
    write_report(plan.folder)
    page = plan.folder.report.read_text().split("Settings")[0]
    assert "World model" not in page and "Policy-Paced" not in page
    line = live_line(plan.settings, log.history, {"phase": "train"}, {}, Pace())
    assert "imagined" not in line and "rho" not in line


def test_figures_that_are_not_measured_yet_are_not_zero(plan: prepare.Plan) -> None:
    """0 dB in a summary or a curve would read as a very bad world model."""
    fabricate(plan)
    events = Events()
    log = MetricsLog(plan.folder, events)
    log.status("worldmodel", {**WORLD, "psnr": 0.0, "ssim": 0.0, "transitions": 0})
    log.close()
    summary = write_report(plan.folder)
    assert (summary["psnr"], summary["ssim"], summary["synthetic_transitions"]) == (None, None, 0)
    assert "worldmodel/psnr" not in events.scalars


def test_transitions_of_several_world_models_add_up_over_their_restarts() -> None:
    history = History()
    for publisher, transitions in (("a", 100), ("b", 50), ("a", 200), ("b", 0), ("b", 30), ("a", 200)):
        history.add({"kind": "worldmodel", "t": 1.0, "publisher": publisher, "transitions": transitions})
    assert history.total("worldmodel", "transitions") == 200 + 50 + 30
    assert history.total("pacing", "accepted") is None


def test_tensorboard_has_the_world_model_too(plan: prepare.Plan) -> None:
    events = Events()
    imagine(plan, events)
    assert events.scalars["worldmodel/psnr"] == [(80, 28.25)]
    assert events.scalars["worldmodel/transitions"] == [(80, 0), (80, 1500)]
    assert events.scalars["pacing/rejected_bounds"] == [(80, 0), (80, 3)]
    assert events.scalars["imagined/psnr_side"] == [(80, 29.0)]
    assert events.scalars["imagined/ssim_side"][0][1] == pytest.approx(0.85)
    assert events.images == [("imagined/real_above_imagined", (40, 60, 3), 80)]
    assert "pacing/enabled" not in events.scalars


def test_the_live_line_tells_what_the_world_model_does(plan: prepare.Plan) -> None:
    history = imagine(plan).history

    def said() -> str:
        return live_line(plan.settings, history, {"phase": "train"}, {}, Pace())

    assert said().endswith(" · 1,500 imagined · PSNR 28.2 dB · rho 0.12")
    history.add({"kind": "learner", "t": history.wall_seconds + 60.0, "updates": 1, "real_steps": 80})
    assert said().endswith(" · world model silent")
    failed = {"kind": "worldmodel", "t": history.wall_seconds, "state": "failed", "detail": "the loss is NaN"}
    history.add(failed)
    assert said().endswith(" · world model failed the loss is NaN")


def test_the_live_line_says_how_far_how_well_and_how_long(plan: prepare.Plan) -> None:
    history = fabricate(plan, until=5, done=False).history
    pace = Pace()
    pace.add(0.0, 0)
    pace.add(20.0, 40)
    learner: dict[str, object] = {"state": "training", "updates_per_second": 31.25}
    line = live_line(plan.settings, history, {"phase": "train"}, learner, pace)
    assert line.split(" · ") == [
        "50/80 real steps",
        "success 0.60 (last 5)",
        "interventions 40 %",
        "31.2 updates/s",
        "eval 0.50",
        "ETA 15 s",  # the evaluations of this history take no time
    ]
    learner["skipped_updates"] = 12  # attack 6: it looked as if all was well
    learner["rejected"] = 338
    said = live_line(plan.settings, history, {"phase": "train"}, learner, pace)
    assert "338 messages dropped" in said
    assert "12 updates skipped" in live_line(plan.settings, history, {"phase": "train"}, learner, pace)
    history = History()
    policy: dict[str, object] = {"phase": "starting", "detail": "waiting for the cameras"}
    assert live_line(plan.settings, history, policy, {}, Pace()).startswith("waiting for the cameras · 0/80")
    policy = {"phase": "eval", "episode": 3, "episodes_in_phase": 50}
    assert live_line(plan.settings, history, policy, {}, Pace()).startswith("evaluation 3/50")


def test_durations() -> None:
    assert [duration(s) for s in (5, 59.4, 61, 3600, 7500)] == [
        "5 s",
        "59 s",
        "1 min",
        "1 h 00 min",
        "2 h 05 min",
    ]


def test_ticks_are_round() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 8000) == [0, 2000, 4000, 6000, 8000]
    assert ticks(-0.013, 0.021) == [-0.01, 0.0, 0.01, 0.02]


def test_charts_survive_odd_data() -> None:
    assert chart("empty", [Series("a", [], "red")], "x") == ""
    assert chart("nothing finite", [Series("a", [(0, float("nan"))], "red")], "x") == ""
    assert "<path" in chart("constant", [Series("a", [(0, 5.0), (1, 5.0)], "red")], "x")
    flat = chart("flat", [Series("a", [(0, 0.0), (1, 0.0)], "red")], "x")
    assert ">1</text>" in flat and "0.001" not in flat, "nothing is no hair's breadth"
    long = chart("long", [Series("a", [(i, float(i % 7)) for i in range(20_000)], "red")], "x")
    assert len(long) < 20_000


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run folder"):
        write_report(RunFolder(tmp_path))
    assert read_history(tmp_path / "metrics.jsonl").real_steps == 0


def test_the_page_of_a_run_that_goes_on_is_read_again_and_leaves_no_summary(plan: prepare.Plan) -> None:
    history = fabricate(plan, until=5, done=False).history
    write_live_report(plan.folder, plan.settings, history)
    page = plan.folder.report.read_text()
    assert '<meta http-equiv="refresh" content="60">' in page and "This run goes on." in page
    assert not plan.folder.summary.exists()
    write_report(plan.folder, plan.settings, history)
    assert "http-equiv" not in plan.folder.report.read_text()


def test_a_wide_chart_has_a_drawing_for_a_phone() -> None:
    points = [(float(x), 0.5) for x in range(0, 6000, 10)]
    page = chart("Success", [Series("success", points, "red")], "real steps", (0.0, 1.0))
    assert page.count("<svg") == 2 and f'class="narrow" viewBox="0 0 {NARROW} ' in page
    assert chart("Small", [Series("a", points, "red")], "x", width=NARROW).count("<svg") == 1
    style = (Path(report.__file__).parent / "report.css").read_text()
    narrow = style[style.index("@media(max-width") :]
    assert ".wide{display:none}" in narrow and ".narrow{display:block}" in narrow


def test_an_evaluation_stands_at_the_steps_of_its_checkpoint_with_its_pictures(plan: prepare.Plan) -> None:
    run = dataclasses.replace(
        plan.settings.run, mode="eval", checkpoint="/x/checkpoints/step_500", final_eval_episodes=2
    )
    settings = dataclasses.replace(plan.settings, run=run)
    log = MetricsLog(plan.folder)
    log.start(False, "abc")
    pictures = EvaluationPictures(plan.folder.path, 0.1)
    for scene, success in enumerate((True, False)):
        log.episode(episode("eval", scene, success=success, real_steps=0))
        for _ in range(3):
            pictures.add(np.full((2, 16, 16, 3), 90, np.uint8))
        pictures.end(500, scene, success)
    log.done()
    log.close()
    summary = write_report(plan.folder, settings, log.history)
    assert summary["eval_history"] == [[500, 2, 0.5]] and summary["real_steps"] == 500
    page = plan.folder.report.read_text()
    assert "50% at 500</title>" in page and "<td>500</td>" in page
    captions = re.findall(r'title="scene (\d)">(no success|success)<', page)
    assert captions == [("1", "no success"), ("0", "success")], "the failures first"
    assert page.count("data:image/webp;base64,") == 2 and "episodes</p>" not in page
    assert f"<h1>Evaluation of {settings.task.name} · " in page
    next(plan.folder.path.glob("**/*.webp")).unlink()
    write_report(plan.folder, settings, log.history)
    assert "After 500 real steps: 1 of 2 episodes</p>" in plan.folder.report.read_text()


def test_open_says_the_address_where_there_is_no_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert open_page(tmp_path / "report.html").endswith(f"open {(tmp_path / 'report.html').as_uri()}")
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    assert open_page(tmp_path / "report.html") == ""


def test_attack_minor_a_full_disk_ends_no_dashboard(plan: prepare.Plan) -> None:
    """The history keeps all measurements, and the disk is named."""
    log = MetricsLog(plan.folder)
    log._file.close()
    log._file = open("/dev/full", "wb")  # noqa: SIM115  # takes nothing: "no space left on device"
    log.status("learner", {"updates": 5})
    log.status("learner", {"updates": 6})
    assert f"the disk of {plan.folder.path} is full" in log.problem
    assert [record["updates"] for record in log.history.statuses["learner"]] == [5, 6]
    log.close()
