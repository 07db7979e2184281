#!/usr/bin/env python3
"""The end-to-end cases. See run.sh for the settings; ends with "N passed, N failed, N skipped"."""
import json
import os
import random
import signal
import sys
import threading
import time

import rig as r
import verify as v
from rig import Agent, Failed, Skipped, expect, wait_for

MAX_BACKOFF = 2  # seconds, as in Agent.sections()


# --- the clean path ---

def clean(rig, changes=None):
    """Two JVMs, remote with a password and local by attach: every record, every value."""
    agent = Agent(rig, "clean", changes)
    agent.start()
    agent.await_records(60)
    status = agent.health()
    expect(status["status"] == "ok", f"health is {status}")
    assigned = agent.await_delivered()
    stats = agent.stats()
    expect(stats["totals"]["lost"] == 0 and stats["totals"]["dead"] == 0, f"{stats['totals']}")
    expect({t["state"] for t in stats["targets"]} == {"up"}, f"{stats['targets']}")
    agent.stop()
    records = r.read_topic(rig, agent.name)
    v.sequence(records, assigned, duplicates=False)
    v.values(records, contiguous=True)
    v.order(records)
    v.envelope(records, agent)
    targets = {x["target"] for x in records if x.get("bean")}
    expect(targets == {"remote", "local/E2eLocal"}, f"targets in the topic: {targets}")
    for secret in (rig.remote.password,):
        expect(secret not in agent.log_text(), "a password is in the log")
    types = {x.get("type") for x in records}
    expect("start" in types, f"no start record among {types}")


def clean_binary(rig):
    """The same with exact bytes: keys bare, values as they were written."""
    clean(rig, {"rest": {"format": "binary"}})


def once(rig):
    """`once` polls, sends, is acknowledged, and exits 0."""
    agent = Agent(rig, "once")
    code, out, err = r.run([r.FIRSTMILE, "once", "-c", agent.config], 40)
    expect(code == 0, f"exit {code}: {(err or out).strip()[-400:]}")
    records = r.read_topic(rig, agent.name)
    beans = [x["bean"] for x in records if x.get("bean")]
    expect(len(beans) == 8, f"one poll of two targets is 8 records, not {len(beans)}")
    v.values(records, contiguous=True)
    code, out, err = r.run([r.FIRSTMILE, "once", "--stdout", "-c", agent.config], 40)
    expect(code == 0 and len(out.splitlines()) == 8, f"--stdout: {code}, {out[:300]} {err[:300]}")
    expect(len(r.read_topic(rig, agent.name)) == len(records), "--stdout sent something")


# --- faults of the agent ---

class Watch(threading.Thread):
    """Follows what /stats counts as spooled, until the agent is killed."""

    def __init__(self, agent, seen):
        super().__init__(daemon=True)
        self.agent, self.seen, self.done = agent, seen, False

    def run(self):
        while not self.done:
            try:
                now = self.agent.assigned()
            except (Failed, ValueError, KeyError):
                continue
            for stream, n in now.items():
                self.seen[stream] = max(n, self.seen.get(stream, 0))
            time.sleep(0.02)


def kill9(rig):
    """kill -9 at random moments: what /stats counted as spooled is in Kafka after a restart."""
    agent = Agent(rig, "kill9", {"agent": {"interval": "100ms"}, "batch": {"linger": "50ms"}})
    seen = {}
    for _ in range(12):
        agent.start()
        watch = Watch(agent, seen)
        watch.start()
        time.sleep(rig.random.uniform(0.05, 2.5))
        agent.kill()
        watch.done = True
        watch.join()
    agent.start()
    final = agent.await_delivered()
    agent.stop()
    expect(sum(seen.values()) > 50, f"too little was spooled to prove anything: {seen}")
    records = r.read_topic(rig, agent.name)
    v.sequence(records, {s: max(n, final.get(s, 0)) for s, n in seen.items()}, duplicates=True)
    v.values(records, contiguous=False)
    v.order(records)


