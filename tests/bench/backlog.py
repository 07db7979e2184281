"""An agent that starts on a backlog of 1 GB: its memory must stay flat while it drains (issue 5: below
40 MB), and nothing may be missing. `produce --spool` makes the backlog while no proxy is there, then the
agent gets that spool and a sandbox over HTTPS.

BENCH_LINES=3400000  lines of about 310 bytes. It takes minutes and 2 GB of disk; run.sh starts it only
by BENCH_ONLY=backlog."""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import agent as a

LINES = int(os.environ.get("BENCH_LINES", "3400000"))
LIMIT = 40.0  # MB
CONFIG = """[agent]
state_dir = {work}/state
[rest]
url = {url}
ca_file = {work}/ca.pem
[spool]
path = {work}/spool
max_size = 8GiB
[http]
listen = unix:{work}/http.sock
[target:away]
url = 127.0.0.1:1
interval = 1h
"""


def lines():
    """Values of metrics: most of a line is like the one before, its numbers are not."""
    rng = random.Random(7)
    for seq in range(1, LINES + 1):
        yield (f'{{"v":1,"timestamp":{1763812800000 + seq},"host":"web-1","target":"orders","bean":'
               '"java.lang:name=G1 Young Generation,type=GarbageCollector","domain":"java.lang","properties":'
               '{"name":"G1 Young Generation","type":"GarbageCollector"},"attributes":{"CollectionCount":'
               f'{rng.getrandbits(30)},"CollectionTime":{rng.getrandbits(40)},"Load":{rng.random()}}},"n":{seq}}}\n')


def make(work):
    """Returns the bytes of all lines."""
    took = time.monotonic()
    child = subprocess.Popen(
        [a.FIRSTMILE, "produce", "jvm-metrics", "-q", "--spool", f"{work}/spool", "--timeout", "1h", "-o",
         "rest.url=https://127.0.0.1:1", "-o", "spool.max_size=8GiB"],
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=work)
    size = 0
    for line in lines():
        child.stdin.write(line)
        size += len(line)
    child.stdin.flush()
    empty = re.compile(r"^rchar: (\d+)", re.M)
    a.wait_for("the end of the lines", lambda: int(empty.search(
        a.read(f"/proc/{child.pid}/io")).group(1)) >= size, 600)
    time.sleep(3)  # more than a commit
    peak = high(child.pid)
    child.terminate()
    child.stdin.close()
    child.wait(30)
    os.remove(f"{work}/spool/identity")  # it says that the spool is no agent's; otherwise only damage needs it
    disk = sum(os.path.getsize(os.path.join(f"{work}/spool", name)) for name in os.listdir(f"{work}/spool"))
    print(f"backlog: produce --spool took {LINES} lines, {size / 1e9:.2f} GB, in "
          f"{time.monotonic() - took:.0f} s; {disk / 1e9:.2f} GB on disk; RSS at its highest {peak:.1f} MB")


def high(pid):
    return int(re.search(r"^VmHWM:\s+(\d+)", a.read(f"/proc/{pid}/status"), re.M).group(1)) / 1024


def stats(work):
    answer = subprocess.run(["curl", "-s", "--unix-socket", f"{work}/http.sock", "http://localhost/stats"],
                            capture_output=True, text=True, check=False).stdout
    return json.loads(answer) if answer.startswith("{") else None


def drain(bench, url):
    work = bench.work
    with open(f"{work}/config.ini", "w", encoding="utf-8") as f:
        f.write(CONFIG.format(work=work, url=url))
    begin = time.monotonic()
    child = bench.start("agent", [a.FIRSTMILE, "run", "-c", f"{work}/config.ini"])
    first = a.wait_for("the first delivered record", lambda: (stats(work) or {"totals": {"records": 0}})[
        "totals"]["records"], 60)
    started = time.monotonic() - begin
    last = a.wait_for("the end of the backlog", lambda: (s := stats(work)) and s["spool"]["records"] == 0
                      and s, 1800)
    took = time.monotonic() - begin
    mine = [c for c in last["accounting"].values() if c["topic"] == "jvm-metrics"]
    delivered = sum(c["delivered"] for c in mine)
    peak = high(child.pid)
    print(f"backlog: the agent delivered {delivered} records in {took:.0f} s, {delivered / took:.0f} a second "
          f"({first} of them after {started:.1f} s); RSS at its highest {peak:.1f} MB; "
          f"{a.cpu_ms(child.pid) / 1e3 * 1e6 / delivered:.2f} CPU s a million; possible duplicates "
          f"{last['totals']['possible_duplicates']}")
    if delivered < LINES or last["totals"]["lost"] or last["totals"]["dead"]:
        raise SystemExit(f"bench: of {LINES} lines {delivered} were delivered: {mine}")
    return peak


def main():
    work = tempfile.mkdtemp(prefix="firstmile-backlog.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    bench = a.Bench(work)
    try:
        make(work)
        peak = drain(bench, bench.sandbox())
    finally:
        bench.stop()
        shutil.rmtree(work, ignore_errors=True)
    print(f"limits: RSS below {LIMIT:g} MB: {'holds' if peak < LIMIT else 'MISSED'}")
    return 0 if peak < LIMIT else 1


sys.exit(main())
