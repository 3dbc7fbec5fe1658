"""memcached-tool, as Debian's package memcached has it: every mode prints what is there."""

import re
import subprocess
import sys
import time

from cases import Cases, restart, same, talk

TOOL = "/usr/share/memcached/scripts/memcached-tool"
ITEMS = 500

host, port, restart_command = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def ask(request, end):
    return talk((host, port), request, end)


def tool(*arguments):
    """The lines that the tool prints."""
    done = subprocess.run(
        [TOOL, "%s:%d" % (host, port), *arguments],
        check=True, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.stdout.decode("latin-1").splitlines()


def key(number):
    return "tool:%d%%%s" % (number, "x" * (number % 40))


def fill():
    """Keys that must be encoded, flags, values of many sizes, half of them with an expiry."""
    ask(b"flush_all\r\n", b"OK\r\n")
    time.sleep(1.1)  # a real memcached takes the whole second's items along
    for number in range(ITEMS):
        value = b"%d," % number * (number % 50 + 1)
        line = "set %s %d %d %d\r\n" % (key(number), number, number % 2 * 1000, len(value))
        same(ask(line.encode() + value + b"\r\n", b"\r\n"), b"STORED\r\n")


def table(lines):
    """The two columns of a list, whose first line is its header."""
    rows = [line.split(None, 1) for line in lines[1:]]
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows}


def display_shows_the_classes():
    for arguments in ([], ["display"]):
        lines = tool(*arguments)
        same(lines[0].split(), ["#", "Item_Size", "Max_age", "Pages", "Count", "Full?", "Evicted",
                                "Evict_Time", "OOM"])
        rows = [line.split() for line in lines[1:] if line.strip()]
        same(all(len(row) == 9 for row in rows), True)
        same(sum(int(row[4]) for row in rows), ITEMS)
        same(all(int(row[3]) > 0 for row in rows), True)


def stats_are_numbers():
    shown = table(tool("stats"))
    same(shown["curr_items"], str(ITEMS))
    words = {"version", "libevent", "slab_reassign_last_busy_status"}
    for name, value in shown.items():
        if name not in words and not re.fullmatch(r"\d+(\.\d{6})?", value):
            raise AssertionError("%s is %r" % (name, value))
    for name in ("pid", "uptime", "cmd_get", "cmd_set", "bytes", "limit_maxbytes", "threads"):
        same(name in shown, True)


def settings_are_shown():
    shown = table(tool("settings"))
    same(shown["maxbytes"], str(64 << 20))
    same(shown["tcpport"], str(port))
    same(shown["evictions"], "on")
    same("" in shown.values(), False)


def sizes_say_they_are_off():
    same(table(tool("sizes")), {"sizes_status": "disabled"})


def keys_are_listed_once():
    lines = tool("keys")
    found = {}
    for line in lines:
        match = re.match(r"key=(\S+) exp=(-?\d+) la=(\d+) cas=(\d+) fetch=(yes|no) cls=(\d+) "
                         r"size=(\d+)", line)
        same(bool(match), True)
        name = re.sub("%(..)", lambda code: chr(int(code[1], 16)), match[1])
        same(name in found, False)
        found[name] = int(match[2])
    same(sorted(found), sorted(key(number) for number in range(ITEMS)))
    now = time.time()
    for number in range(ITEMS):
        expiry = found[key(number)]
        same(now + 900 < expiry < now + 1100 if number % 2 else expiry == -1, True)


def keys_stop_at_a_limit():
    # The tool counts every line, the OK that later versions send before the first key too.
    same(len(tool("keys", "10")) in (9, 10), True)


def a_dump_makes_the_cache_again():
    before = {number: ask(b"get %s\r\n" % key(number).encode(), b"END\r\n")
              for number in range(ITEMS)}
    dump = "\r\n".join(tool("dump")) + "\r\n"
    ask(b"flush_all\r\n", b"OK\r\n")
    time.sleep(1.1)
    answers = ask(dump.encode("latin-1") + b"get nothing\r\n", b"END\r\n")
    same(answers, b"STORED\r\n" * ITEMS + b"END\r\n")
    for number, block in before.items():
        same(ask(b"get %s\r\n" % key(number).encode(), b"END\r\n"), block)


def a_dump_stops_at_a_limit():
    added = [line for line in tool("dump", "20") if line.startswith("add ")]
    same(len(added) in (19, 20), True)


def the_server_restarts():
    restart(restart_command)
    same([line for line in tool("keys")], [])
    shown = table(tool("stats"))
    same(shown["curr_items"], "0")
    same([line for line in tool("display")[1:] if line.strip()], [])


cases = Cases()
fill()
for case in (display_shows_the_classes, stats_are_numbers, settings_are_shown,
             sizes_say_they_are_off, keys_are_listed_once, keys_stop_at_a_limit,
             a_dump_makes_the_cache_again, a_dump_stops_at_a_limit, the_server_restarts):
    cases.run(case)
sys.exit(cases.close())
