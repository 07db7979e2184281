#!/usr/bin/env python3
"""The end-to-end cases. See run.sh for the settings; ends with "N passed, N failed, N skipped"."""
import contextlib
import io
import json
import multiprocessing
import os
import queue
import random
import re
import signal
import sys
import threading
import time

import faults
import links
import rig as r
import typed
import verify as v
from rig import Agent, Failed, Skipped, expect, wait_for

MAX_BACKOFF = 2  # seconds, as in Agent.sections()
# The times as shipped, where Agent.sections() has scaled ones.
TRUE = {"agent": {"interval": "10s"}, "batch": None, "retry": None,
        "rest": {"probe_timeout": "65s", "timeout": "130s", "timeout_single": "190s"}}
TRUE_MAX_BACKOFF = 60
BINARY = {"rest": {"format": "binary"}}
V3 = {"rest": {"api": "v3"}}
V3_BATCH = {"rest": {"api": "v3-batch"}}
V3_BINARY = {"rest": {"api": "v3", "format": "binary"}}


def both(*changes):
    """The changes of sections together; a later one wins."""
    out = {}
    for more in changes:
        for section, keys in more.items():
            out[section] = {**(out.get(section) or {}), **keys} if keys is not None else None
    return out


def speaks_v3(rig, changes):
    """Whether records go over v3; skips the case if the proxy under test is said to speak v2."""
    if not rig.external:
        return changes.get("rest", {}).get("api", "v2") != "v2"
    if changes.get("rest", {}).get("api", "v2") != "v2" and rig.rest.get("api", "v2") == "v2":
        raise Skipped("needs E2E_API=v3")
    return rig.rest.get("api", "v2") != "v2"


def typed_in(rig, form):
    """The format avro or jsonschema, on a topic of its own: a subject of the registry holds schemas
    of one kind."""
    topic = f"{rig.topic}-{form}"
    if rig.external and topic not in (r.kafka_topics(rig.kafka.bootstrap) or []):
        raise Skipped(f"needs a topic {topic}, and a schema registry behind the proxy")
    return {"rest": {"format": form, "topic": topic}}


def proven(rig, agent, assigned, changes=None, duplicates=True):
    """The agent's records in the topic. Every number that was assigned is there, by what kcat read
    and by `audit`."""
    form = (changes or {}).get("rest", {}).get("format")
    if form in typed.FORMATS:  # `audit` reads these through the proxy: see prove()
        records = typed.read_topic(rig, agent, form)
        v.sequence(records, assigned, duplicates)
        return records
    records = r.read_topic(rig, agent)
    v.sequence(records, assigned, duplicates)
    r.audit(rig, agent)
    return records


# --- the clean path ---

def clean(rig, changes=None):
    """Two JVMs, remote with a password and local by attach: every record, every value."""
    v3 = speaks_v3(rig, changes or {})
    agent = Agent(rig, "clean", changes)
    agent.start()
    agent.await_records(60)
    wait_for("/health is ok", lambda: agent.health()["status"] == "ok", 10)
    assigned = agent.await_delivered()
    stats = agent.stats()
    expect(stats["totals"]["lost"] == 0 and stats["totals"]["dead"] == 0, f"{stats['totals']}")
    expect({t["state"] for t in stats["targets"]} == {"up"}, f"{stats['targets']}")
    agent.stop()
    records = proven(rig, agent, assigned, changes, duplicates=False)
    v.values(records, contiguous=True)
    v.order(records)
    v.envelope(records, agent)
    if v3:
        v.identity(records)
    targets = {x["target"] for x in records if x.get("bean")}
    expect(targets == {"remote", "local/" + r.LOCAL}, f"targets in the topic: {targets}")
    for secret in (rig.remote.password,):
        expect(secret not in agent.log_text(), "a password is in the log")
    types = {x.get("type") for x in records}
    expect("start" in types, f"no start record among {types}")


def clean_binary(rig):
    """The same with exact bytes: keys bare, values as they were written."""
    clean(rig, BINARY)


