#!/bin/bash
# Sources ROS 2 and the workspace, then runs the command in /, where runs/ is the volume.
set -e
if [ -f /opt/ros/jazzy/setup.bash ]; then
    source /opt/ros/jazzy/setup.bash
    source /workspace/install/setup.bash
    export PATH=/opt/worldsample/bin:$PATH
    WORLDSAMPLE_LOCK=$(cat /workspace/lock/*.txt | sha256sum | cut -c 1-16)
    export WORLDSAMPLE_LOCK
else # a root made by debootstrap.sh: ROS 2 as wheels
    source <(/workspace/worldsample env)
    export PATH=/workspace:$PATH
fi
cd /
exec "$@"
