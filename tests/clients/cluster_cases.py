"""Five servers and a sixth, by nutcracker and by a ring:  cluster_cases.py HOST PORT RESTART

The servers are of this program's own; RESTART names the folder that says which program they are,
$ZBCTL is zbctl.
Who asks reads all keys again and again, from four threads, and stores what was missed, as an
application does; an error counts as a miss.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pylibmc
from pymemcache.client.base import Client

from cases import Cases, same, until

host = sys.argv[1]
program = pathlib.Path(sys.argv[3].split()[1], "program").read_text().strip()
folder = pathlib.Path(tempfile.mkdtemp())
keys = ["key:%d" % i for i in range(2000)]
value = b"v" * 100
threads_count = 4
# No request waits longer than its client's and its proxy's timeouts; this is what hanging is.
hang_s = 10
limit_s = 60


def free_ports(count):
    """Taken down all at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind((host, 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Server:
    """One of the servers; the port stays its own."""

    def __init__(self, port):
        self.port = port
        self.process = None

    def start(self):
        user = ["-u", "root"] if os.getuid() == 0 else []
        self.process = subprocess.Popen(
            [program, "-l", host, "-p", str(self.port), "-U", "0", "-m", "64"] + user,
            stdin=subprocess.DEVNULL)
        until(lambda: self.held() is not None, limit_s)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def held(self):
        """Which of the keys lie here."""
        client = Client((host, self.port), timeout=10)
        try:
            return set(client.get_many(keys))
        finally:
            client.close()


class Nutcracker:
    """A proxy has the ring; its clients know one address."""

    name = "nutcracker"
    ejects_the_silent = True

    def __init__(self, servers):
        self.port, stats = free_ports(2)
        config = folder / ("%d.yml" % self.port)
        config.write_text("\n".join([
            "cache:",
            "  listen: %s:%d" % (host, self.port),
            "  hash: murmur",
            "  distribution: ketama",
            "  timeout: 1000",
            "  auto_eject_hosts: true",
            "  server_failure_limit: 1",
            "  server_retry_timeout: 1000",
            # A server's place on the ring is that of its name, or of its address where it has none.
            "  servers:"] + ["   - %s:%d:1 cache%d" % (host, each.port, i)
                             for i, each in enumerate(servers)]) + "\n")
        self.process = subprocess.Popen(
            ["/usr/sbin/nutcracker", "-c", config, "-a", host, "-s", str(stats)],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.client().get("key") is None, limit_s)

    def client(self):
        return Client((host, self.port), connect_timeout=2, timeout=5, default_noreply=False)

    def close(self):
        self.process.kill()
        self.process.wait()


class Ring:
    """Each client has the ring, all the same one."""

    name = "pylibmc's ring"
    # libmemcached leaves out who refuses or resets; who only says nothing is asked again.
    ejects_the_silent = False

    def __init__(self, servers):
        self.addresses = ["%s:%d" % (host, each.port) for each in servers]

    def client(self):
        return pylibmc.Client(self.addresses, behaviors={
            "ketama": True, "remove_failed": 1, "failure_limit": 1, "retry_timeout": 1,
            "dead_timeout": 1, "connect_timeout": 1000, "_poll_timeout": 1000,
            "tcp_nodelay": True})

    def close(self):
        pass


class Phase:
    """What happened since it began. Sets and numbers are changed under the lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = 0
        self.missed = set()
        self.errors = set()
        self.refilled = set()
        self.longest_s = 0.0
        self.wrong = 0

    def count(self, key, seconds, found, error):
        with self.lock:
            self.asked += 1
            self.longest_s = max(self.longest_s, seconds)
            if error:
                self.errors.add(key)
            elif found is None:
                self.missed.add(key)
            elif found != value:
                self.wrong += 1
            elif key in self.missed or key in self.errors:
                self.refilled.add(key)


class Load:
    """Reads all keys in turn and stores what is not there, until it is closed."""

    def __init__(self, ring):
        self.phase = Phase()
        self.closing = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(ring, i * 701), daemon=True)
                        for i in range(threads_count)]
        for each in self.threads:
            each.start()

    def work(self, ring, position):
        client = ring.client()
        while not self.closing.is_set():
            key = keys[position % len(keys)]
            position += 1
            phase = self.phase
            begin = time.monotonic()
            found, error = None, None
            try:
                found = client.get(key)
                if found is None:
                    client.set(key, value)
            except Exception as raised:  # whatever it is, the application goes on
                error = raised
            phase.count(key, time.monotonic() - begin, found, error)
            if error:
                time.sleep(0.001)

    def next_phase(self):
        self.phase = Phase()
        return self.phase

    def close(self):
        self.closing.set()
        for each in self.threads:
            each.join(limit_s)
            if each.is_alive():
                raise AssertionError("a client hangs")


def between(part, low, high):
    if not low <= part <= high:
        raise AssertionError("%.3f is not between %.3f and %.3f" % (part, low, high))


class Scene:
    """The cases of one kind of ring, each beginning where the one before ended."""

    def __init__(self, kind):
        self.kind = kind
        self.servers = [Server(port) for port in free_ports(6)]
        self.load = None
        self.share = set()

    def fill(self):
        """All keys, each where it belongs and nowhere else."""
        for each in self.servers[:5]:
            Client((host, each.port), timeout=10).flush_all(noreply=False)
        client = self.ring.client()
        for key in keys:
            client.set(key, value)

    def fill_again(self):
        """Until the third is not left out any more."""
        def filled():
            self.fill()
            return self.servers[2].held() == self.share

        until(filled, limit_s)

    def five_have_a_fifth_each(self):
        for each in self.servers[:5]:
            each.start()
        self.ring = self.kind(self.servers[:5])
        self.fill()
        held = [each.held() for each in self.servers[:5]]
        same(sum(map(len, held)), len(keys))
        same(set.union(*held), set(keys))
        self.share = held[2]
        print("shares:", " ".join("%.3f" % (len(each) / len(keys)) for each in held))
        for each in held:
            between(len(each) / len(keys), .1, .3)

    def settled(self, phase, done):
        """Waits, then holds the phase against what it may have been."""
        until(done, limit_s)
        same(phase.wrong, 0)
        if phase.missed - self.share or phase.errors - self.share:
            raise AssertionError("%d keys of others missed, %d failed" % (
                len(phase.missed - self.share), len(phase.errors - self.share)))
        if phase.longest_s > hang_s:
            raise AssertionError("a request took %.1f s" % phase.longest_s)
        print("share expected %.3f, seen %.3f, with errors %.3f; the longest of %d requests %.2f s"
              % (len(self.share) / len(keys), len(phase.missed) / len(keys),
                 len(phase.errors) / len(keys), phase.asked, phase.longest_s))

    def a_killed_ones_share_alone_is_missed(self):
        self.load = Load(self.ring)
        until(lambda: self.load.phase.asked > len(keys), limit_s)
        same(self.load.phase.missed | self.load.phase.errors, set())
        phase = self.load.next_phase()
        self.servers[2].kill()
        self.settled(phase, lambda: phase.refilled >= self.share)

    def it_is_taken_back(self):
        phase = self.load.next_phase()
        self.servers[2].start()
        self.settled(phase, lambda: self.servers[2].held() == self.share)
        self.load.close()
        same(phase.missed, self.share)
        # What was stored elsewhere meanwhile lies there still: old, should this one die again.
        copies = sum(len(each.held()) for each in self.servers[:5]) - len(keys)
        same(copies, len(self.share))

    def one_that_is_stopped_holds_nobody_up(self):
        """It takes connections, and bytes, and does not answer."""
        self.fill_again()
        self.load = Load(self.ring)
        phase = self.load.next_phase()
        self.servers[2].pause()
        try:
            if self.kind.ejects_the_silent:
                self.settled(phase, lambda: phase.refilled >= self.share)
            else:
                self.settled(phase, lambda: len(phase.errors) >= threads_count)
        finally:
            self.servers[2].resume()
            self.load.close()

    def a_sixth_takes_a_sixth(self):
        self.fill_again()
        self.servers[5].start()
        six = self.kind(self.servers)
        try:
            client = six.client()
            moved = {key for key in keys if client.get(key) is None}
            for key in moved:
                client.set(key, value)
        finally:
            six.close()
        same(self.servers[5].held(), moved)
        between(len(moved) / len(keys), 1 / 12, 1 / 4)
        print("a sixth is .167, moved %.3f" % (len(moved) / len(keys)))

    def one_is_replaced_without_a_miss(self):
        """Its items go over, then its name; only a ring of names can do that."""
        self.fill_again()
        Client((host, self.servers[5].port), timeout=10).flush_all(noreply=False)
        subprocess.run([os.environ["ZBCTL"], "warm", "%s:%d" % (host, self.servers[2].port),
                        "%s:%d" % (host, self.servers[5].port)], check=True, timeout=limit_s,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        replaced = self.kind(self.servers[:2] + self.servers[5:] + self.servers[3:5])
        try:
            self.servers[2].kill()
            client = replaced.client()
            same([key for key in keys if client.get(key) != value], [])
        finally:
            replaced.close()

    def close(self):
        if self.load:
            self.load.closing.set()
        self.ring.close()
        for each in self.servers:
            each.kill()


def titled(method, kind):
    def case():
        method()
    case.__name__ = "%s: %s" % (kind.name, method.__name__)
    return case


cases = Cases()
for kind in (Nutcracker, Ring):
    scene = Scene(kind)
    for method in (scene.five_have_a_fifth_each, scene.a_killed_ones_share_alone_is_missed,
                   scene.it_is_taken_back, scene.one_that_is_stopped_holds_nobody_up,
                   scene.a_sixth_takes_a_sixth):
        cases.run(titled(method, kind))
    if kind is Nutcracker:
        cases.run(titled(scene.one_is_replaced_without_a_miss, kind))
    scene.close()
shutil.rmtree(folder)
sys.exit(cases.close())