def clean_v3(rig):
    """The same over v3: identity headers and the record's time too."""
    clean(rig, V3)


def clean_v3_batch(rig):
    """The same through records:batch: one JSON document for each few records."""
    clean(rig, V3_BATCH)


def clean_v3_binary(rig):
    """The same over v3 with exact bytes."""
    clean(rig, V3_BINARY)


def clean_avro(rig):
    """Through the proxy's schema support: Avro, decoded here by the schema that we print."""
    clean(rig, typed_in(rig, "avro"))


def clean_jsonschema(rig):
    """The same as JSON behind the registry's prefix."""
    clean(rig, typed_in(rig, "jsonschema"))


def clean_v3_avro(rig):
    """Avro over v3: the keys are plain text there."""
    clean(rig, both(V3, typed_in(rig, "avro")))


def once(rig):
    """`once` polls, sends, is acknowledged, and exits 0."""
    agent = Agent(rig, "once")
    code, out, err = r.run([r.FIRSTMILE, "once", "-c", agent.config], 40)
    expect(code == 0, f"exit {code}: {(err or out).strip()[-400:]}")
    records = r.read_topic(rig, agent)
    beans = [x["bean"] for x in records if x.get("bean")]
    expect(len(beans) == 8, f"one poll of two targets is 8 records, not {len(beans)}")
    v.values(records, contiguous=True)
    code, out, err = r.run([r.FIRSTMILE, "once", "--stdout", "-c", agent.config], 40)
    expect(code == 0 and len(out.splitlines()) == 8, f"--stdout: {code}, {out[:300]} {err[:300]}")
    expect(len(r.read_topic(rig, agent)) == len(records), "--stdout sent something")


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


LOAD = {"agent": {"interval": "100ms"}, "batch": {"linger": "50ms"}}


def kill9(rig, changes=None, times=12, look=None, last=None):
    """kill -9 at random moments: what /stats counted as spooled is in Kafka after a restart.
    look: called with the agent after each kill, says whether one more is wanted, up to three times
    as many; last: the changes that the last start has."""
    speaks_v3(rig, changes or {})
    agent = Agent(rig, "kill9", both(LOAD, changes or {}))
    seen = {}
    more = False
    for n in range(3 * times):
        if n >= times and not more:
            break
        agent.start()
        watch = Watch(agent, seen)
        watch.start()
        time.sleep(rig.random.uniform(0.05, 2.5))
        agent.kill()
        watch.done = True
        watch.join()
        more = look and look(agent)
    agent.write(both(LOAD, last or changes or {}))
    agent.start()
    final = agent.await_delivered()
    agent.stop()
    expect(sum(seen.values()) > 50, f"too little was spooled to prove anything: {seen}")
    records = proven(rig, agent, {s: max(n, final.get(s, 0)) for s, n in seen.items()}, changes)
    v.values(records, contiguous=False)
    v.order(records)


def kill9_binary(rig):
    """The same with exact bytes."""
    kill9(rig, BINARY, 5)


def kill9_v3(rig):
    """The same over v3."""
    kill9(rig, V3, 5)


def kill9_v3_batch(rig):
    """The same through records:batch."""
    kill9(rig, V3_BATCH, 5)


def kill9_avro(rig):
    """The same in Avro."""
    kill9(rig, typed_in(rig, "avro"), 5)


def kill9_jsonschema(rig):
    """The same as JSON behind the registry's prefix."""
    kill9(rig, typed_in(rig, "jsonschema"), 5)


