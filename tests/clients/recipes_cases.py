"""clients/recipes, each program with its library:  recipes_cases.py HOST PORT RESTART

Programs that use a client print what they saw, all of them the same. Programs with sessions serve
HTTP and count a visitor's visits.
"""

import http.cookiejar
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request

from cases import Cases, free_port, same, until

host, port = sys.argv[1], int(sys.argv[2])
folder = pathlib.Path(__file__).resolve().parents[2] / "clients" / "recipes"
built = pathlib.Path(tempfile.mkdtemp())
python = sys.executable
limit_s = 120

EXPECTED = """\
get: hello
multi-get: apple=1 banana=2
cas loop: a,b,c after 2 tries
counter: 15
ttl: gone
stale: old meanwhile, then new
"""


def run(*command):
    subprocess.run(command, check=True, timeout=limit_s, cwd=built)


def libmemcached():
    run("gcc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
        folder / "c_libmemcached.c", "-lmemcached", "-o", "libmemcached")
    return [built / "libmemcached"]


def gomemcache():
    """gccgo is half of what golang-go brings along; it wants the library compiled first."""
    library = "github.com/bradfitz/gomemcache/memcache"
    source = pathlib.Path("/usr/share/gocode/src") / library
    (built / library).parent.mkdir(parents=True)
    run("gccgo", "-c", "-fgo-pkgpath=" + library, "-o", library + ".o",
        source / "memcache.go", source / "selector.go")
    run("gccgo", "-I.", folder / "go_gomemcache.go", library + ".o", "-o", "gomemcache")
    return [built / "gomemcache"]


PROGRAMS = {
    "pymemcache": lambda: [python, folder / "python_pymemcache.py"],
    "pylibmc": lambda: [python, folder / "python_pylibmc.py"],
    "php": lambda: ["php", folder / "php_memcached.php"],
    "node": lambda: ["node", folder / "node_memcached.js"],
    "perl": lambda: ["perl", folder / "perl_fast.pl"],
    "go": gomemcache,
    "java": lambda: ["java", "-cp", "/usr/share/java/spymemcached.jar",
                     folder / "java_spymemcached.java"],
    "c": libmemcached,
}


def get(key, at=port):
    """A value as it lies at the server."""
    with socket.create_connection((host, at), timeout=10) as connection:
        connection.sendall(b"get %s\r\nquit\r\n" % key.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if answer == b"END\r\n":
        return None
    head, value = answer.split(b"\r\n", 1)
    return value[:int(head.split()[3])]


def start(name):
    """Programs run side by side: most of their time is the TTL's."""
    try:
        return subprocess.Popen(PROGRAMS[name]() + [host, str(port)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
    except Exception as error:
        return error


def says_what_it_should(name, process):
    if isinstance(process, Exception):
        raise process
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("no end: %.200r" % process.communicate()[0])
    same(output, EXPECTED)
    same(process.returncode, 0)
    same(get(name + ":visits"), b"15")
    same(get(name + ":list") is not None, True)
    same(get(name + ":short"), None)


def dalli():
    """Debian's Dalli speaks the binary protocol alone: the program is run at memcached."""
    at = free_port(host)
    user = ["-u", "root"] if os.getuid() == 0 else []
    peer = subprocess.Popen(["memcached", "-l", host, "-p", str(at), "-U", "0"] + user)
    try:
        until(lambda: get("anything", at) is None)
        result = subprocess.run(["ruby", folder / "ruby_dalli.rb", host, str(at)],
                                stdout=subprocess.PIPE, text=True, timeout=limit_s)
        same(result.stdout, EXPECTED)
        same(result.returncode, 0)
        same(b"a,b,c" in get("dalli:list", at), True)
    finally:
        peer.kill()
        peer.wait()


SESSIONS = {
    "django": lambda http: [python, folder / "python_django.py", host, str(port), http],
    "php session": lambda http: ["php", "-S", "127.0.0.1:" + http, folder / "php_session.php"],
    "express-session": lambda http: ["node", folder / "node_express_session.js", host, str(port),
                                     http],
}


class Application:
    """A program that serves HTTP on a port nobody listened on."""

    def __init__(self, name):
        self.port = free_port("127.0.0.1")
        self.process = subprocess.Popen(
            SESSIONS[name](str(self.port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=dict(os.environ, MEMCACHED="%s:%d" % (host, port)))
        until(lambda: self.process.poll() is not None or self.listens(), 60)
        same(self.process.poll(), None)

    def listens(self):
        socket.create_connection(("127.0.0.1", self.port), timeout=10).close()
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def page(self, browser):
        with browser.open("http://127.0.0.1:%d/" % self.port, timeout=30) as answer:
            return answer.read().decode()


def new_browser():
    return urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def sessions_outlive_the_program(name):
    ann, bob = new_browser(), new_browser()
    with Application(name) as application:
        same(application.page(ann), "visit 1\n")
        same(application.page(ann), "visit 2\n")
        same(application.page(bob), "visit 1\n")
    with Application(name) as application:
        same(application.page(ann), "visit 3\n")
        same(application.page(bob), "visit 2\n")
        # A cache may lose it: then it is a new session, and no error.
        with socket.create_connection((host, port), timeout=10) as connection:
            connection.sendall(b"flush_all\r\n")
            same(connection.recv(64), b"OK\r\n")
        same(application.page(ann), "visit 1\n")


def named(name, function, *arguments):
    def case():
        function(*arguments)
    case.__name__ = name
    return case


cases = Cases()
started = {name: start(name) for name in PROGRAMS}
cases.run(named("ruby, at memcached", dalli))
for name in PROGRAMS:
    cases.run(named(name, says_what_it_should, name, started[name]))
for name in SESSIONS:
    cases.run(named(name, sessions_outlive_the_program, name))
shutil.rmtree(built)
sys.exit(cases.close())
