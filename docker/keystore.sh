#!/bin/bash
# Keys for SROS 2, for each node its own: who has none can neither listen nor command, and who has those of a camera can
# only be a camera. Run once, on one machine; needs openssl only:
#   docker/keystore.sh ./keystore                   # the rights in docker/permissions: those of the default settings
#   docker/keystore.sh ./keystore ./permissions     # others: ./worldsample permissions ./permissions $CELL
# then copy enclaves/worldsample/workstation, and nothing else, to the other computer, and start both with
#   KEYSTORE=$PWD/keystore docker compose ...
# The folder is laid out as by `ros2 security create_keystore` and `create_enclave`, so that those go on with it. Keys
# hold for one ROS domain (ROS_DOMAIN_ID, else 42 as in compose.yaml), and for ten years.
set -euo pipefail
keystore=${1:?usage: docker/keystore.sh FOLDER [PERMISSIONS]}
permissions=$(realpath "${2:-$(dirname "$0")/permissions}")
domain=${ROS_DOMAIN_ID:-42}
days=3650
if [ -e "$keystore/private" ] || [ -e "$keystore/public" ]; then
    echo "$keystore has keys already; remove it to make new ones" >&2
    exit 1
fi
files=("$permissions"/{robot,workstation}/*.xml)
for file in "${files[@]}"; do
    [ -f "$file" ] || { echo "$permissions has no robot/ and workstation/: ./worldsample permissions" >&2; exit 2; }
done
command -v openssl >/dev/null || { echo "openssl is missing: sudo apt install openssl" >&2; exit 2; }
umask 077
mkdir -p "$keystore"/{private,public,enclaves}
cd "$keystore"
begin=$(date -u -d yesterday +%Y-%m-%dT%H:%M:%S) # clocks may differ a little
end=$(date -u -d "+$days days" +%Y-%m-%dT%H:%M:%S)

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
sign() { # XML -> the same with a signature of the authority, S/MIME
    openssl smime -sign -text -in "$1" -out "${1%.xml}.p7s" -signer public/ca.cert.pem -inkey private/ca.key.pem
}

key private/ca.key.pem
openssl req -x509 -new -key private/ca.key.pem -sha256 -days "$days" -out public/ca.cert.pem -extensions authority \
    -config <(printf '%s\n' '[req]' 'distinguished_name=name' 'prompt=no' '[name]' 'CN=sros2CA' \
        '[authority]' 'basicConstraints=critical,CA:TRUE,pathlen:1')
for name in identity permissions; do
    ln -s ca.cert.pem "public/${name}_ca.cert.pem"
    ln -s ca.key.pem "private/${name}_ca.key.pem"
done

cat >enclaves/governance.xml <<XML
<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_governance.xsd">
  <domain_access_rules>
    <domain_rule>
      <domains><id>$domain</id></domains>
      <allow_unauthenticated_participants>false</allow_unauthenticated_participants>
      <enable_join_access_control>true</enable_join_access_control>
      <discovery_protection_kind>ENCRYPT</discovery_protection_kind>
      <liveliness_protection_kind>ENCRYPT</liveliness_protection_kind>
      <rtps_protection_kind>SIGN</rtps_protection_kind>
      <topic_access_rules>
        <topic_rule>
          <topic_expression>*</topic_expression>
          <enable_discovery_protection>true</enable_discovery_protection>
          <enable_liveliness_protection>true</enable_liveliness_protection>
          <enable_read_access_control>true</enable_read_access_control>
          <enable_write_access_control>true</enable_write_access_control>
          <metadata_protection_kind>ENCRYPT</metadata_protection_kind>
          <data_protection_kind>ENCRYPT</data_protection_kind>
        </topic_rule>
      </topic_access_rules>
    </domain_rule>
  </domain_access_rules>
</dds>
XML
sign enclaves/governance.xml

for file in "${files[@]}"; do
    enclave=/worldsample${file#"$permissions"}
    enclave=${enclave%.xml}
    folder=enclaves$enclave
    mkdir -p "$folder"
    key "$folder/key.pem"
    openssl req -new -key "$folder/key.pem" \
        -config <(printf '%s\n' '[req]' 'distinguished_name=name' 'prompt=no' '[name]' "CN=$enclave") |
        openssl x509 -req -CA public/ca.cert.pem -CAkey private/ca.key.pem -set_serial "0x$(openssl rand -hex 16)" \
            -sha256 -days "$days" -extfile <(echo 'basicConstraints=CA:FALSE') -out "$folder/cert.pem" 2>/dev/null
    # Copies, not links: an enclave is whole without the rest of the keystore.
    cp public/ca.cert.pem "$folder/identity_ca.cert.pem"
    cp public/ca.cert.pem "$folder/permissions_ca.cert.pem"
    cp enclaves/governance.p7s "$folder/governance.p7s"
    sed "s/@DOMAIN@/$domain/; s/@BEGIN@/$begin/; s/@END@/$end/" "$file" >"$folder/permissions.xml"
    sign "$folder/permissions.xml"
done

user=10001 # `worldsample` in the images
if [ "$(id -u)" = 0 ]; then
    chown -R "$user" public enclaves
    chown "$user" .
else
    echo "The containers' user must be able to read the keys: sudo chown -R $user $keystore/enclaves $keystore"
fi
echo "Keys for ROS domain $domain in $keystore. Take $keystore/private off the robots: it makes new keys."