def kill9_lanes(rig, times=4):
    """The same with four requests at a time: a kill leaves holes below the highest number in Kafka,
    and each of them waits in the spool."""
    changes, holes = {"rest": {"max_in_flight": "4"}, "batch": {"linger": "50ms", "records": "10"}}, []
    if not rig.external:  # one bean's requests are slow, so that the others overtake them
        slow = r.Proxy(rig.work, "slow", rig.good, rig.kafka, faults="* if Kinds delay 300ms")
        rig.others.append(slow)
        slow.start()
        changes["rest"].update(url=slow.url, ca_file=rig.authority.ca)

    def look(agent):
        if r.read_topic(rig, agent):
            holes.append(r.audit(rig, agent)["pending"])
        return not rig.external and sum(holes) == 0  # by chance none had a hole
    kill9(rig, changes, times, look, LOAD)  # one at a time: what a stop leaves is the youngest
    expect(holes, "nothing had arrived before any kill")
    expect(rig.external or sum(holes) > 0, "no kill left a hole below the highest number")
    print(f"     numbers that waited in the spool below the highest in Kafka: {holes}")


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
    proven(rig, agent, assigned)


def sigterm_in_flight(rig):
    """SIGTERM while a request hangs unanswered: within 5 s; a good proxy gets the records later."""
    hangs = r.Proxy(rig.work, "hangs", rig.good, faults="2+ hang")
    rig.others.append(hangs)
    hangs.start()
    bad = {"rest": {"url": hangs.url, "ca_file": rig.authority.ca}}
    agent = Agent(rig, "hang", bad)
    agent.elsewhere = True
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
    seqs = {x["seq"] for x in r.read_topic(rig, agent)}
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
        text = str([x for x in health["reasons"] if not x.startswith("target ")]).lower()
        return health["status"] != "ok" and any(word in text for word in words) and health
    health = wait_for(f"/health names the reason ({'/'.join(words)})", told, seconds)
    return time.monotonic() - start, health


def settled(rig, agent, seconds, changes, late=0):
    """After a fault: all of it is delivered, nothing is lost or dead, kcat and `audit` agree."""
    assigned = agent.await_delivered(seconds)
    totals = agent.stats()["totals"]
    expect(totals["lost"] == 0 and totals["dead"] == 0, f"{totals}")
    agent.stop()
    records = proven(rig, agent, assigned, changes)
    v.repeats(records, totals["possible_duplicates"])
    v.order(records, late)
    if speaks_v3(rig, changes):
        v.identity(records)
    return records


def words_for(rig, *words):
    """Other proxies under test stand behind gateways of their own, which say other things."""
    return words if not rig.external else (*words, "reset", "closed", "answer", "http 5")


def proxy_away(rig, seconds, changes, max_backoff, first_records=20):
    """The proxy is stopped for so long: the reason is told, nothing is lost, and all is well soon
    after it is back."""
    speaks_v3(rig, changes)
    agent = Agent(rig, "proxy", changes)
    agent.start()
    agent.await_records(first_records)
    retries = agent.total("retries")
    rig.proxy.stop()
    try:
        stopped = time.monotonic()
        wait_for("a request is refused", lambda: agent.total("retries") > retries, 30, 0.05)
        refused = time.monotonic()
        _, health = await_reason(agent, 10, words_for(rig, "connect", "refused"))
        told = time.monotonic()
        expect(health["status"] in ("degraded", "failing"), f"health is {health}")
        wait_for("the outage is over", lambda: time.monotonic() - stopped >= seconds, seconds + 1)
        waiting = agent.stats()["spool"]["records"]
        expect(waiting > 0, "nothing waits in the spool")
    finally:
        rig.proxy.start()
    back = time.monotonic()
    wait_for("/health is ok again", lambda: agent.health()["status"] == "ok", max_backoff + 5)
    ok = time.monotonic()
    records = settled(rig, agent, 60, changes)
    v.values(records, contiguous=True)
    print(f"     away {back - stopped:.0f} s, {waiting} records waited; degraded {told - refused:.1f}"
          f" s after the first refusal, ok {ok - back:.1f} s after the proxy came back")


def proxy_stopped(rig):
    """The proxy is away for 12 s: nothing lost, order kept, /health tells it and recovers."""
    proxy_away(rig, 12, {}, MAX_BACKOFF)


def proxy_minute(rig):
    """The same for a true minute with the times as shipped."""
    proxy_away(rig, 60, TRUE, TRUE_MAX_BACKOFF, 8)


