"""pymemcache:  python_pymemcache.py HOST PORT          Debian: python3-pymemcache"""

import sys
import time

from pymemcache import serde
from pymemcache.client.base import PooledClient

host, port = sys.argv[1], int(sys.argv[2])
NAME = "pymemcache"


def connect():
    """One client for all threads. Without timeouts a lost server would hold them for minutes."""
    return PooledClient((host, port), max_pool_size=8, serde=serde.pickle_serde,
                        connect_timeout=1, timeout=2, no_delay=True, key_prefix=NAME + ":")


def update(client, key, change):
    """Stores change(value), made from no other value than the one it replaces."""
    tries = 0
    while True:
        tries += 1
        value, token = client.gets(key)
        if client.cas(key, change(value), token, expire=60):
            return tries


def cached(client, key, fresh_s, stale_s, compute):
    """What is older than fresh_s is computed by one reader; the others get the old meanwhile."""
    entry = client.get(key)
    if entry and time.time() < entry["fresh_until"]:
        return entry["value"]
    if entry and not client.add(key + ":refresh", 1, expire=10, noreply=False):
        return entry["value"]
    value = compute()
    client.set(key, {"value": value, "fresh_until": time.time() + fresh_s},
               expire=fresh_s + stale_s)
    client.delete(key + ":refresh")
    return value


client = connect()

client.set("greeting", "hello", expire=60)
print("get:", client.get("greeting"))

client.set_many({"apple": 1, "banana": 2}, expire=60)
found = client.get_many(["apple", "banana", "cherry"])
print("multi-get:", " ".join("%s=%d" % pair for pair in sorted(found.items())))


def add_c(value):
    """The first time, somebody else is faster."""
    if value == "a":
        client.set("list", "a,b", expire=60)
    return value + ",c"


client.set("list", "a", expire=60)
tries = update(client, "list", add_c)
print("cas loop: %s after %d tries" % (client.get("list"), tries))

client.delete("visits")
client.add("visits", "0", expire=60)
client.incr("visits", 10)
print("counter:", client.incr("visits", 5))

client.set("short", "lived", expire=1)
while client.get("short"):
    time.sleep(0.1)
print("ttl: gone")

cached(client, "page", 0, 60, lambda: "old")
others = []


def compute():
    """Meanwhile another reader asks."""
    others.append(cached(client, "page", 60, 60, lambda: "too many"))
    return "new"


mine = cached(client, "page", 60, 60, compute)
print("stale: %s meanwhile, then %s" % (others[0], mine))
