"""MJCF of the arm: published kinematics with our own primitive shapes, servos, a wrist camera."""

from __future__ import annotations

from dataclasses import dataclass

from a1x_sim.arm_dimensions import BASE_MASS, FINGER_MASS, FINGERTIP, GRIPPER_MASS, TIP_RADIUS
from a1x_sim.shapes import ball, box, capsule, cylinder, text
from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINTS,
    FINGER_JOINT_NAMES,
    FINGER_ORIGINS,
    FINGER_STROKE,
    GRIPPER_ORIGIN,
)

LIGHT, DARK, TRIM = "arm_light", "arm_dark", "arm_trim"

WRIST_POSITION = (-0.05, 0.0, 0.088)
WRIST_AXES = "0 -1 0 0.15 0 0.989"
WRIST_FOVY = 66.0
"""The wrist camera: place in gripper_link, m; MJCF ``xyaxes``; vertical field of view, degrees."""

DEFAULTS = """
    <default class="look"><geom contype="0" conaffinity="0" group="1" mass="0"/></default>
    <default class="hand"><geom contype="2" conaffinity="1" group="1" mass="0"/></default>
    <default class="pad"><geom contype="2" conaffinity="1" group="1" mass="0" condim="4"
      friction="1.2 0.01 0.001" solref="0.004 1" solimp="0.95 0.99 0.001"/></default>"""
ASSETS = """
    <material name="arm_light" rgba="0.90 0.90 0.92 1" specular="0.3" shininess="0.4"/>
    <material name="arm_dark" rgba="0.17 0.18 0.20 1" specular="0.3" shininess="0.4"/>
    <material name="arm_trim" rgba="0.95 0.45 0.10 1" specular="0.3" shininess="0.4"/>
    <material name="camera_body" rgba="0.08 0.08 0.09 1"/>
    <material name="finger" rgba="0.10 0.55 0.60 1"/>"""


@dataclass(frozen=True)
class Link:
    """Centre of mass (m), principal inertia (kg m^2) and looks of a link: plausible, not the vendor's CAD."""

    centre: str
    inertia: str
    looks: str


# The joints 2 to 4 are published 31 mm beside the arm's plane of symmetry (y = 0 in base_link).
LINKS: tuple[Link, ...] = (
    Link(
        "0 0.01 0.03",
        "0.0012 0.0010 0.0010",
        cylinder("0 0 -0.012", "0 0 0.014", 0.043, LIGHT)
        + box("0 0 0.022", "0.030 0.033 0.024", LIGHT)
        + cylinder("0 -0.044 0.04925", "0 0.044 0.04925", 0.037, DARK)
        + cylinder("0 -0.047 0.04925", "0 0.047 0.04925", 0.024, TRIM),
    ),
    Link(
        "-0.15 -0.031 0",
        "0.0010 0.0100 0.0100",
        cylinder("0 -0.061 0", "0 0 0", 0.041, LIGHT)
        + capsule("-0.02 -0.031 0", "-0.28 -0.031 0", 0.029, LIGHT)
        + cylinder("-0.3 -0.068 0", "-0.3 0.006 0", 0.033, DARK)
        + cylinder("-0.3 -0.071 0", "-0.3 0.009 0", 0.022, TRIM),
    ),
    Link(
        "0.09 -0.031 0.035",
        "0.0006 0.0030 0.0030",
        capsule("0 -0.031 0", "0.045 -0.031 0.060", 0.026, LIGHT)
        + capsule("0.045 -0.031 0.060", "0.165 -0.031 0.0755", 0.025, LIGHT)
        + cylinder("0.1747 -0.060 0.0755", "0.1747 -0.003 0.0755", 0.028, DARK),
    ),
    Link(
        "0.04 -0.031 0.01",
        "0.0004 0.0006 0.0006",
        capsule("0.01 -0.0315 0", "0.07 -0.0315 0", 0.022, LIGHT)
        + cylinder("0.08 -0.0315 -0.026", "0.08 -0.0315 0.026", 0.025, DARK),
    ),
    Link(
        "0.01 0 -0.0405",
        "0.0001 0.0001 0.0001",
        capsule("0.005 0 -0.0405", "0.03 0 -0.0405", 0.021, LIGHT),
    ),
    Link(
        "0.03 0 0",
        "0.0001 0.0001 0.0001",
        cylinder("0.014 0 0", "0.024 0 0", 0.025, TRIM) + cylinder("0.024 0 0", "0.042 0 0", 0.028, LIGHT),
    ),
)


