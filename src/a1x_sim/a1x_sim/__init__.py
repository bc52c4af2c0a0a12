"""MuJoCo cell of the Galaxea A1X: tasks, two cameras, a scripted operator, and the ROS nodes around them."""

import os

# MuJoCo picks its OpenGL back end when it is first imported; headless machines have EGL.
os.environ.setdefault("MUJOCO_GL", "egl")
