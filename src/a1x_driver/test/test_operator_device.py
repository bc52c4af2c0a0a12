"""The operator's device: drives only while held; a silent or dead one is noticed."""

import numpy as np
import pytest

from a1x_driver.keyboard import Keyboard
from a1x_driver.operator_device import OperatorDevice, shape
from a1x_driver.teleop_config import Buttons, TeleopConfig

CONFIG = TeleopConfig(axes=(0, 1, 2, 3, 4, 5))


def buttons(**down: int) -> list[int]:
    pressed = [0] * 12
    for name in down:
        pressed[getattr(Buttons(), name)] = 1
    return pressed


def test_only_while_held_does_it_drive() -> None:
    device = OperatorDevice(CONFIG)
    device.take_joy([1.0, -0.5, 0, 0, 0, 0], buttons(), 1.0)
    assert not device.wish(1.0).active and not np.any(device.wish(1.0).action)
    device.take_joy([1.0, -0.5, 0.05, 0, 0, 0], buttons(hold=1, open=1), 1.1)
    wish = device.wish(1.1)
    assert wish.active and wish.action[0] == 1.0 and -0.5 < wish.action[1] < -0.4
    assert wish.action[2] == 0.0 and wish.action[6] == 1.0
    device.take_joy([1.0, 0, 0, 0, 0, 0], buttons(), 1.2)
    assert not device.wish(1.2).active


def test_a_button_counts_once_and_not_if_it_was_down_at_the_start() -> None:
    device = OperatorDevice(CONFIG)
    device.take_joy([0] * 6, buttons(success=1), 1.0)
    assert not device.wish(1.0).success, "a stuck button would end every episode"
    device.take_joy([0] * 6, buttons(), 1.1)
    device.take_joy([0] * 6, buttons(success=1), 1.2)
    device.take_joy([0] * 6, buttons(success=1), 1.3)
    assert device.wish(1.3).success and not device.wish(1.3).success


def test_a_held_success_button_labels_as_long_as_it_is_held() -> None:
    device = OperatorDevice(CONFIG, labels=True)
    shown = []
    for at, down in ((1.0, 0), (1.1, 1), (1.2, 1), (1.3, 1), (1.4, 0)):
        device.take_joy([0] * 6, buttons(success=1) if down else buttons(), at)
        shown.append(device.wish(at).success)
    assert shown == [False, True, True, True, False]
    device.take_joy([0] * 6, buttons(success=1), 1.5)
    assert device.wish(1.5).success and not device.wish(2.5).success, "a device that is gone shows nothing"


def test_reset_keeps_the_labels_of_an_episode_and_discards_any_other() -> None:
    for labels in (True, False):
        device = OperatorDevice(CONFIG, labels)
        device.take_joy([0] * 6, buttons(), 1.0)
        device.take_joy([0] * 6, buttons(reset=1), 1.1)
        wish = device.wish(1.1)
        assert (wish.failure, wish.reset, wish.abort) == (labels, not labels, False)


def test_hil_serl_40_a_device_that_sends_only_zeros_is_noticed() -> None:
    device = OperatorDevice(TeleopConfig(device="spacemouse"))
    for at in np.arange(0.0, 3.0, 0.1):
        device.take_joy([], [1, 0], at)
        device.take_twist((0, 0, 0), (0, 0, 0), at)
        problem = device.dead(at)
        assert bool(problem) == (at > 2.05) or abs(at - 2.0) < 0.11
    assert "udev" in problem
    device.take_twist((0.3, 0, 0), (0, 0, 0), 3.0)
    assert device.dead(3.0) == "" and device.wish(3.0).active


def test_a_device_that_goes_away_drives_no_more() -> None:
    device = OperatorDevice(CONFIG)
    assert "plugged in" in device.gone(0.0)
    device.take_joy([1.0, 0, 0, 0, 0, 0], buttons(hold=1), 1.0)
    assert device.wish(1.1).active and not device.gone(1.1)
    assert not device.wish(1.5).active and "gone" in device.gone(1.5)


def test_a_space_mouse_s_axes_and_buttons_are_two_topics() -> None:
    device = OperatorDevice(TeleopConfig(device="spacemouse"))
    device.take_joy([1.0] * 6, [1, 0], 1.0)
    device.take_twist((0.35, -0.7, 0.0), (0.0, 0.0, 0.175), 1.0)
    action = device.wish(1.0).action
    assert action[0] == 1.0 and action[1] == -1.0 and 0.4 < action[5] < 0.5
    device.take_joy([], [1, 0], 1.5)
    assert "spacenav/twist" in device.gone(1.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.05])
def test_noise_and_nonsense_are_no_motion(value: float) -> None:
    assert shape(value, 0.08) == 0.0


