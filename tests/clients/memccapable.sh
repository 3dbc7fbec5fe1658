#!/usr/bin/env bash
# memccapable -a:  memccapable.sh HOST PORT RESTART
#
# libmemcached's check of a server's text protocol. It runs before a restart of the server and after
# it, and each of its tests is a case.
set -uo pipefail
host=$1
port=$2
restart=$3
cases_min=27 # as many tests as libmemcached 1.0.18 has; fewer would say that it stopped early
passed=0
failed=0

# note GOOD NAME
note() {
    if [ "$1" -eq 1 ]; then
        passed=$((passed + 1))
        printf 'ok %s\n' "$2"
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n' "$2"
    fi
}

check() {
    local when=$1 output line seen=0 status=0

    output=$(memccapable -h "$host" -p "$port" -t 10 -a 2>&1) || status=$?
    while read -r line; do
        case $line in
        *'[pass]')
            line=${line%\[pass]}
            note 1 "${line%"${line##*[! ]}"}, $when"
            seen=$((seen + 1))
            ;;
        *'['*']')
            note 0 "$line, $when"
            seen=$((seen + 1))
            ;;
        'All tests passed') ;;
        *) printf '%s\n' "$line" ;;
        esac
    done <<<"$output"
    [ "$seen" -ge "$cases_min" ] || note 0 "only $seen tests ran, $when"
    [ "$status" -eq 0 ] || note 0 "exit status $status, $when"
}

check 'first'
if $restart; then note 1 'the server is restarted'; else note 0 'the server is not restarted'; fi
check 'after the restart'
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
