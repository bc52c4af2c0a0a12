"""Demonstrations in the formats of others, in and out: LeRobotDataset v3.0, rosbag2 recordings."""