def test_the_keyboard_holds_while_keys_repeat() -> None:
    config = TeleopConfig(device="keyboard")
    keyboard, device = Keyboard(config), OperatorDevice(config)
    device.take_joy(*keyboard.joy(0.9), 0.9)
    keyboard.take("wg", 1.0)
    device.take_joy(*keyboard.joy(1.1), 1.1)
    wish = device.wish(1.1)
    assert wish.active and wish.action[0] == 1.0 and wish.action[6] == -1.0
    axes, pressed = keyboard.joy(1.1)
    assert axes[config.axes[0]] == 1.0 and pressed[config.buttons.hold] == 1
    assert pressed[config.buttons.close] == 1
    axes, pressed = keyboard.joy(2.0)
    assert not any(axes) and not any(pressed)


def held(device: OperatorDevice, until: float, axis: float, begin: float = 0.0) -> float:
    """The device repeats one message at 20 Hz. Returns for how long it drove, s."""
    last = begin
    for now in np.arange(begin, until, 0.05):
        device.take_joy([axis, 0, 0, 0, 0, 0], buttons(hold=1), now)
        wish = device.wish(now)
        if wish.active and np.any(wish.action) and not device.gone(now):
            last = now
    return last - begin


def test_field_report_08_a_pad_out_of_reach_stops_and_says_so() -> None:
    device = OperatorDevice(CONFIG)
    assert held(device, 200.0, 1.0) < 2.0, "one message, repeated for 200 s"
    assert "never that still" in device.gone(200.0) and not device.wish(200.0).active
    device.take_joy([0.9, 0, 0, 0, 0, 0], buttons(hold=1), 200.05)
    assert device.gone(200.05) == "" and device.wish(200.05).active, "it is back"


def test_field_report_08_a_space_mouse_s_twist_that_repeats_itself_stops_too() -> None:
    device = OperatorDevice(TeleopConfig(device="spacemouse"))
    for now in np.arange(0.0, 5.0, 0.02):
        device.take_joy([0.0] * 6, [1, 0], now)
        device.take_twist((0.2, 0.0, 0.0), (0.0, 0.0, 0.0), now)
    assert "never that still" in device.gone(5.0) and not device.wish(5.0).active


def test_field_report_08_a_hand_that_keeps_the_arm_still_is_no_fault() -> None:
    device = OperatorDevice(CONFIG)
    for now in np.arange(0.0, 60.0, 0.05):
        device.take_joy([0.0] * 6, buttons(hold=1), now)
    assert device.gone(60.0) == "" and device.wish(60.0).active


def test_field_report_08_a_label_ends_though_its_button_seems_held() -> None:
    device = OperatorDevice(CONFIG, labels=True)
    device.take_joy([0.0] * 6, buttons(), 0.0)
    shown = []
    for now in np.arange(0.05, 60.0, 0.05):
        device.take_joy([0.0] * 6, buttons(success=1), now)
        shown.append(device.wish(now).success)
    assert shown[0] and 9.0 < 0.05 * sum(shown) < 11.0


def test_field_report_10_the_space_mouse_works_as_shipped() -> None:
    """Spacenav publishes spacenav/twist, and spacenav/joy with as many buttons as the device has: two."""
    config = TeleopConfig(device="spacemouse")
    assert config.joy_topic == "spacenav/joy" and config.twist_topic == "spacenav/twist"
    device = OperatorDevice(config)
    device.take_joy([0.0] * 6, [0, 0], 0.9)
    device.take_joy([0.1] * 6, [1, 0], 1.0)
    device.take_twist((0.35, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0)
    wish = device.wish(1.0)
    assert device.gone(1.0) == "" and wish.active and wish.action[0] == 1.0 and not wish.success
    device.take_joy([0.1] * 6, [0, 1], 1.1)
    assert device.wish(1.1).success
    assert TeleopConfig(device="spacemouse", joy_topic="pad").joy_topic == "pad"


@pytest.mark.parametrize("changed", [{"hold": 0}, {"success": 5}, {"close": 4}, {"hold": 3, "reset": 3}])
def test_field_report_10_one_button_for_two_things_is_refused(changed: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="are all button"):
        TeleopConfig(buttons=Buttons(**changed))
    TeleopConfig(buttons=Buttons(success=-1, failure=-1, hold=0))


def test_field_report_10_a_device_with_too_few_buttons_is_named() -> None:
    device = OperatorDevice(CONFIG)
    device.take_joy([1.0] * 6, [1, 0], 1.0)
    assert "has 2 buttons, and teleop.buttons.hold is 5" in device.gone(1.0)


def test_field_report_10_no_device_is_no_operator() -> None:
    """Some drivers publish zeros although nothing is plugged in."""
    device = OperatorDevice(CONFIG)
    for now in np.arange(0.0, 30.0, 0.05):
        device.take_joy([0.0] * 6, [0] * 12, now)
        assert "only zeros" in device.gone(now)
    device.take_joy([0.0, 0.3, 0, 0, 0, 0], [0] * 12, 30.0)
    device.take_joy([0.0] * 6, [0] * 12, 30.05)
    assert device.gone(30.05) == "" and device.gone(30.2) == ""
