# shellcheck shell=bash
# ./setup.sh --rotate: new secrets while it runs. A new one is known everywhere before the old one ends, or what uses
# it is started anew; meanwhile the broker keeps what devices send (QoS 1). Sourced by setup.sh.

ROTATIONS="mqtt influxdb influxdb-operator command metrics api session tls"
ON_REQUEST="mqtt-password"

rotate() {
    local what=$1 each
    case " all $ROTATIONS $ON_REQUEST " in *" $what "*) ;; *)
        refuse "--rotate $what: it is one of all $ROTATIONS $ON_REQUEST" ;;
    esac
    if [[ "$what" == all ]]; then what=$ROTATIONS; fi
    for each in $what; do
        case $each in influxdb*) has_influxdb || continue ;; esac
        "rotate_${each//-/_}"
        say "rotated: $each"
    done
    for each in $(containers); do wait_for "$each"; done
}

# Replaces the content, not the file: containers that run see it, and read it when they start again. All of standard
# input is there before anything is written, so that no failure leaves an empty secret.
replace_secret() {
    # shellcheck disable=SC2016  # the inner shell expands
    as_root 'new=$(cat) && [ -n "$new" ] && printf "%s\n" "$new" >"$1"' sh "$secrets/$1"
}

renew() {
    local name
    for name in "$@"; do generated | replace_secret "$name"; done
}

restart() { compose restart --no-deps "$@" >/dev/null; }

rotate_mqtt() {
    renew HEATPUMP_MQTT_FLOW_PASSWORD HEATPUMP_MQTT_API_PASSWORD HEATPUMP_MQTT_HEALTH_PASSWORD
    make_accounts
    restart flow backend
}

rotate_influxdb() {
    local token
    token=$(tools operator influxdb token) && [[ -n "$token" ]] || fail "InfluxDB gave no token"
    replace_secret INFLUXDB_TOKEN <<<"$token"
    restart flow backend backup
    wait_for heatpump-flow
    tools operator influxdb token --revoke >/dev/null
}

# The operator's token and the password of InfluxDB's own pages. The token of before is kept until it is revoked: it may
# be a published default, and nobody else could name it.
rotate_influxdb_operator() {
    local new
    new=$(tools operator influxdb token --operator) && [[ -n "$new" ]] || fail "InfluxDB gave no token"
    revoke_operator_of_before || warn "InfluxDB knows the operator's token of a rotation that was broken off no more"
    secret INFLUXDB_ADMIN_TOKEN | put_secret "$OPERATOR_OF_BEFORE"
    replace_secret INFLUXDB_ADMIN_TOKEN <<<"$new"
    renew INFLUXDB_PASSWORD
    forget INFLUXDB_TOKEN INFLUXDB_PASSWORD
    configure_influx
    tools operator influxdb password >/dev/null
    revoke_operator_of_before || fail "InfluxDB still takes the operator's token of before: --rotate influxdb-operator again"
}

revoke_operator_of_before() {
    local old
    [[ -s "$secrets/$OPERATOR_OF_BEFORE" ]] || return 0
    old=$(secret "$OPERATOR_OF_BEFORE")
    [[ "$old" == "$(secret INFLUXDB_ADMIN_TOKEN)" ]] || tools operator influxdb revoke <<<"$old" >/dev/null || return 1
    rm -f "$secrets/$OPERATOR_OF_BEFORE"
}

rotate_command() {
    renew HEATPUMP_COMMAND_TOKEN
    restart flow backend backup
}

rotate_metrics() {
    renew HEATPUMP_METRICS_TOKEN
    restart flow backend
}

rotate_api() {
    renew HEATPUMP_API_TOKEN
    restart backend
}

rotate_session() {
    renew HEATPUMP_SESSION_KEY
    restart backend
    say "everybody has to log in again"
}

rotate_tls() {
    if [[ -e "$tls/nginx/ca.crt" ]]; then
        make_server_certificate
    else
        say "the certificate is yours: ./setup.sh --tls-cert FILE --tls-key FILE takes a new one"
    fi
}

# The account that devices share: each of them has to be told.
rotate_mqtt_password() {
    renew MQTT_PASSWORD
    forget MQTT_PASSWORD
    make_accounts
    warn "devices with the old password cannot connect any more; the new one is in $secrets/MQTT_PASSWORD"
}

# What .env gave is no longer so.
forget() {
    local name
    for name in "$@"; do
        [[ -z "$(env_value "$name")" ]] || {
            set_env "$name" ""
            say "$name in .env is empty now: it is kept in $secrets"
        }
    done
}