def sigterm_under_way(rig):
    """SIGTERM while the proxy does not answer: within 5 s, and nothing is lost."""
    agent = Agent(rig, "term")
    agent.start()
    agent.await_records(10)
    rig.proxy.stop()
    try:
        wait_for("the spool fills", lambda: (agent.stats() or {"spool": {"records": 0}})
                 ["spool"]["records"] > 10, 15)
        assigned = agent.assigned()
        agent.stop()
    finally:
        rig.proxy.start()
    agent.start()
    agent.await_delivered()
    agent.stop()
    v.sequence(r.read_topic(rig, agent.name), assigned, duplicates=True)


def sigterm_in_flight(rig):
    """SIGTERM while a request hangs unanswered: within 5 s; a good proxy gets the records later."""
    hangs = r.Proxy(rig.work, "hangs", rig.good, faults="2+ hang")
    rig.others.append(hangs)
    hangs.start()
    bad = {"rest": {"url": hangs.url, "ca_file": rig.authority.ca}}
    agent = Agent(rig, "hang", bad)
    agent.start()
    wait_for("the spool fills behind a request that hangs",
             lambda: (agent.stats() or {"spool": {"records": 0}})["spool"]["records"] > 10, 15)
    assigned = agent.assigned()
    delivered = agent.stats()["accounting"]
    agent.stop()
    hangs.stop()
    agent.write({})
    agent.start()
    agent.await_delivered()
    agent.stop()
    seqs = {x["seq"] for x in r.read_topic(rig, agent.name)}
    for stream, n in assigned.items():
        there = delivered[stream]["delivered"]  # the other proxy has these
        missing = [i for i in range(there + 1, n + 1) if i not in seqs]
        expect(not missing, f"missing in Kafka: {missing[:10]}")


# --- faults of the way ---

def await_reason(agent, seconds, words):
    """Until /health is not ok and a reason holds one of the words. Returns the seconds it took."""
    start = time.monotonic()

    def told():
        health = agent.health()
        text = str(health["reasons"]).lower()
        return health["status"] != "ok" and any(word in text for word in words) and health
    health = wait_for(f"/health names the reason ({'/'.join(words)})", told, seconds)
    return time.monotonic() - start, health


def proxy_stopped(rig):
    """The proxy is away for 12 s: nothing lost, order kept, /health tells it and recovers."""
    agent = Agent(rig, "proxy")
    agent.start()
    agent.await_records(20)
    rig.proxy.stop()
    try:
        stopped = time.monotonic()
        _, health = await_reason(agent, 11, ("connect", "refused"))
        expect(health["status"] in ("degraded", "failing"), f"health is {health}")
        wait_for("12 s have passed", lambda: time.monotonic() - stopped >= 12, 13)
        expect(agent.stats()["spool"]["records"] > 0, "nothing waits in the spool")
    finally:
        rig.proxy.start()
    back = time.monotonic()
    wait_for("/health is ok again", lambda: agent.health()["status"] == "ok", MAX_BACKOFF + 5.5)
    assigned = agent.await_delivered()
    print(f"     ok again {time.monotonic() - back:.1f} s after the proxy came back")
    totals = agent.stats()["totals"]
    expect(totals["lost"] == 0 and totals["dead"] == 0, f"{totals}")
    agent.stop()
    records = r.read_topic(rig, agent.name)
    v.sequence(records, assigned, duplicates=True)
    v.repeats(records, totals["possible_duplicates"])
    v.order(records)
    v.values(records, contiguous=True)


def broker_restart(rig):
    """Kafka away behind a proxy that lives: the reason is told, nothing becomes a dead letter."""
    agent = Agent(rig, "broker")
    agent.start()
    agent.await_records(20)
    rig.kafka.stop()
    try:
        # The proxy blames the topic after its own time; then the probe tells.
        seconds, health = await_reason(agent, 40, ("kafka", "unanswered", "did not answer", "wait"))
        print(f"     told after {seconds:.1f} s: {health['reasons']}")
    finally:
        rig.kafka.start()
    wait_for("/health is ok again", lambda: agent.health()["status"] == "ok",
             100 if rig.external else 45)
    assigned = agent.await_delivered(60)
    totals = agent.stats()["totals"]
    expect(totals["lost"] == 0 and totals["dead"] == 0, f"{totals}")
    agent.stop()
    records = r.read_topic(rig, agent.name)
    v.sequence(records, assigned, duplicates=True)
    v.repeats(records, totals["possible_duplicates"])
    # The proxy refuses some records of the request that it holds when Kafka goes, and takes those
    # behind them when Kafka is back; these few are sent again, late.
    v.order(records, late=50)


