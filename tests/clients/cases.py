"""Cases of a real client: each one printed, counted, and closed with "N passed, N failed"."""

import socket
import subprocess
import sys
import time
import traceback


class Cases:
    """Runs functions as cases. One that raises has failed; the others go on."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def run(self, function):
        try:
            function()
            self.passed += 1
            print("ok", function.__name__)
        except Exception:  # whatever a client raises is a failed case
            self.failed += 1
            print("FAILED", function.__name__)
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()

    def close(self):
        print("%d passed, %d failed" % (self.passed, self.failed))
        return 0 if self.failed == 0 else 1


def same(got, expected):
    """An assertion that says what it got."""
    if got != expected:
        raise AssertionError("got %.200r, expected %.200r" % (got, expected))


def raises(kinds, function, *arguments):
    """The call raises one of these."""
    try:
        result = function(*arguments)
    except kinds:
        return
    raise AssertionError("got %.200r, expected one of %r" % (result, kinds))


def restart(command):
    subprocess.run(command.split(), check=True, timeout=60)


def free_port(host):
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def talk(address, request, end):
    """What a server answers to the bytes, up to and with @end."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while not answer.endswith(end):
            got = connection.recv(65536)
            if not got:
                raise AssertionError("closed after %r" % answer[-200:])
            answer += got
        return answer


def until(condition, seconds=10.0):
    """Waits for what the client does in its own time. What it raises meanwhile is not yet true."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            if condition():
                return
        except Exception as error:
            last = error
        time.sleep(0.05)
    raise AssertionError("not true within %g s: %r" % (seconds, last))
