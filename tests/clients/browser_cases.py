"""The dashboard in a browser without a screen: it renders, goes on, and is used by keyboard.

The HTTP port is the server's own and 10,000 (restart.sh). Needs the package
chromium-headless-shell, which is driven by its debugging protocol over a pipe: JSON, each message
ended by a NUL.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

from cases import Cases, restart, same, talk, until

host, port, restart_command = sys.argv[1], int(sys.argv[2]), sys.argv[3]
page = "http://%s:%d/" % (host, port + 10000)
WAIT_S = 60
ENTER, SPACE, TAB = ("Enter", "\r", 13), (" ", " ", 32), ("Tab", "", 9)


class Browser:
    def __init__(self, folder):
        self.read_fd, browser_write = os.pipe()
        browser_read, self.write_fd = os.pipe()

        def descriptors():
            """The browser reads from 3 and writes to 4."""
            high = (os.dup2(browser_read, 103), os.dup2(browser_write, 104))
            for fd, name in zip(high, (3, 4)):
                os.dup2(fd, name, inheritable=True)
                os.close(fd)

        self.process = subprocess.Popen(
            ("chromium-headless-shell", "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
             "--user-data-dir=" + folder, "about:blank"),
            close_fds=False, preexec_fn=descriptors, stderr=subprocess.DEVNULL)
        os.close(browser_read)
        os.close(browser_write)
        self.rest, self.number, self.session, self.complaints = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def receive(self):
        while b"\0" not in self.rest:
            more = os.read(self.read_fd, 1 << 20)
            if not more:
                raise AssertionError("the browser is gone")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(request).encode() + b"\0")
        while True:
            message = self.receive()
            if message.get("id") == self.number:
                if "error" in message:
                    raise AssertionError(message["error"])
                return message["result"]
            if message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(message["params"])

    def run(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"])
        return result["result"].get("value")

    def text(self, element):
        return self.run("document.getElementById('%s').textContent" % element)

    def press(self, key):
        name, text, code = key
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def stop(self):
        self.process.kill()
        self.process.wait(WAIT_S)


cases = Cases()
folder = tempfile.mkdtemp()
browser = Browser(folder)


def updates():
    return int(browser.run("document.documentElement.dataset.updates || 0"))


def state():
    return browser.run("document.documentElement.dataset.state")


def test_renders():
    browser.call("Page.navigate", url=page)
    until(lambda: updates() >= 2 and state() == "live", WAIT_S)
    same(browser.text("state"), "live")
    if not browser.text("memory-note").endswith(" of 64.0 MiB · 0 items"):
        raise AssertionError(browser.text("memory-note"))
    cells = browser.run("map.width * map.height")
    same(cells, 4096)
    colours = browser.run(
        "new Set(new Uint32Array(map.getContext('2d').getImageData(0, 0, map.width, map.height)"
        ".data.buffer)).size")
    if colours < 2:
        raise AssertionError("the map has %d colours" % colours)


def test_updates():
    pairs = b"".join(b"set k%d 0 0 5\r\nvalue\r\nget k%d\r\n" % (i, i) for i in range(1000))
    talk((host, port), pairs + b"get none\r\nmn\r\n", b"MN\r\n")
    until(lambda: browser.text("gets-note") == "1.00 k keys asked for", WAIT_S)
    until(lambda: "1.00 k items" in browser.text("memory-note"), WAIT_S)
    until(lambda: browser.run("document.querySelectorAll('#dictionaries tr').length") >= 1, WAIT_S)
    if not browser.text("ratio-note").startswith("99.9 %"):
        raise AssertionError(browser.text("ratio-note"))


def test_figures_have_three_digits():
    same(browser.run("[999, 999999, 1000, 12345].map(short).join()"), "999,1000 k,1.00 k,12.3 k")
    same(browser.run("[1023, 1023 * 1024, 2 ** 20].map(bytes).join()"), "1023 B,1023 KiB,1.00 MiB")
    same(browser.run("[999.9e3, 1500].map(time).join()"), "1000 µs,1.50 µs")


def test_keyboard():
    browser.run("document.activeElement.blur()")
    browser.press(TAB)
    same(browser.run("document.activeElement.id"), "pause")
    browser.press(SPACE)
    same(browser.text("state"), "paused")
    browser.press(ENTER)
    same(browser.text("state"), "live")
    browser.press(TAB)
    same(browser.run("document.activeElement.id"), "map")
    browser.press(("ArrowRight", "", 39))
    browser.press(("ArrowDown", "", 40))
    if not browser.text("cell").startswith("Pages 516 to 519: mostly "):
        raise AssertionError(browser.text("cell"))


def test_phone():
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2,
                 mobile=True)
    same(browser.run("document.scrollingElement.scrollWidth"), 360)
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_light_and_dark():
    shades = []
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": scheme}])
        shades.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    if shades[0] == shades[1]:
        raise AssertionError("both are %s" % shades[0])


def test_survives_a_restart():
    first = browser.run("last.pid")
    restart(restart_command)
    until(lambda: state() == "live" and browser.run("last.pid") != first, WAIT_S)
    same(browser.run("history.length <= KEPT && last.level.items"), 0)


def test_nothing_to_complain():
    """No exception, nothing that the page's policy forbids; a restart is no fault of the page."""
    faults = [c for c in browser.complaints
              if c.get("entry", {}).get("source") not in ("network", "rendering")]
    same(faults, [])


def picture(path):
    shot = browser.call("Page.captureScreenshot", captureBeyondViewport=True)
    with open(path, "wb") as file:
        file.write(base64.b64decode(shot["data"]))


try:
    for case in (test_renders, test_updates, test_figures_have_three_digits, test_keyboard,
                 test_phone, test_light_and_dark, test_survives_a_restart,
                 test_nothing_to_complain):
        cases.run(case)
    if "BROWSER_PICTURE" in os.environ:
        picture(os.environ["BROWSER_PICTURE"])
finally:
    browser.stop()
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(cases.close())
