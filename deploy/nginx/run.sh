#!/bin/sh
# Runs nginx in the foreground with the configuration beside this file, in a container or on a bare machine.
#
# BACKEND, PANEL         : host:port of the API and of the pages; default backend:8000 and panel:5006.
# HTTP_PORT, HTTPS_PORT  : ports to listen on; default 8080 and 8443.
# TLS                    : folder of server.crt (with its chain) and server.key; default /etc/nginx/tls.
#                          A ca.crt beside them says that the certificate is from our own CA.
#
# nginx asks for a host's address once, when it starts. So they are asked for here, by whatever this machine asks
# (hosts file, Docker's or Kubernetes' DNS with its search list), and nginx is told when one has changed, within
# seconds; the same when the certificate has. A host that has no address (yet) is answered 503 for, not a failure.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
run=${RUNTIME_DIRECTORY:-/tmp/nginx}
tls=${TLS:-/etc/nginx/tls}
every_s=2
patience_s=6

# One address of a host, always the same one; the last known where nobody tells one.
address() {
    host=${1%:*}
    case $host in
        *[!0-9.]*)
            found=$({ getent ahosts "$host" || getent hosts "$host"; } 2>/dev/null |
                awk '{ print $1 ~ /:/ ? "[" $1 "]" : $1 }' | LC_ALL=C sort | head -n 1)
            ;;
        *) found=$host ;;
    esac
    if [ -n "$found" ]; then echo "$found:${1##*:}" >"$run/of.$host"; fi
    cat "$run/of.$host" 2>/dev/null || echo "unix:$run/nobody"
}

state() {
    address "${BACKEND:-backend:8000}"
    address "${PANEL:-panel:5006}"
    cksum "$tls/server.crt" "$tls/server.key" 2>/dev/null || true
    [ ! -e "$tls/ca.crt" ] || echo own
}

configure() {
    echo "$1" | {
        read -r backend
        read -r panel
        echo "upstream backend { server $backend; }"
        echo "upstream panel { server $panel; }"
    } >"$run/upstreams.conf"
    # Browsers hold a site to HSTS for a year: not for one whose visitors may yet have to click a warning away.
    strict="max-age=31536000"
    [ ! -e "$tls/ca.crt" ] || strict=""
    cat >"$run/tls.conf" <<END
ssl_certificate "$tls/server.crt";
ssl_certificate_key "$tls/server.key";
map \$https \$strict_transport { on "$strict"; default ""; }
END
}

listen() {
    echo "listen $1;"
    [ ! -e /proc/net/if_inet6 ] || echo "listen [::]:$1;"
}

for file in server.crt server.key; do
    if [ ! -r "$tls/$file" ]; then
        echo "nginx: $tls/$file cannot be read by user $(id -u); setup.sh makes a certificate, or give yours there" >&2
        exit 1
    fi
done
mkdir -p "$run"
cp -f "$here"/*.conf "$run"
listen "${HTTP_PORT:-8080} default_server" >"$run/listen_http_any.conf"
listen "${HTTP_PORT:-8080}" >"$run/listen_http.conf"
case $(nginx -v 2>&1) in
    *nginx/1.?.* | *nginx/1.1?.* | *nginx/1.2[0-4].*) listen "${HTTPS_PORT:-8443} ssl http2" ;;
    *) listen "${HTTPS_PORT:-8443} ssl" && echo "http2 on;" ;;
esac >"$run/listen_https.conf"
known=$(state)
configure "$known"

# A pipe of our own for what nginx says: what a container or systemd gives as stdout cannot always be opened again.
rm -f "$run/said"
mkfifo "$run/said"
cat "$run/said" &
said=$!
nginx -e stderr -p "$run/" -c "$run/nginx.conf" >"$run/said" 2>&1 &
nginx=$!
# Answers that are under way may end, but not hold up the end for ever.
end() {
    trap '' TERM QUIT INT
    kill -QUIT $nginx
    { sleep $patience_s && kill -TERM $nginx; } &
    late=$!
    wait $nginx || true
    kill $late 2>/dev/null || true
    wait $said || true
    exit 0
}
trap end TERM QUIT INT

while kill -0 $nginx 2>/dev/null; do
    sleep $every_s &
    wait $! || true
    new=$(state)
    [ "$new" != "$known" ] || continue
    configure "$new"
    # What is half written, such as a certificate without its key, is looked at again.
    if nginx -e stderr -q -t -p "$run/" -c "$run/nginx.conf"; then
        known=$new
        kill -HUP $nginx
        echo "nginx: an address or the certificate changed; taken over" >&2
    fi
done
wait $nginx
