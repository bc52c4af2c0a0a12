"""The shared words of WorldSample. Free of ROS, but for what speaks its messages:
:mod:`worldsample_core.messages.conversions`, :mod:`worldsample_core.messages.qos`, :mod:`worldsample_core.episodes.episode_bag` and
:mod:`worldsample_core.episodes.episode_store`."""
