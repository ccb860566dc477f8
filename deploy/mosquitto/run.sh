#!/bin/sh
# Starts Mosquitto by mosquitto.conf and keeps it in step with its files, as any user but root, on a read-only root:
# - an account, the ACL or a certificate changes: SIGHUP, by which Mosquitto also ends connections of removed users,
#   or, where that would cost messages that wait for the flow (see `apply`), a new start;
# - the first certificate comes, or the last shared account goes: a new start with another configuration;
# - the log of who connects is moved aside at 1 MB, one old one is kept.
# SIGTERM is passed on; the exit code is Mosquitto's. Needs a POSIX shell and what busybox has.
#
# usage: run.sh [CONFIGURATION]     MOSQUITTO_HOME: the folder that stands for /mosquitto in it.
set -u

home=${MOSQUITTO_HOME:-/mosquitto}
conf=${1:-$home/config/mosquitto.conf}
accounts=$home/accounts
tls=$home/tls
log=$home/log/mosquitto.log
most_log_bytes=1000000
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
    if ! (: >>"$log") 2>/dev/null; then  # a shell of its own: where `:` cannot write, a shell ends
        say "$log cannot be written: who connects is kept in $work, until this ends"
        log=$work/mosquitto.log
        set -- "$@" -e "s#^log_dest file .*#log_dest file $log#"
    fi
    sed "$@" "$conf" >"$work/mosquitto.conf" || exit 1
}

# By content: a Kubernetes secret is changed by a symbolic link, a file by renaming another over it.
seen() { cat "$accounts/passwd" "$accounts/acl" "$tls/server.crt" "$tls/server.key" 2>/dev/null | sha256sum; }

size() {
    # shellcheck disable=SC2046  # its words are what is wanted
    set -- $(ls -ln "$log" 2>/dev/null)
    echo "${5:-0}"
}

# Mosquitto appends, so what is emptied goes on from the start; no SIGHUP is needed.
rotate() {
    [ "$(size)" -gt "$most_log_bytes" ] || return 0
    flow_was_in
    cp "$log" "$log.1" && : >"$log"
    from=0
}

flow_account() { grep '^heatpump-flow:' "$accounts/passwd"; }

# Since this start. The end of the line is Mosquitto's own, whatever a client calls itself.
flow_was_in() {
    [ -e "$work/flow" ] && return
    tail -c "+$((from + 1))" "$log" | grep -q "u'heatpump-flow')\.\$" && : >"$work/flow"
}

# At a SIGHUP Mosquitto (2.0.11, tried) takes the rights of every session whose password does not fit, also of one
# that is away; one that it loaded from disk has none. For the flow's it would then drop what comes, without a word.
# A new start gives the rights back.
apply() {
    if [ "$(flow_account)" = "$flow" ] && { flow_was_in || [ ! -e "$home/data/mosquitto.db" ]; }; then
        say "accounts or certificate changed: read anew"
        kill -HUP "$broker"
    else
        again "accounts or certificate changed, and the flow's session has to be kept"
    fi
}

again() {
    say "$1: starting anew"
    : >"$work/again"
    kill -TERM "$broker"
}

watch() {
    while sleep 1; do
        if [ "$(wanted)" != "$state" ]; then
            again "from $state to $(wanted)"
            return
        fi
        rotate
        now=$(seen)
        if [ "$now" != "$before" ] && has_accounts; then
            before=$now
            apply || return
            [ ! -e "$work/again" ] || return
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
    rm -f "$work/again" "$work/flow"
    configure
    before=$(seen) flow=$(flow_account) from=$(size)
    say "starts $(command -v mosquitto || echo mosquitto) ($state)"
    mosquitto -c "$work/mosquitto.conf" &
    broker=$!
    [ -z "$ending" ] || kill -TERM "$broker"
    watch &
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