# --- faults of a JVM ---

def jvm_stopped(rig):
    """SIGSTOP of one JVM: reported within its timeout, and the other is polled as before."""
    agent = Agent(rig, "sigstop")
    agent.start()
    agent.await_records(20)
    rig.remote.process.signal(signal.SIGSTOP)
    stopped = time.time() * 1000

    def remote_state():
        return {t["name"]: t for t in agent.stats()["targets"]}["remote"]
    try:
        wait_for("the target is down", lambda: remote_state()["state"] == "down", 2 + 1.5)
        expect(remote_state()["error"], "a target that is down has no error")
        health = agent.health()
        expect(health["status"] == "degraded" and "remote" in str(health["reasons"]),
               f"health is {health}")
        wait_for("5 s have passed", lambda: time.time() * 1000 - stopped > 5000, 6)
    finally:
        rig.remote.process.signal(signal.SIGCONT)
    resumed = time.time() * 1000
    wait_for("the target is up again", lambda: remote_state()["state"] == "up", 15)
    wait_for("/health is ok", lambda: agent.health()["status"] == "ok", 10)
    agent.await_delivered()
    agent.stop()
    records = r.read_topic(rig, agent.name)
    stamps = sorted({x["timestamp"] for x in records if x.get("target") == "local/E2eLocal"
                     and x.get("bean") and stopped <= x["timestamp"] <= resumed})
    gaps = [b - a for a, b in zip(stamps, stamps[1:])]
    expect(len(stamps) >= 8 and max(gaps) < 1000,
           f"the other target was held up: {len(stamps)} polls, longest pause {max(gaps, default=0)} ms")
    states = [x.get("state") for x in records if x.get("type") == "target"
              and x.get("target") == "remote"]
    expect("down" in states, f"no target record says down: {states}")
    v.values(records, contiguous=False)


# --- `check`, and the log ---

def check(rig, name, changes, code, *words):
    """`check` ends with this code and one line that holds all the words (regular expressions);
    the log of `run` holds such a line too."""
    agent = Agent(rig, "check", changes)
    got, out, err = r.run([r.FIRSTMILE, "check", "-c", agent.config], 60)
    text = out + err
    expect(got == code, f"{name}: exit {got}, not {code}:\n{text.strip()[-600:]}")
    expect(v.line_with(text, words), f"{name}: no line with {' and '.join(words)} in:\n"
           f"{text.strip()[-900:]}")
    agent.start()
    wait_for(f"{name}: the log has a line with {' and '.join(words)}",
             lambda: v.line_with(agent.log_text(), words), 15)
    agent.stop()


ONLY_REMOTE = {"target:local": None}


def check_good(rig):
    """`check` finds nothing wrong with a good configuration."""
    agent = Agent(rig, "check")
    code, out, err = r.run([r.FIRSTMILE, "check", "-c", agent.config], 60)
    expect(code == 0, f"exit {code}:\n{(out + err)[-900:]}")
    code, out, err = r.run([r.FIRSTMILE, "check", "--offline", "-c", agent.config], 10)
    expect(code == 0, f"--offline: exit {code}:\n{(out + err)[-600:]}")


