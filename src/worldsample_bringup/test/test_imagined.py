"""Imagined beside real: the pictures in the run folder, and when a world model is asked for one."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsample_bringup.dashboard import imagination_watch
from worldsample_bringup.dashboard.imagination_watch import PATIENCE, RETRY, ImaginationWatch
from worldsample_bringup.dashboard.imagined import (
    KEPT,
    Figures,
    ImaginedQuality,
    compare,
    picture,
    pictures,
    store,
)
from worldsample_bringup.dashboard.imagined_log import INTERVAL, worth_imagining
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.run.history import History
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.messages.conversions import synthetic_to_message, to_time
from worldsample_core.synthetic import SyntheticSegment
from worldsample_msgs.srv import Imagine

STEPS, SIZE = 4, 16
STATUS = {"version": 1, "horizon": STEPS}


def frames(shift: int = 0) -> np.ndarray:
    """Real frames that differ from step to step; from the second on ``shift`` brighter."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (STEPS + 1, 2, SIZE, SIZE, 3)).astype(np.uint8)
    images[1:] += np.uint8(shift)
    return images


def segment(images: np.ndarray, step: int = 7) -> SyntheticSegment:
    zeros = np.zeros(STEPS, np.float32)
    return SyntheticSegment(
        images=images,
        proprio=np.zeros((STEPS + 1, 10), np.float32),
        actions=np.zeros((STEPS, 7), np.float32),
        rewards=zeros,
        terminated=np.zeros(STEPS, np.bool_),
        uncertainty=zeros,
        success_probability=zeros,
        success=False,
        source_episode=30,
        source_step=step,
        world_model_version=3,
        run="mine",
    )


def figures(**said: Any) -> Figures:
    psnr, ssim = {"side": [30.0, 28.0], "wrist": [31.0, 29.0]}, {"side": [0.9, 0.8], "wrist": [0.9, 0.7]}
    return replace(Figures(1, 30, 7, 100, ImaginedQuality(psnr, ssim, psnr, ssim)), **said)


def test_quality_is_that_of_the_imagined_steps_beside_the_copied_frame() -> None:
    real = frames()
    quality = compare(real, frames(shift=25))
    expected = 20.0 * np.log10(255.0 / 25.0)
    assert np.allclose(quality.psnr["side"], expected, atol=1e-3) and len(quality.psnr["wrist"]) == STEPS
    assert max(quality.psnr_copied["side"]) < 12.0, "frames of noise are nothing like each other"
    assert min(quality.ssim["wrist"]) > 0.9 > 0.2 > max(quality.ssim_copied["wrist"])
    same = compare(real, real)
    assert same.psnr["side"] == [60.0] * STEPS and same.ssim["side"] == [1.0] * STEPS


def test_a_picture_has_real_above_imagined_for_both_views() -> None:
    """Real is black and imagined white: four rows alternate, and the first imagined frame is the real one."""
    real, imagined = (
        np.zeros((STEPS + 1, 2, 64, 64, 3), np.uint8),
        np.full((STEPS + 1, 2, 64, 64, 3), 200, np.uint8),
    )
    imagined[0] = 0
    psnr = {"side": [1.0] * STEPS, "wrist": [2.0] * STEPS}
    image = picture(real, imagined, psnr)
    last_column = image[:, -3]
    changes = [
        tuple(row) for row, before in zip(last_column[1:], last_column, strict=False) if (row != before).any()
    ]
    rows = [colour for colour in changes if colour != (255, 255, 255)]
    assert rows == [(0, 0, 0), (200, 200, 200)] * 2
    now = image[:, 80]
    assert not (now == 200).all(-1).any(), "the first frame is given, not imagined"


@pytest.mark.parametrize("steps", [1, 8, 40])
def test_long_segments_are_thinned_to_what_can_be_seen(steps: int) -> None:
    images = np.zeros((steps + 1, 2, 64, 64, 3), np.uint8)
    image = picture(images, images, {"side": [1.0] * steps, "wrist": [1.0] * steps})
    assert image.shape[1] <= 1300


def test_the_first_and_the_newest_pictures_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "imagined"
    for number in range(KEPT + 4):
        each = figures(version=number, real_steps=100 * number)
        store(folder, np.zeros((4, 4, 3), np.uint8), each)
    (folder / "steps_9999999_version_1.png").write_bytes(b"torn")
    assert [f.version for _, f in pictures(folder)] == [0, *range(5, 10)]
    assert pictures(folder)[-1][1] == figures(version=9, real_steps=900)
    assert pictures(tmp_path / "nothing") == []


def test_the_newest_training_episode_is_looked_at_where_it_ends() -> None:
    history = History()
    assert worth_imagining(history, STEPS) == []
    episode = {"kind": "episode", "episode_kind": "demo", "episode": 0, "steps": 20, "path": "episodes/e0"}
    history.add(episode)
    assert worth_imagining(history, STEPS) == [(0, 16)]
    for number, steps in ((5, 30), (6, 3)):  # the newest one is shorter than the horizon
        history.add({**episode, "episode_kind": "train", "episode": number, "steps": steps})
    assert worth_imagining(history, STEPS) == [(5, 26), (0, 16)]


