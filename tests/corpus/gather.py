"""Makes NAME.kv files out of what tests/corpus/build has unpacked:  gather.py WORK FOLDER

A file is records one behind the other: key length (16 bits), value length (32), key, value, little
endian. The same packages give the same files: whatever is drawn is drawn from a seeded generator.

    small_json   WordNet's entries as JSON                                   about 200 bytes
    documents    browser compatibility data by feature, the package index    about 900
    fragments    sections of the manuals, SVG icons                          about 1.5 KB
    pages        pages of the manuals                                        about 19 KB
    sessions     made up, with names from WordNet: PHP, pickle, JSON         about 550
    tiny         made up: counters, flags, ids                               1 to 20
    binary       fonts and PNG                                               about 6 KB
"""

import hashlib
import json
import os
import pickle
import random
import re
import struct
import sys

VALUE_BYTES_MAX = 1 << 18
DOCUMENT_BYTES = (300, 4000)
FRAGMENT_BYTES = (400, 4000)
PAGE_BYTES = (4000, 60000)
SESSIONS = 70000
TINY = 400000
PACKAGES = 20000


class Corpus:
    """One file; keys and values that were there before are left out."""

    def __init__(self, folder, name):
        self.name = name
        self.file = open(os.path.join(folder, name + ".kv"), "wb")
        self.keys = set()
        self.values = set()
        self.value_bytes = 0

    def add(self, key, value, may_repeat=False):
        key = re.sub(rb"[^!-~]", b"_", key.encode())[:200]
        value = value if isinstance(value, bytes) else value.encode()
        digest = hashlib.md5(value).digest()
        if not key or key in self.keys or not 0 < len(value) <= VALUE_BYTES_MAX:
            return
        if not may_repeat and digest in self.values:
            return
        self.keys.add(key)
        self.values.add(digest)
        self.value_bytes += len(value)
        self.file.write(struct.pack("<HI", len(key), len(value)) + key + value)

    def close(self):
        self.file.close()
        count = len(self.keys)
        if count == 0:
            sys.exit("no %s were found" % self.name)
        mean = self.value_bytes / count
        print("%-11s %7d items, mean value %6d bytes" % (self.name, count, mean))


