# shellcheck shell=bash
# data/tls: our own CA (ca.crt, ca.key) and a certificate for mosquitto and nginx, or the user's. Sourced by setup.sh.

CA_DAYS=3650      # devices hold it: it outlives them
SERVER_DAYS=825   # more is refused by Apple's systems, from a private CA, too
RENEW_DAYS=60
tls=data/tls
USERS="mosquitto nginx"

make_certificates() {
    local each
    for each in $USERS; do mkdir -p "$tls/$each" && chmod 755 "$tls/$each"; done
    if [[ -n "$tls_cert$tls_key" ]]; then
        take_certificate
    elif [[ -s "$tls/nginx/server.crt" && ! -e "$tls/nginx/ca.crt" ]]; then
        warn_of_expiry "$tls/nginx/server.crt" || true  # the user's own
    else
        make_ca
        certificate_fits || make_server_certificate
    fi
}

make_ca() {
    [[ -s "$tls/ca.crt" && -s "$tls/ca.key" ]] && return
    (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$tls/ca.key")
    openssl req -x509 -new -sha256 -key "$tls/ca.key" -days "$CA_DAYS" -out "$tls/ca.crt" \
        -subj "/CN=heat pump monitor $(date -u +%Y-%m-%d)" -config <(echo "[req]
distinguished_name=name
x509_extensions=ca
[name]
[ca]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash") || fail "the CA could not be made"
    say "made our own CA: $tls/ca.crt, for ten years; devices and browsers are given it"
}

# The names that the certificate must hold, as openssl writes them: always this machine's own as well.
alternative_names() {
    local name
    for name in localhost 127.0.0.1 ::1 $(env_value HEATPUMP_NAMES); do
        if [[ "$name" =~ ^[0-9.]+$ || "$name" == *:* ]]; then echo "IP:$name"; else echo "DNS:$name"; fi
    done | awk '!seen[$0]++' | paste -sd , -
}

# Tells whether the certificate there is ours, lasts, and holds the names.
certificate_fits() {
    local file=$tls/nginx/server.crt name
    [[ -s "$file" && -s "$tls/mosquitto/server.crt" ]] || return 1
    openssl verify -CAfile "$tls/ca.crt" "$file" >/dev/null 2>&1 || return 1
    openssl x509 -in "$file" -noout -checkend $((RENEW_DAYS * 86400)) >/dev/null || return 1
    for name in $(alternative_names | tr , ' '); do
        case $name in
            IP:*) openssl x509 -in "$file" -noout -checkip "${name#IP:}" | grep -q "does match" || return 1 ;;
            DNS:*) openssl x509 -in "$file" -noout -checkhost "${name#DNS:}" | grep -q "does match" || return 1 ;;
        esac
    done
}

make_server_certificate() {
    local new
    new=$(mktemp -d "$tls/.new.XXXXXX")
    openssl ecparam -name prime256v1 -genkey -noout -out "$new/server.key"
    openssl req -new -key "$new/server.key" -subj "/CN=$(first_name | cut -c 1-64)" -out "$new/request" \
        -config <(printf '[req]\ndistinguished_name=name\n[name]\n')
    openssl x509 -req -sha256 -in "$new/request" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" -days "$SERVER_DAYS" \
        -set_serial "0x$(openssl rand -hex 16)" -out "$new/server.crt" -extfile <(echo "basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=$(alternative_names)
authorityKeyIdentifier=keyid") 2>/dev/null || fail "the certificate could not be made"
    install -m 644 "$tls/ca.crt" "$tls/nginx/ca.crt.new"
    place "$new/server.crt" "$new/server.key"
    rm -rf "$new"
    say "made a certificate for $(alternative_names), until $(expiry_of "$tls/nginx/server.crt")"
}

# Puts a certificate and its key where mosquitto and nginx see them; both look, and take it over by themselves. As either
# may start at any moment, a file is its user's before it is there.
place() { # CERTIFICATE, KEY
    local each
    for each in $USERS; do
        install -m 644 "$1" "$tls/$each/server.crt.new"
        install -m 600 "$2" "$tls/$each/server.key.new"
    done
    own_files
}

take_certificate() {
    [[ -n "$tls_cert" && -n "$tls_key" ]] || refuse "--tls-cert and --tls-key go together"
    local public
    public=$(openssl x509 -in "$tls_cert" -noout -pubkey 2>/dev/null) || refuse "--tls-cert: $tls_cert holds no certificate (PEM)"
    [[ "$(openssl pkey -in "$tls_key" -pubout 2>/dev/null </dev/null)" == "$public" ]] ||
        refuse "--tls-key: $tls_key is not the key of $tls_cert, or asks for a passphrase"
    openssl x509 -in "$tls_cert" -noout -checkend 0 >/dev/null || refuse "--tls-cert: $tls_cert ended on $(expiry_of "$tls_cert")"
    warn_of_expiry "$tls_cert" || true
    cmp -s "$tls_cert" "$tls/nginx/server.crt" && [[ ! -e "$tls/nginx/ca.crt" ]] && return
    place "$tls_cert" "$tls_key"
    rm -f "$tls/nginx/ca.crt"
    say "took $tls_cert, until $(expiry_of "$tls_cert")"
}

expiry_of() { openssl x509 -in "$1" -noout -enddate | cut -d = -f 2; }

# Fails where it ends within a month, having said so.
warn_of_expiry() {
    openssl x509 -in "$1" -noout -checkend $((30 * 86400)) >/dev/null && return
    warn "the certificate $1 ends on $(expiry_of "$1")"
    return 1
}
