#!/bin/bash
# Keys for SROS 2: who has none of them can neither listen nor command. Run once, on one machine:
#   docker/keystore.sh ./keystore
# then copy the folder to the other machine by hand (scp), and start with WORLDSAMPLE_SECURITY=true.
set -euo pipefail
keystore=${1:?usage: docker/keystore.sh FOLDER}
if [ -e "$keystore/private" ]; then
    echo "$keystore has keys already; remove it to make new ones" >&2
    exit 1
fi
umask 077
ros2 security create_keystore "$keystore"
for enclave in /worldsample/robot /worldsample/workstation; do
    ros2 security create_enclave "$keystore" "$enclave"
done
echo "Keys in $keystore. The private folder is needed on no robot: keep it off them."
