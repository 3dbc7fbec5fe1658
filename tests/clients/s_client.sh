#!/usr/bin/env bash
# openssl s_client:  s_client.sh HOST PORT RESTART
#
# Over TLS 1.2 and 1.3: what is stored comes back, certificates are verified, a session is resumed,
# and older versions are refused. SERVER_CERTS names the folder of the server's certificates.
set -uo pipefail
host=$1
port=$2
certs=$SERVER_CERTS
passed=0
failed=0

# ask ARGUMENT... - what comes back for the lines on the standard input, ended by "quit".
ask() {
    timeout 20 openssl s_client -connect "$host:$port" -CAfile "$certs/authority.pem" \
        -verify_return_error -quiet "$@" 2>/dev/null | tr -d '\r'
}

# check NAME EXPECTED GOT
check() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
        printf 'ok %s\n' "$1"
    else
        failed=$((failed + 1))
        printf 'FAILED %s: expected "%s", got "%s"\n' "$1" "$2" "$3"
    fi
}

for version in -tls1_2 -tls1_3; do
    check "values come back, $version" $'STORED\nVALUE k 7 5\nhello\nEND' \
        "$(printf 'set k 7 0 5\r\nhello\r\nget k\r\nquit\r\n' | ask "$version")"
    printf 'quit\r\n' | ask "$version" -sess_out "$certs/session" >/dev/null
    # -quiet would keep the line back that says it.
    check "a session is resumed, $version" 'Reused' \
        "$(printf 'version\r\nquit\r\n' | timeout 20 openssl s_client -connect "$host:$port" \
            -sess_in "$certs/session" "$version" 2>/dev/null | grep -oE '^(New|Reused)')"
done
check 'certificates are read again' 'OK' "$(printf 'refresh_certs\r\nquit\r\n' | ask)"
check 'another authority does not vouch for it' '' \
    "$(printf 'version\r\nquit\r\n' | ask -CAfile "$certs/elsewhere.pem")"
check 'TLS 1.1 is refused' '' \
    "$(printf 'version\r\nquit\r\n' | ask -tls1_1 -cipher 'ALL:@SECLEVEL=0')"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
