"""Stand-ins of the two cameras: the topics of realsense2_camera, and faults on request.

Parameters:
    config: path of the run's config.yaml.
    fault: "" or one of stall, frozen, wrong_size, swapped, black, slow, wrong_encoding, wrong_type.
    view: which camera has the fault (side or wrist). after: s until it begins.
    skew: s, added to the stamps.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from a1x_driver.driver_config import DriverConfig
from worldsample_core.camera_calibration import optical_frame
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.messages.conversions import image_to_message, to_time
from worldsample_core.messages.qos import SENSOR
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_core.node.steady_time import steady_timer
from worldsample_core.observation import VIEWS

FAULTS = ("", "stall", "frozen", "wrong_size", "swapped", "black", "slow", "wrong_encoding", "wrong_type")


class StandInCameraNode(Node):
    """Draws a dot where the end effector is, on a background that tells the views apart.

    Subscription ``~/fault`` (String) sets the fault at run time.
    """

    def __init__(self, **options: Any) -> None:
        """``options`` are those of :class:`rclpy.node.Node`.

        Raises:
            ConfigError: the configuration is unusable.
        """
        super().__init__("standin_cameras", **options)
        settings = run_settings(self)
        standins = from_mapping(DriverConfig, settings.driver, "driver").standins
        cameras = settings.cameras
        size = settings.run.image_size
        self._width = cameras.width or max(standins.width, size)
        self._height = cameras.height or max(standins.height, size)
        self.fault = fixed_parameter(self, "fault", "", "Fault to show; empty: none.")
        if self.fault not in FAULTS:
            raise ConfigError(f"unknown fault {self.fault!r}; known: {', '.join(FAULTS[1:])}")
        self._view = fixed_parameter(self, "view", "side", "Camera that has the fault.")
        self._after = fixed_parameter(self, "after", 0.0, "Time until the fault, s.")
        self._skew = fixed_parameter(self, "skew", 0.0, "Error of the camera's clock, s.")
        kinds: dict[str, Any] = {view: Image for view in VIEWS}
        if self.fault == "wrong_type":
            kinds[self._view] = CompressedImage
        self._images = {
            view: self.create_publisher(kinds[view], f"{view}/color/image_raw", SENSOR) for view in VIEWS
        }
        self._infos = {
            view: self.create_publisher(CameraInfo, f"{view}/color/camera_info", SENSOR) for view in VIEWS
        }
        self.create_subscription(String, "~/fault", self._on_fault, QoSProfile(depth=1))
        self.create_subscription(PoseStamped, "a1x/ee_pose", self._on_pose, SENSOR)
        self._ee = np.array([0.25, 0.0, 0.2])
        self._rng = np.random.default_rng(0)
        self._noise = {view: self._rng.integers(0, 24, (self._height, self._width, 1)) for view in VIEWS}
        self._frozen: dict[str, np.ndarray] = {}
        self._ticks, self._began = 0, time.monotonic()
        steady_timer(self, 1.0 / standins.rate, self._tick)

    def _on_fault(self, message: String) -> None:
        self.fault, _, view = str(message.data).partition(":")
        self._view = view or self._view
        self._frozen.clear()

    def _on_pose(self, message: PoseStamped) -> None:
        at = message.pose.position
        self._ee = np.array([at.x, at.y, at.z])

    def _tick(self) -> None:
        self._ticks += 1
        active = time.monotonic() - self._began >= self._after
        stamp = to_time(time.time() + self._skew)
        for view in VIEWS:
            fault = self.fault if active and view == self._view else ""
            if fault == "stall" or (fault == "slow" and self._ticks % 10):
                continue
            swapped = active and self.fault == "swapped"
            shown = VIEWS[1 - VIEWS.index(view)] if swapped else view
            if fault == "wrong_type":
                self._images[view].publish(CompressedImage(format="jpeg"))
                continue
            image = self.draw(shown)
            if fault == "frozen":
                image = self._frozen.setdefault(view, image)
            elif fault == "black":
                image = np.zeros_like(image)
            elif fault == "wrong_size":
                image = image[: self._height // 2, : self._width // 2]
            frame = optical_frame(shown)
            message = image_to_message(image, frame, stamp)
            if fault == "wrong_encoding":
                message.encoding = "yuv422_yuy2"
            self._images[view].publish(message)
            info = CameraInfo(height=image.shape[0], width=image.shape[1])
            info.header = message.header
            self._infos[view].publish(info)

    def draw(self, view: str) -> np.ndarray:
        """The image of a view, ``(H, W, 3) uint8`` rgb."""
        height, width = self._height, self._width
        ground = (70, 90, 160) if view == "side" else (150, 110, 60)
        # Sensor noise: a live camera never repeats a picture.
        noise = np.roll(self._noise[view], int(self._rng.integers(height * width)))
        image = np.asarray(np.array(ground) + noise, np.uint8)
        across, up = (0, 2) if view == "side" else (1, 0)
        x = int(np.clip((self._ee[across] - (0.1 if across == 0 else -0.2)) / 0.4, 0, 0.999) * width)
        y = int(np.clip(1 - self._ee[up] / 0.45, 0, 0.999) * height)
        radius = max(2, height // 16)
        image[max(0, y - radius) : y + radius, max(0, x - radius) : x + radius] = (230, 40, 40)
        return image


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("standin_cameras", StandInCameraNode, args)


if __name__ == "__main__":
    sys.exit(main())