def proxy_silent_minute(rig):
    """The proxy answers nothing for a true minute, as if paused; the times as shipped."""
    if rig.external:
        raise Skipped("needs a process of our own to pause")
    agent = Agent(rig, "silent", TRUE)
    agent.start()
    agent.await_records(8)
    rig.proxy.process.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        # The next poll is 10 s away at most, its request leaves 1 s later, and 10 s after that it
        # must be told.
        seconds, health = await_reason(agent, 22, ("answer",))
        expect(health["status"] == "degraded", f"health is {health}")
        wait_for("a minute has passed", lambda: time.monotonic() - stopped >= 60, 61)
    finally:
        rig.proxy.process.signal(signal.SIGCONT)
    back = time.monotonic()
    wait_for("/health is ok again", lambda: agent.health()["status"] == "ok", TRUE_MAX_BACKOFF + 5)
    print(f"     degraded {seconds:.1f} s after the proxy fell silent, ok "
          f"{time.monotonic() - back:.1f} s after it spoke again: {health['reasons']}")
    v.values(settled(rig, agent, 60, {}), contiguous=True)


def kafka_away(rig, name, seconds, changes, recovery, first_records=20):
    """Kafka is away behind a proxy that lives: the reason is told, nothing becomes a dead letter.
    seconds = 0: only until the reason is told; recovery: seconds until /health is ok again."""
    speaks_v3(rig, changes)
    agent = Agent(rig, name, changes)
    agent.start()
    agent.await_records(first_records)
    rig.kafka.stop()
    stopped = time.monotonic()
    try:
        # The proxy blames the topic after its own time; then the probe tells.
        told, health = await_reason(agent, 40, ("kafka", "unanswered", "did not answer", "wait"))
        wait_for("the outage is over", lambda: time.monotonic() - stopped >= seconds, seconds + 1)
    finally:
        rig.kafka.start()
    back = time.monotonic()
    wait_for("/health is ok again", lambda: agent.health()["status"] == "ok",
             recovery if not rig.external else recovery + 100)
    ok = time.monotonic()
    # The proxy refuses some records of the request that it holds when Kafka goes, and takes those
    # behind them when Kafka is back; these few are sent again, late. A request holds as many as
    # were made in the meantime at most.
    settled(rig, agent, 90, changes, late=50)
    print(f"     told after {told:.1f} s, ok {ok - back:.1f} s after Kafka came back: "
          f"{health['reasons']}")


def broker_restart(rig):
    """Kafka away until the reason is told; nothing becomes a dead letter."""
    kafka_away(rig, "broker", 0, {}, 45)


def kafka_down(rig):
    """Kafka down for 45 s under load."""
    kafka_away(rig, "kafka", 45, LOAD, 45)


# --- faults of the disk ---

def fill(path):
    """Append to a file until its disk is full."""
    with open(path, "ab", buffering=0) as f:
        try:
            while f.write(b"x" * 4096):
                pass
        except OSError:
            pass


