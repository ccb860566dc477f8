# shellcheck shell=bash
# What the machine must have. Sourced by setup.sh.

NEED_COMPOSE=2.24
NEED_MEMORY_MB=1800
NEED_DISK_MB=5000

compose() { docker compose "$@"; }

check_programs() {
    command -v docker >/dev/null || refuse "Docker is not installed. Install Docker Engine with its compose plugin" \
        "(https://docs.docker.com/engine/install), then run ./setup.sh again. Without Docker: docs/how-to/systemd.md"
    local answer
    answer=$(docker version --format '{{.Server.Version}}' 2>&1) || refuse "Docker does not answer: ${answer##*$'\n'}" \
        "Start it (sudo systemctl start docker), or run this as root or as a member of the group docker"
    local version
    version=$(compose version --short 2>/dev/null) ||
        refuse "Docker has no compose plugin: install docker-compose-plugin (https://docs.docker.com/compose/install)"
    version=${version#v}
    [[ "$(printf '%s\n' "$NEED_COMPOSE" "$version" | sort -V | head -n 1)" == "$NEED_COMPOSE" ]] ||
        refuse "docker compose is $version; $NEED_COMPOSE or newer is needed: update docker-compose-plugin"
    command -v openssl >/dev/null || refuse "openssl is not installed: apt-get install openssl (or your system's way)"
}

check_machine() {
    local memory disk
    if [[ -r /proc/meminfo ]]; then
        memory=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
        ((memory >= NEED_MEMORY_MB)) || warn "this machine has $memory MB of memory; the containers may take 1800 MB together"
    fi
    disk=$(df -Pm "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)" 2>/dev/null || df -Pm .)
    disk=$(awk 'NR == 2 { print $4 }' <<<"$disk")
    ((disk >= NEED_DISK_MB)) || warn "Docker's disk has $disk MB left; $NEED_DISK_MB MB are little for some months of readings"
}

# Another installation's containers of the same names, such as the original's.
check_names() {
    local name project
    while read -r name project; do
        [[ "$name" == heatpump-* && "$project" != heatpump ]] && refuse "the container $name belongs to" \
            "${project:+the compose project }${project:-something else}: end that first (docker compose down in its folder" \
            "keeps its data; docs/how-to/from-the-original.md tells how it is taken over)"
    done < <(docker ps -a --filter name=heatpump- --format '{{.Names}} {{.Label "com.docker.compose.project"}}')
    return 0
}

# Ports that something else has; ours have theirs already on a second run.
check_ports() {
    local port taken=()
    [[ -n "$(docker ps -q --filter label=com.docker.compose.project=heatpump 2>/dev/null)" ]] && return
    for port in 80 443 1883 8000 8086 8883 9001; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then taken+=("$port"); fi
    done
    ((${#taken[@]} == 0)) || refuse "something listens on port ${taken[*]} of this machine: stop it first" \
        "(\`ss -ltnp\` says what it is)"
}
