"""Rotation vectors and matrices: those of :mod:`worldsample_core.arm.rotation`, which the real arm uses too."""

from worldsample_core.arm.rotation import Array, matrix_to_quaternion, matrix_to_rotvec, rotvec_to_matrix

__all__ = ["Array", "matrix_to_quaternion", "matrix_to_rotvec", "rotvec_to_matrix"]
