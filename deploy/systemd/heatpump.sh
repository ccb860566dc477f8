#!/bin/sh
# heatpump COMMAND: a tool of Heat Pump Monitor as the user of the data, with the services' settings and secrets.
# install.sh puts it into /usr/local/sbin; run it as root.
# shellcheck disable=SC2016  # the shell within knows where the credentials are
exec systemd-run --quiet --pipe --pty --wait --collect --uid=heatpump --gid=heatpump \
    --property=UMask=0077 --property=EnvironmentFile=-/etc/heat-pump/heat-pump.env \
    --property=LoadCredential=INFLUXDB_TOKEN:/etc/heat-pump/secrets/INFLUXDB_TOKEN \
    --property=LoadCredential=HEATPUMP_API_TOKEN:/etc/heat-pump/secrets/HEATPUMP_API_TOKEN \
    --property=LoadCredential=MQTT_PASSWORD:/etc/heat-pump/secrets/HEATPUMP_MQTT_FLOW_PASSWORD \
    --setenv=MQTT_USER=heatpump-flow --setenv=HEATPUMP_DATA=/var/lib/heat-pump \
    --setenv=HEATPUMP_MQTT_ACCOUNTS=/var/lib/heat-pump-mqtt/accounts \
    --setenv=HEATPUMP_MQTT_LOG=/var/lib/heat-pump-mqtt/log/mosquitto.log \
    /bin/sh -c 'HEATPUMP_SECRETS=$CREDENTIALS_DIRECTORY exec /opt/heat-pump/bin/heatpump "$@"' heatpump "$@"
