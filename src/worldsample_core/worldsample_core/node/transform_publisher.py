"""``/tf`` of the arm, ``/tf_static`` of hand and cameras, and the URDF on ``/robot_description``.

The node that publishes ``/joint_states`` publishes these with it, so that they are there with and without the
package ``robot_state_publisher``, and cost no further process.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from worldsample_core.arm.link_transforms import HAND, link_transforms
from worldsample_core.camera_calibration import Transform, camera_transforms
from worldsample_core.config import ConfigError
from worldsample_core.messages.qos import LATCHED, TRANSFORMS
from worldsample_core.observation import VIEWS
from worldsample_core.settings import Settings


class TransformPublisher:
    """Publishes the transforms of one cell.

    Args:
        node: that owns the publishers.
        settings: of the run: where the cameras are, and whether the arm's transforms are wanted.
        stamp: of the transforms that do not change.
        urdf: file of the arm's description; "" for none.
        inner: with the frames inside the cameras, which the driver of a RealSense publishes itself.

    Raises:
        ConfigError: the description cannot be read.
    """

    def __init__(self, node: Node, settings: Settings, stamp: Time, urdf: str, *, inner: bool) -> None:
        cameras = settings.cameras
        self._arm = settings.run.arm_transforms
        fixed = [HAND] if self._arm else []
        for view in VIEWS:
            fixed += camera_transforms(view, cameras.calibration(view), inner=inner)
        self._moving = node.create_publisher(TFMessage, "/tf", TRANSFORMS)
        self._fixed = node.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._description = node.create_publisher(String, "/robot_description", LATCHED)
        if fixed:
            self._fixed.publish(message_of(fixed, stamp))
        if urdf and self._arm:
            self._description.publish(String(data=_read(urdf)))

    def send(self, joints: JointState) -> None:
        """Publish the arm's transforms at these joints, with their stamp."""
        if self._arm:
            positions = dict(zip(joints.name, joints.position, strict=True))
            self._moving.publish(message_of(link_transforms(positions), joints.header.stamp))


def message_of(transforms: Iterable[Transform], stamp: Time) -> TFMessage:
    """Transforms as one message."""
    message = TFMessage()
    for each in transforms:
        entry = TransformStamped(child_frame_id=each.child)
        entry.header.stamp, entry.header.frame_id = stamp, each.parent
        shift, turn = entry.transform.translation, entry.transform.rotation
        shift.x, shift.y, shift.z = each.translation
        turn.x, turn.y, turn.z, turn.w = each.rotation
        message.transforms.append(entry)
    return message


def _read(urdf: str) -> str:
    try:
        return Path(urdf).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the description of the arm {urdf} cannot be read: {error}") from error
