"""The shared words of WorldSample. Free of ROS, but for what speaks its messages:
:mod:`worldsample_core.conversions`, :mod:`worldsample_core.qos`, :mod:`worldsample_core.episode_bag` and
:mod:`worldsample_core.episode_store`."""
