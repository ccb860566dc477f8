# shellcheck shell=bash
# What is said, and how. Sourced by setup.sh.

bold='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
warn() { printf '  %sWARNING%s %s\n' "$bold" "$plain" "$*"; }
# What cannot go on as it is: one sentence, exit code 2.
refuse() {
    printf 'setup.sh: %s\n' "$*" >&2
    exit 2
}
# What went wrong on the way: exit code 1.
fail() {
    printf 'setup.sh: %s\n' "$*" >&2
    exit 1
}
