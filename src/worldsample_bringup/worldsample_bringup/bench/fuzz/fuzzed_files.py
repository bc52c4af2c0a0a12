"""Decoders of a run folder's other files: configuration, checkpoints, metrics, and what is derived."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

from worldsample_bringup.bench.fuzz.byte_mutations import ONE_BIT, flip, mutate
from worldsample_bringup.bench.fuzz.fuzzed_decoder import FuzzedDecoder
from worldsample_bringup.bench.fuzz.fuzzed_episodes import DamagedFiles, fuzzed_episodes
from worldsample_bringup.bench.fuzz.fuzzed_messages import spoilt_header
from worldsample_bringup.bench.fuzz.fuzzed_run import FolderCopy, lines_of, make_run
from worldsample_bringup.bench.fuzz.value_mutations import spoil, spoilt_json
from worldsample_bringup.bench.fuzz.yaml_mutations import spoilt_yaml
from worldsample_bringup.bench.watched_run import EpisodeTail
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.graph.announcement import closing
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.report.summary import summarise
from worldsample_bringup.run.configuration import make_settings
from worldsample_bringup.run.history import count_damaged, read_history, read_tail
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import check_something_is_left
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.config import ConfigError, parse_override, to_mapping
from worldsample_policy.acting.run_plan import EvaluationLog
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.learning.checkpoint_directory import SEAL
from worldsample_policy.learning.learner import Learner
from worldsample_policy.learning.learner_checkpoints import LearnerCheckpoints
from worldsample_policy.tiny_learner import make_task, tiny_config
from worldsample_worldmodel.model import model_file


class FuzzedConfig(FuzzedDecoder[bytes]):
    """``config.yaml`` and settings of the command line, up to the checked settings of every section."""

    name, share = "config", 6.0
    declared = (ConfigError,)

    def __init__(self, run: RunFolder, place: Path) -> None:
        self._folder = RunFolder(place)
        everything = to_mapping(run.settings())
        # the sections of the packages are read by the same code as the others: two of them stand for all
        self._values = {name: everything[name] for name in ("run", "task", "cameras", "teleop", "sim")}
        self._text = yaml.safe_dump(self._values, sort_keys=False)

    def mutate(self, dice: Random) -> bytes:
        return spoilt_yaml(self._values, self._text, dice)

    def decode(self, made: bytes) -> str:
        self._folder.config.write_bytes(made)
        text = made.decode(errors="replace")
        if len(text) < 300:
            parse_override("run.seed=" + text)
        settings = self._folder.settings()
        make_settings(to_mapping(settings))
        return ""


class FuzzedCheckpoint(FuzzedDecoder[DamagedFiles]):
    """A learner's checkpoint: damage is found by its digests, and counters that fit none are refused."""

    name, share = "checkpoints", 4.0
    declared = (CheckpointError,)

    def __init__(self, run: RunFolder, place: Path) -> None:
        self._path = place / "step_1"
        self._learner = Learner(tiny_config(encoder_width=4, hidden=8), make_task())
        self._learner.save(self._path)
        self._copy = FolderCopy(self._path)
        self._truth = checkpoint_directory.read(self._path)
        self._counters = json.loads(self._copy.files["checkpoint.json"])

    def mutate(self, dice: Random) -> DamagedFiles:
        name = dice.choice(list(self._copy.files))
        data = self._copy.files[name]
        way = dice.random()
        if way < 0.3:
            return DamagedFiles(ONE_BIT, {name: flip(data, dice).data})
        if way < 0.5:
            return DamagedFiles("damaged", {name: mutate(data, (), dice).data})
        if way < 0.6:
            return DamagedFiles("missing", {name: None})
        if way < 0.75:
            return DamagedFiles("hostile", self._sealed(name, data, dice))
        text = spoilt_json(self._counters, dice) if way < 0.8 else self._seal(spoil(self._counters, dice))
        return DamagedFiles("hostile", {"checkpoint.json": text.encode(errors="replace")})

    def _sealed(self, name: str, data: bytes, dice: Random) -> dict[str, bytes | None]:
        """Another safetensors file, and counters with its digest."""
        if name == "checkpoint.json":
            return {name: mutate(data, (), dice).data}
        changed = spoilt_header(data, dice)
        digests = {**self._counters["sha256"], name.partition(".")[0]: hashlib.sha256(changed).hexdigest()}
        text = self._seal({**self._counters, "sha256": digests})
        return {name: changed, "checkpoint.json": text.encode()}

    def _seal(self, values: Any) -> str:
        if not isinstance(values, dict):
            return json.dumps(values)
        values.pop(SEAL, None)
        try:
            return checkpoint_directory._sealed(values)
        except (TypeError, ValueError):  # keys of several kinds: no writer of ours makes them
            return json.dumps(values)

    def decode(self, made: DamagedFiles) -> str:
        self._copy.write(made.changes)
        files, counters = checkpoint_directory.read(self._path)
        if made.kind == "hostile":
            self._learner.load(self._path)
            return ""
        if made.kind == ONE_BIT:
            return "one changed bit was not found"
        same = counters == self._truth[1] and files.keys() == self._truth[0].keys()
        return "" if same and _equal(files, self._truth[0]) else "the checkpoint differs"

    def is_one_bit(self, made: DamagedFiles) -> bool:
        return made.kind == ONE_BIT


