#!/usr/bin/env python3
"""Polls a JVM through real Jolokia agents, 1.x and 2.x, and compares with the same JVM over RMI.

usage: tests/e2e/jolokia.py     (needs build/firstmile, a JDK, and Maven for the first time)

The agents are fetched from Maven's central repository into the cache that run.sh describes; an agent
that cannot be had is skipped. Ends with "N passed, N failed, N skipped"."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import rig as r
from rig import Failed, Skipped, expect, wait_for

AGENTS = [("org.jolokia:jolokia-agent-jvm:2.1.2:jar:javaagent", "jolokia-agent-jvm-2.1.2-javaagent.jar"),
          ("org.jolokia:jolokia-jvm:1.7.2:jar", "jolokia-jvm-1.7.2.jar")]
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
# Values that agents flatten before they answer: nothing can mend these.
FLATTENED = {"Unknown", "Instant", "Uuid", "BigDecimal", "Odd", "Table", "Map", "Float", "Date"}
COUNTING = {"Count", "Half", "List", "Composite", "Table", "Strings", "Longs", "Map", "Twice", "Text"}


def fetch(artifact, jar):
    cache = r.cache_dir()
    path = os.path.join(cache, jar)
    if os.path.isfile(path):
        return path
    if not shutil.which("mvn"):
        raise Skipped(f"needs {path} or mvn")
    os.makedirs(cache, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix="jolokia.", dir=cache)
    try:
        code, _, _ = r.run(["mvn", "-q", "-B", COPY, f"-Dartifact={artifact}",
                            f"-DoutputDirectory={fresh}"], 300)
        if code != 0 or not os.path.isfile(os.path.join(fresh, jar)):
            raise Skipped(f"{artifact} cannot be fetched")
        os.rename(os.path.join(fresh, jar), path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return path


class Jvm:
    """The fixture with an agent and, beside it, an RMI port."""

    def __init__(self, work, classes, jar):
        self.classes, self.has_proxy_mode = classes, "agent-jvm-2" in jar
        self.http, self.rmi = r.free_port(), r.free_port()
        self.user, self.password = "joe", "canary-" + os.urandom(6).hex()
        self.secret = os.path.join(work, "secret")
        with open(os.open(self.secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as f:
            f.write(self.password)
        options = (f"port={self.http},host=127.0.0.1,discoveryEnabled=false,"
                   f"user={self.user},password={self.password},executor=fixed,threadNr=4")
        prefix = "-Dcom.sun.management.jmxremote"
        log = os.path.join(work, "jvm.log")
        open(log, "wb").close()
        self.process = r.Process(
            "jvm", ["java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                    f"-javaagent:{jar}={options}", f"{prefix}.port={self.rmi}",
                    f"{prefix}.rmi.port={self.rmi}", f"{prefix}.ssl=false", f"{prefix}.host=127.0.0.1",
                    f"{prefix}.authenticate=false", "-Djava.rmi.server.hostname=127.0.0.1",
                    "-cp", classes, "Fixture", "failing=on", "counters=400",
                    "slow=600000"],
            log, stdin=subprocess.PIPE)
        wait_for("the fixture is ready", lambda: "ready" in open(log, encoding="utf-8").read(), 30)

    def url(self):
        return f"http://127.0.0.1:{self.http}/jolokia"

    def options(self):
        return ["-o", f"target.username={self.user}", "-o", f"target.password_file={self.secret}"]

    def ask(self, *args, good=True):
        code, out, err = r.run([r.FIRSTMILE, *args, *self.options()], 30)
        expect(self.password not in out + err, f"{args}: the password is shown")
        expect((code == 0) == good, f"{args}: exit {code}: {(out + err)[-300:]}")
        return out if good else err

    def rmi_ask(self, *args):
        code, out, err = r.run([r.FIRSTMILE, *args], 30)
        expect(code == 0, f"{args}: exit {code}: {err[-300:]}")
        return out


def same_names(jvm, work):
    """The list of MBeans is the one that RMI gives."""
    rmi = jvm.rmi_ask("beans", f"127.0.0.1:{jvm.rmi}", "*:*").splitlines()
    through = [n for n in jvm.ask("beans", jvm.url(), "*:*").splitlines()]
    own = {n for n in through if n not in rmi}
    expect(all(n.startswith(("jolokia:", "jmx4perl:")) or "jolokia" in n for n in own) and set(rmi) <= set(through),
           f"names differ: {sorted(own)[:5]}, missing {sorted(set(rmi) - set(through))[:5]}")


def same_values(jvm, work):
    """Every value that does not change is the one that RMI gives, of the same JSON type."""
    bean = "first.mile:type=Kinds"
    rmi = json.loads(jvm.rmi_ask("get", f"127.0.0.1:{jvm.rmi}", bean, "--json"))
    through = json.loads(jvm.ask("get", jvm.url(), bean, "--json"))
    expect(set(rmi) == set(through), f"attributes differ: {sorted(set(rmi) ^ set(through))}")
    for name in sorted(set(rmi) - FLATTENED - COUNTING):
        expect(rmi[name] == through[name] and type(rmi[name]) is type(through[name]),
               f"{name}: {through[name]!r} is not {rmi[name]!r}")
    expect(0 <= rmi["Date"] - through["Date"] < 1000, "Date: agents give whole seconds")
    for name in sorted(COUNTING & set(rmi) - FLATTENED):
        expect(type(rmi[name]) is type(through[name]), f"{name}: {through[name]!r}")
    failing = json.loads(jvm.ask("get", jvm.url(), "first.mile:type=Failing", "--json"))
    expect(set(failing) == {"Good"}, f"markers taken for values: {failing}")


def polls(jvm, work):
    """once polls hundreds of beans in bulk; each record holds the values of one read."""
    config = os.path.join(work, "config.ini")
    with open(config, "w", encoding="utf-8") as f:
        f.write("[rest]\nurl = sandbox\n[target:j]\n"
                f"url = {jvm.url()}\nusername = {jvm.user}\npassword_file = {jvm.secret}\n"
                "[query:q]\nbean = first.mile:type=Counter,*\n")
    code, out, err = r.run([r.FIRSTMILE, "once", "--stdout", "-c", config], 60)
    expect(code == 0, f"once: exit {code}: {err[-300:]}")
    records = [json.loads(line) for line in out.splitlines()]
    expect(len(records) == 400, f"{len(records)} records instead of 400")
    for record in records:
        a = record["attributes"]
        expect(a["Twice"] in (2 * a["Count"], 2 * a["Count"] + 2), f"{record['bean']}: {a}")


def refusals(jvm, work):
    """Wrong password, wrong path, and a target that does not exist are told apart."""
    wrong = [r.FIRSTMILE, "beans", jvm.url(), "-o", "target.username=joe"]
    code, out, err = r.run(wrong, 20)
    expect(code != 0 and "credentials" in err, f"without a password: {err[-300:]}")
    expect("path" in jvm.ask("beans", jvm.url() + "x/y", good=False), "a wrong path is not named")
    text = jvm.ask("beans", jvm.url(), "-o",
                   "target.jolokia_target=service:jmx:rmi:///jndi/rmi://127.0.0.1:1/jmxrmi",
                   good=False)
    expect("jolokia_target" in text, f"the target behind the proxy: {text[-300:]}")


def proxy_mode(jvm, work):
    """A 2.x agent asks another JVM; a 1.x one is caught answering for itself."""
    other = r.Jvm(work, "remote", jvm.classes)
    other.start()
    url = f"service:jmx:rmi:///jndi/rmi://127.0.0.1:{other.port}/jmxrmi"
    options = ["-o", f"target.jolokia_target={url}", "-o", f"target.jolokia_username={other.user}",
               "-o", f"target.jolokia_password_file={other.password_file}"]
    try:
        args = ["get", jvm.url(), "java.lang:type=Runtime", "Name", *options]
        text = jvm.ask(*args, good=jvm.has_proxy_mode)
        expect(other.password not in text, "the target's password is shown")
        if jvm.has_proxy_mode:
            expect(text.startswith(f"{other.process.pid}@"), f"another JVM answered: {text}")
        else:
            expect("answers for its own JVM" in text, f"not caught: {text[-300:]}")
    finally:
        other.stop()


def target_of(port):
    """What /stats says of the only target; None before the first poll."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5) as answer:
            targets = json.loads(answer.read())["targets"]
    except (OSError, ValueError):
        return None
    return targets[0] if targets else None


