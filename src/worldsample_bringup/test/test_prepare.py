"""From options to a run folder: nothing is overwritten, nothing unknown is accepted."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from a1x_sim.tasks import TASKS
from worldsample_bringup.graph.announcement import closing, opening
from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.run import configuration, prepare, run_folder
from worldsample_bringup.run.compute_devices import require_devices
from worldsample_bringup.run.options import NEWEST, Mode, Request
from worldsample_bringup.run.provenance import git_revision, lock_digest
from worldsample_core.config import ConfigError, TaskConfig, from_mapping
from worldsample_core.episodes.episode_bag import encode_transition
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.observation import Observation
from worldsample_core.settings import load_settings
from worldsample_core.transition import EpisodeKind, EpisodeSummary, Transition


def new(runs: Path, mode: Mode = "train", **said: Any) -> prepare.Plan:
    return prepare.plan(Request(mode, machine="cpu", **said), runs)


def written(runs: Path, **said: Any) -> prepare.Plan:
    plan = new(runs, **said)
    plan.begin().close()
    return plan


def test_defaults_and_where_they_go(tmp_path: Path) -> None:
    plan = written(tmp_path)
    settings = load_settings(plan.folder.config)
    assert plan.folder.path == tmp_path / "pushing-worldsample-seed0"
    assert settings == plan.settings
    assert (settings.run.demos, settings.run.final_eval_episodes, settings.task.max_real_steps) == (
        20,
        50,
        6000,
    )
    assert settings.learner["image_size"] == settings.run.image_size == 64
    assert settings.run.name == "pushing-worldsample-seed0"


def test_every_layer_fits_and_every_machine_method_and_task_can_be_combined(tmp_path: Path) -> None:
    for machine in configuration.known("machines"):
        for method in configuration.known("methods"):
            for task in configuration.known("tasks"):
                for quick in (False, True):
                    request = Request("train", task, method, machine=machine, quick=quick)
                    settings = prepare.plan(request, tmp_path).settings
                    assert (settings.run.machine, settings.run.method, settings.task.name) == (
                        machine,
                        method,
                        task,
                    )


def test_task_files_say_what_the_simulated_tasks_say() -> None:
    for name in configuration.known("tasks"):
        values = configuration.read_layer("tasks", name)["task"]
        assert from_mapping(TaskConfig, values) == TASKS[name].config


def test_options_become_settings(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "seed": 3,
        "steps": 500,
        "realtime": True,
        "overrides": ("learner.lr=1e-4", "run.demos=5"),
    }
    settings = new(tmp_path, **said).settings
    assert (settings.run.seed, settings.learner["seed"], settings.task.max_real_steps) == (3, 3, 500)
    assert settings.run.lockstep is False and settings.run.demos == 5 and settings.learner["lr"] == 1e-4


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"task": "pusing"}, "did you mean 'pushing'"),
        ({"task": "nothing"}, "unknown task 'nothing'.*Known: .*pushing"),
        ({"method": "sac"}, "unknown method 'sac'.*hil_serl"),
        ({"overrides": ("learner.learning_rate=1",)}, "unknown setting in 'learner'"),
        ({"overrides": ("operator.nois=1",)}, "did you mean 'noise'"),
        ({"overrides": ("sim.republish=1",)}, "did you mean 'republish_after'"),
        ({"overrides": ("run.demo=1",)}, "did you mean 'demos'"),
        ({"overrides": ("leaner.lr=1",)}, "did you mean 'learner'"),
        ({"overrides": ("learner.lr=fast",)}, "expected float"),
        ({"overrides": ("learner.encoder=resnet",)}, "choose one of"),
        ({"overrides": ("cameras.height=" + "9" * 400,)}, "at most 16384 pixels"),
        ({"overrides": ("lr",)}, "section.key=value"),
        ({"overrides": ("learner=3",)}, "section.key=value"),
        ({"overrides": ("learner.image_size=32",)}, "contradicts run.image_size"),
        ({"overrides": ("run.directory=/tmp",)}, "--run-dir"),
        ({"run_dir": "x", "name": "y"}, "give one of them"),
        ({"demos_from": "/nowhere"}, "no folder /nowhere"),
        ({"demos_from": str(Path(__file__).parent)}, "no episodes in "),
        ({"classifier_from": "/nowhere"}, "no folder /nowhere"),
        ({"classifier_from": str(Path(__file__).parent)}, "no labelled frames.*label --task pushing"),
        ({"overrides": ("run.reward=classifier",)}, "there is none: .*worldsample label"),
        ({"overrides": ("run.eval_actions=best",)}, "not one of 'sampled', 'mean'"),
        ({"overrides": ("run.reward=magic",)}, "not one of 'auto', 'button', 'classifier'"),
        ({"resume": NEWEST}, "no unfinished run"),
        ({"resume": "nothing"}, "no run 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new(tmp_path, **said)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "overrides", "named", "reason"),
    [
        ("worldsample", ("learner.device=cdua",), "learner.device", "torch knows no such device"),
        ("hil_serl", ("learner.device=cuda:99",), "learner.device", ""),
        ("worldsample", ("worldmodel.model.device=meta", "worldmodel.reward.device=meta"),
         "worldmodel.model.device and worldmodel.reward.device", ""),
    ],
)  # fmt: skip
def test_attack_11_a_device_that_is_missing_ends_the_run_before_it_begins(
    tmp_path: Path, method: str, overrides: tuple[str, ...], named: str, reason: str
) -> None:
    plan = new(tmp_path, method=method, overrides=overrides)
    with pytest.raises(ConfigError, match=rf"^{named}: the device .* cannot be used: .*{reason}") as said:
        plan.begin()
    assert "--machine cpu" in str(said.value) and f"{named.partition(' ')[0]}=cpu" in str(said.value)
    assert not plan.folder.exists(), "nothing was touched"


@pytest.mark.parametrize("built", [True, False])
def test_attack_11_the_gpu_machine_without_a_card_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.cuda.is_built", lambda: built)
    plan = prepare.plan(Request("train", machine="gpu"), tmp_path)
    remedy = "nvidia-smi" if built else "WORLDSAMPLE_TORCH=cuda ./worldsample setup"
    with pytest.raises(ConfigError, match=f"learner.device and worldmodel.model.device .*'cuda'.*{remedy}"):
        plan.begin()
    assert not plan.folder.exists()
    again = dataclasses.replace(plan.settings, run=dataclasses.replace(plan.settings.run, resume=True))
    with pytest.raises(
        ConfigError, match=r"to go on here, add learner.device=cpu worldmodel.model.device=cpu"
    ):
        require_devices(again)
    for mode in ("demos", "eval", "label"):  # they act on the CPU
        run = dataclasses.replace(plan.settings.run, mode=mode)
        require_devices(dataclasses.replace(plan.settings, run=run))
    monkeypatch.setenv("WORLDSAMPLE_PART", "robot")
    require_devices(plan.settings)  # the workstation looks for its own


def test_an_unknown_machine_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown machine 'tpu'.*cpu, gpu"):
        prepare.plan(Request("train", machine="tpu"), tmp_path)


def test_a_real_cell_without_its_cameras_is_refused_in_words(tmp_path: Path) -> None:
    plan = new(tmp_path, sim=False)
    assert not plan.settings.run.lockstep, "a real arm does not wait"
    with pytest.raises(ConfigError, match="serial"):
        build_graph(plan.settings, plan.folder.config)


def test_a_run_folder_is_never_overwritten(tmp_path: Path) -> None:
    names = [written(tmp_path).folder.path.name for _ in range(3)]
    assert names == [
        "pushing-worldsample-seed0",
        "pushing-worldsample-seed0-2",
        "pushing-worldsample-seed0-3",
    ]
    with pytest.raises(ConfigError, match=r"not overwritten.*\n.*--resume"):
        new(tmp_path, run_dir=str(tmp_path / names[0]))
    with pytest.raises(ConfigError, match="not overwritten"):
        new(tmp_path, name=names[0])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").touch()
    with pytest.raises(ConfigError, match="not overwritten"):
        new(tmp_path, run_dir=str(tmp_path / "thesis"))


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert new(tmp_path, run_dir=str(tmp_path / "mine")).folder.path == tmp_path / "mine"


def test_resume_goes_on_with_the_same_settings(tmp_path: Path) -> None:
    first = written(tmp_path, seed=1, overrides=("learner.lr=1e-4",))
    again = new(tmp_path, resume=NEWEST, steps=9000)
    assert again.folder.path == first.folder.path
    assert again.settings.run.resume and again.settings.run.name == first.settings.run.name
    assert again.settings.learner == first.settings.learner and again.settings.task.max_real_steps == 9000
    for resume in (str(first.folder.path), first.folder.path.name):
        assert new(tmp_path, resume=resume).folder.path == first.folder.path


def test_a_recording_of_demonstrations_goes_on_where_it_was(tmp_path: Path) -> None:
    recording = prepare.plan(Request("demos", machine="cpu", out=str(tmp_path / "mine")), tmp_path)
    recording.begin().close()
    resumed = prepare.plan(Request("demos", resume="mine"), tmp_path)
    assert resumed.folder.path == recording.folder.path
    assert resumed.settings.run.resume and resumed.settings.run.demos == 20
    more = prepare.plan(Request("demos", resume=NEWEST, episodes=30), tmp_path)
    assert more.settings.run.demos == 30
    with pytest.raises(ConfigError, match="is no training run"):
        prepare.plan(Request("train", resume="mine"), tmp_path)
    recording.folder.summary.write_text('{"finished": true, "demo_episodes": 20}')
    recorded(recording.folder.path, "demo")
    with pytest.raises(ConfigError, match="record more with --episodes"):
        prepare.plan(Request("demos", resume="mine", episodes=1), tmp_path)


def recorded(folder: Path, kind: EpisodeKind, task: str = "pushing", shown: float = 1.0) -> Path:
    """A folder with one episode of two steps, as a recording leaves it."""
    store = EpisodeStore(folder, "r", min_free_bytes=0, custom={"task": task, "image_size": "64"})
    store.begin(kind)
    seen = Observation(np.zeros((2, 16, 16, 3), np.uint8), np.zeros(10, np.float32))
    for seq in range(2):
        step = Transition(
            seen, np.zeros(7, np.float32), 0.0, seen, False, False, False, True, seq, 0, seq, "demo"
        )
        store.append(encode_transition(step))
    store.finish(EpisodeSummary(kind, 0, 2, shown, success=kind == "demo", truncated=False))
    store.close()
    return folder


def test_what_was_recorded_for_another_task_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """The policy node would find it out too, but only after everything has started."""
    demos = recorded(tmp_path / "demos", "demo", task="sorting")
    labels = recorded(tmp_path / "labels", "label", task="sorting")
    both: list[dict[str, Any]] = [{"demos_from": str(demos)}, {"classifier_from": str(labels)}]
    for said in both:
        with pytest.raises(ConfigError, match=r"shows the task 'sorting'.*'pushing'.*\n.*--task sorting"):
            new(tmp_path, **said)
    said = {"demos_from": str(demos), "classifier_from": str(labels)}
    for option in said:
        with pytest.raises(ConfigError, match="are 64 pixels wide, this run's are 32"):
            new(tmp_path, task="sorting", overrides=("run.image_size=32",), **{option: said[option]})
    plan = new(tmp_path, task="sorting", **said)
    assert plan.settings.run.demos == 1 and plan.settings.run.classifier_from == str(labels)
    with pytest.raises(ConfigError, match="--classifier-from"):
        new(tmp_path, task="sorting", demos_from=str(labels))
    with pytest.raises(ConfigError, match="only labelled failures"):
        new(tmp_path, classifier_from=str(recorded(tmp_path / "none", "label", shown=0.0)))


def test_a_real_cell_with_a_classifier_is_judged_by_it_unless_told_otherwise(tmp_path: Path) -> None:
    labels = str(recorded(tmp_path / "labels", "label"))

    def judged(**said: Any) -> bool:
        return new(tmp_path, **said).settings.run.judged_by_classifier

    assert judged(real=True, classifier_from=labels)
    assert not judged(real=True), "a person presses the button until there is one"
    assert not judged(real=True, classifier_from=labels, overrides=("run.reward=button",))
    assert not judged(classifier_from=labels), "the simulator knows"
    assert judged(classifier_from=labels, overrides=("run.reward=classifier",))
    said = "\n".join(opening(new(tmp_path, real=True), 0))
    assert "no reward classifier yet" in said and "label --real --task pushing" in said
    trained = written(tmp_path, real=True, classifier_from=labels)
    checkpoint(trained, 10)
    (trained.folder.path / "reward_model.safetensors").touch()
    run = new(tmp_path, "eval", run_dir=str(trained.folder.path)).settings.run
    assert run.classifier_from == str(trained.folder.path), "an evaluation judges as the training did"


def test_labels_go_on_where_they_were_and_say_how_to_use_them(tmp_path: Path) -> None:
    plan = new(tmp_path, "label", real=True, frames=30)
    plan.begin().close()
    assert plan.folder.path.name == "pushing-labels-seed0" and plan.settings.run.labels == 30
    plan.folder.summary.write_text('{"finished": true, "label_successes": 30, "label_failures": 41}')
    with pytest.raises(ConfigError, match=r"complete \(30 frames.*--frames N"):
        new(tmp_path, "label", resume=str(plan.folder.path))
    more = new(tmp_path, "label", resume=str(plan.folder.path), frames=60)
    assert more.settings.run.labels == 60 and more.settings.run.resume
    words = "\n".join(closing(plan.folder, plan.settings, Outcome(0)))
    assert "30 frames of success, 41 of failure" in words
    assert f"train --real --task pushing --classifier-from {plan.folder.path}" in words


def test_resume_does_not_become_another_run(tmp_path: Path) -> None:
    first = written(tmp_path)
    for said in ({"seed": 1}, {"quick": True}, {"name": "x"}):
        with pytest.raises(ConfigError):
            new(tmp_path, resume=str(first.folder.path), **said)


def test_resume_of_a_finished_run_says_how_to_train_it_further(tmp_path: Path) -> None:
    first = written(tmp_path, steps=100)
    first.folder.summary.write_text('{"finished": true, "real_steps": 100}')
    with pytest.raises(ConfigError, match=r"is complete.*--steps"):
        new(tmp_path, resume=str(first.folder.path))
    with pytest.raises(ConfigError, match="no unfinished run"):
        new(tmp_path, resume=NEWEST)
    assert new(tmp_path, resume=str(first.folder.path), steps=200).settings.task.max_real_steps == 200


def checkpoint(plan: prepare.Plan, step: int) -> None:
    folder = plan.folder.checkpoints / f"step_{step}"
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text("{}")


def test_an_evaluation_takes_the_newest_checkpoint_and_a_folder_of_its_own(tmp_path: Path) -> None:
    trained = written(tmp_path, seed=2)
    with pytest.raises(ConfigError, match="no checkpoint"):
        new(tmp_path, "eval", run_dir=str(trained.folder.path))
    for step in (900, 1000):
        checkpoint(trained, step)
    (trained.folder.checkpoints / ".step_2000.tmp").mkdir()
    plan = new(tmp_path, "eval", episodes=7)
    run = plan.settings.run
    assert run.checkpoint == str(trained.folder.checkpoints / "step_1000")
    assert (run.mode, run.final_eval_episodes, run.seed) == ("eval", 7, 2)
    assert plan.folder.path == trained.folder.path / "eval" / "step_1000-seed2"
    assert plan.settings.task == trained.settings.task
    other = new(tmp_path, "eval", run_dir=trained.folder.path.name, checkpoint="900", seed=5)
    assert other.folder.path.name == "step_900-seed5"
    with pytest.raises(ConfigError, match="steps there: 900, 1000"):
        new(tmp_path, "eval", checkpoint="17")


def test_demonstrations_go_where_they_are_asked_to(tmp_path: Path) -> None:
    plan = new(tmp_path, "demos", episodes=4, out=str(tmp_path / "demos"))
    assert plan.settings.run.mode == "demos" and plan.settings.run.demos == 4
    assert plan.folder.path == tmp_path / "demos"
    assert [node.name for node in build_graph(plan.settings, plan.folder.config)] == [
        "a1x",
        "operator",
        "policy",
        "dashboard",
    ]


def test_the_method_decides_whether_there_is_a_world_model(tmp_path: Path) -> None:
    plain = new(tmp_path, "train", method="hil_serl")
    assert not any(node.executable == "worldmodel_node" for node in build_graph(plain.settings, tmp_path))
    plan = new(tmp_path, "train", method="worldsample", overrides=("worldmodel.nodes=2", "run.image_size=96"))
    model, reward = (plan.settings.worldmodel[part] for part in ("model", "reward"))
    assert (model["image_size"], reward["image_size"]) == (96, 96)
    nodes = [n for n in build_graph(plan.settings, tmp_path) if n.executable == "worldmodel_node"]
    assert [(n.name, n.parameters["index"], n.parameters["count"]) for n in nodes] == [
        ("worldmodel", 0, 2),
        ("worldmodel_1", 1, 2),
    ]
    with pytest.raises(ConfigError, match=r"worldmodel\.model\.image_size=32 contradicts"):
        new(tmp_path, "train", method="worldsample", overrides=("worldmodel.model.image_size=32",))
    with pytest.raises(ConfigError, match="did you mean 'release_every'"):
        new(tmp_path, "train", method="worldsample", overrides=("worldmodel.release_evry=3",))


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_without_room_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**10, 10**10 - 10**8, 10**8))
    plan = new(tmp_path)
    with pytest.raises(ConfigError, match=r"0.1 GB left.*\n.*--run-dir"):
        plan.begin()
    assert not plan.folder.path.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        new(tmp_path, run_dir=str(tmp_path / "file" / "run")).begin()


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    plan = new(tmp_path)
    with plan.begin():
        again = new(tmp_path, resume=str(plan.folder.path))
        with pytest.raises(ConfigError, match="is at work"):
            again.begin()
        assert not load_settings(plan.folder.config).run.resume  # untouched
    again.begin().close()


def test_the_written_configuration_is_plain_yaml_with_every_section(tmp_path: Path) -> None:
    values = yaml.safe_load(written(tmp_path).folder.config.read_text())
    assert {"run", "task", "cameras", "learner", "operator", "sim"} <= set(values)
    assert values["learner"]["batch_size"] == 256  # also what no layer names
    assert values["run"]["git_revision"]
    versions = values["run"]["versions"]
    assert versions["numpy"] == np.__version__ and versions["torch"][0].isdigit()
    assert set(versions) == {"python", "torch", "mujoco", "numpy", "lock"}


def test_the_lock_is_known_by_its_content(tmp_path: Path) -> None:
    assert lock_digest(tmp_path) == "none"
    lock = tmp_path / "cpu.txt"
    lock.write_text("torch==2.0 --hash=sha256:aa")
    first = lock_digest(tmp_path)
    assert len(first) == 16
    lock.write_text("torch==2.1 --hash=sha256:aa")
    assert lock_digest(tmp_path) != first


def test_the_revision_says_what_the_code_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that the benchmark before wrote is no change of the code that makes the next one."""
    monkeypatch.setenv("WORLDSAMPLE_ROOT", str(tmp_path))
    assert git_revision() == "unknown"
    code, result = tmp_path / "a.py", tmp_path / "benchmarks/results/table1.json"
    result.parent.mkdir(parents=True)
    for file in (code, result):
        file.write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        user = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *user, *command], check=True)
    revision = git_revision()
    assert len(revision) == 12
    result.write_text("2")
    assert git_revision() == revision
    code.write_text("2")
    assert git_revision() == f"{revision}+changes"


def test_free_path(tmp_path: Path) -> None:
    assert run_folder.free_path(tmp_path / "a") == tmp_path / "a"


def test_field_report_20_only_what_is_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = new(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "tensorboard" not in "\n".join(opening(plan, 0))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "curves  tensorboard --logdir" in "\n".join(opening(plan, 0))
