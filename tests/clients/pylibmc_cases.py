"""pylibmc, on libmemcached:  pylibmc_cases.py HOST PORT RESTART"""

import sys
import time

import pylibmc

from cases import Cases, raises, restart, same, until

HOST, PORT, RESTART = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SERVERS = ["%s:%d" % (HOST, PORT)]


def connect(**more):
    behaviors = {"cas": True, "tcp_nodelay": True, "retry_timeout": 1, "connect_timeout": 5000}
    behaviors.update(more)
    return pylibmc.Client(SERVERS, binary=False, behaviors=behaviors)


client = connect()


def values_of_all_kinds_come_back():
    kinds = (b"bytes", "text", "", 17, -1, 2**70, 1.5, True, None, [1, "two"], {"a": {"b": 3}})
    for value in kinds:
        same(client.set("kind", value), True)
        same(client.get("kind"), value)


def a_missing_one_is_none():
    same(client.get("missing"), None)
    same(client.get("missing", "default"), "default")
    same("missing" in client, False)


def every_byte_comes_back():
    data = bytes(range(256)) * 41 + b"\r\nEND\r\n"
    same(client.set("bytes", data), True)
    same(client.get("bytes"), data)


def a_large_value():
    large = b"0123456789abcdef" * 65000
    same(client.set("large", large), True)
    same(client.get("large") == large, True)


def too_large_a_value_is_refused():
    raises(pylibmc.Error, client.set, "large", b"x" * 1100000)
    until(lambda: client.set("kind", "again"))
    same(client.get("kind"), "again")


def compressed_values():
    text = "compress me " * 10000
    same(client.set("compressed", text, min_compress_len=1000), True)
    same(client.get("compressed"), text)


def the_longest_key():
    same(client.set("k" * 250, "v"), True)
    same(client.get("k" * 250), "v")


def many_at_once():
    items = {"many%d" % i: "value %d" % i for i in range(1000)}
    same(client.set_multi(items), [])
    same(client.get_multi(list(items)), items)
    same(client.get_multi(["many1", "nothing", "many2"]), {"many1": "value 1", "many2": "value 2"})
    same(client.get_multi(["1", "2"], key_prefix="many"), {"1": "value 1", "2": "value 2"})
    same(client.delete_multi(list(items)), True)
    same(client.get_multi(list(items)), {})


def add_and_replace():
    client.delete("added")
    same(client.replace("added", "0"), False)
    same(client.add("added", "1"), True)
    same(client.add("added", "2"), False)
    same(client.replace("added", "3"), True)
    same(client.get("added"), "3")


def append_and_prepend():
    client.delete("both")
    same(client.append("both", "c"), False)
    same(client.set("both", "b"), True)
    same(client.append("both", "c"), True)
    same(client.prepend("both", "a"), True)
    same(client.get("both"), "abc")


def cas_stores_once():
    same(client.set("cas", "1"), True)
    value, unique = client.gets("cas")
    same(value, "1")
    same(client.cas("cas", "2", unique), True)
    same(client.cas("cas", "3", unique), False)
    raises(pylibmc.NotFound, client.cas, "nothing", "3", unique)
    same(client.get("cas"), "2")


def numbers_count():
    same(client.set("number", 10), True)
    same(client.incr("number"), 11)
    same(client.incr("number", 5), 16)
    same(client.decr("number", 15), 1)
    same(client.decr("number", 2), 0)
    same(client.get("number"), 0)
    raises(pylibmc.NotFound, client.incr, "nothing")
    same(client.set_multi({"n1": 1, "n2": 2}), [])
    client.incr_multi(["n1", "n2"], delta=10)
    same(client.get_multi(["n1", "n2"]), {"n1": 11, "n2": 12})


def delete_and_touch():
    same(client.set("short", "1"), True)
    same(client.touch("short", 100), True)
    same(client.touch("nothing", 100), False)
    same(client.delete("short"), True)
    same(client.delete("short"), False)


def items_expire():
    same(client.set("one", "1", time=1), True)
    same(client.set("touched", "1"), True)
    same(client.touch("touched", 1), True)
    same(client.set("kept", "1", time=100), True)
    time.sleep(2.1)
    same(client.get_multi(["one", "touched", "kept"]), {"kept": "1"})


def figures_are_told():
    [(name, stats)] = client.get_stats()
    same(str(PORT) in (name.decode() if isinstance(name, bytes) else name), True)
    for name in ("pid", "curr_items", "cmd_get", "get_hits", "threads", "limit_maxbytes"):
        same(name in stats, True)
    same(len(client.get_stats("settings")), 1)


def buffered_and_without_replies():
    quick = connect(_noreply=True, buffer_requests=True, cas=False)
    for i in range(2000):
        quick.set("quick%d" % i, "value %d" % i)
    same(quick.get("quick1999"), "value 1999")
    same(client.get_multi(["quick0", "quick9"]), {"quick0": "value 0", "quick9": "value 9"})


def flush_takes_all():
    same(client.set("flushed", "1"), True)
    same(client.flush_all(), True)
    same(client.get_multi(["flushed", "kind"]), {})
    same(client.set("flushed", "2"), True)
    same(client.get("flushed"), "2")


def a_restart_is_survived():
    same(client.set("before", "1"), True)
    restart(RESTART)
    until(lambda: client.set("after", "2"), 20)
    same(client.get("after"), "2")
    same(client.get("before"), None)


cases = Cases()
for case in (
    values_of_all_kinds_come_back,
    a_missing_one_is_none,
    every_byte_comes_back,
    a_large_value,
    too_large_a_value_is_refused,
    compressed_values,
    the_longest_key,
    many_at_once,
    add_and_replace,
    append_and_prepend,
    cas_stores_once,
    numbers_count,
    delete_and_touch,
    items_expire,
    figures_are_told,
    buffered_and_without_replies,
    flush_takes_all,
    a_restart_is_survived,
    values_of_all_kinds_come_back,
    many_at_once,
):
    cases.run(case)
sys.exit(cases.close())
