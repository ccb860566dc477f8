# shellcheck shell=bash
# ./setup.sh --check: looks, changes nothing. Sourced by setup.sh.

problems=0
good() { printf '  ok       %s\n' "$*"; }
bad() {
    printf '  %sPROBLEM%s  %s\n' "$bold" "$plain" "$*"
    problems=$((problems + 1))
}
judge() { # CONDITION… -- what is good -- what is bad
    local condition=()
    while [[ "$1" != -- ]]; do condition+=("$1") && shift; done
    if "${condition[@]}"; then good "$2"; else bad "$4"; fi
}

mode_is() { [[ "$(stat -c %a "$1" 2>/dev/null)" == "$2" ]]; }

check_settings() {
    heading "Settings"
    [[ -f .env ]] || { bad "there is no .env: run ./setup.sh" && return; }
    judge mode_is .env 600 -- ".env can be read by its owner alone" -- ".env can be read by others: chmod 600 .env"
    local name value
    for name in $GIVEN_SECRETS; do
        value=$(env_value "$name")
        if [[ -n "$value" && " $DEFAULTS " == *" $value "* ]]; then
            bad "$name is a published default: ./setup.sh --rotate $(rotation_of "$name")"
        fi
    done
    case "$(env_value HEATPUMP_BIND_PUBLIC) $(env_value HEATPUMP_BIND_LOCAL)" in
        *" 0.0.0.0") bad "MQTT without TLS (1883, 9001), API and InfluxDB are open to every network: for one that is trusted only" ;;
        "0.0.0.0 "*) good "open to every network: 80, 443 and 8883 alone" ;;
        *) good "open to this machine alone" ;;
    esac
}

check_secrets() {
    heading "Secrets"
    judge mode_is "$secrets" 700 -- "$secrets is ours alone" -- "$secrets can be entered by others: chmod 700 $secrets"
    local name wanted=600
    for name in $(wanted_secrets) $(has_influxdb && echo INFLUXDB_TOKEN); do
        wanted=600
        [[ "$name" != "$READ_BY_GROUP" ]] || wanted=640
        if [[ ! -e "$secrets/$name" ]]; then
            bad "$secrets/$name is missing: run ./setup.sh"
        elif ! mode_is "$secrets/$name" "$wanted"; then
            bad "$secrets/$name has mode $(stat -c %a "$secrets/$name"), not $wanted: chmod $wanted $secrets/$name"
        fi
    done
    [[ ! -e "$secrets/$OPERATOR_OF_BEFORE" ]] ||
        bad "InfluxDB still takes the operator's token of before: ./setup.sh --rotate influxdb-operator"
    judge mode_is "$tls" 700 -- "$tls is ours alone" -- "$tls can be entered by others: chmod 700 $tls"
}

check_certificates() {
    heading "Certificates"
    local file=$tls/nginx/server.crt
    [[ -s "$file" ]] || { bad "there is none: run ./setup.sh" && return; }
    if [[ ! -e "$tls/nginx/ca.crt" ]]; then
        judge warn_of_expiry "$file" -- "yours, until $(expiry_of "$file")" -- "renew it: ./setup.sh --tls-cert FILE --tls-key FILE"
    else
        judge certificate_fits -- "our own, until $(expiry_of "$file")" -- \
            "our own (until $(expiry_of "$file")) ends soon, or does not hold $(alternative_names): ./setup.sh renews it"
    fi
}

# What is published, as the engine says, not as the file says.
check_containers() {
    heading "Containers"
    local name state open
    for name in $(containers); do
        state=$(docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$name" 2>/dev/null || echo "not there")
        judge [ "$state" = healthy ] -- "$name is healthy" -- "$name is $state: docker logs --tail 20 $name"
        open=$(docker port "$name" 2>/dev/null | awk '$3 !~ /^(127\.|\[::1\])/ { print $1 }' | sort -u | paste -sd ' ' -)
        case $name in
            heatpump-dashboard | heatpump-mqtt) open=$(tr ' ' '\n' <<<"$open" | grep -vE '^(8080|8443|8883)/tcp$' | paste -sd ' ' -) ;;
        esac
        [[ -z "$open" || "$(env_value HEATPUMP_BIND_LOCAL)" == 0.0.0.0 ]] || bad "$name has port $open open to every network"
    done
    local said
    said=$(compose exec -T flow heatpump healthy flow --ready 2>&1) && good "$said" || bad "${said##*$'\n'}"
}

check_all() {
    check_settings
    check_secrets
    check_certificates
    check_containers
    echo
    ((problems == 0)) || fail "$problems problem$( ((problems == 1)) || echo s)"
    say "all is as it should be"
}
