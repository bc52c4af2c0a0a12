"""Updates per second of LeRobot's HiL-SERL learner on random data.

`worldsample bench learner` runs it in an environment of its own. One update is what the function
`add_actor_information_and_train` of lerobot/rl/learner.py does with LeRobot's own `SACPolicy` and
`ReplayBuffer`: half of the batch from each of two buffers, two updates a cycle, of which the second also
trains actor and temperature. The encoder of HiL-SERL is a ResNet-10; here it has random weights, which cost
as much as the published ones.

Encoders:
    resnet10: frozen, the features of a batch computed once (`get_cached_image_features`), as its learner does
        for a named encoder.
    default, frozen: its own four-layer encoder; its learner then computes the features in every network.
    default, learned: the same, with gradients through the images.

Argument: JSON (see `main`). Prints JSON as its last line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.sac.configuration_sac import SACConfig
from lerobot.policies.sac.modeling_sac import SACPolicy
from lerobot.rl.buffer import ReplayBuffer, concatenate_batch_transitions
from transformers import ResNetConfig, ResNetModel

KEYS = ("observation.images.side", "observation.images.wrist")
STATE = "observation.state"
STATE_SIZE, ACTION_SIZE = 10, 3
CYCLE = 2
"""Updates of a cycle: critics only, then everything."""
WARM_UP = 2
"""Cycles before the clock counts: torch.compile works in the first."""


def resnet10(folder: str) -> str:
    """A ResNet-10 with random weights, saved as LeRobot loads one."""
    config = ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[1, 1, 1, 1], layer_type="basic"
    )
    ResNetModel(config).save_pretrained(folder)
    return folder


def make_policy(size: int, encoder: str, frozen: bool) -> SACPolicy:
    """LeRobot's policy. encoder: a folder with a model; "": its own encoder."""
    images = {key: PolicyFeature(FeatureType.VISUAL, (3, size, size)) for key in KEYS}
    config = SACConfig(
        input_features={**images, STATE: PolicyFeature(FeatureType.STATE, (STATE_SIZE,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (ACTION_SIZE,))},
        vision_encoder_name=encoder or None,
        freeze_vision_encoder=frozen,
        utd_ratio=CYCLE,
        num_discrete_actions=3,
        device="cpu",
    )
    policy = SACPolicy(config)
    policy.train()
    return policy


def make_buffer(size: int, transitions: int) -> ReplayBuffer:
    """A buffer full of random transitions."""
    buffer = ReplayBuffer(transitions, device="cpu", state_keys=[*KEYS, STATE])
    for _ in range(transitions):
        states = [
            {**{key: torch.rand(1, 3, size, size) for key in KEYS}, STATE: torch.rand(1, STATE_SIZE)}
            for _ in range(2)
        ]
        action = torch.cat([torch.rand(1, ACTION_SIZE), torch.randint(0, 3, (1, 1)).float()], 1)
        penalty = {"discrete_penalty": torch.zeros(1)}
        buffer.add(states[0], action, 0.0, states[1], False, False, penalty)
    return buffer


class Update:
    """One update, as the learner's loop writes it."""

    def __init__(self, policy: SACPolicy, buffers: list[Iterator[Any]]) -> None:
        self.policy, self.buffers = policy, buffers
        parameters = policy.get_optim_params()
        groups = {**parameters, "temperature": [parameters["temperature"]]}
        self.optimizers = {name: torch.optim.Adam(group, lr=3e-4) for name, group in groups.items()}
        self.clip = policy.config.grad_clip_norm
        config = policy.config
        self.caches = config.vision_encoder_name is not None and config.freeze_vision_encoder

    def __call__(self, full: bool) -> None:
        """Sample, encode and step. full: actor and temperature as well."""
        policy = self.policy
        batch = concatenate_batch_transitions(*[next(buffer) for buffer in self.buffers])
        features = following = None
        if self.caches:
            with torch.no_grad():
                features = policy.actor.encoder.get_cached_image_features(batch["state"])
                following = policy.actor.encoder.get_cached_image_features(batch["next_state"])
        forward = {
            **batch,
            "observation_feature": features,
            "next_observation_feature": following,
        }
        parts = ["critic", "discrete_critic", *(["actor", "temperature"] if full else [])]
        for part in parts:
            loss = policy.forward(forward, model=part)[f"loss_{part}"]
            optimizer = self.optimizers[part]
            optimizer.zero_grad()
            loss.backward()
            group = optimizer.param_groups[0]["params"]
            torch.nn.utils.clip_grad_norm_(group, max_norm=self.clip).item()
            optimizer.step()
        policy.update_target_networks()


def measure(settings: dict[str, Any], size: int, encoder: str, frozen: bool, threads: int) -> dict[str, Any]:
    """Wall and CPU time of an update, ms, over whole cycles."""
    torch.set_num_threads(threads)
    half = settings["batch_size"] // 2
    buffers = [make_buffer(size, 2 * half).get_iterator(half, async_prefetch=False) for _ in range(2)]
    update = Update(make_policy(size, encoder, frozen), buffers)
    kinds: dict[str, list[tuple[float, float]]] = {"critic_only": [], "full": []}
    cycles, deadline = 0, None
    while deadline is None or not kinds["full"] or time.perf_counter() < deadline:
        for kind in kinds:
            wall, cpu = time.perf_counter(), time.process_time()
            update(kind == "full")
            if cycles >= WARM_UP:
                kinds[kind].append((time.perf_counter() - wall, time.process_time() - cpu))
        cycles += 1
        if cycles == WARM_UP:
            deadline = time.perf_counter() + settings["seconds"]
    mixed = [
        (0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1]))
        for a, b in zip(kinds["critic_only"], kinds["full"], strict=True)
    ]
    result = {
        kind: {
            "cpu_ms": round(1e3 * median(cpu for _, cpu in times), 2),
            "wall_ms": round(1e3 * median(wall for wall, _ in times), 2),
        }
        for kind, times in {**kinds, "mixed": mixed}.items()
    }
    return {
        "threads": threads,
        "updates_per_second": round(1e3 / result["mixed"]["wall_ms"], 2),
        "updates_timed": CYCLE * len(mixed),
        **result,
    }


def median(values: Any) -> float:
    return float(torch.tensor(list(values), dtype=torch.float64).median())


def main() -> None:
    """Measure every encoder at every size and number of threads; a case that fails says why."""
    settings = json.loads(sys.argv[1])
    result: dict[str, Any] = {"torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            "resnet10, frozen, features cached per batch": (resnet10(folder), True),
            "default encoder, frozen": ("", True),
            "default encoder, learned": ("", False),
        }
        for name, (encoder, frozen) in cases.items():
            for size in settings["image_sizes"]:
                for threads in settings["threads"]:
                    key = f"{name}, {size}x{size}, {threads} threads"
                    try:
                        result[key] = measure(settings, size, encoder, frozen, threads)
                    except Exception as error:  # one case must not hide the others
                        result[key] = {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
                    print(key, result[key], file=sys.stderr, flush=True)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