def full_disk(rig, changes=None):
    """The spool's disk fills and stays full. Records flow into the room that delivered ones leave;
    while the proxy is away they wait in memory, which is told; when it is back they flow again by
    themselves. After a kill there, and after a stop that cannot store them, which exits 1 and says
    how many, everything else arrives and what is missing is declared with the times of the loss."""
    speaks_v3(rig, changes or {})
    disk = os.path.join(rig.work, "disk")
    os.makedirs(disk, exist_ok=True)
    code, out, err = r.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", disk])
    if code != 0:
        raise Skipped(f"needs the right to mount a small file system ({(err or out).strip()[:80]})")
    ballast = os.path.join(disk, "ballast")
    agent = Agent(rig, "disk", both(LOAD, {
        "spool": {"reserve": "1MiB", "max_size": "8MiB"},
        "agent": {"state_dir": os.path.join(disk, "state")}}, changes or {}))

    def spool():
        fill(ballast)  # somebody else takes whatever gets free
        return (agent.stats() or {"spool": {"disk_full": False, "queue_records": 0}})["spool"]

    def flows(what):
        before = agent.total("records")

        def more():
            return spool()["disk_full"] and agent.total("records") > before + 100
        wait_for(f"records flow on the full disk {what}", more, 30)

    def waits():
        wait_for("records wait in memory", lambda: spool()["queue_records"] > 100, 60)
        _, health = await_reason(agent, 10, ("in memory, not yet on disk",))
        expect(health["status"] == "failing", f"health is {health}")
    try:
        agent.start()
        agent.await_records(20)
        rig.proxy.stop()  # a spool with free pages may never ask the disk for more
        wait_for("the disk is full", lambda: spool()["disk_full"], 30)
        rig.proxy.start()
        flows("at first")
        rig.proxy.stop()
        waits()
        rig.proxy.start()
        flows("after the proxy came back")
        wait_for("nothing waits in memory", lambda: spool()["queue_records"] < 100, 30)
        agent.kill()
        agent.start()
        flows("after a kill")
        rig.proxy.stop()
        waits()
        fill(ballast)
        stop_ms = time.time() * 1000
        agent.stop(code=1)
        words = re.findall(r"(\d+) records waited in memory and could not be stored", agent.log_text())
        expect(len(words) == 1 and int(words[0]) > 100, f"the last words name {words} records")
        os.unlink(ballast)
        rig.proxy.start()
        agent.start()
        assigned = agent.await_delivered(or_lost=True)
        lost = agent.total("lost")
        agent.stop()
        records = proven(rig, agent, assigned, changes)
        gaps = [x for x in records if x.get("type") == "gap"]
        expect(sum(x["count"] for x in gaps) == lost and lost >= int(words[0]),
               f"{lost} records lost, {words} said at the stop, gaps: {gaps}")
        expect(any(x["first_timestamp"] < stop_ms - 100 for x in gaps if x["count"] >= int(words[0])),
               f"the gap has the time of the stop, {stop_ms}: {gaps}")
        v.values(records, contiguous=False)
        v.order(records)
        print(f"     {lost} records declared lost, by {len(gaps)} gap records")
    finally:
        agent.kill()
        r.run(["umount", "-l", disk])
        rig.proxy.start()


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
        # The next poll, its timeout, and the next document are each a wait of their own.
        wait_for("the target is down", lambda: remote_state()["state"] == "down", 0.5 + 2 + 1 + 1.5)
        expect(remote_state()["error"], "a target that is down has no error")
        def named():
            health = agent.health()
            return health["status"] == "degraded" and "remote" in str(health["reasons"])
        wait_for("/health names it", named, 3)
        wait_for("5 s have passed", lambda: time.time() * 1000 - stopped > 5000, 6)
    finally:
        rig.remote.process.signal(signal.SIGCONT)
    resumed = time.time() * 1000
    wait_for("the target is up again", lambda: remote_state()["state"] == "up", 15)
    wait_for("/health is ok", lambda: agent.health()["status"] == "ok", 10)
    agent.await_delivered()
    agent.stop()
    records = r.read_topic(rig, agent)
    stamps = sorted({x["timestamp"] for x in records if x.get("target") == "local/" + r.LOCAL
                     and x.get("bean") and stopped <= x["timestamp"] <= resumed})
    gaps = [b - a for a, b in zip(stamps, stamps[1:])]
    # Held up by the other it would pause for the timeout, 2 s, each time.
    expect(len(stamps) >= 8 and max(gaps) < 1600,
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
    agent.served_well()
    rig.agents.remove(agent)  # it may not have been able to deliver: nothing to prove


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
    topic = "e2e-no-such-topic-" + os.urandom(4).hex()
    try:
        check(rig, "missing topic", {"rest": {"topic": topic}}, 1,
              topic, "(?i)create|grant|exist|missing")
    except Failed:
        if rig.external and topic in (r.kafka_topics(rig.kafka.bootstrap) or []):
            raise Skipped("needs brokers that do not create topics by themselves") from None
        raise


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
          "issued by CN=firstmile e2e CA", "ca_file")
    agent = Agent(rig, "expired", {"rest": {"url": expired.url, "ca_file": rig.authority.ca}})
    agent.start()
    wait_for("/health names the certificate",
             lambda: "expired" in str(agent.health()["reasons"]).lower(), 12)
    agent.stop()
    agent.served_well()
    rig.agents.remove(agent)  # nothing of it could be delivered


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
    """After every case: its topics, read back through the proxy, lack no number of its agents."""
    if not rig.agents or not rig.consumers:
        return
    for topic in sorted({agent.topic for agent in rig.agents}):
        try:
            code, report, err = audit(rig, topic, rig.proxy, "--settle", "200ms")
        except Failed as e:
            if not rig.external:
                raise
            rig.consumers = False  # its interface for consumers is off, or it has none
            print(f"     not read back through the proxy from here on: {e}", flush=True)
            return
        names = {a.name for a in rig.agents if a.topic == topic and not a.elsewhere}
        seen = {s["agent"] for s in report["streams"]}
        expect(names <= seen, f"audit of {topic} saw nothing of {sorted(names - seen)}")
        missing = {s["stream"]: s["ranges"] for s in report["streams"] if s["missing"]}
        ours = [s["stream"] for s in report["streams"] if s["agent"] in names and s["missing"]]
        expect(not ours, f"audit: missing {[missing[s] for s in ours]}")
        # Another case that failed, or another run, may have left a topic that lacks something.
        expect(code == 0 or missing, f"audit: exit {code}: {err.strip()[-300:]}")


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