def check_wrong_password(rig):
    """A wrong password of a JVM: what is wrong, where, and the remedy."""
    wrong = os.path.join(rig.work, "wrong-password")
    with open(os.open(wrong, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
        f.write("not-the-password\n")
    check(rig, "wrong password of a JVM",
          {**ONLY_REMOTE, "target:remote": {"password_file": wrong}}, 1,
          "remote", "(?i)passw|credential|authent")


def check_wrong_port(rig):
    """Wrong ports, of a JVM and of the proxy."""
    port = r.free_port()
    check(rig, "wrong port of a JVM",
          {**ONLY_REMOTE, "target:remote": {"url": f"127.0.0.1:{port}"}}, 1,
          str(port), "(?i)refused|nobody listens|cannot connect")
    check(rig, "wrong port of the proxy", {"rest": {"url": f"https://localhost:{port}"}}, 1,
          str(port), "(?i)refused|nobody listens|cannot connect")


def tls_server(rig):
    """A sandbox on TLS of our own, also when the proxy under test is another."""
    if not rig.tls:
        rig.tls = r.Proxy(rig.work, "tls", rig.good)
        rig.others.append(rig.tls)
        rig.tls.start()
    return rig.tls


def check_plain_to_tls(rig):
    """Plain HTTP and plain JMX to a TLS port."""
    port = tls_server(rig).port
    check(rig, "plain HTTP to a TLS port", {"rest": {"url": f"http://localhost:{port}"}}, 1,
          str(port), "(?i)tls|https")
    check(rig, "plain JMX to a TLS port",
          {**ONLY_REMOTE, "target:remote": {"url": f"127.0.0.1:{port}"}}, 1,
          "remote", "(?i)tls")


def check_missing_topic(rig):
    """A topic that does not exist."""
    if rig.external and os.environ.get("E2E_DIALECT") == "redpanda":
        raise Skipped("needs a topic probe")
    check(rig, "missing topic", {"rest": {"topic": "e2e-no-such-topic"}}, 1,
          "e2e-no-such-topic", "(?i)create|grant|exist|missing")


def check_unknown_host(rig):
    """Host names that nobody knows."""
    check(rig, "unknown host of the proxy", {"rest": {"url": "https://proxy.invalid:8082"}}, 1,
          r"proxy\.invalid", "(?i)resolve|unknown|name")
    check(rig, "unknown host of a JVM",
          {**ONLY_REMOTE, "target:remote": {"url": "jvm.invalid:9010"}}, 1,
          r"jvm\.invalid", "(?i)resolve|unknown|name")


def check_certificate(rig):
    """An expired certificate, and one of an unknown CA."""
    expired = r.Proxy(rig.work, "expired", rig.authority.issue("expired", -1))
    rig.others.append(expired)
    expired.start()
    check(rig, "expired certificate",
          {"rest": {"url": expired.url, "ca_file": rig.authority.ca}}, 1, "(?i)expired")
    other = r.Authority(os.path.join(rig.work, "other-ca"))
    check(rig, "unknown CA", {"rest": {"url": tls_server(rig).url, "ca_file": other.ca}}, 1,
          "(?i)certificate|ca_file|issuer")
    agent = Agent(rig, "expired", {"rest": {"url": expired.url, "ca_file": rig.authority.ca}})
    agent.start()
    wait_for("/health names the certificate",
             lambda: "expired" in str(agent.health()["reasons"]).lower(), 12)
    agent.stop()


def check_misspelt_key(rig):
    """A misspelt key: file, line, and the right name; exit code 2."""
    agent = Agent(rig, "check", {"agent": {"intervall": "5s"}})
    for command in ("check", "run"):
        code, out, err = r.run([r.FIRSTMILE, command, "-c", agent.config], 20)
        expect(code == 2, f"{command}: exit {code}, not 2: {(out + err)[-400:]}")
        expect(v.line_with(out + err, (r"config\.ini:\d+", "intervall", r"\binterval\b")),
               f"{command}: no line with file:line and the right name: {(out + err)[-600:]}")


# --- the proof ---

def audit(rig, topic, proxy, *more):
    """Exit code, the report and stderr of `audit` through the proxy."""
    options = {"url": proxy.url, **rig.rest}
    argv = [r.FIRSTMILE, "audit", topic, "--json", *more]
    for key, value in options.items():
        argv += ["-o", f"rest.{key}={value}"]
    code, out, err = r.run(argv, 120)
    expect(out.startswith("{"), f"audit: exit {code}: {(err or out).strip()[-400:]}")
    return code, json.loads(out), err


def prove(rig):
    """After every case: the topic, read back through the proxy, lacks no number of any stream."""
    if not rig.agents:
        return
    code, report, err = audit(rig, rig.topic, rig.proxy)
    names = {agent.name for agent in rig.agents}
    missing = {s["stream"]: s["ranges"] for s in report["streams"]
               if s["missing"] and (s["agent"] in names or not rig.external)}
    expect(not missing, f"audit: missing {missing}")
    expect(code == 0 or rig.external, f"audit: exit {code}: {err.strip()[-300:]}")


def audit_names_what_is_missing(rig):
    """Numbers that were skipped and not declared: exit code 1, and their ranges."""
    if rig.external:
        raise Skipped("needs a topic of its own")
    topic = f"{rig.topic}-audit"
    proxy = r.Proxy(rig.work, "audit", rig.good, rig.kafka, [topic + ":3"], "5s")
    rig.others.append(proxy)
    proxy.start()
    lines = os.path.join(rig.work, "audit.jsonl")

    def produce(*numbers, **more):
        with open(lines, "w", encoding="utf-8") as f:
            for n in numbers:
                f.write(json.dumps({"v": 1, "agent": "x", "stream": "00000000000000ff", "seq": n,
                                    **more}) + "\n")
        argv = [r.FIRSTMILE, "produce", topic, lines, "-o", f"rest.url={proxy.url}",
                "-o", f"rest.ca_file={rig.authority.ca}"]
        code, out, err = r.run(argv, 60)
        expect(code == 0, f"produce: exit {code}: {err.strip()[-300:]}")

    produce(*(n for n in range(1, 1001) if n not in (13, 14, 700)))
    code, report, err = audit(rig, topic, proxy, "--settle", "200ms")
    ranges = [(x["from"], x["to"]) for x in report["streams"][0]["ranges"]]
    expect(code == 1 and ranges == [(13, 14), (700, 700)], f"exit {code}, ranges {ranges}")
    expect("3 numbers are missing" in err, err)
    produce(1001, type="gap", from_seq=13, to_seq=14, count=2, reason="full")
    produce(700)
    code, report, err = audit(rig, topic, proxy)
    expect(code == 0 and report["lost"] == 2 and report["seen"] == 999, f"exit {code}: {report}")


CASES = [clean, clean_binary, once, kill9, sigterm_under_way, sigterm_in_flight, proxy_stopped, broker_restart, jvm_stopped,
         audit_names_what_is_missing,
         check_good, check_wrong_password, check_wrong_port, check_plain_to_tls,
         check_missing_topic, check_unknown_host, check_certificate, check_misspelt_key]


def run_case(rig, case):
    """Returns "passed", "failed" or "skipped"."""
    name = case.__name__
    start = time.monotonic()
    try:
        case(rig)
        prove(rig)
        print(f"ok   {name} ({time.monotonic() - start:.1f} s)", flush=True)
        return "passed"
    except Skipped as e:
        print(f"skip {name}: skipped: {e}", flush=True)
        return "skipped"
    except (Failed, KeyError, TypeError, ValueError, OSError) as e:
        text = str(e) if isinstance(e, Failed) else f"{type(e).__name__}: {e}"
        print(f"FAIL {name} ({time.monotonic() - start:.1f} s): {text}", flush=True)
        for agent in rig.agents:
            print(f"  {agent.name}:\n{r.tail(agent.log)}", flush=True)
        return "failed"
    finally:
        for agent in rig.agents:
            agent.kill()
        rig.agents.clear()


def main():
    if "--list" in sys.argv:
        print("\n".join(f"{c.__name__}  {(c.__doc__ or '').strip()}" for c in CASES))
        return 0
    wanted = [c for c in CASES if c.__name__ in sys.argv[1:]] or CASES
    # Anything that is not ours must not be found by `local:*` or read by accident.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
    seed = int(os.environ.get("E2E_SEED", random.randrange(1 << 30)))
    print(f"seed {seed}", flush=True)
    count = {"passed": 0, "failed": 0, "skipped": 0}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rig = r.Rig()
    rig.random, rig.tls = random.Random(seed), None
    try:
        rig.open()
        for case in wanted:
            count[run_case(rig, case)] += 1
    except Failed as e:
        print(f"FAIL set-up: {e}", flush=True)
        count["failed"] += 1
    finally:
        rig.close()
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
