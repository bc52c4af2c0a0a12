#!/bin/bash
# The steps of robot.Dockerfile and workstation.Dockerfile in a Debian 12 root file system made with debootstrap, for
# machines without docker. As root:
#   docker/debootstrap.sh robot /srv/robot                    # makes the root, or brings it up to this checkout
#   docker/debootstrap.sh robot /srv/robot COMMAND...         # the same, then the command as in `docker run`
#   docker/debootstrap.sh robot /srv/robot worldsample train --real --name first ...
#   docker/debootstrap.sh robot /srv/robot python /health.py robot
#
# What differs from the images: Debian has no packages of ROS 2, so ROS comes as wheels (requirements-ros.txt) and
# `worldsample` takes the place of `ros2 launch`; realsense2_camera, joy and spacenav are not among the wheels: start
# them elsewhere (driver.cameras.source=external), or use teleop.device=keyboard. SROS 2 needs a ROS 2 with its
# security plugins: docker only.
#
# The command sees the host's network, /dev and shared memory, as in compose.yaml; the root's /runs is written by the
# user `worldsample`, who has no privileges. Variables: ROS_* and WORLDSAMPLE_* reach the command; MIRROR is the
# Debian mirror; BIND=/a:/b are folders of this machine that the root sees at the same path (say, of wheels).
set -euo pipefail
part=${1:?usage: docker/debootstrap.sh robot|workstation ROOT [COMMAND...]}
root=${2:?usage: docker/debootstrap.sh robot|workstation ROOT [COMMAND...]}
shift 2
here=$(cd "$(dirname "$0")/.." && pwd)
dockerfile=$here/docker/$part.Dockerfile
[ -f "$dockerfile" ] || { echo "there is no $dockerfile: the part is robot or workstation" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "debootstrap and chroot need root: sudo $0 $part $root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: sudo apt install debootstrap" >&2; exit 2; }
mkdir -p "$root"
root=$(cd "$root" && pwd)

# RUN apt-get install: of the Dockerfile's packages those that Debian has, and what ros:jazzy-ros-base brings.
packages=$(sed -n '/apt-get install/,/rm -rf/p' "$dockerfile" | grep -oE '^ +[a-z0-9.+-]+ \\$' | tr -d ' \\' |
    grep -vE '^(ros-jazzy-|python3-colcon)')
if [ ! -x "$root/usr/bin/g++" ]; then
    debootstrap --variant=minbase \
        --include="$(echo $packages python3 python3-dev ca-certificates | tr ' ' ,)" \
        bookworm "$root" ${MIRROR:+"$MIRROR"}
fi

# RUN useradd: the same user and groups.
user=$(sed -n 's/.*\(useradd .*worldsample\).*/\1/p' "$dockerfile")
for group in $(echo "$user" | grep -oE 'groups [a-z,]+' | cut -d' ' -f2 | tr , ' '); do
    chroot "$root" groupadd --force --system "$group"
done
chroot "$root" id worldsample >/dev/null 2>&1 || chroot "$root" $user
mkdir -p "$root/runs" "$root/keystore" "$root/workspace"
chroot "$root" chown worldsample /runs /keystore

# COPY: the checkout as git has it, without what is built.
for file in worldsample worldsample_setup lock requirements.txt requirements-ros.txt requirements-setup.txt requirements-test.txt requirements-optional.txt src; do
    rm -rf "${root:?}/workspace/$file.new"
    mkdir -p "$root/workspace/$file.new"
    tar -C "$here" --exclude=__pycache__ --exclude='*.egg-info' -cf - "$file" | tar -C "$root/workspace/$file.new" -xf -
    rm -rf "${root:?}/workspace/$file"
    mv "$root/workspace/$file.new/$file" "$root/workspace/$file"
    rmdir "$root/workspace/$file.new"
done
cp "$here/docker/entrypoint.sh" "$here/docker/health.py" "$root/"

# The mounts live in a namespace of their own and go with the command.
inside() { # USER COMMAND...
    local who=$1 home=/home/worldsample
    shift
    [ "$who" = worldsample ] || home=/root
    # shellcheck disable=SC2046
    env -i HOME="$home" LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        $(env | grep -E '^(ROS_|WORLDSAMPLE_|PIP_|UV_|https?_proxy=|HTTPS?_PROXY=|no_proxy=|CYCLONE|FASTRTPS)' | grep -v ' ') \
        unshare --mount --propagation private bash -c '
            set -eu
            root=$1 who=$2 binds=$3
            shift 3
            for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
            cp -L /etc/resolv.conf "$root/etc/resolv.conf"
            cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
            for folder in /etc/xdg/pip ${binds//:/ }; do
                [ -e "$folder" ] || continue
                mkdir -p "$root$folder"
                mount --rbind "$folder" "$root$folder"
            done
            exec chroot --userspec="$who" "$root" "$@"' bash "$root" "$who" "${BIND:-}" "$@"
}

# RUN pip install, RUN colcon build: ./worldsample does both with the wheels, and nothing where nothing has changed.
gl=${WORLDSAMPLE_GL:-skip} # neither part renders
WORLDSAMPLE_GL=$gl inside root /workspace/worldsample setup
# The user's own processes find everything done; they write to /runs and to their home only.
if [ $# -gt 0 ]; then
    WORLDSAMPLE_GL=$gl WORLDSAMPLE_PART=${WORLDSAMPLE_PART-$part} inside worldsample /entrypoint.sh "$@"
fi
