"""clients/recipes/kubernetes, without a cluster:  kubernetes_cases.py HOST PORT RESTART

Debian's python3-kubernetes has a class for each kind of object, made from the descriptions that
Kubernetes publishes of them. What is read into these and written again must be what it was: a
field that they do not know is lost on the way, a value of another type is another value, and a
required field that is missing is an error.
"""

import copy
import json
import os
import pathlib
import socket
import subprocess
import sys

import yaml
from kubernetes import client as api

from cases import Cases, free_port, raises, same, until

host = sys.argv[1]
program = pathlib.Path(sys.argv[3].split()[1], "program").read_text().strip()
manifest = (pathlib.Path(__file__).resolve().parents[2] / "clients" / "recipes" / "kubernetes" /
            "zbcached.yaml")
# What a container's memory has beside -m, in MiB: README.md of the recipes says why.
beside_m = 128

KINDS = {
    ("v1", "Service"): "V1Service",
    ("apps/v1", "StatefulSet"): "V1StatefulSet",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
}


class Answer:
    """What the library takes for a server's."""

    def __init__(self, document):
        self.data = json.dumps(document)


def check(document):
    """Raises where the document is not of its kind."""
    converter = api.ApiClient()
    kind = KINDS[document["apiVersion"], document["kind"]]
    same(converter.sanitize_for_serialization(converter.deserialize(Answer(document), kind)),
         document)


documents = {each["kind"]: each for each in yaml.safe_load_all(manifest.read_text())}
stateful = documents["StatefulSet"]["spec"]
pod = stateful["template"]["spec"]
container = pod["containers"][0]
options = dict(zip(container["args"][::2], container["args"][1::2]))


def documents_are_of_their_kinds():
    same(sorted(documents), sorted(kind for _, kind in KINDS))
    for each in documents.values():
        check(each)


def wrong_documents_are_found():
    """The check itself: each of these is refused."""
    def changed(change):
        document = copy.deepcopy(documents["StatefulSet"])
        change(document["spec"])
        return document

    def container_of(spec):
        return spec["template"]["spec"]["containers"][0]

    for change in (
            lambda spec: spec.update(replica=5),
            lambda spec: spec.update(replicas="5"),
            lambda spec: spec.pop("selector"),
            lambda spec: container_of(spec)["readinessProbe"].update(period=5),
            lambda spec: container_of(spec).pop("name"),
            lambda spec: container_of(spec)["resources"].update(limit={"memory": "1Mi"})):
        raises((AssertionError, ValueError), check, changed(change))


def names_meet():
    labels = stateful["template"]["metadata"]["labels"]
    service = documents["Service"]
    same(stateful["serviceName"], service["metadata"]["name"])
    for selector in (stateful["selector"]["matchLabels"], service["spec"]["selector"],
                     documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                     documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
                     pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]):
        same(selector, labels)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    for name in (service["spec"]["ports"][0]["targetPort"],
                 container["startupProbe"]["tcpSocket"]["port"],
                 documents["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"]):
        same(ports[name], int(options["-p"]))
    for probe in ("readinessProbe", "livenessProbe"):
        same("127.0.0.1:" + options["-p"] in container[probe]["exec"]["command"], True)


def memory_is_m_and_a_constant():
    memory = "%dMi" % (int(options["-m"]) + beside_m)
    same(container["resources"]["requests"]["memory"], memory)
    same(container["resources"]["limits"]["memory"], memory)


def the_server_takes_these_options():
    """As they stand there, but for the port."""
    port = free_port(host)
    user = ["-u", "root"] if os.getuid() == 0 else []
    arguments = [str(port) if each == options["-p"] else each for each in container["args"]]
    server = subprocess.Popen([program] + arguments + user, stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)

    def limit():
        with socket.create_connection((host, port), timeout=10) as connection:
            connection.sendall(b"stats\r\nquit\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return int(answer.split(b"STAT limit_maxbytes ")[1].split()[0])

    try:
        until(lambda: limit() == int(options["-m"]) << 20, 30)
    finally:
        server.terminate()
        same(server.wait(30), 0)


cases = Cases()
for case in (documents_are_of_their_kinds, wrong_documents_are_found, names_meet,
             memory_is_m_and_a_constant, the_server_takes_these_options):
    cases.run(case)
sys.exit(cases.close())