def _finger(index: int) -> str:
    """A finger: a box with a round tip. Boxes, because hulls of meshes squeeze objects out of the grasp."""
    side = 1.0 if index == 0 else -1.0
    joint = FINGER_JOINT_NAMES[index]
    low, high = (0.0, FINGER_STROKE) if index == 0 else (-FINGER_STROKE, 0.0)
    length = FINGERTIP - TIP_RADIUS - FINGER_ORIGINS[index][0]
    inner = -side * 0.0078  # the pads meet at y = 0 when the joint is at 0
    pad = box(
        (length / 2, inner, 0), (length / 2, TIP_RADIUS, TIP_RADIUS), "finger", "pad", name=f"pad{index + 1}"
    )
    tip = ball((length, inner, 0), TIP_RADIUS, "finger", "pad", name=f"tip{index + 1}")
    return f"""
        <body name="gripper_finger_link{index + 1}" pos="{text(FINGER_ORIGINS[index])}" gravcomp="1">
          <inertial pos="0.02 0 0" mass="{FINGER_MASS}" diaginertia="1e-5 1e-5 1e-5"/>
          <joint name="{joint}" type="slide" axis="0 1 0" range="{low} {high}" damping="10" armature="0.2"/>
          {box("0.004 0 0", "0.008 0.0125 0.012", DARK)}{pad}{tip}
        </body>"""


def _gripper(held: str) -> str:
    """MJCF of gripper_link: the hand, its camera, the two fingers, and the part that they hold for good.

    The camera sits on its bracket and looks down past the fingertips.
    """
    return f"""
      <body name="gripper_link" pos="{text(GRIPPER_ORIGIN)}" gravcomp="1">
        <inertial pos="-0.01 0 0" mass="{GRIPPER_MASS}" diaginertia="0.0006 0.0005 0.0005"/>
        {cylinder("-0.042 0 0", "-0.022 0 0", 0.030, DARK)}
        {box("0.004 0 0", "0.028 0.036 0.024", LIGHT, "hand", name="hand")}
        {box("0.032 0 0", "0.004 0.068 0.014", DARK)}
        {box("-0.062 0 0.085", "0.010 0.030 0.011", "camera_body")}
        {box("-0.050 0 0.050", "0.004 0.010 0.030", DARK)}
        <camera name="wrist" pos="{text(WRIST_POSITION)}" xyaxes="{WRIST_AXES}" fovy="{WRIST_FOVY:g}"/>
        {_finger(0)}{_finger(1)}{held}
      </body>"""


def arm_mjcf(
    stiffness: tuple[float, ...] = (1000, 1000, 800, 400, 250, 150), held: str = ""
) -> tuple[str, str]:
    """MJCF of the arm: the body (base_link at the world origin), and its actuators, ties and exclusions.

    Joints are position servos with gravity compensation; ``stiffness`` is their gain in N m/rad. The finger
    command is the opening of one finger in m (0 .. FINGER_STROKE); the other one is tied to it. ``held`` is
    MJCF put into gripper_link.
    """
    looks = (
        box("-0.02 0 0.006", "0.085 0.070 0.006", DARK)
        + cylinder("0 0 0.006", "0 0 0.074", 0.050, LIGHT)
        + cylinder("0 0 0.066", "0 0 0.075", 0.0505, TRIM)
    )
    body = f"""
    <body name="base_link" gravcomp="1">
      <inertial pos="0 0 0.04" mass="{BASE_MASS}" diaginertia="0.001 0.001 0.001"/>
      {looks}"""
    actuators = ""
    for joint, link, gain in zip(ARM_JOINTS, LINKS, stiffness, strict=True):
        body += f"""
      <body name="{joint.name.replace("joint", "link")}" pos="{text(joint.origin)}" gravcomp="1">
        <inertial pos="{link.centre}" mass="{joint.mass}" diaginertia="{link.inertia}"/>
        <joint name="{joint.name}" axis="{text(joint.axis)}" range="{joint.low} {joint.high}"
               armature="0.05" damping="1"/>
        {link.looks}"""
        actuators += (
            f'<position name="{joint.name}" joint="{joint.name}" kp="{gain}" dampratio="1" '
            f'forcerange="{-joint.effort} {joint.effort}"/>\n    '
        )
    body += _gripper(held) + "</body>" * (len(ARM_JOINTS) + 1)
    first, second = FINGER_JOINT_NAMES
    rest = f"""
  <actuator>
    {actuators}<position name="gripper" joint="{first}" kp="2000" kv="60" forcerange="-40 40"/>
  </actuator>
  <equality>
    <joint joint1="{second}" joint2="{first}" polycoef="0 -1 0 0 0" solref="0.004 1"
           solimp="0.95 0.99 0.001"/>
  </equality>
  <contact>
    <exclude body1="gripper_finger_link1" body2="gripper_finger_link2"/>
  </contact>"""
    return body, rest
