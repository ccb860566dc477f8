# shellcheck shell=bash
# Set-up that up, test and check share: finds a Python, keeps .venv as requirements.lock says. Sourced, not run.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
venv="$root/.venv"

# Is this a Python we run on, able to make an environment (uv needs no help for that)?
usable() {
    local need="import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))"
    command -v uv >/dev/null || need="import ensurepip, venv; $need"
    "$1" -c "$need" >/dev/null 2>&1
}

# Was this Python built with profile-guided optimisation? One that was not, as pyenv builds them unless told otherwise,
# takes 40 % more CPU where nothing but Python runs. A distribution's, under /usr, counts as such: Debian's flags do not say.
optimised() {
    "$1" -c '
import sys, sysconfig
sys.exit(sys.base_prefix != "/usr" and "--enable-optimizations" not in (sysconfig.get_config_var("CONFIG_ARGS") or ""))'
}

# Prints a Python 3.12 or 3.11, an optimised one if there is one: from PATH, pyenv or uv; fails if there is none.
find_python() {
    local candidate found=""
    while read -r candidate; do
        usable "$candidate" || continue
        if optimised "$candidate"; then
            found="$candidate"
            break
        fi
        found="${found:-$candidate}"
    done < <(
        type -ap python3.12 python3.11 python3 python
        printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[21].*/bin/python
    )
    if [[ "$found" ]]; then
        "$found" -c 'import sys; print(sys.executable)'
        return
    fi
    command -v uv >/dev/null || return 1
    uv python find '>=3.11,<3.13' 2>/dev/null && return
    echo "getting Python 3.12 with uv" >&2
    uv python install 3.12 && uv python find 3.12
}

# What .venv depends on, in one line.
stamp_of() {
    cat "$root/requirements.lock" "$root/pyproject.toml" <("$1" -VV) <(echo "$root") | sha256sum | cut -d' ' -f1
}

# Makes .venv as committed; nothing to do the second time. Two that start at once do it one after the other.
set_up() {
    if command -v flock >/dev/null; then
        exec 9>"$root/.venv.lock"
        flock 9
        make_venv
        exec 9>&-
    else
        make_venv
    fi
}

make_venv() {
    local python
    if [[ -x "$venv/bin/python" && -f "$venv/.stamp" ]] && [[ "$(<"$venv/.stamp")" == "$(stamp_of "$venv/bin/python")" ]]; then
        return
    fi
    if usable "$venv/bin/python"; then
        python="$venv/bin/python"
    elif python="$(find_python)"; then
        echo "making .venv with $("$python" -V) ($python)"
        rm -rf "$venv"
        if command -v uv >/dev/null; then
            uv venv --quiet --python "$python" "$venv"
        else
            "$python" -m venv "$venv"
        fi
    else
        echo "heat-pump-monitor needs Python 3.11 or 3.12 with its venv module: install one (Debian, Ubuntu: apt-get install python3 python3-venv), or install uv, which provides it: https://docs.astral.sh/uv" >&2
        exit 2
    fi
    echo "installing requirements.lock into .venv"
    if command -v uv >/dev/null; then
        uv pip sync --quiet --require-hashes --python "$venv/bin/python" "$root/requirements.lock"
        uv pip install --quiet --no-deps --python "$venv/bin/python" --editable "$root"
    else
        # The lock is complete: with dependencies pip would ask for newer ones than it names (coverage[toml]).
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$root/requirements.lock"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable "$root"
    fi
    stamp_of "$venv/bin/python" >"$venv/.stamp"
}
