"""The MJCF of one cell: table, lights, side camera, the arm, and a task's own objects."""

from __future__ import annotations

import mujoco

from a1x_sim.arm_model import ASSETS, DEFAULTS, arm_mjcf
from a1x_sim.tasks.base import Task

TIMESTEP = 0.002  # s


def build_model(task: Task, timestep: float = TIMESTEP) -> mujoco.MjModel:
    """Compile the cell of ``task``; base_link is the world frame and the table top is z = 0."""
    fragment = task.scene()
    arm, actuators = arm_mjcf(held=fragment.held)
    return mujoco.MjModel.from_xml_string(f"""
<mujoco model="a1x_{task.name}">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{timestep}" integrator="implicitfast" cone="elliptic" impratio="5" noslip_iterations="2"
          iterations="20" ls_iterations="20"/>
  <visual>
    <quality offsamples="0" shadowsize="0" numslices="16" numstacks="8" numquads="2"/>
    <global offwidth="1280" offheight="960"/>
    <headlight ambient="0.38 0.38 0.38" diffuse="0.30 0.30 0.30" specular="0.05 0.05 0.05"/>
    <map znear="0.02" zfar="12"/>
  </visual>
  <default>{DEFAULTS}
    <default class="object"><geom contype="1" conaffinity="3" group="0" condim="4" friction="0.8 0.005 0.0005"
      solref="0.004 1" solimp="0.95 0.99 0.001"/></default>
  </default>
  <asset>{ASSETS}
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.62 0.68 0.74" rgb2="0.86 0.88 0.90"
             width="64" height="384"/>
    <texture name="table" type="2d" builtin="flat" mark="random" random="0.06" rgb1="0.34 0.40 0.46"
             markrgb="0.40 0.46 0.52" width="256" height="256"/>
    <material name="table" texture="table" texrepeat="3 3" specular="0.05" shininess="0.1"/>
    <material name="wall" rgba="0.80 0.81 0.80 1" specular="0"/>
    {fragment.assets}
  </asset>
  <worldbody>
    <light name="key" pos="0.6 -0.7 1.3" dir="-0.25 0.5 -1" diffuse="0.50 0.49 0.46" specular="0.25 0.25 0.25"
           castshadow="false" type="directional"/>
    <light name="fill" pos="-0.5 0.9 1.2" dir="0.6 -0.7 -1" diffuse="0.16 0.17 0.19" specular="0 0 0"
           castshadow="false" type="directional"/>
    <geom name="table" class="object" type="box" pos="0.30 0 -0.02" size="0.48 0.55 0.02" material="table"/>
    <geom class="look" type="plane" pos="0 0 -0.75" size="4 4 0.1" material="wall"/>
    <camera name="side" pos="{fragment.side_camera.pos}" xyaxes="{fragment.side_camera.xyaxes}"
            fovy="{fragment.side_camera.fovy}"/>
    {arm}
    {fragment.bodies}
  </worldbody>
  {actuators}
  {fragment.extra}
</mujoco>""")
