#!/usr/bin/env bash
# The server that a real client speaks to:  restart.sh <folder> start|restart|stop
#
# The folder holds `program`, and while a server runs its `pid` and `port`. `start` takes a port
# nobody listens on; `restart` keeps it. Both return when the server answers. `stop` needs none.
# Where SERVER_HTTP is set, it has an HTTP port too, 10,000 above. Where SERVER_CERTS names a folder
# of certificates, the server speaks TLS. It runs in its sandbox.
set -uo pipefail
folder=$1
tries=10

stop() {
    local pid

    [ -f "$folder/pid" ] || return 0
    pid=$(cat "$folder/pid")
    kill "$pid" 2>/dev/null
    for _ in $(seq 500); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.02
    done
    kill -KILL "$pid" 2>/dev/null
    rm -f "$folder/pid"
}

# The process id in the `stats` of whoever listens there.
listener_pid() {
    local line word name value

    if [ -n "${SERVER_CERTS:-}" ]; then
        printf 'stats\r\nquit\r\n' |
            timeout 10 openssl s_client -quiet -connect "127.0.0.1:$1" 2>/dev/null |
            tr -d '\r' | sed -n 's/^STAT pid //p'
        return
    fi
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'stats\r\n' >&3
    while read -r -t 5 line <&3; do
        read -r word name value <<<"${line%$'\r'}"
        [ "$word" = STAT ] || break
        [ "$name" != pid ] || printf '%s\n' "$value"
    done
    exec 3>&-
}

# launch PORT - true where the server answers there, and is ours.
launch() {
    local -a user=() tls=() http=()
    local pid

    [ "$(id -u)" -ne 0 ] || user=(-u root)
    if [ -n "${SERVER_CERTS:-}" ]; then
        tls=(-Z -o "ssl_chain_cert=$SERVER_CERTS/server.pem,ssl_key=$SERVER_CERTS/server.key")
        tls+=(-o ssl_session_cache)
    fi
    [ -z "${SERVER_HTTP:-}" ] || http=(--http $(($1 + 10000)))
    "$(cat "$folder/program")" -l 127.0.0.1 -p "$1" -U 0 -m 64 -o drop_privileges \
        "${user[@]}" "${tls[@]}" "${http[@]}" \
        >>"$folder/server.log" 2>&1 3>&- </dev/null &
    pid=$!
    printf '%s\n' "$pid" >"$folder/pid"
    printf '%s\n' "$1" >"$folder/port"
    for _ in $(seq 500); do
        kill -0 "$pid" 2>/dev/null || return 1
        if [ "$(listener_pid "$1" 2>/dev/null)" = "$pid" ]; then
            return 0
        fi
        sleep 0.02
    done
    return 1
}

case ${2:-} in
start)
    for _ in $(seq "$tries"); do
        launch $((20000 + RANDOM % 10000)) && exit 0
        stop
    done
    cat "$folder/server.log"
    exit 1
    ;;
restart)
    stop
    for _ in $(seq "$tries"); do
        launch "$(cat "$folder/port")" && exit 0
        stop
    done
    cat "$folder/server.log"
    exit 1
    ;;
stop) stop ;;
*)
    printf 'usage: %s <folder> start|restart|stop\n' "$0" >&2
    exit 2
    ;;
esac
