#!/bin/sh
# Starts Mosquitto by mosquitto.conf and keeps it in step with its files, as any user but root, on a read-only root:
# - an account, the ACL or a certificate changes: SIGHUP, by which Mosquitto also ends connections of removed users;
# - the first certificate comes, or the last shared account goes: started anew with another configuration;
# - the log of who connects is moved aside at 2 MB, one old one is kept.
# SIGTERM is passed on; the exit code is Mosquitto's. Needs a POSIX shell and what busybox has.
#
# usage: run.sh [CONFIGURATION]     MOSQUITTO_HOME: the folder that stands for /mosquitto in it.
set -u

home=${MOSQUITTO_HOME:-/mosquitto}
conf=${1:-$home/config/mosquitto.conf}
accounts=$home/accounts
tls=$home/tls
log=$home/log/mosquitto.log
most_log_bytes=2000000
work=$(mktemp -d "${TMPDIR:-/tmp}/mosquitto.XXXXXX") || exit 1
broker='' watcher='' ending=''

say() { echo "run.sh: $*"; }

has_accounts() { [ -s "$accounts/passwd" ] && [ -s "$accounts/acl" ]; }

# shellcheck disable=SC2317  # the trap calls it
end() {
    ending=yes
    [ -z "$broker" ] || kill -TERM "$broker" 2>/dev/null
}

# What of the configuration is turned on, as one word.
wanted() {
    state=plain
    [ -s "$tls/server.crt" ] && [ -s "$tls/server.key" ] && state=tls
    [ -e "$accounts/per-device" ] && state=$state,per-device
    echo "$state"
}

configure() {
    state=$(wanted)
    set -- -e "s#/mosquitto/#$home/#"
    case $state in tls*) set -- "$@" -e 's/^#tls# //' ;; esac
    case $state in tls,per-device) set -- "$@" -e 's/^#per-device# //' ;; esac
    if ! : 2>/dev/null >>"$log"; then
        say "$log cannot be written: who connects is told on stdout alone"
        set -- "$@" -e '/^log_dest file /d'
    fi
    sed "$@" "$conf" >"$work/mosquitto.conf" || exit 1
}

# By content: a Kubernetes secret is changed by a symbolic link, a file by renaming another over it.
seen() { cat "$accounts/passwd" "$accounts/acl" "$tls/server.crt" "$tls/server.key" 2>/dev/null | cksum; }

rotate() {
    [ -f "$log" ] || return 1
    # shellcheck disable=SC2046  # its words are what is wanted
    set -- $(ls -ln "$log")
    [ "${5:-0}" -gt "$most_log_bytes" ] && mv -f "$log" "$log.1"
}

watch() {
    before=$1
    while sleep 1; do
        if [ "$(wanted)" != "$state" ]; then
            say "from $state to $(wanted): starting anew"
            : >"$work/again"
            kill -TERM "$broker"
            return
        fi
        now=$(seen)
        if rotate || [ "$now" != "$before" ]; then
            # A file is replaced as a whole, but not two at once: what is missing is waited for.
            has_accounts || continue
            before=$now
            kill -HUP "$broker" || return
        fi
    done
}

if [ "$(id -u)" -eq 0 ]; then
    say "needs a user other than root: Mosquitto would change it itself, and then could not read its accounts"
    exit 2
fi
trap end TERM INT
trap 'rm -rf "$work"' EXIT
told=''
until has_accounts; do
    [ -n "$told" ] || say "waits for $accounts/passwd and acl: \`heatpump accounts sync\` makes them"
    told=yes
    sleep 1 &
    wait $!
    [ -z "$ending" ] || exit 143
done

while :; do
    rm -f "$work/again"
    configure
    before=$(seen)
    say "starts $(command -v mosquitto || echo mosquitto) ($state)"
    mosquitto -c "$work/mosquitto.conf" &
    broker=$!
    [ -z "$ending" ] || kill -TERM "$broker"
    watch "$before" &
    watcher=$!
    wait "$broker"
    code=$?
    while kill -0 "$broker" 2>/dev/null; do  # a signal to us ended the wait, not the broker
        wait "$broker"
        code=$?
    done
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    if [ -n "$ending" ] || [ ! -e "$work/again" ]; then break; fi
done
exit "$code"
