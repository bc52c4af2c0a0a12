#!/usr/bin/env bash
# benchmarks/gpu.sh OUT [WHEELS...]: measures the GPU path on a machine that need not have a network.
#
# OUT:    folder for the results: learner.json, worldmodel.json, graph.json, and the logs.
# WHEELS: folders of wheels (ROS, mujoco, rosbags, ...), installed without an index; none: only what needs
#         torch and numpy is measured (learner and world model).
# Needs:  python3 with torch, numpy, PyYAML, pillow and safetensors; for the graph also cmake, a C++ compiler
#         and an EGL driver. PARTS="learner worldmodel graph" (the default) chooses what is measured.
#         STEPS (default 600) real steps of the graph, TASK (default pushing), MACHINE (default gpu), DEVICE (default
#         cuda), SECONDS_EACH (default 10) of each figure, LIMIT (default 200) seconds of each part.
set -uo pipefail
out=${1:?usage: benchmarks/gpu.sh OUT [WHEELS...]}
shift
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
parts=" ${PARTS:-learner worldmodel graph} "
sources=$(printf '%s:' "$root"/src/*/)
work=${TMPDIR:-/tmp}/worldsample-gpu
python=python3
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$out/gpu.txt" 2>&1 || true

if [ $# -gt 0 ] && [ ! -e "$work/ready" ]; then
  python3 -m venv --without-pip "$work/venv"
  python=$work/venv/bin/python
  site=$("$python" -c 'import site; print(site.getsitepackages()[0])')
  python3 -c 'import site; print(site.getsitepackages()[0])' >"$site/base.pth"   # torch and what came with it
  wheels=()
  for folder in "$@"; do wheels+=("$folder"/*.whl); done
  python3 -m pip --python "$python" install -q --no-index --no-deps --no-compile "${wheels[@]}" >"$out/install.log" 2>&1 ||
    tail -n 3 "$out/install.log"
  # The wheels' CMake files carry paths of the machine that built them.
  PYTHONPATH=$root "$python" - "$work/venv" <<'PYTHON'
import sys, sysconfig
from pathlib import Path

import numpy
from worldsample_setup.ros_wheels import repair_cmake_files

repair_cmake_files(Path(sys.argv[1], "share"), sysconfig.get_paths()["include"], numpy.get_include())
PYTHON
  touch "$work/ready"
fi
if [ $# -gt 0 ]; then
  python=$work/venv/bin/python
  site=$("$python" -c 'import site; print(site.getsitepackages()[0])')
  export AMENT_PREFIX_PATH=$work/venv CMAKE_PREFIX_PATH=$work/venv _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
  export LD_LIBRARY_PATH=$work/venv/lib:$(printf '%s:' "$site"/ros_*.libs)${LD_LIBRARY_PATH:-}
  export RMW_IMPLEMENTATION=rmw_fastrtps_cpp ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST MUJOCO_GL=${MUJOCO_GL:-egl}
  export PATH=$work/venv/bin:$PATH
  if [[ $parts == *" graph "* ]] && [ ! -e "$work/messages/built" ]; then
    mkdir -p "$work/messages"
    PYTHONPATH= cmake -S "$root/src/worldsample_msgs" -B "$work/messages/build" -DBUILD_TESTING=OFF \
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$work/messages/install" \
      -DPython3_EXECUTABLE="$python" >"$out/build.log" 2>&1 &&
      PYTHONPATH= cmake --build "$work/messages/build" -j "$(nproc)" --target install >>"$out/build.log" 2>&1 &&
      touch "$work/messages/built" || tail -n 15 "$out/build.log"
  fi
  export LD_LIBRARY_PATH=$work/messages/install/lib:$LD_LIBRARY_PATH
  export AMENT_PREFIX_PATH=$work/messages/install:$AMENT_PREFIX_PATH
  messages=$(echo "$work"/messages/install/lib/python3*/site-packages)
fi
export PYTHONPATH=$sources${messages:-}

measure() { # NAME SCRIPT [OPTIONS...]
  local name=$1
  shift
  [[ $parts == *" $name "* ]] || return 0
  echo "== $name"
  timeout "${LIMIT:-200}" "$python" "$@" >"$out/$name.json" 2>"$out/$name.log" || tail -n 15 "$out/$name.log"
  cat "$out/$name.json"
}

measure learner "$root/benchmarks/gpu_learner.py" --device "${DEVICE:-cuda}" --seconds "${SECONDS_EACH:-10}"
measure worldmodel "$root/benchmarks/gpu_worldmodel.py" --device "${DEVICE:-cuda}" --seconds "${SECONDS_EACH:-10}"
measure graph "$root/benchmarks/gpu_graph.py" --steps "${STEPS:-600}" --task "${TASK:-pushing}" \
  --machine "${MACHINE:-gpu}" --out "$out"
