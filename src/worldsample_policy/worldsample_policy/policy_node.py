"""The policy node: acts at the control rate, records every step, runs the phases of a run.

Parameters: ``config``, the path of the run's config.yaml, and those of
:class:`worldsample_policy.acting.policy_parameters.PolicyParameters`.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
import time
from typing import Any

import torch

from worldsample_core.episodes.journal import StorageError
from worldsample_core.messages.conversions import stamp_ns
from worldsample_core.messages.qos import COMMAND, RESULTS, STATUS
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.node.awake_clock import AwakeClock
from worldsample_core.node.callback_node import CallbackNode, fails_the_run
from worldsample_core.node.own_loop import run_own_loop
from worldsample_core.node.precedence import POLICY, come_first
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.run_topics import RunTopics
from worldsample_core.node.steady_time import steady_timer
from worldsample_core.node.stopping import failure_of
from worldsample_msgs.msg import CommandResult, EndEffectorCommand, PolicyStatus, RobotStatus
from worldsample_msgs.srv import Checkpoint, Reset
from worldsample_policy.acting.cell_calls import CellCalls
from worldsample_policy.acting.cell_input import CellInput
from worldsample_policy.acting.control_steps import ControlSteps
from worldsample_policy.acting.episode_service import EpisodeService
from worldsample_policy.acting.housekeeping import Housekeeping
from worldsample_policy.acting.policy_outputs import PolicyOutputs
from worldsample_policy.acting.policy_parameters import PolicyParameters
from worldsample_policy.acting.policy_setup import make_acting, make_loop, make_store, take_demonstrations
from worldsample_policy.acting.policy_status import policy_status
from worldsample_policy.acting.second_run import require_alone, second_run
from worldsample_policy.acting.watchdogs import CellWatch


class PolicyNode(CallbackNode):
    """All callbacks run in one thread; :class:`EpisodeService` has its own."""

    def __init__(self) -> None:
        """Raises ConfigError, StorageError, CheckpointError, RunFailed."""
        super().__init__("policy")
        torch.set_num_threads(1)
        self.settings = run_settings(self)
        parameters = PolicyParameters.declared(self)
        began = time.monotonic()
        self._awake = AwakeClock()

        self._commands = self.create_publisher(EndEffectorCommand, "a1x/command", COMMAND)
        self._statuses = self.create_publisher(PolicyStatus, "policy/status", STATUS)
        self._calls = CellCalls(
            self,
            self._awake,
            parameters.discovery_wait,
            parameters.start_timeout,
            self._require_alone,
            self._on_reset,
            self._on_checkpoint,
        )
        self.acting = make_acting(self.settings)
        outputs = PolicyOutputs(
            self,
            self.settings.run.name,
            self._calls,
            self.acting,
            before_reset=lambda: self._steps.pause(),
            no_learner=lambda: self.loop.on_checkpoint(False, 0),
        )
        self.store = make_store(self.settings, parameters.durable, outputs.publish_summary)
        try:
            for problem in self.store.problems:
                self.get_logger().warning(problem)
            if copied := take_demonstrations(self.store, self.settings, self.get_logger().warning):
                self.get_logger().info(f"{copied} demonstrations taken from {self.settings.run.demos_from}")
            self.loop = make_loop(
                self.settings,
                self.store,
                self.acting,
                outputs,
                parameters.learner_patience,
                parameters.evaluator,
                self.get_logger().warning,
            )
            time.sleep(max(0.0, began + parameters.discovery_wait - time.monotonic()))
            self._require_alone()
        except BaseException:
            self.store.close()
            raise
        self._listen(parameters)

    def _listen(self, parameters: PolicyParameters) -> None:
        """Subscriptions, timers, and what they keep."""
        run, task = self.settings.run, self.settings.task
        self._lapse_told = False
        self._wake = self.create_guard_condition(self._on_weights)
        self.reception = Reception(self.get_logger().warning)
        bounds = RunBounds.of(self.settings)
        self.service = EpisodeService(
            self, run.name, self.store, self.acting, self._wake.trigger, self.reception, bounds
        )
        topics = RunTopics(self, self.reception)
        self.input = CellInput(self, self.settings, topics, self.reception, self._on_message, self._on_repeat)
        self._cell_watch = CellWatch(
            self.input, parameters.start_timeout, parameters.sensor_timeout, self._awake()
        )
        self._housekeeping = Housekeeping(
            self.loop, self._cell_watch, self._awake, parameters.linger, self.publish_status
        )
        self._steps = ControlSteps(
            self.loop,
            self.input,
            self._commands.publish,
            self._awake,
            self._cell_watch.observed,
            self._on_stepped,
            lambda: self.count_publishers("a1x/executed") > 0,
        )
        topics.create_subscription(RobotStatus, "a1x/status", self._steps.on_robot, STATUS)
        if not run.lockstep:
            topics.create_subscription(CommandResult, "a1x/executed", self._on_result, RESULTS)
        steady_timer(self, 0.1, self._on_housekeeping)
        if not run.lockstep:
            steady_timer(self, task.control_period, self._on_control_period)
            come_first(POLICY)
        self.get_logger().info(
            f"run {run.name}: {self.store.real_steps} real steps, {len(self.store.summaries)} episodes, "
            + ("lockstep" if run.lockstep else f"{1.0 / task.control_period:g} Hz")
        )

    def _require_alone(self) -> None:
        require_alone(self, self._commands.topic_name)

    # --- answers ---

    @fails_the_run
    def _on_reset(self, future: Any) -> None:
        response: Reset.Response = future.result()
        if response.taken:
            raise second_run(str(response.message))
        self._cell_watch.alive(self._awake())
        if response.success:
            self.input.restart(stamp_ns(response.stamp))
        self.loop.on_reset(bool(response.success), str(response.message))
        self.publish_status()
        self._on_message()

    @fails_the_run
    def _on_checkpoint(self, future: Any) -> None:
        response: Checkpoint.Response = Checkpoint.Response() if future is None else future.result()
        if future is not None and not response.success:
            self.get_logger().warning(f"the learner wrote no checkpoint: {response.message}")
        self.loop.on_checkpoint(bool(response.success), int(response.updates))

    # --- control steps ---

    @fails_the_run
    def _on_message(self) -> None:
        self._steps.on_message()

    @fails_the_run
    def _on_repeat(self) -> None:
        self._steps.on_repeat()

    @fails_the_run
    def _on_weights(self) -> None:
        self.acting.collect()
        self._steps.go_on()

    @fails_the_run
    def _on_result(self, message: CommandResult) -> None:
        self._steps.on_result(message)

    @fails_the_run
    def _on_control_period(self) -> None:
        self._steps.on_period()

    def _on_stepped(self, ended: bool) -> None:
        if self.settings.run.lockstep:
            self.publish_status()
        elif ended and self.loop.detected:  # a person watches what is rewarded
            steps = self.loop.detected
            self.get_logger().info(f"the reward classifier saw a success after {steps} steps")
        if ended:
            self._housekeeping.advance()

    # --- ten times a second ---

    @fails_the_run
    def _on_housekeeping(self) -> None:
        self.service.check()
        self._housekeeping.hear_learner(self.service.learner)
        self._calls.check(self.input.check_types)
        self._steps.go_on()
        self._housekeeping.look(self._steps.fault)
        if self.acting.switch.lapses and not self._lapse_told:
            self._lapse_told = True
            self.get_logger().warning(
                "lockstep is not kept: the weights of a step did not come in time; look at the learner's log"
            )
        if self._housekeeping.complete:
            self.end(self._housekeeping.missing_at_end())

    # --- status and end ---

    def publish_status(self) -> None:
        """Publish the policy's status."""
        self._housekeeping.status_published()
        steps, failure = self._steps, str(self.failure or "")
        message = policy_status(self.loop, self.acting, steps.timing, steps.hold, failure)
        if not failure:
            message.detail = ", ".join(filter(None, (message.detail, self.reception.words())))
        message.header.stamp = self.get_clock().now().to_msg()
        self._statuses.publish(message)

    def close(self) -> None:
        """Close the running episode and write what is due."""
        for step in (self.loop.interrupt, self.store.close, self.store.check):
            try:
                step()
            except StorageError as error:  # the steps stay in the journal
                if self.failure is None:
                    self.end(failure_of(error))
        self.service.close()


def main(args: list[str] | None = None) -> int:
    """Run the node.

    Returns 0 when the run is done or was stopped, 2 where it cannot start like this, 1 on failure.
    """
    # The thread that acts waits at most half a millisecond for another one's Python.
    return run_own_loop("policy", PolicyNode, args, switch_interval=0.0005)


if __name__ == "__main__":
    sys.exit(main())
