# shellcheck shell=bash
# The file .env: read without running it, written line by line. Sourced by setup.sh.

# The passwords that the original comes with, and those its README shows as examples.
DEFAULTS="heatpump123 heatpump-super-secret-token your-secure-password your-secure-token"
GIVEN_SECRETS="MQTT_PASSWORD INFLUXDB_PASSWORD INFLUXDB_TOKEN"

# Prints the value of a name, as compose reads it; nothing where there is none.
env_value() {
    local line
    [[ -f .env ]] || return 0
    line=$(grep -E "^[[:space:]]*(export[[:space:]]+)?$1=" .env | tail -n 1) || return 0
    line=${line#*=}
    line=${line%$'\r'}
    case $line in
        \"*\"*) line=${line#\"} line=${line%%\"*} ;;
        \'*\'*) line=${line#\'} line=${line%%\'*} ;;
        *) line=${line%% #*} line=${line%"${line##*[![:space:]]}"} ;;
    esac
    printf '%s' "$line"
}

# Gives a name a value, where it stands, else at the end; the rest of the file stays as it is.
set_env() {
    local new
    [[ "$(env_value "$1")" == "$2" ]] && return
    new=$(NAME=$1 VALUE=$2 awk '
        BEGIN { set = ENVIRON["NAME"] "=" ENVIRON["VALUE"] }
        $0 ~ "^[ \t]*(export[ \t]+)?" ENVIRON["NAME"] "=" { if (!done) print set; done = 1; next }
        { print }
        END { if (!done) print set }' .env)
    printf '%s\n' "$new" >.env
}

make_env() {
    if [[ ! -f .env ]]; then
        (umask 077 && cp .env.example .env)
        chmod 600 .env
        say "made .env from .env.example"
    elif [[ "$(stat -c %a .env)" != 600 ]]; then
        chmod 600 .env
        say ".env can be read by its owner alone now"
    fi
}

# Loud: these are printed in the original's README.
warn_of_defaults() {
    local name value found=0
    for name in $GIVEN_SECRETS; do
        value=$(env_value "$name")
        [[ -n "$value" && " $DEFAULTS " == *" $value "* ]] || continue
        found=1
        warn "$name in .env is a published default: anybody can log in with it. Change it: ./setup.sh --rotate $(rotation_of "$name")"
    done
    return "$found"
}

rotation_of() {
    case $1 in
        MQTT_PASSWORD) echo "mqtt-password, and then in every device" ;;
        *) echo influxdb-operator ;;
    esac
}

# Who can reach it: an option, else what .env says, else a question.
choose_reach() {
    local answer
    [[ -n "$reach" || -n "$(env_value HEATPUMP_BIND_PUBLIC)" ]] || {
        [[ -t 0 ]] || refuse "say who shall reach the server: --local (this machine), --lan (every network, MQTT without" \
            "TLS, too) or --public (every network by TLS alone: ports 80, 443, 8883)"
        echo "  Who shall reach the server?"
        echo "    1  this machine alone"
        echo "    2  the local network: all ports, also MQTT without TLS (1883)"
        echo "    3  the internet: 80, 443 and 8883 (TLS); the rest stays on this machine"
        read -rp "  1, 2 or 3: " answer
        case $answer in
            1) reach=local ;;
            2) reach=lan ;;
            3) reach=public ;;
            *) refuse "${answer:-nothing} was chosen: 1, 2 or 3" ;;
        esac
    }
    case $reach in
        local) set_env HEATPUMP_BIND_PUBLIC 127.0.0.1 && set_env HEATPUMP_BIND_LOCAL 127.0.0.1 ;;
        lan) set_env HEATPUMP_BIND_PUBLIC 0.0.0.0 && set_env HEATPUMP_BIND_LOCAL 0.0.0.0 ;;
        public) set_env HEATPUMP_BIND_PUBLIC 0.0.0.0 && set_env HEATPUMP_BIND_LOCAL 127.0.0.1 ;;
    esac
}

# Under which names: options, else what .env says, else what this machine calls itself (asked on a terminal).
choose_names() {
    local guess answer
    if ((${#names[@]})); then
        set_env HEATPUMP_NAMES "${names[*]}"
    elif [[ -z "$(env_value HEATPUMP_NAMES)" ]]; then
        guess="$(hostname) $(hostname -I 2>/dev/null | awk '{ print $1 }')"
        guess=${guess% }
        if [[ -t 0 && "$(env_value HEATPUMP_BIND_PUBLIC)" != 127.0.0.1 ]]; then
            read -rp "  Names and addresses under which it is reached [$guess]: " answer
        fi
        set_env HEATPUMP_NAMES "${answer:-$guess}"
    fi
    for answer in $(env_value HEATPUMP_NAMES); do
        [[ "$answer" =~ ^[A-Za-z0-9.:-]+$ ]] || refuse "HEATPUMP_NAMES: $answer is neither a host's name nor an address"
    done
    choose_mqtt_address
}

# What devices are told, unless .env has words of its own: where TLS alone is open, with its port.
choose_mqtt_address() {
    local host address
    host=$(first_name)
    if [[ "$host" == *:* ]]; then host="[$host]"; fi
    address=$host
    case "$(env_value HEATPUMP_BIND_PUBLIC) $(env_value HEATPUMP_BIND_LOCAL)" in "0.0.0.0 127."*) address=$host:8883 ;; esac
    case "$(env_value HEATPUMP_MQTT_ADDRESS)" in '' | "$host" | "$host:8883") set_env HEATPUMP_MQTT_ADDRESS "$address" ;; esac
}

first_name() { env_value HEATPUMP_NAMES | cut -d ' ' -f 1; }

choose_store() {
    case $store in
        sqlite) set_env COMPOSE_FILE docker-compose.yml:deploy/compose/sqlite.yml ;;
        influxdb) [[ -z "$(env_value COMPOSE_FILE)" ]] || set_env COMPOSE_FILE docker-compose.yml ;;
    esac
}

has_influxdb() { [[ "$(env_value COMPOSE_FILE)" != *sqlite.yml* ]]; }
