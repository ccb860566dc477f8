# shellcheck shell=bash
# Builds, makes accounts, starts, waits. Sourced by setup.sh.

CONTAINERS="heatpump-mqtt heatpump-influxdb heatpump-flow heatpump-backend heatpump-panel heatpump-dashboard"
PATIENCE_S=240

containers() {
    local name
    for name in $CONTAINERS; do
        [[ "$name" != heatpump-influxdb ]] || has_influxdb || continue
        echo "$name"
    done
}

tools() { compose run --rm --no-deps -T "$@"; }

build() {
    if [[ "$image" == *:local ]]; then
        compose build --quiet flow || fail "the image could not be built, see above"
    else
        docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null || fail "there is no image $image"
    fi
}

# The first container that has a volume gives it its owner: of two that share one, the one that writes it.
make_volumes() {
    tools tools user list >/dev/null
    compose create --no-build mosquitto
}

# Mosquitto's account files, from the secrets.
make_accounts() {
    local said
    said=$(tools tools accounts sync) || fail "the broker's accounts could not be made"
    case $said in *heatpump-flow:*another* | *heatpump-api:*another*) new_passwords=yes ;; esac
    [[ "$said" == "nothing to change" ]] || while read -r line; do say "accounts: $line"; done <<<"$said"
}

# InfluxDB: set up, its buckets, and a token of ours that may do no more than read and write them.
make_influxdb_ready() {
    has_influxdb || return 0
    # A token without the server that gave it, on another machine or after `down -v`, is nobody's.
    [[ -s "$secrets/INFLUXDB_TOKEN" ]] && docker volume inspect heatpump_influxdb_data >/dev/null 2>&1 && return
    # Until it has an owner, whoever comes first is it: so first on this machine alone.
    HEATPUMP_BIND_LOCAL=127.0.0.1 compose up -d --no-build influxdb
    wait_for heatpump-influxdb
    say "$(tools operator influxdb prepare)"
    new_influxdb_token
    configure_influx
}

new_influxdb_token() {
    local token
    token=$(tools operator influxdb token) && [[ -n "$token" ]] || fail "InfluxDB gave no token"
    put_secret INFLUXDB_TOKEN <<<"$token"
    own_files
}

# `docker exec heatpump-influxdb influx …` finds server, organisation and token in its configuration.
configure_influx() {
    # shellcheck disable=SC2016  # the inner shell expands
    printf '[default]\n  url = "http://localhost:8086"\n  token = "%s"\n  org = "%s"\n  active = true\n' \
        "$(secret INFLUXDB_ADMIN_TOKEN)" "$(env_value INFLUXDB_ORG)" |
        compose exec -T influxdb sh -c 'umask 077; cat >"${INFLUX_CONFIGS_PATH:-/etc/influxdb2/influx-configs}"'
}

# The first user of the pages; the password is shown once, also where the start then fails, and kept nowhere.
make_user() {
    local password
    tools tools user list --json 2>/dev/null | grep -q '"name"' && return
    password=$(generated | cut -c 1-20)
    tools tools user add admin --scope admin --password-stdin <<<"$password" >/dev/null || fail "the first user could not be made"
    first_password=$password
    trap tell_first_password EXIT
}

tell_first_password() { say "log in as         admin, password $first_password    (shown this once)"; }

# Waits until a container is healthy; says what it said last where it does not become so.
wait_for() {
    local state='' since=$SECONDS
    while ((SECONDS - since < PATIENCE_S)); do
        state=$(docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$1" 2>/dev/null || true)
        [[ "$state" == healthy ]] && return
        sleep 1
    done
    docker logs --tail 15 "$1" >&2 || true
    fail "$1 is ${state:-not there} after $PATIENCE_S s; its last lines are above"
}

start() {
    local name
    compose up -d --no-build --remove-orphans
    # After a rotation that was broken off: what runs has the passwords of before.
    [[ -z "${new_passwords:-}" ]] || restart flow backend
    for name in $(containers); do wait_for "$name"; done
    # Healthy is alive; this is: subscribed, and storing.
    local since=$SECONDS said
    until said=$(compose exec -T flow heatpump healthy flow --ready 2>&1); do
        ((SECONDS - since < PATIENCE_S)) || fail "the containers run, but $said"
        sleep 1
    done
}

print_urls() {
    local name public local_
    name=$(first_name)
    public=$(env_value HEATPUMP_BIND_PUBLIC)
    local_=$(env_value HEATPUMP_BIND_LOCAL)
    heading "It runs"
    say "dashboard         http://localhost$([[ "$public" == 127.* ]] || echo "    https://$name")"
    say "API               http://localhost:8000$([[ "$local_" == 127.* ]] || echo "    http://$name:8000")    documentation: /docs"
    if has_influxdb; then say "InfluxDB          http://localhost:8086    user $(env_value INFLUXDB_USER), password in $secrets/INFLUXDB_PASSWORD"; fi
    say "MQTT              localhost:1883, WebSocket localhost:9001    user $(env_value MQTT_USER), password in $secrets/MQTT_PASSWORD"
    say "MQTT with TLS     $([[ "$public" == 127.* ]] && echo localhost || echo "$name"):8883"
    if [[ -e "$tls/nginx/ca.crt" ]]; then say "our CA            $tls/ca.crt: give it to devices and browsers"; fi
    if [[ "$public" == 0.0.0.0 && "$local_" == 127.* ]]; then
        say "InfluxDB and API from elsewhere: ssh -L 8086:localhost:8086 -L 8000:localhost:8000 $name"
    fi
    say "a device of its own: docker compose exec flow heatpump device add site1"
}
