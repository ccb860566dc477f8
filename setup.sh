#!/usr/bin/env bash
# Sets the whole server up with docker compose and starts it. Again changes nothing that is as it should be.
#
#   ./setup.sh                     asks who shall reach it, then does the rest
#   ./setup.sh --public --domain heat.example.org
#   ./setup.sh --check             is everything as it should be?
#   ./setup.sh --rotate [WHAT]     new secrets, while it runs
#   ./setup.sh --per-device        ends the account that devices share
#   ./setup.sh --help
#
# docs/how-to/vps.md tells more. Exit code: 2 where something must be done first, 1 where something went wrong.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$root"
umask 077

# shellcheck source=deploy/setup/say.sh
source deploy/setup/say.sh
# shellcheck source=deploy/setup/settings.sh
source deploy/setup/settings.sh
# shellcheck source=deploy/setup/prerequisites.sh
source deploy/setup/prerequisites.sh
# shellcheck source=deploy/setup/secrets.sh
source deploy/setup/secrets.sh
# shellcheck source=deploy/setup/certificates.sh
source deploy/setup/certificates.sh
# shellcheck source=deploy/setup/start.sh
source deploy/setup/start.sh
# shellcheck source=deploy/setup/check.sh
source deploy/setup/check.sh
# shellcheck source=deploy/setup/rotate.sh
source deploy/setup/rotate.sh

help() {
    cat <<'END'
usage: ./setup.sh [--local | --lan | --public] [--domain NAME]… [--tls-cert FILE --tls-key FILE] [--store influxdb | sqlite]
                  [--no-start]
       ./setup.sh --check | --rotate [WHAT] | --per-device

  --local        this machine alone reaches the server
  --lan          every network reaches it, by all ports, MQTT without TLS included
  --public       every network reaches it, by TLS alone: ports 80, 443 and 8883
  --domain NAME  a name or address under which it is reached; the certificate holds it. May be repeated.
  --tls-cert, --tls-key   your own certificate (with its chain) and key, PEM, instead of one by our own CA
  --store        where readings are kept: influxdb, or sqlite for a small machine
  --no-start     gets a new server ready for a restore (docs/how-to/backup.md): starts nothing but InfluxDB
  --check        looks whether all is as it should be; changes nothing
  --rotate WHAT  makes new secrets: all (without WHAT), mqtt, influxdb, influxdb-operator, command, metrics, api,
                 session, tls; and only when named: mqtt-password, the one that devices share
  --per-device   ends the account that devices share: each has its own from now on
END
}

do='' what=all reach='' names=() tls_cert='' tls_key='' store='' no_start=''
value() { # OPTION, what follows it
    [[ -n "${2:-}" && "$2" != --* ]] || refuse "$1 needs a value: ./setup.sh --help"
}
while (($#)); do
    case $1 in
        --local | --lan | --public) reach=${1#--} ;;
        --domain) value "$@" && names+=("$2") && shift ;;
        --tls-cert) value "$@" && tls_cert=$2 && shift ;;
        --tls-key) value "$@" && tls_key=$2 && shift ;;
        --store) value "$@" && store=$2 && shift ;;
        --no-start) no_start=yes ;;
        --check | --per-device) do=${1#--} ;;
        --rotate)
            do=rotate
            if [[ -n "${2:-}" && "$2" != --* ]]; then what=$2 && shift; fi
            ;;
        -h | --help) help && exit ;;
        *) refuse "$1 is no option: ./setup.sh --help" ;;
    esac
    shift
done
case $store in '' | influxdb | sqlite) ;; *) refuse "--store $store: it is influxdb or sqlite" ;; esac

check_programs
image=$(env_value HEATPUMP_IMAGE)
image=${image:-heatpump-monitor:local}

case $do in
    check) check_all && exit ;;
    rotate)
        heading "New secrets"
        rotate "$what"
        exit
        ;;
    per-device)
        compose exec -T flow heatpump device list
        compose exec -T flow heatpump accounts per-device
        exit
        ;;
esac

heading "Machine"
check_machine
check_names
check_ports
heading "Settings"
make_env
choose_reach
choose_names
choose_store
warn_of_defaults || true
heading "Image"
build
say "$image"
heading "Secrets and certificates"
make_certificates
make_secrets
if [[ -n "$no_start" ]]; then
    make_volumes
    make_influxdb_ready  # no accounts: a restore brings them, and leaves those that it finds
    heading "Ready for a restore"
    exit
fi
heading "Start"
make_accounts
make_user
make_influxdb_ready
start
print_urls
