"""Masses and fingers of the simulated arm, which the real arm's kinematics do not need."""

GRIPPER_MASS = 0.604
BASE_MASS = 0.786
FINGER_MASS = 0.027
FINGER_EFFORT = 100.0  # N
FINGER_VELOCITY = 0.25  # m/s
FINGERTIP = 0.090  # m, gripper_link -> fingertips along x; our estimate
TIP_RADIUS = 0.0055  # m, rounding of the fingertips
