"""Faults of the host: the wall clock jumps, the name service hangs. See the catalogue, D56 to D62."""
import glob
import os
import shutil
import time

import rig as r
import verify as v
from rig import Agent, Skipped, expect, wait_for

FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (node != NULL && strcmp(node, "black.hole") == 0)
        sleep(600);
    return real(node, service, hints, out);
}
"""


class Clock:
    """A wall clock for an agent that the case sets; the monotonic one goes on as it is."""

    def __init__(self, rig, agent):
        found = glob.glob(FAKETIME)
        if not found:
            raise Skipped("needs libfaketime (package faketime)")
        self.file = os.path.join(agent.dir, "clock")
        self.set("+0")
        agent.env = {**os.environ, "LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": self.file,
                     "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1", "NO_FAKE_STAT": "1",
                     "TZ": "UTC"}

    def set(self, text):
        fresh = self.file + ".new"
        with open(fresh, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        os.rename(fresh, self.file)


def polls(agent):
    """Polls of all targets so far, as records in the spool or beyond it."""
    return sum(agent.assigned().values())


def reason(agent, word, seconds):
    """Until a reason in /health holds the word; what it then says."""
    def told():
        health = agent.health()
        return health if word in str(health["reasons"]) else None
    return wait_for(f"/health says {word}", told, seconds)


def goes_on(agent, what, seconds=8):
    """Polls and deliveries go on."""
    spooled, sent = polls(agent), agent.total("records")
    wait_for(f"polls go on {what}", lambda: polls(agent) > spooled + 8, seconds, 0.02)
    wait_for(f"records are sent {what}", lambda: agent.total("records") > sent + 8, seconds, 0.02)


def clock_jumps(rig):
    """The wall clock jumps by hours and days, to 2037 and back, while idle, in back-off and with
    requests under way: polls and sending keep their pace, nothing is lost, no burst of polls."""
    agent = Agent(rig, "jumps")
    clock = Clock(rig, agent)
    agent.start()
    agent.await_records(10)
    for jump in ("+1h", "+0", "-1h", "+1d", "-1d", "+0"):
        clock.set(jump)
        goes_on(agent, f"after a jump of the clock to {jump}")
    # In back-off, and while Retry-After and probes are due.
    rig.proxy.stop()
    try:
        retries = agent.total("retries")
        wait_for("a request is refused", lambda: agent.total("retries") > retries, 10, 0.05)
        for jump in ("+6h", "-1d", "+0"):
            clock.set(jump)
            spooled = polls(agent)
            wait_for(f"polls go on after {jump}", lambda n=spooled: polls(agent) > n + 8, 8, 0.02)
    finally:
        clock.set("+0")  # before its certificate nobody would trust it
        rig.proxy.start()
    wait_for("/health is ok again", lambda: agent.health()["status"] == "ok", 10)
    # A host that slept: six hours are gone at once. At most one poll more than the time asks for.
    before, start = polls(agent), time.monotonic()
    clock.set("+6h")
    wait_for("a few polls", lambda: polls(agent) >= before + 40, 20, 0.02)
    took = time.monotonic() - start
    rate = (polls(agent) - before) / took
    expect(rate < 4 * 16, f"{rate:.0f} records a second after a jump of six hours, 16 before it")
    clock.set("+0")
    assigned = agent.await_delivered()
    totals = agent.stats()["totals"]
    expect(totals["lost"] == 0 and totals["dead"] == 0, f"{totals}")
    agent.stop()
    records = r.read_topic(rig, agent)
    v.sequence(records, assigned, True)
    v.order(records)
    v.values(records, contiguous=True)
    stamps = [x["timestamp"] for x in records if x.get("bean")]
    expect(max(stamps) - min(stamps) > 86400000, "the clock never jumped")
    r.audit(rig, agent)


def clock_1970(rig):
    """A start in 1970, as on a board without a battery: polls go on, TLS waits with a reason that
    names the clock; once the time is right everything is sent."""
    if rig.external and not rig.proxy.url.startswith("https:"):
        raise Skipped("needs https")
    agent = Agent(rig, "1970")
    clock = Clock(rig, agent)
    clock.set("@1970-01-02 00:00:00")
    agent.start()
    health = reason(agent, "clock", 15)
    expect(health["status"] in ("degraded", "failing"), f"health is {health}")
    wait_for("the spool fills", lambda: (agent.stats() or {"spool": {"records": 0}})
             ["spool"]["records"] > 30, 15)
    expect(agent.total("records") == 0, "records were sent to a proxy that is not trusted")
    clock.set("+0")
    wait_for("/health is ok", lambda: agent.health()["status"] == "ok", 30)
    assigned = agent.await_delivered()
    totals = agent.stats()["totals"]
    expect(totals["lost"] == 0 and totals["dead"] == 0, f"{totals}")
    agent.stop()
    records = r.read_topic(rig, agent)
    v.sequence(records, assigned, False)
    v.order(records)
    expect(min(x["timestamp"] for x in records) < 365 * 86400000, "no record of 1970")
    r.audit(rig, agent)
    print(f"     {health['reasons']}")


def resolver_hangs(rig):
    """The name service swallows questions: only the sender waits for it. Polls, /health and SIGTERM
    keep their limits."""
    if not shutil.which("cc"):
        raise Skipped("needs a C compiler")
    source, shim = (os.path.join(rig.work, "resolver" + end) for end in (".c", ".so"))
    with open(source, "w", encoding="utf-8") as f:
        f.write(RESOLVER)
    r.must_run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"])
    agent = Agent(rig, "resolver", {"rest": {"url": "https://black.hole:8082",
                                             "connect_timeout": "1s"}})
    agent.env = {**os.environ, "LD_PRELOAD": shim}
    agent.elsewhere = True
    agent.start()
    health = reason(agent, "black.hole", 20)
    expect("name service" in str(health["reasons"]), f"{health}")
    first = polls(agent)
    slowest = 0.0
    end = time.monotonic() + 5
    while time.monotonic() < end:
        start = time.monotonic()
        expect(agent.get("/livez")[0] == 200, "/livez")
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.02)
    expect(polls(agent) >= first + 40, "polls wait for the name service")
    took = agent.stop()  # within 5 s, with code 0
    print(f"     slowest /livez {slowest * 1000:.0f} ms, SIGTERM took {took:.1f} s: "
          f"{health['reasons'][0]}")


CASES = [clock_jumps, clock_1970, resolver_hangs]
