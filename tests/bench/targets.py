"""A thousand targets at 10 s: all healthy, then with 100 that hang and 100 that refuse. The fleet
(fleet.c) notes from outside when each target is asked; the agent's RSS and CPU come from the kernel,
missed polls from its own /stats."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
FIRSTMILE = os.path.join(BUILD, "firstmile")
FLEET = os.path.join(BUILD, "tests", "fleet")
SECONDS = int(os.environ.get("BENCH_FLEET_SECONDS", "35"))
PORT = int(os.environ.get("BENCH_FLEET_PORT", "19550"))
INTERVAL_MS = 10000
BEANS = 40
LIMITS = {"missed": 0, "rss": 100.0, "late": 200}  # polls, MB, ms
CONFIG = """[agent]
state_dir = {work}/state
interval = {interval}ms
[rest]
url = {url}
[http]
listen = unix:{work}/http.sock
[log]
level = error
[target:fleet]
targets_file = {work}/fleet.json
queries = beans
[query:beans]
bean = bench:type=Bean,*
attributes = A0, A1, A2, A3, A4
"""


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: not within {seconds} s: {what}")
        time.sleep(0.1)


def cpu_ms(pid):
    return sum(int(read(f"/proc/{pid}/task/{t}/schedstat").split()[0])
               for t in os.listdir(f"/proc/{pid}/task")) / 1e6


class Run:
    """The fleet, a sandbox and the agent, in a folder of their own."""

    def __init__(self, healthy, hanging, refusing):
        self.counts = (healthy, hanging, refusing)
        self.work = tempfile.mkdtemp(prefix="firstmile-fleet.")
        self.children = []

    def start(self, name, argv):
        with open(f"{self.work}/{name}.out", "wb") as out, open(f"{self.work}/{name}.err", "wb") as err:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT)
        self.children.append(child)
        return child

    def stop(self, child):
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self.children.remove(child)

    def stats(self):
        text = subprocess.run(["curl", "-s", "-m", "5", "--unix-socket", f"{self.work}/http.sock",
                               "http://localhost/stats"], capture_output=True, check=False).stdout
        return json.loads(text) if text else {"targets": []}

    def measure(self):
        fleet = self.start("fleet", [FLEET, str(PORT), *map(str, self.counts), str(BEANS),
                                     str(INTERVAL_MS), f"{self.work}/fleet.json"])
        wait_for("the fleet", lambda: "ready" in read(f"{self.work}/fleet.out"))
        self.start("sandbox", [FIRSTMILE, "sandbox", "--listen", "127.0.0.1:0"])
        wait_for("the sandbox", lambda: "http" in read(f"{self.work}/sandbox.out"))
        url = read(f"{self.work}/sandbox.out").split()[0]
        with open(f"{self.work}/config.ini", "w", encoding="utf-8") as f:
            f.write(CONFIG.format(work=self.work, interval=INTERVAL_MS, url=url))
        agent = self.start("agent", [FIRSTMILE, "run", "-c", f"{self.work}/config.ini"])
        up = lambda: sum(t["state"] == "up" for t in self.stats()["targets"])
        wait_for("the first polls", lambda: up() >= self.counts[0])
        begin, before = time.monotonic(), cpu_ms(agent.pid)
        time.sleep(SECONDS)
        cpu = (cpu_ms(agent.pid) - before) / (time.monotonic() - begin)
        stats = self.stats()
        rss = int(re.search(r"^VmHWM:\s+(\d+)", read(f"/proc/{agent.pid}/status"), re.M).group(1)) / 1024
        files = len(os.listdir(f"/proc/{agent.pid}/fd"))
        threads = len(os.listdir(f"/proc/{agent.pid}/task"))
        self.stop(fleet)
        seen = json.loads(read(f"{self.work}/fleet.out").splitlines()[-1])
        healthy = [t for t in stats["targets"] if t["state"] == "up"]
        return seen | {"rss": rss, "cpu": cpu, "files": files, "threads": threads,
                       "up": len(healthy), "missed": sum(t["missed"] for t in healthy),
                       "attributes": sum(t["attributes"] for t in healthy),
                       "delivered": sum(a["delivered"] for a in stats["accounting"].values())}

    def end(self):
        for child in list(reversed(self.children)):
            self.stop(child)
        shutil.rmtree(self.work, ignore_errors=True)


def judge(name, counts):
    run = Run(*counts)
    try:
        seen = run.measure()
    finally:
        run.end()
    print(f"fleet, {name}: {seen['up']} up, {seen['attributes']} values a round, {seen['polls']} polls in "
          f"{SECONDS} s, missed {seen['missed']}, late p50 {seen['late_p50_ms']} p99 {seen['late_p99_ms']} "
          f"max {seen['late_max_ms']} ms, RSS at its highest {seen['rss']:.1f} MB, "
          f"CPU {seen['cpu']:.1f} ms a second, {seen['files']} descriptors, {seen['threads']} threads, "
          f"{seen['delivered']} records delivered")
    wrong = []
    if seen["up"] != counts[0]:
        wrong.append(f"{seen['up']} of {counts[0]} healthy targets are up")
    if seen["missed"] > LIMITS["missed"] or seen["gaps"] > 0:
        wrong.append(f"{seen['missed']} polls missed, {seen['gaps']} gaps")
    if seen["rss"] >= LIMITS["rss"]:
        wrong.append(f"RSS {seen['rss']:.1f} MB (limit {LIMITS['rss']:g})")
    if seen["late_max_ms"] > LIMITS["late"]:
        wrong.append(f"a poll {seen['late_max_ms']} ms late (limit {LIMITS['late']})")
    return wrong


def main():
    wrong = judge("1,000 healthy", (1000, 0, 0))
    wrong += judge("100 hanging, 100 refusing", (800, 100, 100))
    print("fleet, limits: " + ("missed: " + ", ".join(wrong) if wrong else
                               "no poll missed, RSS < 100 MB, no healthy poll later than 200 ms: all hold"))
    return 1 if wrong else 0


sys.exit(main())
