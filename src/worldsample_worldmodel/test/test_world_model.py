"""The video model learns, follows actions, and survives what is not finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldsample_worldmodel.data.episodes import Episode, segments
from worldsample_worldmodel.model.dynamics import Dynamics
from worldsample_worldmodel.model.frame_bank import ALL, FrameBank, own_frames
from worldsample_worldmodel.model.pixels import to_float, to_uint8
from worldsample_worldmodel.model.warping import warp
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.training.trainer import DivergedTraining, Trainer, variance_loss


def test_warp_moves_by_pixels() -> None:
    image = torch.rand(1, 3, 8, 8)
    flow = torch.zeros(1, 2, 8, 8)
    torch.testing.assert_close(warp(image, flow), image)
    flow[:, 0] = 2 / 8 * 2  # two pixels, in half image sides
    torch.testing.assert_close(warp(image, flow)[..., :-2], image[..., 2:])


def test_images_survive_the_way_to_floats_and_back() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8, 3)).astype(np.uint8)
    np.testing.assert_array_equal(to_uint8(to_float(torch.from_numpy(images))).numpy(), images)


def test_bank_prefers_the_episode_itself_up_to_what_may_be_seen(episodes: list[Episode]) -> None:
    bank = FrameBank(episodes)
    wanted = torch.from_numpy(episodes[3].proprio[5:6])
    found = bank.nearest(wanted)
    np.testing.assert_array_equal(found.images[0], episodes[3].images[5])
    three = np.array([3])
    whole = bank.nearest(wanted, own_frames(episodes, three, ALL))
    np.testing.assert_array_equal(whole.images[0], episodes[3].images[5])
    assert bool(whole.own.all())
    nothing = bank.nearest(wanted, own_frames(episodes, three, -1))
    assert not bool(nothing.own.any())
    assert 0 < float((nothing.pose - wanted)[:, :7].norm()) < 0.01
    past = bank.nearest(wanted, own_frames(episodes, three, 4)._replace(but=np.array([4])))
    for unseen in range(4, 8):  # the frame itself, and its future
        assert not np.array_equal(past.pose[0].numpy(), episodes[3].proprio[unseen])
    assert len(FrameBank(episodes, capacity=20)) == 20


def test_guests_of_the_bank_serve_themselves_only(episodes: list[Episode]) -> None:
    bank = FrameBank(episodes[:6]).with_guests(episodes[6:])
    wanted = torch.from_numpy(episodes[8].proprio[5:6])
    as_itself = bank.nearest(wanted, own_frames(episodes, np.array([8]), ALL))
    np.testing.assert_array_equal(as_itself.images[0], episodes[8].images[5])
    for found in (bank.nearest(wanted), bank.nearest(wanted, own_frames(episodes, np.array([2]), ALL))):
        assert not np.array_equal(found.pose.numpy(), episodes[8].proprio[5:6])


@pytest.mark.parametrize("size", [32, 64])
def test_shapes_and_determinism(tiny: WorldModelConfig, episodes: list[Episode], size: int) -> None:
    config = replace(tiny, image_size=size, noise=1.0)
    big = [replace(e, images=e.images.repeat(size // 32, 2).repeat(size // 32, 3)) for e in episodes]
    trainer = Trainer(config)
    trainer.remember(big)
    batch = segments(big, [(0, 0), (1, 4), (2, 5)], 4)
    given = (batch.first, batch.current, batch.first_proprio, batch.proprio[:, 0], batch.actions)
    one = trainer.averaged.imagine(*given)
    assert one.images.shape == (3, 4, 2, size, size, 3) and one.images.dtype == np.uint8
    assert one.proprio.shape == (3, 4, 10) and one.uncertainty.shape == (3, 4)
    np.testing.assert_array_equal(one.images, trainer.averaged.imagine(*given).images)
    drawn = [trainer.averaged.imagine(*given, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0].proprio, drawn[1].proprio)
    assert not np.array_equal(drawn[0].proprio, drawn[2].proprio)  # stochastic


@pytest.mark.parametrize("logit", [-5000.0, 5000.0])
def test_uncertainty_is_an_error_of_pixels_however_sure_the_network_is(
    tiny: WorldModelConfig, episodes: list[Episode], logit: float
) -> None:
    """An overflow would refuse good segments as not finite."""
    model = Trainer(tiny).averaged
    with torch.no_grad():
        for decoder in model.decoders:
            decoder.get_parameter("out.bias")[-1] = logit
    batch = segments(episodes, [(0, 0)], tiny.horizon)
    uncertainty = model.imagine(
        batch.first, batch.current, batch.first_proprio, batch.proprio[:, 0], batch.actions
    ).uncertainty
    assert np.isfinite(uncertainty).all() and (uncertainty >= 0.0).all()


def test_expected_error_becomes_the_error_that_is_made() -> None:
    """The gradient of the loss is 0 at the mean square error, and never larger than 1.

    So an outlier among sure pixels cannot outweigh an update.
    """
    error = torch.tensor([0.0, 0.02, 0.1])
    logit = torch.logit(error.mean()).expand(3).clone().requires_grad_()
    variance_loss(logit, error).backward()
    assert logit.grad is not None and abs(logit.grad.sum().item()) < 1e-6
    sure = torch.full((1,), -12.0, requires_grad=True)
    variance_loss(sure, torch.ones(1)).backward()
    assert sure.grad is not None and abs(sure.grad.item()) <= 1.0


def test_training_learns_to_follow_actions(tiny: WorldModelConfig, episodes: list[Episode]) -> None:
    config = replace(tiny, batch=8, learning_rate=3e-3, average=0.9)
    trainer = Trainer(config)
    trainer.fit_statistics(episodes)
    trainer.remember(episodes)
    losses = [trainer.update(episodes)["loss"] for _ in range(70)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    batch = segments(episodes, [(0, 2), (1, 2)], 4)
    given = (batch.first, batch.current, batch.first_proprio, batch.proprio[:, 0])
    forward = trainer.averaged.imagine(*given, batch.actions).proprio
    back = trainer.averaged.imagine(*given, -0.3 * batch.actions).proprio
    assert (forward[:, -1, 0] > back[:, -1, 0] + 0.01).all()


def test_nan_never_reaches_the_averaged_weights(tiny: WorldModelConfig, episodes: list[Episode]) -> None:
    trainer = Trainer(tiny)
    trainer.update(episodes)
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(torch.nan)
    logs = trainer.update(episodes)
    assert logs["skipped"] == 1.0
    for _ in range(Trainer.patience):
        trainer.update(episodes)
    assert trainer.update(episodes)["skipped"] == 0.0  # went back to the averaged weights
    assert all(bool(p.isfinite().all()) for p in trainer.averaged.parameters())


def test_a_loss_that_stays_bad_is_reported(
    tiny: WorldModelConfig, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tiny)
    nothing = (torch.tensor(torch.nan), {"loss": float("nan")})
    monkeypatch.setattr("worldsample_worldmodel.training.trainer.world_model_loss", lambda *_: nothing)
    with pytest.raises(DivergedTraining):
        for _ in range(2 * Trainer.patience):
            trainer.update(episodes)


def test_sizes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        WorldModelConfig(image_size=50)


def test_noise_is_not_fed_back() -> None:
    """Fed back, it grows from step to step: imagined arms end up where no arm could have gone."""
    torch.manual_seed(0)
    dynamics = Dynamics(16, 8, 2)
    summary, proprio, actions = torch.randn(3, 16), torch.randn(3, 10), torch.rand(3, 6, 7)
    noise = torch.randn(3, 10)
    certain = dynamics(summary, proprio, proprio, actions)
    drawn = dynamics(summary, proprio, proprio, actions, noise)
    torch.testing.assert_close(drawn.mean, certain.mean)
    torch.testing.assert_close(certain.sample, certain.mean)
    spread = drawn.log_deviation.exp() * noise[None, :, None]
    torch.testing.assert_close(drawn.sample, drawn.mean + spread)


def test_a_policy_acts_in_its_own_precision(tiny: WorldModelConfig, episodes: list[Episode]) -> None:
    """As on the robot: bfloat16 would change its actions, and NumPy does not know it."""
    trainer = Trainer(replace(tiny, autocast=True))
    trainer.remember(episodes)
    batch = segments(episodes, [(0, 0), (1, 4)], 4)
    head = torch.nn.Linear(10, 7)

    def act(images: np.ndarray, proprio: np.ndarray) -> np.ndarray:
        return head(torch.from_numpy(proprio)).detach().tanh().numpy()

    given = (batch.first, batch.current, batch.first_proprio, batch.proprio[:, 0])
    imagined = trainer.averaged.imagine(*given, act)
    np.testing.assert_array_equal(imagined.actions[:, 0], act(batch.current, batch.proprio[:, 0]))
    again = trainer.averaged.imagine(*given, imagined.actions)  # all frames decoded at once
    np.testing.assert_allclose(imagined.proprio, again.proprio, atol=1e-5)
    np.testing.assert_allclose(imagined.images.astype(float), again.images, atol=4.0)