def _equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return all(
        left[name].keys() == tensors.keys()
        and all(torch.equal(left[name][key], tensors[key]) for key in tensors)
        for name, tensors in right.items()
    )


class FuzzedModelFile(FuzzedDecoder[DamagedFiles]):
    """A checkpoint of the world model, or of the reward classifier."""

    name, share = "model files", 4.0
    declared = (CheckpointError,)

    def __init__(self, run: RunFolder, place: Path) -> None:
        self._path = place / "step_1.safetensors"
        torch.manual_seed(0)
        self._truth = {"a": torch.randn(8, 9), "b": torch.arange(5), "gate_low": torch.tensor([-torch.inf])}
        self._counters = {"updates": 7, "psnr": 20.5, "state": {"PCG64": {"inc": 1 << 100}}}
        model_file.write(self._path, self._truth, self._counters)
        self._bytes = self._path.read_bytes()

    def mutate(self, dice: Random) -> DamagedFiles:
        way = dice.random()
        if way < 0.5:
            return DamagedFiles(ONE_BIT, {"": flip(self._bytes, dice).data})
        data = mutate(self._bytes, (), dice).data if way < 0.75 else spoilt_header(self._bytes, dice)
        return DamagedFiles("damaged", {"": data})

    def decode(self, made: DamagedFiles) -> str:
        self._path.write_bytes(made.changes[""] or b"")
        tensors, counters = model_file.read(self._path)
        if made.kind == ONE_BIT:
            return "one changed bit was not found"
        same = counters == self._counters and _equal({"": tensors}, {"": self._truth})
        return "" if same else "the model differs"

    def is_one_bit(self, made: DamagedFiles) -> bool:
        return made.kind == ONE_BIT


class FuzzedMetrics(FuzzedDecoder[bytes]):
    """``metrics.jsonl`` as the dashboard, the report and the benches read it: nothing in it may end them."""

    name, share = "metrics", 6.0

    def __init__(self, run: RunFolder, place: Path) -> None:
        self._folder, self._settings = RunFolder(place), run.settings()
        self._bytes = run.metrics.read_bytes()
        self._records = lines_of(self._bytes)

    def mutate(self, dice: Random) -> bytes:
        if dice.random() < 0.5:
            return mutate(self._bytes, (), dice).data
        lines = [json.dumps(record) for record in self._records]
        for _ in range(dice.choice((1, 3))):
            place = dice.randrange(len(lines))
            lines[place] = spoilt_json(self._records[place], dice)
        return "\n".join([*lines, ""]).encode(errors="surrogatepass")

    def decode(self, made: bytes) -> str:
        self._folder.metrics.write_bytes(made)
        EpisodeTail(self._folder.metrics).phases()
        read_tail(self._folder.metrics, 500)
        count_damaged(self._folder.metrics)
        json.dumps(summarise(self._folder, self._settings, read_history(self._folder.metrics)))
        log = MetricsLog(self._folder)
        log.start(True, "abc")
        log.status("learner", {"updates": 1 << 61})
        log.close()
        return ""


class FuzzedDerived(FuzzedDecoder[tuple[str, bytes]]):
    """``evaluations.jsonl``, ``summary.json``, the count of published weights: damage costs nothing."""

    name, share = "derived files", 4.0

    def __init__(self, run: RunFolder, place: Path) -> None:
        self._folder, self._settings = RunFolder(place), run.settings()
        self._checkpoints = LearnerCheckpoints(place, 3)
        self._files = {
            "evaluations.jsonl": (run.path / "evaluations.jsonl").read_bytes(),
            "summary.json": run.summary.read_bytes(),
            "checkpoints/weights_version": b"12",
        }

    def mutate(self, dice: Random) -> tuple[str, bytes]:
        name, data = dice.choice(list(self._files.items()))
        if name.endswith("version") or dice.random() < 0.6:
            return name, mutate(data, (), dice).data
        value = lines_of(data)[0] if name.endswith("jsonl") else json.loads(data)
        return name, spoilt_json(value, dice).encode(errors="replace") + b"\n"

    def decode(self, made: tuple[str, bytes]) -> str:
        name, data = made
        (self._folder.path / name).write_bytes(data)
        if name == "summary.json":
            self._folder.read_summary()
            closing(self._folder, self._settings, Outcome(0))
            with contextlib.suppress(ConfigError):  # the run is complete
                check_something_is_left(Request("train"), self._folder, self._settings)
        elif name == "evaluations.jsonl":
            EvaluationLog(self._folder.path, mend=False)
            EvaluationLog(self._folder.path)
        else:
            self._checkpoints.last_version()
        return ""


def fuzzed_files(folder: Path) -> list[FuzzedDecoder[Any]]:
    """The decoders of files; they work in ``folder``."""
    run = make_run(folder / "whole")
    made = fuzzed_episodes(run, folder)
    for kind in (FuzzedConfig, FuzzedCheckpoint, FuzzedModelFile, FuzzedMetrics, FuzzedDerived):
        place = folder / kind.__name__
        place.mkdir()
        made.append(kind(run, place))
    return made
