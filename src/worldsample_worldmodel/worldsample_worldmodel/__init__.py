"""The world model of WorldSample: dual-view video, counterfactual segments and their labels.

Only the node uses ROS.
"""
