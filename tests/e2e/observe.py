"""A strict reader of a running agent's local server: whatever an end-to-end case does, /stats and
/health stay JSON of the promised shape and /metrics stays Prometheus text whose counters only rise."""
import http.client
import json
import math
import re
import threading
import time

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|NaN|[+-]Inf")


class Wrong(Exception):
    """What the agent served is not what it promises."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


def strict_json(body):
    """One JSON value as RFC 8259 has it: UTF-8, no name twice, no NaN."""
    def members(pairs):
        names = [name for name, _ in pairs]
        need(len(names) == len(set(names)), f"a name stands twice among {names[:20]}")
        return dict(pairs)

    def refuse(word):
        raise Wrong(f"{word} is no JSON")
    return json.loads(body.decode("utf-8", "strict"), object_pairs_hook=members,
                      parse_constant=refuse)


def labels_of(text):
    """The labels of a sample as a sorted tuple."""
    found, at = {}, 0
    while text and at < len(text):
        label = LABEL.match(text, at)
        need(label, f"bad labels {text!r}")
        need(label[1] not in found, f"label {label[1]} stands twice in {text!r}")
        found[label[1]] = label[2]
        at = label.end()
    return tuple(sorted(found.items()))


def prometheus(body):
    """The samples of a text exposition (format 0.0.4): {(name, labels): value}, and types by
    family."""
    text = body.decode("utf-8", "strict")
    need(text.endswith("\n"), "the last line is not ended")
    samples, types, helped, family = {}, {}, set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            need(name not in helped, f"HELP of {name} stands twice")
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            need(re.fullmatch(NAME, family) and family not in types, f"TYPE of {family}")
            need(kind in ("counter", "gauge", "histogram", "summary"), f"{family} is a {kind}")
            need(family in helped, f"{family} has no HELP")
            need(kind != "counter" or family.endswith("_total"), f"counter {family} lacks _total")
            types[family] = kind
        elif not line.startswith("#"):
            sample = SAMPLE.fullmatch(line)
            need(sample, f"bad line {line!r}")
            name, value = sample[1], sample[3]
            need(NUMBER.fullmatch(value), f"bad number in {line!r}")
            parts = ("_bucket", "_sum", "_count") if types.get(family) == "histogram" else ("",)
            need(family and name.startswith(family) and name[len(family):] in parts,
                 f"{name} stands among the samples of {family}")
            key = (name, labels_of(sample[2]))
            need(key not in samples, f"sample {key} stands twice")
            samples[key] = float(value)
    for family, kind in types.items():
        if kind == "histogram":
            histogram(family, samples)
    return samples, types


def histogram(family, samples):
    """Buckets rise with their bounds up to the count."""
    series = {}
    for (name, labels), value in samples.items():
        if name == family + "_bucket":
            bounds = dict(labels)
            need("le" in bounds, f"a bucket of {family} lacks le")
            bound = float(bounds.pop("le"))
            series.setdefault(tuple(sorted(bounds.items())), []).append((bound, value))
    for labels, buckets in series.items():
        counts = [count for _, count in sorted(buckets)]
        need(counts == sorted(counts), f"{family}{labels}: buckets fall: {counts}")
        need(max(buckets)[0] == math.inf, f"{family}{labels} lacks the bucket of all")
        need(counts[-1] == samples.get((family + "_count", labels)),
             f"{family}{labels}: the last bucket is not the count")
        need((family + "_sum", labels) in samples, f"{family}{labels} lacks its sum")


def stats_hold(stats):
    """The keys of /stats, and the equation of each stream."""
    for name in ("agent", "last_send", "totals", "accounting", "spool", "endpoints", "targets"):
        need(name in stats, f"/stats lacks {name}")
    for stream, a in stats["accounting"].items():
        need(a["assigned"] == a["delivered"] + a["pending"] + a["lost"] + a["dead"],
             f"the equation does not hold for {stream}: {a}")
        need(all(isinstance(a[k], int) and a[k] >= 0 for k in ("assigned", "delivered", "pending",
                                                               "lost", "dead")), f"{stream}: {a}")


def health_holds(code, health):
    need(health["status"] in ("ok", "degraded", "failing"), f"/health says {health['status']}")
    need(code == (503 if health["status"] == "failing" else 200),
         f"/health says {health['status']} with HTTP {code}")
    need(bool(health["reasons"]) == (health["status"] != "ok"),
         f"/health is {health['status']} for {health['reasons']}")
    need(all(isinstance(x, str) and x.strip() and x.isprintable() for x in health["reasons"]),
         f"/health gives {health['reasons']}")


class Observer(threading.Thread):
    """Reads the three documents of one run of an agent until it is told to end. findings: what was
    wrong; reads: how often each was read."""

    def __init__(self, port, every=0.5):
        super().__init__(daemon=True)
        self.port, self.every = port, every
        self.findings, self.reads, self.over = [], 0, threading.Event()
        self.last, self.ready = {}, set()

    def run(self):
        while not self.over.is_set():
            for path in ("/stats", "/health", "/metrics"):
                try:
                    self.read(path)
                except (Wrong, KeyError, TypeError, ValueError, http.client.HTTPException) as e:
                    # Not when it was killed in the middle of an answer.
                    if not self.over.is_set() and len(self.findings) < 10:
                        self.findings.append(f"{path}: {type(e).__name__}: {e}")
                except OSError:
                    pass  # it starts, or it ended; the case knows
            self.over.wait(self.every)

    def read(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            start = time.monotonic()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            took = time.monotonic() - start
        finally:
            connection.close()
        kind = answer.getheader("Content-Type", "")
        if answer.status == 503 and path != "/health" and path not in self.ready:
            return took  # it has only just started and rendered none yet
        self.ready.add(path)
        self.reads += 1
        if path == "/metrics":
            need(answer.status == 200 and kind.startswith("text/plain; version=0.0.4"),
                 f"HTTP {answer.status}, {kind}")
            self.rising(*prometheus(body))
            return took
        need(kind.startswith("application/json"), f"HTTP {answer.status}, {kind}")
        document = strict_json(body)
        if path == "/stats":
            need(answer.status == 200, f"HTTP {answer.status}")
            stats_hold(document)
        else:
            health_holds(answer.status, document)
        return took

    def rising(self, samples, types):
        """Counters of one run never fall."""
        for (name, labels), value in samples.items():
            if types.get(name) == "counter" or name.endswith(("_count", "_bucket")):
                before = self.last.get((name, labels), 0)
                need(value >= before >= 0, f"counter {name}{labels} fell from {before} to {value}")
        self.last = samples

    def end(self):
        """Called before the agent is stopped or killed."""
        self.over.set()
