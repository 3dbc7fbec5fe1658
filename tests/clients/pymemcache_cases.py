"""pymemcache:  pymemcache_cases.py HOST PORT RESTART; over TLS where SERVER_CERTS is set"""

import os
import ssl
import sys
import time

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheIllegalInputError,
    MemcacheServerError,
    MemcacheUnknownCommandError,
)

from cases import Cases, raises, restart, same, until

HOST, PORT, RESTART = sys.argv[1], int(sys.argv[2]), sys.argv[3]
CERTS = os.environ.get("SERVER_CERTS")
TLS = ssl.create_default_context(cafile=CERTS + "/authority.pem") if CERTS else None
client = Client(
    (HOST, PORT), connect_timeout=10, timeout=10, default_noreply=False, tls_context=TLS
)


def version_is_told():
    same(len(client.version().split(b".")) >= 3, True)


def a_value_comes_back():
    same(client.set("greeting", b"hello"), True)
    same(client.get("greeting"), b"hello")


def a_missing_one_is_none():
    same(client.get("missing"), None)
    same(client.get("missing", "default"), "default")


def every_byte_comes_back():
    data = bytes(range(256)) * 41 + b"\r\nEND\r\n"
    same(client.set("bytes", data), True)
    same(client.get("bytes"), data)


def empty_and_large_values():
    same(client.set("empty", b""), True)
    same(client.get("empty"), b"")
    large = b"0123456789abcdef" * 65000
    same(client.set("large", large), True)
    same(client.get("large") == large, True)


def too_large_a_value_is_refused():
    raises(MemcacheServerError, client.set, "large", b"x" * 1100000)
    same(client.get("large"), None)
    same(client.get("greeting"), b"hello")


def the_longest_key():
    same(client.set("k" * 250, b"v"), True)
    same(client.get("k" * 250), b"v")
    raises(MemcacheIllegalInputError, client.get, "k" * 251)


def many_at_once():
    items = {"many%d" % i: b"value %d" % i for i in range(1000)}
    same(client.set_many(items), [])
    same(client.get_many(list(items)), items)
    same(client.get_many(["many1", "nothing", "many2"]), {"many1": b"value 1", "many2": b"value 2"})
    same(client.get_many(["nothing", "nobody"]), {})
    same(client.delete_many(list(items)), True)
    same(client.get_many(list(items)), {})


def add_and_replace():
    client.delete("added")
    same(client.replace("added", b"0"), False)
    same(client.add("added", b"1"), True)
    same(client.add("added", b"2"), False)
    same(client.replace("added", b"3"), True)
    same(client.get("added"), b"3")


def append_and_prepend():
    client.delete("both")
    same(client.append("both", b"c"), False)
    same(client.prepend("both", b"c"), False)
    same(client.set("both", b"b"), True)
    same(client.append("both", b"c"), True)
    same(client.prepend("both", b"a"), True)
    same(client.get("both"), b"abc")


def cas_stores_once():
    same(client.set("cas", b"1"), True)
    value, unique = client.gets("cas")
    same(value, b"1")
    same(client.cas("cas", b"2", unique), True)
    same(client.cas("cas", b"3", unique), False)
    same(client.cas("nothing", b"3", unique), None)
    same(client.get("cas"), b"2")
    same(client.gets("nothing"), (None, None))
    later = client.gets_many(["cas", "greeting"])
    same(sorted(later), ["cas", "greeting"])
    same(later["cas"][0], b"2")
    same(later["cas"][1] != unique, True)


def numbers_count():
    same(client.set("number", b"10"), True)
    same(client.incr("number", 5), 15)
    same(client.decr("number", 14), 1)
    same(client.decr("number", 2), 0)
    same(client.incr("nothing", 1), None)
    same(client.set("number", b"18446744073709551615"), True)
    same(client.incr("number", 2), 1)
    same(client.set("number", b"no number"), True)
    raises(MemcacheClientError, client.incr, "number", 1)


def delete_and_touch():
    same(client.set("short", b"1"), True)
    same(client.touch("short", 100), True)
    same(client.touch("nothing", 100), False)
    same(client.delete("short"), True)
    same(client.delete("short"), False)
    same(client.touch("short", 100), False)


def items_expire():
    same(client.set("one", b"1", expire=1), True)
    same(client.set("touched", b"1"), True)
    same(client.touch("touched", 1), True)
    same(client.set("kept", b"1", expire=100), True)
    same(client.set("past", b"1", expire=-1), True)
    same(client.get("past"), None)
    time.sleep(2.1)
    same(client.get_many(["one", "touched", "kept"]), {"kept": b"1"})


def nothing_is_answered_with_noreply():
    for i in range(500):
        client.set("quiet%d" % i, b"%d" % i, noreply=True)
        client.incr("quiet%d" % i, 1, noreply=True)
    same(client.get("quiet499"), b"500")
    for i in range(500):
        client.delete("quiet%d" % i, noreply=True)
    same(client.get("quiet499"), None)
    same(client.get("quiet0"), None)


def figures_are_told():
    stats = client.stats()
    for name in (b"pid", b"curr_items", b"cmd_get", b"get_hits", b"threads", b"limit_maxbytes"):
        same(name in stats, True)
    same(client.stats("settings")[b"maxconns"], 1024)
    same(stats[b"get_hits"] > 0, True)


def memory_limit_is_set():
    same(client.cache_memlimit(64), True)


def commands_that_are_none():
    raises(MemcacheUnknownCommandError, client._misc_cmd, [b"bogus\r\n"], b"bogus", False)
    same(client.get("greeting"), b"hello")


def a_pool_and_a_ring():
    pool = PooledClient((HOST, PORT), max_pool_size=4, timeout=10, tls_context=TLS)
    same(pool.set("pooled", b"1", noreply=False), True)
    same(pool.get("pooled"), b"1")
    pool.close()
    ring = HashClient([(HOST, PORT)], timeout=10, tls_context=TLS)
    same(ring.set_many({"ring%d" % i: b"%d" % i for i in range(50)}), [])
    same(ring.get_many(["ring0", "ring49"]), {"ring0": b"0", "ring49": b"49"})
    ring.close()


def flush_takes_all():
    same(client.set("flushed", b"1"), True)
    same(client.flush_all(), True)
    same(client.get_many(["flushed", "greeting"]), {})
    same(client.set("flushed", b"2"), True)
    same(client.get("flushed"), b"2")


def a_restart_is_survived():
    same(client.set("before", b"1"), True)
    restart(RESTART)
    until(lambda: client.set("after", b"2"))
    same(client.get("after"), b"2")
    same(client.get("before"), None)


cases = Cases()
for case in (
    version_is_told,
    a_value_comes_back,
    a_missing_one_is_none,
    every_byte_comes_back,
    empty_and_large_values,
    too_large_a_value_is_refused,
    the_longest_key,
    many_at_once,
    add_and_replace,
    append_and_prepend,
    cas_stores_once,
    numbers_count,
    delete_and_touch,
    items_expire,
    nothing_is_answered_with_noreply,
    figures_are_told,
    memory_limit_is_set,
    commands_that_are_none,
    a_pool_and_a_ring,
    flush_takes_all,
    a_restart_is_survived,
    a_value_comes_back,
    many_at_once,
):
    cases.run(case)
sys.exit(cases.close())
