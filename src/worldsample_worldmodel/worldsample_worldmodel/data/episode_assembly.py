"""A run's transitions, in order, into finished episodes."""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import Transition
from worldsample_worldmodel.data.episodes import Episode, episode_from_transitions


@dataclass(frozen=True)
class FinishedEpisode:
    """A real episode that has ended.

    Attributes:
        episode: None where it cannot be used; then ``problem`` says why.
        number: of the episode in its run.
        demo: it is a demonstration.
        success: it ended with success.
        before, end: real (policy) steps of the run before it and at its end; equal for demonstrations.
    """

    episode: Episode | None
    number: int
    demo: bool
    success: bool
    before: int
    end: int
    problem: str = ""


class EpisodeAssembly:
    """Collects transitions until an episode ends.

    It ends with its last step, or where another episode begins (the policy was killed in the middle).

    Args:
        image_size: side of the frames, pixels; an episode with others is unusable.
        horizon: control steps of an episode at most; longer ones are unusable, and not kept in memory.

    Attributes:
        real_steps: policy transitions so far.
    """

    def __init__(self, image_size: int, horizon: int) -> None:
        self.image_size, self.horizon = image_size, horizon
        self.real_steps = 0
        self._steps: list[Transition] = []
        self._before = 0
        self._length = 0

    def add(self, transition: Transition) -> list[FinishedEpisode]:
        """Take the next transition; returns the episodes that are finished thereby: none, one, or two."""
        finished = []
        if self._steps and not self._continues(transition):
            finished.append(self._finish())
        if not self._steps:
            self._before, self._length = self.real_steps, 0
        self._length += 1
        self.real_steps += transition.source == "policy"
        if self._length <= self.horizon or not self._steps:
            self._steps.append(transition)
        if transition.last:
            finished.append(self._finish())
        return finished

    def _continues(self, transition: Transition) -> bool:
        first = self._steps[0]
        return (transition.episode, transition.source) == (first.episode, first.source)

    def _finish(self) -> FinishedEpisode:
        steps, self._steps = self._steps, []
        first, last, size = steps[0], steps[-1], self.image_size
        episode, problem = None, ""
        try:
            if self._length > self.horizon:
                raise InvalidObservation(
                    f"episode {first.episode} has {self._length} steps, the task has {self.horizon}"
                )
            if first.observation.size != (size, size):
                raise InvalidObservation(
                    f"episode {first.episode} has images of {first.observation.size} pixels, the world model "
                    f"was made for {(size, size)}"
                )
            episode = episode_from_transitions(steps)
        except ValueError as error:
            problem = str(error)
        demo = first.source == "demo"
        end = self._before if demo else self._before + self._length
        return FinishedEpisode(episode, first.episode, demo, last.success, self._before, end, problem)
