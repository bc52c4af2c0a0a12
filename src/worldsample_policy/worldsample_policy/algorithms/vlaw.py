"""VLAW: the policy imitates what succeeded, on the robot and in the world model (arXiv 2602.12063).

Taken from it: real rollouts refine the world model; in it the policy acts; what the reward model calls a
success is kept; the policy learns, supervised, on demonstrations, real successes and kept imagined ones:

    L = -E_demo[log pi] - E_real success[log pi] - E_imagined success[log pi]

in equal parts of a batch; a part that is still empty goes to the others. Failures, real and imagined, never
reach the loss (they train the world model and the reward model).

Ours, simplified:
- The policy is that of the other methods (:mod:`networks`), not a vision-language-action model; the paper's
  own text was not at hand, so this follows a reading note of it.
- There are no rounds (WorldSample's comparison gave it 20 real and 50 generated rollouts a round). Acting,
  refining, imagining and imitating run side by side, each in proportion to the real steps
  (``worldmodel.segments_per_step``; the generator and the reward model are renewed every
  ``worldmodel.release_every`` real steps), and the policy is never trained anew from the start.
- Imagined rollouts start anywhere in real episodes, not only at their beginnings, and last
  ``worldmodel.imagination.policy_horizon`` steps.
- The operator intervenes as with HiL-SERL. Interventions are real data like the policy's own steps: those of
  successful episodes supervise, others do not; with ``learner.imitate_interventions`` all do, as
  demonstrations.
- Imagined successes live in a queue of their own, with their provenance; those of old world models go.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from worldsample_core.config import TaskConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.algorithms.algorithm import Algorithm
from worldsample_policy.algorithms.behaviour_cloning import cloning_loss, policy_parameters
from worldsample_policy.pacing.synthetic_guards import reason_to_reject
from worldsample_policy.replay.frame_intake import FrameIntake
from worldsample_policy.sac.flat_parameters import FlatParameters
from worldsample_policy.sac.optimiser_step import OptimiserStep
from worldsample_policy.sac.sac import Logs


class VLAW(Algorithm):
    """Supervised learning of what succeeded.

    Attributes:
        counts: imagined rollouts: "kept", "failures".
    """

    name = "vlaw"

    def __init__(self, intake: FrameIntake, task: TaskConfig) -> None:
        super().__init__(intake, task)
        self.trained = {"imitation": [FlatParameters(policy_parameters(self.sac))]}
        self.counts: Counter[str] = Counter()
        self._episode, self._rows = -1, 0

    @property
    def detail(self) -> str:
        """Imagined rollouts so far."""
        kept = self.counts["kept"]
        return f"{kept} of {kept + self.counts['failures']} imagined rollouts succeeded and are kept"

    # --- what may be imitated ---

    def took(self, transition: Transition) -> None:
        """At the end of a successful real episode its steps, interventions included, are kept."""
        if transition.source == "demo":
            return
        self._rows = self._rows + 1 if transition.episode == self._episode else 1
        self._episode = transition.episode
        if transition.success:
            self.intake.replay.keep_last(self._rows)

    def admit(self, segment: SyntheticSegment) -> bool:
        """Keep a rollout of the policy that the guards let in and that the reward model calls successful."""
        newest = self.intake.synthetic.newest
        if not segment.on_policy or reason_to_reject(segment, self.config, self.task, newest):
            return False
        if not segment.success:
            self.counts["failures"] += 1
            return False
        self.intake.queue(segment, self.counts["kept"])
        self.counts["kept"] += 1
        return True

    # --- updates ---

    def pretrain(self, step: OptimiserStep) -> Logs:
        """Imitate the demonstrations, real successes and kept imagined ones that are there."""
        intake, size = self.intake, self.config.batch_size
        replay, kept = intake.replay, len(intake.synthetic.success)
        buffers = [buffer for buffer in (replay.demonstrations, replay.successes) if len(buffer)]
        parts = len(buffers) + (kept > 0)
        from_imagined = size // parts if kept else 0
        shares = [(size - from_imagined) // max(1, len(buffers))] * len(buffers)
        batches = [replay.draw(list(zip(buffers, shares, strict=True)))] if buffers else []
        batches += [intake.synthetic.sample(from_imagined, 0)] if kept else []
        loss, logs = cloning_loss(self.sac, [intake.augment(batch) for batch in batches], self.generator)
        step.apply("imitation", loss, logs)
        return logs

    def update(self, step: OptimiserStep, number: int, real_steps: int) -> Logs:
        """Imitate as before the loop, with all that has come since."""
        replay = self.intake.replay
        return self.pretrain(step) if len(replay.demonstrations) or len(replay.successes) else {}

    # --- checkpoints ---

    def counters(self) -> dict[str, Any]:
        """Counts, and where in an episode the replay ends."""
        return {
            "algorithm": {
                "counts": dict(self.counts),
                "episode": [self._episode, self._rows],
                "rng": self.intake.synthetic.rng.bit_generator.state,
            }
        }

    def load_counters(self, counters: dict[str, Any], with_replay: bool) -> None:
        """Take the counts; real successes are in the replay or told again, imagined ones imagined again."""
        state = counters["algorithm"]
        self.counts = Counter(state["counts"])
        self._episode, self._rows = state["episode"] if with_replay else (-1, 0)
        self.intake.synthetic.rng.bit_generator.state = state["rng"]
