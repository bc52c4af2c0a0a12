# The GPU workstation: learner and world model. Needs the NVIDIA container toolkit on the host.
#   docker compose -f docker/compose.yaml --profile workstation build
# The base image is named by distribution, not by digest: a build takes the security updates of Ubuntu and of Jazzy (LTS,
# stable interfaces), which a digest in this file would hold back. A build that must repeat names one, for both images:
#   export BASE=ros@$(docker buildx imagetools inspect ros:jazzy-ros-base --format '{{.Manifest.Digest}}')
ARG BASE=ros:jazzy-ros-base
FROM ${BASE}

RUN apt-get update && apt-get install -y --no-install-recommends \
        g++ \
        python3-colcon-common-extensions \
        python3-venv \
        ros-jazzy-rmw-fastrtps-cpp \
        ros-jazzy-sros2 \
        ros-jazzy-tf2-msgs \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 10001 worldsample \
    && mkdir -p /runs /keystore && chown worldsample /runs /keystore

WORKDIR /workspace
COPY lock ./lock
RUN python3 -m venv --system-site-packages /opt/worldsample \
    && /opt/worldsample/bin/pip install --no-cache-dir --no-deps --require-hashes -r lock/run.txt -r lock/torch-cuda.txt

COPY src ./src
RUN . /opt/ros/jazzy/setup.sh \
    && /opt/worldsample/bin/python -m colcon build --merge-install --cmake-args -DBUILD_TESTING=OFF \
    && rm -rf build log

COPY docker/entrypoint.sh docker/health.py /
USER worldsample
WORKDIR /home/worldsample
VOLUME ["/runs"]
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "worldsample_bringup", "train.launch.py", "sim:=false"]