class FakeImagineClient:
    """A service that answers when the test says so."""

    def __init__(self) -> None:
        self.ready = True
        self.asked: list[tuple[Imagine.Request, Future[Any]]] = []
        self.forgotten: list[Future[Any]] = []

    def service_is_ready(self) -> bool:
        return self.ready

    def call_async(self, request: Imagine.Request) -> Future[Any]:
        self.asked.append((request, Future()))
        return self.asked[-1][1]

    def remove_pending_request(self, future: Future[Any]) -> None:
        self.forgotten.append(future)


class Watched:
    """A watch with a clock that the test moves."""

    def __init__(self, path: Path) -> None:
        self.now, self.client, self.warnings = 1000.0, FakeImagineClient(), list[str]()
        self.folder = RunFolder(path)
        self.log = MetricsLog(self.folder)
        record = {"kind": "episode", "episode_kind": "train", "episode": 30, "steps": 20, "real_steps": 60}
        self.log.history.add({**record, "path": "episodes/e30"})
        self.watch = ImaginationWatch(self, self.folder, self.log, lambda: self.now)  # type: ignore[arg-type]

    def create_client(self, kind: Any, name: str) -> FakeImagineClient:
        assert (kind, name) == (Imagine, imagination_watch.SERVICE)
        return self.client

    def get_logger(self) -> Watched:
        return self

    def debug(self, text: str) -> None: ...

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def answer(self, number: int = -1, **said: Any) -> None:
        real, imagined = (synthetic_to_message(segment(frames(s)), to_time(0.0)) for s in (0, 25))
        values = {"success": True, "real": real, "imagined": imagined, "world_model_version": 3, **said}
        self.client.asked[number][1].set_result(Imagine.Response(**values))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_every_new_version_is_looked_at_but_not_more_often_than_once_a_minute(watched: Watched) -> None:
    watched.watch.look({})
    watched.watch.look({**STATUS, "version": 0})
    assert not watched.client.asked, "there is no model yet"
    watched.watch.look(STATUS)
    request = watched.client.asked[0][0]
    assert (request.episode, request.start_step, request.length, request.counterfactual) == (30, 16, 0, False)
    watched.answer()
    ((path, shown),) = pictures(watched.folder.imagined)
    assert (shown.version, shown.episode, shown.start_step, shown.real_steps) == (3, 30, 7, 60)
    assert shown.quality.psnr["side"][0] == pytest.approx(20.17, abs=0.01) and path.suffix == ".png"
    watched.now += INTERVAL + 1
    watched.watch.look(STATUS)
    assert len(watched.client.asked) == 1, "the same version again"
    watched.watch.look({**STATUS, "version": 2})
    watched.answer()
    watched.watch.look({**STATUS, "version": 3})
    assert len(watched.client.asked) == 2, "a minute has not passed"
    watched.now += INTERVAL + 1
    watched.watch.look({**STATUS, "version": 3})
    assert len(watched.client.asked) == 3


def test_the_last_version_is_shown_when_the_run_is_done(watched: Watched) -> None:
    watched.watch.look(STATUS)
    watched.answer()
    watched.now += 1.0
    watched.watch.look({**STATUS, "version": 2}, last=True)
    assert len(watched.client.asked) == 2


def test_after_a_refusal_an_older_episode_is_asked_for_soon(watched: Watched) -> None:
    """The newest episode has only just ended: the model may not have it yet."""
    demo = {"kind": "episode", "episode_kind": "demo", "episode": 2, "steps": 10, "path": "episodes/e2"}
    watched.log.history.add(demo)
    watched.watch.look(STATUS)
    watched.answer(success=False, message="episode 30 is not in the world model's memory")
    watched.watch.look(STATUS)
    assert len(watched.client.asked) == 1, "not in the same moment"
    watched.now += RETRY + 0.1
    watched.watch.look(STATUS)
    assert [(r.episode, r.start_step) for r, _ in watched.client.asked] == [(30, 16), (2, 6)]
    watched.answer()
    assert len(pictures(watched.folder.imagined)) == 1 and not watched.warnings


def test_a_world_model_that_does_not_answer_is_forgotten_and_asked_again(watched: Watched) -> None:
    watched.watch.look(STATUS)
    watched.now += PATIENCE + 1
    watched.watch.look(STATUS)
    assert watched.client.forgotten == [watched.client.asked[0][1]] and len(watched.client.asked) == 2
    watched.answer(0)  # too late
    assert not pictures(watched.folder.imagined)
    watched.answer(1)
    assert len(pictures(watched.folder.imagined)) == 1


def test_without_the_service_nothing_is_asked(watched: Watched) -> None:
    watched.client.ready = False
    watched.watch.look(STATUS)
    assert not watched.client.asked


def test_answers_that_cannot_be_used_are_passed_over(watched: Watched) -> None:
    real = synthetic_to_message(segment(frames()), to_time(0.0))
    torn = synthetic_to_message(segment(frames()), to_time(0.0))
    torn.side = torn.side[:-1]
    small = synthetic_to_message(segment(np.zeros((STEPS + 1, 2, 8, 8, 3), np.uint8)), to_time(0.0))
    for said in ({"success": False, "message": "no such episode"}, {"imagined": torn}, {"imagined": small}):
        watched.watch.look(STATUS)
        watched.answer(**{"real": real, **said})
        watched.now += INTERVAL + 1
    watched.watch.look(STATUS)
    watched.client.asked[-1][1].set_exception(RuntimeError("the service is gone"))
    assert len(watched.client.asked) == 4, "each time it is tried again"
    assert len(watched.warnings) == 3 and not pictures(watched.folder.imagined)
