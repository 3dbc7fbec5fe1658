"""pylibmc, on libmemcached:  python_pylibmc.py HOST PORT          Debian: python3-pylibmc"""

import sys
import time

import pylibmc

host, port = sys.argv[1], int(sys.argv[2])
NAME = "pylibmc"

# A pool lends a client to one thread at a time. Times are in milliseconds; the poll timeout, 5 s if
# it is not set, is how long a server may say nothing. For more than one server: README.md.
master = pylibmc.Client(["%s:%d" % (host, port)], behaviors={
    "cas": True, "tcp_nodelay": True, "connect_timeout": 1000, "_poll_timeout": 2000})
pool = pylibmc.ClientPool(master, 8)


def update(client, key, change):
    """Stores change(value), made from no other value than the one it replaces."""
    tries = 0
    while True:
        tries += 1
        value, token = client.gets(key)
        if client.cas(key, change(value), token, time=60):
            return tries


def cached(client, key, fresh_s, stale_s, compute):
    """What is older than fresh_s is computed by one reader; the others get the old meanwhile."""
    entry = client.get(key)
    if entry and time.time() < entry["fresh_until"]:
        return entry["value"]
    if entry and not client.add(key + ":refresh", 1, time=10):
        return entry["value"]
    value = compute()
    client.set(key, {"value": value, "fresh_until": time.time() + fresh_s},
               time=fresh_s + stale_s)
    client.delete(key + ":refresh")
    return value


with pool.reserve() as client:
    client.set(NAME + ":greeting", "hello", time=60)
    print("get:", client.get(NAME + ":greeting"))

    client.set_multi({"apple": 1, "banana": 2}, time=60, key_prefix=NAME + ":")
    found = client.get_multi(["apple", "banana", "cherry"], key_prefix=NAME + ":")
    print("multi-get:", " ".join("%s=%d" % pair for pair in sorted(found.items())))

    def add_c(value):
        """The first time, somebody else is faster."""
        if value == "a":
            client.set(NAME + ":list", "a,b", time=60)
        return value + ",c"

    client.set(NAME + ":list", "a", time=60)
    tries = update(client, NAME + ":list", add_c)
    print("cas loop: %s after %d tries" % (client.get(NAME + ":list"), tries))

    client.delete(NAME + ":visits")
    client.add(NAME + ":visits", 0, time=60)
    client.incr(NAME + ":visits", 10)
    print("counter:", client.incr(NAME + ":visits", 5))

    client.set(NAME + ":short", "lived", time=1)
    while client.get(NAME + ":short"):
        time.sleep(0.1)
    print("ttl: gone")

    cached(client, NAME + ":page", 0, 60, lambda: "old")
    others = []

    def compute():
        """Meanwhile another reader asks."""
        others.append(cached(client, NAME + ":page", 60, 60, lambda: "too many"))
        return "new"

    mine = cached(client, NAME + ":page", 60, 60, compute)
    print("stale: %s meanwhile, then %s" % (others[0], mine))
