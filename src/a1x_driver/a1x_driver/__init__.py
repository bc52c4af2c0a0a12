"""The real Galaxea A1X: limits, watchdog, reset, operator devices; stand-ins that speak its topics.

What decides about motion is ROS-free (:mod:`a1x_driver.arm_driver` and what it uses); the nodes only convert.
"""
