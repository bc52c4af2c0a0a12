"""The shared words of WorldSample. Free of ROS, but for what speaks its messages:
:mod:`worldsample_core.messages`, :mod:`worldsample_core.node` and the bags of
:mod:`worldsample_core.episodes`."""
