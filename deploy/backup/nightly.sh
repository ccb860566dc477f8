#!/bin/sh
# Makes a backup every night at HEATPUMP_BACKUP_AT (02:30, by the time zone TZ) and keeps HEATPUMP_BACKUP_KEEP of them.
# One that fails is told and tried again the next night. Needs GNU date.
set -eu
at=${HEATPUMP_BACKUP_AT:-02:30}
keep=${HEATPUMP_BACKUP_KEEP:-7}
into=${1:-/backups}
child=''

trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null; wait; exit 143' TERM INT

# Waits, so that a signal is heard at once.
run() {
    "$@" &
    child=$!
    code=0
    wait "$child" || code=$?
    child=''
    return "$code"
}

if ! date -d "today $at" +%s >/dev/null 2>&1; then
    echo "HEATPUMP_BACKUP_AT: $at is no time of day, such as 02:30" >&2
    exit 2
fi
while :; do
    now=$(date +%s)
    next=$(date -d "today $at" +%s)
    [ "$next" -gt "$now" ] || next=$(date -d "tomorrow $at" +%s)
    echo "next backup at $(date -d "@$next" '+%Y-%m-%d %H:%M %Z')"
    # In short steps: a machine that was asleep, or whose clock was set, is not late by as much.
    while [ "$now" -lt "$next" ]; do
        left=$((next - now))
        run sleep $((left < 300 ? left : 300))
        now=$(date +%s)
    done
    run heatpump backup "$into" --keep "$keep" || echo "the backup failed (exit code $?); the next one is tried as usual" >&2
done
