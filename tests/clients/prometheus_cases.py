"""Debian's prometheus scrapes the server, and what ships for Grafana asks for series that are there.

The HTTP port is the server's own and 10,000 (restart.sh). Needs the package prometheus, for
promtool too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from cases import Cases, free_port, restart, same, talk, until

host, port, restart_command = sys.argv[1], int(sys.argv[2]), sys.argv[3]
metrics = "http://%s:%d/metrics" % (host, port + 10000)
shipped = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../server/admin/grafana")
CONFIG = """
global:
  scrape_interval: 1s
rule_files: [%s]
scrape_configs:
  - job_name: zbcached
    static_configs: [{targets: ["%s:%d"]}]
"""


def promtool(*arguments, **options):
    done = subprocess.run(("promtool",) + arguments, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, **options)
    if done.returncode != 0:
        raise AssertionError(done.stdout)
    return done.stdout


class Prometheus:
    def __init__(self, folder):
        self.url = "http://%s:%d" % (host, free_port(host))
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w") as file:
            file.write(CONFIG % (os.path.realpath(os.path.join(shipped, "alerts.yml")), host,
                                 port + 10000))
        self.process = subprocess.Popen(
            ("prometheus", "--config.file=" + config, "--storage.tsdb.path=" + folder + "/data",
             "--web.listen-address=" + self.url[7:], "--log.level=warn"))

    def query(self, expression):
        return promtool("query", "instant", self.url, expression)

    def value(self, expression):
        """Of the one series there is; None where there is none."""
        found = re.findall(r"=> ([-+.0-9a-zNI]+) @", self.query(expression))
        if len(found) > 1:
            raise AssertionError("%d series for %s" % (len(found), expression))
        return float(found[0]) if found else None

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


cases = Cases()
folder = tempfile.mkdtemp()
prometheus = Prometheus(folder)


def test_promtool_finds_nothing_to_mend():
    with urllib.request.urlopen(metrics, timeout=30) as answer:
        same(promtool("check", "metrics", input=answer.read().decode()), "")


def test_alert_rules():
    promtool("check", "rules", os.path.join(shipped, "alerts.yml"))
    promtool("test", "rules", os.path.join(shipped, "alerts_test.yml"))


def test_is_scraped():
    until(lambda: prometheus.value('up{job="zbcached"}') == 1, 60)
    talk((host, port), b"set a 0 0 1\r\nx\r\nget a b\r\n", b"END\r\n")
    until(lambda: prometheus.value("zbcached_items") == 1, 60)
    until(lambda: prometheus.value(
        'zbcached_commands_total{command="get",result="miss"}') == 1, 60)


def test_dashboard_asks_for_what_there_is():
    with open(os.path.join(shipped, "dashboard.json")) as file:
        panels = json.load(file)["panels"]
    asked = 0
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")
            prometheus.query(expression)
            for name in re.findall(r"\b(?:zbcached|process)_[a-z_]+", expression):
                if prometheus.value("count(%s)" % name) is None:
                    raise AssertionError("there is no series %s" % name)
                asked += 1
    if asked < 20:
        raise AssertionError("only %d series asked for" % asked)


def test_survives_a_restart():
    until(lambda: prometheus.value("process_start_time_seconds") is not None, 60)
    before = prometheus.value("zbcached_items_stored_total")
    restart(restart_command)
    until(lambda: prometheus.value("zbcached_items_stored_total") < before, 60)
    same(prometheus.value('up{job="zbcached"}'), 1.0)


try:
    for case in (test_promtool_finds_nothing_to_mend, test_alert_rules, test_is_scraped,
                 test_dashboard_asks_for_what_there_is, test_survives_a_restart):
        cases.run(case)
finally:
    prometheus.stop()
    shutil.rmtree(folder)
sys.exit(cases.close())