CASES = [*faults.CASES, *links.CASES, clean, clean_binary, clean_v3, clean_v3_batch, clean_avro, clean_jsonschema,
         clean_v3_avro, once, kill9, kill9_binary, kill9_v3, kill9_v3_batch, kill9_avro, kill9_jsonschema, kill9_lanes,
         sigterm_under_way, sigterm_in_flight, proxy_stopped, broker_restart, kafka_down, full_disk, jvm_stopped,
         audit_names_what_is_missing, check_good, check_wrong_password, check_wrong_port, check_plain_to_tls,
         check_missing_topic, check_unknown_host, check_certificate, check_misspelt_key]


def named(name, doc, run):
    def case(rig):
        run(rig)
    case.__name__, case.__doc__ = name, doc
    return case


def full_cases():
    """What --full adds: every fault for every format, five minutes long, with the times as
    shipped."""
    out = [*links.FULL, clean_v3_binary, proxy_minute, proxy_silent_minute]
    formats = {name: lambda rig, c=changes: c for name, changes in (
        ("json", {}), ("binary", BINARY), ("v3", V3), ("v3_binary", V3_BINARY), ("v3_batch", V3_BATCH))}
    formats.update({form: lambda rig, f=form: typed_in(rig, f) for form in typed.FORMATS})
    for name, of in formats.items():
        out += [
            named(f"full_kill9_{name}", "kill -9 at 30 random moments",
                  lambda rig, of=of: kill9(rig, of(rig), 30)),
            named(f"full_proxy_{name}", "the proxy away for 5 minutes",
                  lambda rig, of=of: proxy_away(rig, 300, both(TRUE, of(rig)), TRUE_MAX_BACKOFF, 8)),
            named(f"full_broker_{name}", "Kafka restarted",
                  lambda rig, of=of: kafka_away(rig, "broker", 0, both(TRUE, of(rig)), 200, 8)),
            named(f"full_kafka_{name}", "Kafka down for 5 minutes under load",
                  lambda rig, of=of: kafka_away(rig, "kafka", 300, both(TRUE, of(rig), LOAD), 200)),
            named(f"full_disk_{name}", "a full disk for the spool",
                  lambda rig, of=of: full_disk(rig, of(rig)))]
    return out


