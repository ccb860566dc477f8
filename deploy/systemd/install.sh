#!/bin/sh
# Installs or upgrades Heat Pump Monitor on this machine: /opt/heat-pump, /etc/heat-pump, units, secrets.
# Run it as root from a copy of the repository. A second run changes nothing but the program; secrets, settings and
# data stay as they are. docs/how-to/systemd.md tells the rest.
set -eu

source=$(cd "$(dirname "$0")/../.." && pwd)
here=$source/deploy/systemd
secrets=/etc/heat-pump/secrets

say() { echo "install.sh: $*"; }
refuse() { say "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || refuse "must run as root: sudo $0"
for program in systemctl systemd-sysusers mosquitto openssl; do
    command -v "$program" >/dev/null || refuse "$program is missing: apt-get install mosquitto openssl"
done
python=$(command -v python3.11 || command -v python3.12 || true)
[ -n "$python" ] || refuse "Python 3.11 or 3.12 is missing: apt-get install python3 python3-venv"

say "the program, into /opt/heat-pump"
[ -x /opt/heat-pump/bin/python ] || "$python" -m venv /opt/heat-pump
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
pip() { /opt/heat-pump/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
# The lock holds what tests need, too; of what is fetched and checked, the last line takes what the program needs.
pip download --no-deps --only-binary :all: --require-hashes -r "$source/requirements.lock" -d "$wheels"
pip install --no-index --find-links "$wheels" 'setuptools>=75'
pip wheel --no-deps --no-build-isolation -w "$wheels" "$source"
pip install --no-index --find-links "$wheels" --upgrade --force-reinstall --no-deps heat-pump-monitor
pip install --no-index --find-links "$wheels" heat-pump-monitor
install -d /opt/heat-pump/mosquitto
install -m 755 "$source"/deploy/mosquitto/*.sh /opt/heat-pump/mosquitto/
install -m 644 "$source/deploy/mosquitto/mosquitto.conf" /opt/heat-pump/mosquitto/

say "users, settings, secrets"
systemd-sysusers "$here/sysusers.conf"
install -d -m 755 /etc/heat-pump
install -d -m 700 "$secrets"
[ -e /etc/heat-pump/heat-pump.env ] || install -m 644 "$here/heat-pump.env" /etc/heat-pump/
umask 077
for name in HEATPUMP_MQTT_FLOW_PASSWORD HEATPUMP_MQTT_API_PASSWORD HEATPUMP_MQTT_HEALTH_PASSWORD \
    HEATPUMP_MQTT_CLIENT_ID HEATPUMP_METRICS_TOKEN; do
    [ -e "$secrets/$name" ] || openssl rand -hex 24 >"$secrets/$name"
done
# Nobody's until you write one: the shared account of older devices, the API's fixed token, InfluxDB's.
for name in MQTT_PASSWORD HEATPUMP_API_TOKEN INFLUXDB_TOKEN; do
    [ -e "$secrets/$name" ] || : >"$secrets/$name"
done
umask 022
install -d -m 700 -o heatpump -g heatpump /var/backups/heat-pump

install -m 755 "$here/heatpump.sh" /usr/local/sbin/heatpump

say "units"
for unit in "$here"/*.service "$here"/*.timer "$here"/*.target; do
    install -m 644 "$unit" /etc/systemd/system/
done
systemctl daemon-reload
# Debian's own broker has our port.
systemctl disable --now mosquitto.service 2>/dev/null || true
systemctl enable heat-pump.target heat-pump-mqtt.service heat-pump-flow.service heat-pump-api.service \
    heat-pump-panel.service heat-pump-backup.timer
say "done; start it with: systemctl restart heat-pump.target heat-pump-backup.timer"
