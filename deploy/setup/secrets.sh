# shellcheck shell=bash
# data/secrets: one file a secret, named after its variable, mode 600, of the user that reads it in its container.
# Sourced by setup.sh.

# HEATPUMP_MQTT_CLIENT_ID is never rotated: the broker keeps what waits for the flow under it, and who knew it could
# throw the flow off and discard that.
OURS=10001 MOSQUITTO=1883 NGINX=101
secrets=data/secrets
SECRETS="MQTT_PASSWORD HEATPUMP_MQTT_FLOW_PASSWORD HEATPUMP_MQTT_API_PASSWORD HEATPUMP_MQTT_HEALTH_PASSWORD
    HEATPUMP_MQTT_CLIENT_ID HEATPUMP_COMMAND_TOKEN HEATPUMP_METRICS_TOKEN HEATPUMP_API_TOKEN HEATPUMP_SESSION_KEY"
INFLUXDB_SECRETS="INFLUXDB_PASSWORD INFLUXDB_ADMIN_TOKEN"
OPERATOR_OF_BEFORE=INFLUXDB_ADMIN_TOKEN.old  # while it is rotated
# By mosquitto, which is in our group, and by ours.
READ_BY_GROUP=HEATPUMP_MQTT_HEALTH_PASSWORD

# Runs a shell script as root in a container that sees data/ at its own path and nothing else: files change their
# owner, which only root may, also where we are a member of the group docker or Docker is rootless.
as_root() {
    docker run --rm -i --network none --user 0:0 --read-only --security-opt no-new-privileges \
        --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER \
        --volume "$root/data:$root/data" --workdir "$root" --entrypoint /bin/sh "$image" -euc "$@"
}

generated() { openssl rand -base64 48 | tr -d '+/=\n' | cut -c 1-43; }

# Prints a secret, also one that we may not read ourselves.
secret() {
    cat "$secrets/$1" 2>/dev/null || as_root 'cat "$1"' sh "$secrets/$1"
}

# Writes a secret from standard input: a new file, so that nobody reads half of it.
put_secret() {
    (umask 077 && cat >"$secrets/.$1.new")
    if [[ "$1" == "$READ_BY_GROUP" ]]; then chmod 640 "$secrets/.$1.new"; fi
    mv -f "$secrets/.$1.new" "$secrets/$1"
}

wanted_secrets() {
    echo "$SECRETS"
    if has_influxdb; then echo "$INFLUXDB_SECRETS"; fi
}

# The name in .env of a secret that can be given there; nothing for the others.
given_as() {
    case $1 in
        INFLUXDB_ADMIN_TOKEN) echo INFLUXDB_TOKEN ;;
        INFLUXDB_PASSWORD | MQTT_PASSWORD) echo "$1" ;;
    esac
}

# Makes what is missing; takes over what .env gives, also when it was changed there.
make_secrets() {
    local name given made=()
    (umask 077 && mkdir -p data "$secrets" data/tls)
    chmod 700 "$secrets" data/tls
    for name in $(wanted_secrets); do
        given=$(given_as "$name")
        [[ -z "$given" ]] || given=$(env_value "$given")
        if [[ -n "$given" ]]; then
            [[ -s "$secrets/$name" && "$(secret "$name")" == "$given" ]] && continue
            put_secret "$name" <<<"$given"
        elif [[ ! -s "$secrets/$name" ]]; then
            generated | put_secret "$name"
        else
            continue
        fi
        made+=("$name")
    done
    ((${#made[@]} == 0)) || say "made in $secrets: ${made[*]}"
    own_files
}

# Gives each file to the user of its container, where it is another's; a certificate and key that wait as FILE.new become
# FILE then, not one without the other, as a run that was broken off may have left it.
own_files() {
    # shellcheck disable=SC2016  # the inner shell expands
    as_root '
        give() {
            [ ! -e "$2" ] || [ "$(stat -c %u:%g "$2")" = "$1:$1" ] || chown "$1:$1" "$2"
        }
        give_all() {
            for file in server.key server.crt ca.crt; do
                give "$1" "$2/$file"
                give "$1" "$2/$file.new"
            done
            [ -e "$2/server.key.new" ] && [ -e "$2/server.crt.new" ] || return 0
            for file in server.key server.crt ca.crt; do
                [ ! -e "$2/$file.new" ] || mv -f "$2/$file.new" "$2/$file"
            done
        }
        for file in data/secrets/[A-Z]*; do give "$1" "$file"; done
        give_all "$2" data/tls/mosquitto
        give_all "$3" data/tls/nginx
    ' sh "$OURS" "$MOSQUITTO" "$NGINX"
}