def files(root, endings):
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(endings) and os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    yield os.path.relpath(path, root), file.read()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def words_of(work):
    """WordNet's entries: offset, kind, words, gloss (wndb(5WN))."""
    names = ("data.noun", "data.verb", "data.adj", "data.adv")
    for path, data in files(os.path.join(work, "debian"), names):
        for line in data.decode("utf-8", "replace").splitlines():
            head, _, gloss = line.partition(" | ")
            fields = head.split(" ")
            if not fields[0].isdigit() or len(fields) < 5:
                continue
            count = int(fields[3], 16)
            words = [word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
            yield int(fields[0]), os.path.splitext(path)[1][1:], words, gloss.strip()


def small_json(corpus, entries):
    for number, kind, words, gloss in entries:
        record = {"id": number, "pos": kind, "words": words, "gloss": gloss}
        corpus.add("synset:%s:%d" % (kind, number), compact(record))


def features(path, value):
    """Objects small enough to be one document each."""
    if not isinstance(value, dict):
        return
    text = compact(value)
    if DOCUMENT_BYTES[0] <= len(text) <= DOCUMENT_BYTES[1]:
        yield path, text
    elif len(text) > DOCUMENT_BYTES[1]:
        for name in sorted(value):
            yield from features(path + "." + name, value[name])


def package_index(work):
    with open(os.path.join(work, "available"), encoding="utf-8", errors="replace") as file:
        for entry in file.read().split("\n\n"):
            fields = re.findall(r"^([A-Za-z0-9-]+): ?(.*(?:\n .*)*)", entry, re.M)
            if fields:
                yield dict(fields)


def documents(corpus, work):
    for path, data in files(os.path.join(work, "npm", "@mdn"), ("data.json",)):
        for key, text in features("compat", json.loads(data)):
            corpus.add(key, text)
    packages = list(package_index(work))
    random.Random(1).shuffle(packages)
    for fields in packages[:PACKAGES]:
        corpus.add("package:" + fields["Package"], compact(fields))


def manuals(work):
    names = (".html", ".html.en", ".html.de", ".html.fr")
    yield from files(os.path.join(work, "debian", "usr/share/doc"), names)


def fragments(corpus, work):
    for path, data in manuals(work):
        pieces = re.split(rb"(?=<(?:section|h2|h3|dl|pre|table)[ >])", data)
        for number, piece in enumerate(pieces):
            if FRAGMENT_BYTES[0] <= len(piece) <= FRAGMENT_BYTES[1]:
                corpus.add("section:%s:%d" % (path[-80:], number), piece)
    for path, data in files(os.path.join(work, "debian", "usr/share/icons"), (".svg",)):
        if FRAGMENT_BYTES[0] <= len(data) <= FRAGMENT_BYTES[1]:
            corpus.add("svg:" + path[-100:], data)


def pages(corpus, work):
    for path, data in manuals(work):
        if PAGE_BYTES[0] <= len(data) <= PAGE_BYTES[1]:
            corpus.add("page:/" + path[-150:], data)


def php(value):
    if isinstance(value, bool):
        return "b:%d;" % value
    if isinstance(value, int):
        return "i:%d;" % value
    if isinstance(value, float):
        return "d:%r;" % value
    if isinstance(value, str):
        return 's:%d:"%s";' % (len(value.encode()), value)
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    body = "".join(php(key) + php(item) for key, item in pairs)
    return "a:%d:{%s}" % (len(value), body)


def session(draw, entries):
    def word():
        return draw.choice(draw.choice(entries)[2])

    def name():
        return word().split(" ")[0]

    def item():
        price = draw.randrange(100, 30000) / 100
        sku = "%08X" % draw.getrandbits(32)
        return {"sku": sku, "title": word(), "qty": draw.randrange(1, 5), "price": price}

    user = word()
    roles = ["reader", "editor", "author", "admin", "billing"]
    return {
        "user_id": draw.randrange(1, 5000000),
        "name": user,
        "email": "%s.%s@%s.example" % (user.split(" ")[0], name(), name()),
        "roles": draw.sample(roles, draw.randrange(1, 3)),
        "csrf": "%032x" % draw.getrandbits(128),
        "since": 1700000000 + draw.randrange(30000000),
        "locale": draw.choice(["en_GB", "en_US", "de_DE", "fr_FR", "ja_JP"]),
        "remember": draw.random() < 0.3,
        "last_page": "/%s/%s" % (word().replace(" ", "-"), word().replace(" ", "-")),
        "seen": [word() for _ in range(draw.randrange(4, 12))],
        "cart": [item() for _ in range(draw.randrange(0, 4))],
    }


def sessions(corpus, entries):
    draw = random.Random(2)
    for number in range(SESSIONS):
        value = session(draw, entries)
        if number % 10 < 5:
            text = "".join("%s|%s" % (name, php(item)) for name, item in value.items())
            corpus.add("sess:%026x" % draw.getrandbits(104), text)
        elif number % 10 < 8:
            corpus.add("session:%s" % draw.getrandbits(60), pickle.dumps(value, 4))
        else:
            corpus.add("sid:%032x" % draw.getrandbits(128), compact(value))


def tiny(corpus):
    draw = random.Random(3)
    for number in range(TINY):
        kind = draw.choice(["views", "likes", "rate", "quota", "seen", "flag", "owner", "lock"])
        if kind == "flag":
            value = draw.choice("01")
        elif kind == "owner":
            value = "%016x" % draw.getrandbits(64)
        elif kind == "lock":
            value = "worker-%d" % draw.randrange(400)
        else:
            value = str(int(10 ** (draw.random() * 8)))
        corpus.add("%s:%d" % (kind, 10000 + number * 7), value, may_repeat=True)


def binary(corpus, work):
    for root in ("npm", "debian"):
        for path, data in files(os.path.join(work, root), (".woff2", ".png")):
            corpus.add("blob:" + path[-150:], data)


def main():
    work, folder = sys.argv[1:]
    entries = list(words_of(work))
    makers = {
        "small_json": lambda corpus: small_json(corpus, entries),
        "documents": lambda corpus: documents(corpus, work),
        "fragments": lambda corpus: fragments(corpus, work),
        "pages": lambda corpus: pages(corpus, work),
        "sessions": lambda corpus: sessions(corpus, entries),
        "tiny": tiny,
        "binary": lambda corpus: binary(corpus, work),
    }
    for name, maker in makers.items():
        corpus = Corpus(folder, name)
        maker(corpus)
        corpus.close()


main()
