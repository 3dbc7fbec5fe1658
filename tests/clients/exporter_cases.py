"""What exporters read of "stats", read as they do: Debian 12 has none to be run.

The rules are those of the exporter that Prometheus's own project keeps for memcached (its
pkg/exporter and the client it stands on): which sections it asks for over one connection, how it
takes a line apart, what must be a number, what it adds up, and which two lines may not give one
metric. It drops every metric of a server where one of them is broken.
"""

import re
import socket
import sys

from cases import Cases, restart, same

host, port, restart_command = sys.argv[1], int(sys.argv[2]), sys.argv[3]

OPERATIONS = ("get", "delete", "incr", "decr", "cas", "touch")
GENERAL = (
    "uptime", "time", "cas_badval", "cmd_flush", "bytes", "limit_maxbytes", "curr_items",
    "total_items", "bytes_read", "bytes_written", "curr_connections", "total_connections",
    "rejected_connections", "conn_yields", "listen_disabled_num", "evictions", "reclaimed",
    "store_too_large", "store_no_memory", "lru_crawler_starts", "direct_reclaims",
    "crawler_items_checked", "crawler_reclaimed", "moves_to_cold", "moves_to_warm",
    "moves_within_lru", "accepting_conns")
ITEMS = (
    "number", "age", "hits_to_hot", "hits_to_warm", "hits_to_cold", "hits_to_temp",
    "crawler_reclaimed", "evicted", "evicted_nonzero", "evicted_time", "evicted_unfetched",
    "expired_unfetched", "outofmemory", "reclaimed", "tailrepairs", "mem_requested",
    "moves_to_cold", "moves_to_warm", "moves_within_lru", "number_hot", "number_warm",
    "number_cold", "age_hot", "age_warm")
SLABS = ("chunk_size", "chunks_per_page", "total_pages", "total_chunks", "used_chunks",
         "free_chunks", "free_chunks_end", "cas_badval", "cmd_set")
CRAWLER = ("lru_crawler_sleep", "lru_crawler_tocrawl", "hot_lru_pct", "warm_lru_pct",
           "hot_max_factor", "warm_max_factor")


class Connection:
    """Lines of one connection; each is asked for by those before."""

    def __init__(self):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.lines = self.socket.makefile("rb")

    def ask(self, request):
        """The lines up to END, which must come."""
        self.socket.sendall(request + b"\r\n")
        lines = []
        while True:
            line = self.lines.readline()
            if not line.endswith(b"\r\n"):
                raise AssertionError("%r: no end after %r" % (request, lines[-1:]))
            if line == b"END\r\n":
                return lines
            lines.append(line[:-2].decode())


def number(values, name):
    """A value that Go's ParseFloat takes."""
    if not re.fullmatch(r"-?\d+(\.\d+)?", values.get(name, "missing")):
        raise AssertionError("%s is %r" % (name, values.get(name, "missing")))
    return float(values[name])


def scrape():
    """As its client does it: three sections over one connection; general, items, slabs."""
    connection = Connection()
    general, items, slabs = {}, {}, {}
    for request in (b"stats", b"stats slabs", b"stats items"):
        for line in connection.ask(request):
            words = line.split(" ")
            if len(words) != 3 or words[0] != "STAT":
                continue
            parts = words[1].split(":")
            if len(parts) == 1:
                where, name = general, parts[0]
            elif len(parts) == 2:
                where, name = slabs.setdefault(int(parts[0]), {}), parts[1]
            else:
                same(parts[0], "items")
                where, name = items.setdefault(int(parts[1]), {}), parts[2]
            same(name in where, False)
            where[name] = words[2]
    return general, items, slabs


def use():
    """Something of everything that is counted."""
    connection = Connection()
    for i in range(100):
        value = b"v%d" % (i % 7) * 100
        connection.socket.sendall(b"set exported:%d 0 0 200\r\n%s\r\n" % (i, value))
        same(connection.lines.readline(), b"STORED\r\n")
    connection.ask(b"get exported:1 exported:2 nothing")
    for request in (b"incr exported:none 1", b"touch exported:1 0", b"delete exported:1",
                    b"cas exported:2 0 0 1 99\r\n1", b"cas exported:none 0 0 1 99\r\n1"):
        connection.socket.sendall(request + b"\r\n")
        connection.lines.readline()


def general_is_numbers():
    general = scrape()[0]
    for operation in OPERATIONS:
        number(general, operation + "_hits")
        number(general, operation + "_misses")
    for name in GENERAL:
        number(general, name)
    same(number(general, "curr_items"), 99.0)
    same("version" in general, True)


def times_have_microseconds():
    general = scrape()[0]
    for name in ("rusage_user", "rusage_system"):
        same(bool(re.fullmatch(r"\d+\.\d{6}", general[name])), True)


def stores_are_more_than_cas():
    """What it shows as sets is the difference."""
    general = scrape()[0]
    cas = sum(number(general, "cas_" + kind) for kind in ("misses", "hits", "badval"))
    same(cas >= 2, True)
    same(number(general, "cmd_set") - cas >= 100, True)


def items_are_numbers():
    items = scrape()[1]
    same(len(items) > 0, True)
    for values in items.values():
        for name in ITEMS:
            number(values, name)
        for name, value in values.items():
            same((name, bool(re.fullmatch(r"\d+", value))), (name, True))
    same(sum(number(values, "number") for values in items.values()), 99.0)


def slabs_are_numbers():
    general, items, slabs = scrape()
    same(set(items) <= set(slabs), True)
    number(general, "total_malloced")
    for values in slabs.values():
        for operation in OPERATIONS:
            number(values, operation + "_hits")
        for name in SLABS:
            number(values, name)
        cas = number(values, "cas_hits") + number(values, "cas_badval")
        same(number(values, "cmd_set") >= cas, True)


def no_metric_comes_twice():
    """One that two lines gave would end the whole scrape."""
    general, items, slabs = scrape()
    for number_of_class, values in items.items():
        same("mem_requested" in values and "mem_requested" in slabs.get(number_of_class, {}), False)
        same([name for name in ("store_too_large", "store_no_memory") if name in values], [])
    same([name for name in general if name in ("mem_requested",)], [])


def settings_have_three_or_four_words():
    settings = {}
    for line in Connection().ask(b"stats settings"):
        words = line.split(" ")
        same((line, words[0], len(words) in (3, 4)), (line, "STAT", True))
        settings[words[1]] = words[2]
    number(settings, "maxconns")
    same(settings["lru_crawler"] in ("yes", "no"), True)
    same(settings["lru_maintainer_thread"] in ("yes", "no"), True)
    for name in CRAWLER:
        number(settings, name)


def every_section_ends():
    connection = Connection()
    for section in (b"", b" settings", b" items", b" slabs", b" sizes", b" conns", b" extstore",
                    b" detail dump", b" cachedump 1 3"):
        connection.ask(b"stats" + section)
    connection.socket.sendall(b"version\r\n")
    same(connection.lines.readline().startswith(b"VERSION "), True)


def an_empty_server_is_up():
    restart(restart_command)
    general, items, slabs = scrape()
    same(number(general, "curr_items"), 0.0)
    same(items, {})
    for name in GENERAL:
        number(general, name)
    same([values for values in slabs.values() if number(values, "used_chunks") > 0], [])


cases = Cases()
use()
for case in (general_is_numbers, times_have_microseconds, stores_are_more_than_cas,
             items_are_numbers, slabs_are_numbers, no_metric_comes_twice,
             settings_have_three_or_four_words, every_section_ends, an_empty_server_is_up):
    cases.run(case)
sys.exit(cases.close())
