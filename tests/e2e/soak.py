#!/usr/bin/env python3
"""An hour of the agent: polls each second, the proxy away for 20 s every 3 minutes. Its memory,
descriptors and threads are sampled and must stay flat; at the end kcat and `audit` find every record.

usage: tests/e2e/soak.py [--minutes N] [--every SECONDS] [--away SECONDS] [--series FILE]"""
import argparse
import os
import signal
import statistics
import sys
import time

import rig as r
import suite
import verify as v
from rig import Agent, Failed, expect, wait_for

SAMPLE = 10     # seconds
GROWTH = 1024   # KiB that the last third's median may lie above the first third's


def sample(agent):
    """KiB resident, KiB anonymous, descriptors, threads of the agent's process."""
    proc = f"/proc/{agent.process.pid}"
    with open(proc + "/status", encoding="ascii", errors="replace") as f:
        status = dict(line.split(":", 1) for line in f)
    return (int(status["VmRSS"].split()[0]), int(status["RssAnon"].split()[0]),
            len(os.listdir(proc + "/fd")), int(status["Threads"]))


class Soak:
    def __init__(self, rig, options):
        self.rig, self.options, self.series, self.outages = rig, options, [], 0
        self.agent = Agent(rig, "soak", {"agent": {"interval": "1s"}, "target:local": None,
                                         "retry": None, "batch": None})
        self.file = options.series and open(options.series, "w", encoding="ascii")

    def note(self, start):
        row = (int(time.monotonic() - start), *sample(self.agent))
        self.series.append(row)
        if self.file:
            self.file.write("\t".join(map(str, row)) + "\n")
            self.file.flush()

    def run(self):
        self.agent.start()
        start = sampled = time.monotonic()
        next_outage, back = start + self.options.every, None
        while time.monotonic() - start < 60 * self.options.minutes or back:
            now = time.monotonic()
            if now - sampled >= SAMPLE:
                self.note(start)
                sampled = now
                self.agent.served_well()
            if not back and now >= next_outage:
                self.rig.proxy.stop()
                back = now + self.options.away
            if back and now >= back:
                self.rig.proxy.start()
                back, next_outage = None, next_outage + self.options.every
                self.outages += 1
            time.sleep(0.2)

    def judge(self):
        wait_for("/health is ok", lambda: self.agent.health()["status"] == "ok",
                 suite.TRUE_MAX_BACKOFF + 5)
        assigned = self.agent.await_delivered(120)
        totals = self.agent.stats()["totals"]
        expect(totals["lost"] == 0 and totals["dead"] == 0, f"{totals}")
        self.agent.stop()
        self.agent.served_well()
        records = suite.proven(self.rig, self.agent, assigned)
        v.values(records, contiguous=True)
        v.order(records)
        v.repeats(records, totals["possible_duplicates"])
        suite.prove(self.rig)
        print(f"{self.options.minutes:g} minutes, {self.outages} outages of {self.options.away:g} s: "
              f"{len(records)} records in the topic, {totals['retries']} sent again, "
              f"{sum(o.reads for o in self.agent.observers)} documents read; audit 0")

    def flat(self):
        """The first samples are warm-up."""
        rows = self.series[6:]
        third = len(rows) // 3
        expect(third >= 3, "too short to judge")
        for at, name in enumerate(("RSS KiB", "anonymous KiB", "descriptors", "threads"), 1):
            first, middle, last = (statistics.median(row[at] for row in part) for part in
                                   (rows[:third], rows[third:-third], rows[-third:]))
            print(f"{name}: {first:g}, {middle:g}, {last:g} (medians of the thirds), highest "
                  f"{max(row[at] for row in rows)}")
            expect(last <= first + (GROWTH if at < 3 else 0), f"{name} grow: {first} to {last}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in (("minutes", 60.0), ("every", 180.0), ("away", 20.0)):
        parser.add_argument("--" + name, type=float, default=value)
    parser.add_argument("--series", help="a line of numbers for each sample")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rig = r.Rig()
    rig.tls, rig.consumers = None, True
    try:
        rig.open()
        soak = Soak(rig, options)
        soak.run()
        soak.judge()
        soak.flat()
        return 0
    except Failed as e:
        print(f"FAIL soak: {e}", flush=True)
        for agent in rig.agents:
            print(r.tail(agent.log), flush=True)
        return 1
    finally:
        rig.close()


if __name__ == "__main__":
    sys.exit(main())