def run_case(rig, case):
    """Returns "passed", "failed" or "skipped"."""
    name = case.__name__
    start = time.monotonic()
    try:
        case(rig)
        for agent in rig.agents:
            agent.served_well()
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


def new_rig(full):
    rig = r.Rig(true_times=full)
    rig.tls, rig.consumers = None, True
    return rig


def run_seeded(rig, case, seed):
    """Its random moments are its own, whichever cases ran before it."""
    rig.random = random.Random(f"{seed} {case.__name__}")
    return run_case(rig, case)


def side_by_side(jobs, cases, full, seed):
    """The cases in so many processes, each with a network, a Kafka, a proxy and JVMs of its own;
    most of a case is waiting. Returns the counts of outcomes."""
    r.Kafka.fetch()  # once, and while there is a way out
    waiting, done = multiprocessing.Queue(), multiprocessing.Queue()
    # The long ones first, so that the last to end is not one of them.
    order = sorted(cases, key=lambda case: not case.__name__.startswith("full_"))
    for name in [case.__name__ for case in order] + [None] * jobs:
        waiting.put(name)
    known = {case.__name__: case for case in cases}
    workers = [multiprocessing.Process(target=worker, args=(i, waiting, done, known, full, seed))
               for i in range(jobs)]
    for process in workers:
        process.start()
    count, open_cases = {"passed": 0, "failed": 0, "skipped": 0}, set(known)
    try:
        while open_cases and (any(p.is_alive() for p in workers) or not done.empty()):
            try:
                name, outcome, text = done.get(timeout=1)
            except queue.Empty:
                continue
            print(text, end="", flush=True)
            open_cases.discard(name)
            count[outcome] += 1
    finally:
        for process in workers:
            process.join(30 if not open_cases else 0)
            process.terminate()
            process.join()
    for name in sorted(open_cases):
        print(f"FAIL {name}: its process ended", flush=True)
        count["failed"] += 1
    return count


def worker(number, waiting, done, known, full, seed):
    """One of side_by_side(): takes cases until it finds none."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    r.own_network()
    r.LOCAL += f"w{number}"
    rig = new_rig(full)
    try:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            try:
                rig.open()
            except Failed as e:
                print(f"FAIL set-up: {e}")
                done.put((None, "failed", text.getvalue()))
                return
        for name in iter(waiting.get, None):
            text = io.StringIO()
            with contextlib.redirect_stdout(text):
                outcome = run_seeded(rig, known[name], seed)
            done.put((name, outcome, text.getvalue()))
    finally:
        rig.close()


def one_by_one(cases, full, seed):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    rig = new_rig(full)
    try:
        if not rig.external:
            r.Kafka.fetch()  # while there is a way out
            r.own_network()
        rig.open()
        for case in cases:
            count[run_seeded(rig, case, seed)] += 1
    except Failed as e:
        print(f"FAIL set-up: {e}", flush=True)
        count["failed"] += 1
    finally:
        rig.close()
    return count


def main():
    cases = CASES + full_cases()
    if "--list" in sys.argv:
        print("\n".join(f"{c.__name__}  {(c.__doc__ or '').strip()}" for c in cases))
        return 0
    names, full = [a for a in sys.argv[1:] if not a.startswith("-")], "--full" in sys.argv
    unknown = set(names) - {c.__name__ for c in cases}
    if unknown:
        print(f"no such case: {', '.join(sorted(unknown))}; see --list")
        return 2
    wanted = [c for c in cases if c.__name__ in names] or (cases if full else CASES)
    # Anything that is not ours must not be found by `local:*` or read by accident.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
    seed = int(os.environ.get("E2E_SEED", random.randrange(1 << 30)))
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    jobs = min(int(os.environ.get("E2E_JOBS", "1")), len(wanted))
    if jobs > 1 and not os.environ.get("E2E_REST_URL"):  # whose faults would meet
        count = side_by_side(jobs, wanted, full, seed)
    else:
        count = one_by_one(wanted, full, seed)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
