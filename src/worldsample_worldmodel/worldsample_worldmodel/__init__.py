"""What WorldSample imagines: a dual-view video world model, counterfactual segments and their labels. Free of
ROS."""