def hanging(jvm, work):
    """A getter that hangs for ten minutes costs its own MBean only, and few of the agent's 4 threads.
    (By default an agent has one: then nobody can ask it anything until the getter returns.)"""
    port, config, log = r.free_port(), os.path.join(work, "hanging.ini"), os.path.join(work, "agent.log")
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"[agent]\ninterval = 500ms\nstate_dir = {tempfile.mkdtemp(dir=work)}\n"
                f"[rest]\nurl = sandbox\n[http]\nlisten = 127.0.0.1:{port}\n[target:j]\n"
                f"url = {jvm.url()}\nusername = {jvm.user}\npassword_file = {jvm.secret}\n"
                "timeout = 3s\n[query:q]\nbean = first.mile:type=Counter,* | first.mile:type=Slow\n")

    def good():
        target = target_of(port)
        return target if target and target["state"] == "up" and target["beans"] == 400 else None
    agent = r.Process("agent", [r.FIRSTMILE, "run", "-c", config], log)
    try:
        first = wait_for("the others are read", good, 90)
        expect("type=Slow" in json.dumps(first) + open(log, encoding="utf-8").read(),
               f"the MBean that hangs is not named: {first}")
        wait_for("polls go on without it", lambda: (good() or first)["last_poll"]["time_ms"]
                 >= first["last_poll"]["time_ms"] + 2000, 20)
        expect(jvm.ask("get", jvm.url(), "java.lang:type=Runtime", "Name").startswith(
            f"{jvm.process.pid}@"), "no thread of the agent is left")
    finally:
        expect(agent.stop(10) == 0, "the agent does not end well")


CASES = [same_names, same_values, polls, refusals, proxy_mode, hanging]


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    work = tempfile.mkdtemp(prefix="firstmile-jolokia.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        classes = r.compile_fixture(work)
        for artifact, jar in AGENTS:
            jvm = None
            try:
                jvm = Jvm(work, classes, fetch(artifact, jar))
            except Skipped as e:
                counts["skipped"] += len(CASES)
                print(f"skip {jar}: {e}", flush=True)
                continue
            for case in CASES:
                start = time.monotonic()
                try:
                    case(jvm, work)
                    counts["passed"] += 1
                    print(f"ok   {case.__name__} {jar} ({time.monotonic() - start:.1f} s)", flush=True)
                except (Failed, KeyError, TypeError, ValueError, OSError) as e:
                    counts["failed"] += 1
                    print(f"FAIL {case.__name__} {jar}: {type(e).__name__}: {e}", flush=True)
            jvm.process.stop(5)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
