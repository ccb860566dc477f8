#!/bin/sh
# Logs in as heatpump-health and publishes to its one topic; fails if the broker does not acknowledge.
# The password comes from the variable or the file of secrets HEATPUMP_MQTT_HEALTH_PASSWORD, and goes to
# mosquitto_pub by a file: arguments can be read by every process.
set -eu

password=${HEATPUMP_MQTT_HEALTH_PASSWORD:-}
[ -n "$password" ] || password=$(cat "${HEATPUMP_SECRETS:-/run/secrets}/HEATPUMP_MQTT_HEALTH_PASSWORD")
work=$(mktemp -d "${TMPDIR:-/tmp}/health.XXXXXX")
trap 'rm -rf "$work"' EXIT
printf -- '-u heatpump-health\n-P %s\n' "$password" >"$work/mosquitto_pub"
XDG_CONFIG_HOME=$work mosquitto_pub -h 127.0.0.1 -p "${1:-1883}" -q 1 -t heatpump-health -n
