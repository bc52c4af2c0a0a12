"""Makes a checkout of WorldSample ready to run: environment, Python packages, ROS workspace, graphics.

Standard library only: this code runs before anything is installed.
"""
