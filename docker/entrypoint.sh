#!/bin/bash
# Sources ROS 2 and the workspace, then runs the command in /, where runs/ is the volume.
set -e
source /opt/ros/jazzy/setup.bash
source /workspace/install/setup.bash
export PATH=/opt/worldsample/bin:$PATH
cd /
exec "$@"
