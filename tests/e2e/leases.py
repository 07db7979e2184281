#!/usr/bin/env python3
"""Catalogue J17: an agent that connects again and again leaves nothing behind in the JVM.

usage: tests/e2e/leases.py [--connects N]     (needs build/firstmile and a JDK)

Each connection is a process of its own (`firstmile get`); before every tenth a client connects that
is gone after its handshake. The JVM's live objects are counted by jcmd, which collects garbage first: connections of
the JMX connector, exported remote objects and threads must stay flat, and so must the heap."""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import rig as r
from rig import Failed, Skipped, expect

CLASSES = {"sessions": "javax.management.remote.rmi.RMIConnectionImpl", "targets": "sun.rmi.transport.Target",
           "threads": "java.lang.Thread"}
SAMPLES = 10
ACK_MS = 1000
SLACK = {"sessions": 3, "targets": 8, "threads": 12} 
HEAP_SLACK = 512 << 10


def sample(pid):
    code, out, _ = r.run(["jcmd", str(pid), "GC.class_histogram"], 30)
    expect(code == 0, "jcmd tells nothing")
    counts = {name: 0 for name in CLASSES}
    for line in out.splitlines():
        for name, known in CLASSES.items():
            found = re.match(r"\s*\d+:\s+(\d+)\s+\d+\s+" + re.escape(known) + r"(\s|$)", line)
            if found:
                counts[name] = int(found.group(1))
    counts["heap"] = int(re.search(r"^Total\s+\d+\s+(\d+)", out, re.M).group(1))
    return counts


def connect(jvm, options):
    code, out, err = r.run([r.FIRSTMILE, "get", f"127.0.0.1:{jvm.port}", "java.lang:type=Runtime", "Name",
                            *options], 30)
    expect(code == 0 and out.startswith(f"{jvm.process.pid}@"), f"get: exit {code}: {err[-300:]}")


def die(jvm):
    """A client that says hello and is gone."""
    with socket.create_connection(("127.0.0.1", jvm.port), 5) as s:
        s.sendall(b"JRMI\x00\x02\x4b\x00\x00\x00\x00\x00\x00")
        s.settimeout(5)
        expect(s.recv(1) == b"\x4e", "the JVM does not speak RMI")


def run(connects, work):
    jvm = r.Jvm(work, "remote", r.compile_fixture(work))
    # A JVM holds a stub that it gave away for five minutes, if no acknowledgement comes; less here.
    os.environ["JAVA_TOOL_OPTIONS"] = f"-Dsun.rmi.dgc.ackTimeout={ACK_MS}"
    jvm.start()
    options = ["-o", f"target.username={jvm.user}", "-o", f"target.password_file={jvm.password_file}"]
    series = []
    try:
        for i in range(connects):
            if i % 10 == 9:
                die(jvm)
            connect(jvm, options)
            if (i + 1) % (connects // SAMPLES) == 0:
                time.sleep(2 * ACK_MS / 1000)
                series.append(sample(jvm.process.pid))
        for name in (*CLASSES, "heap"):
            values = [row[name] for row in series]
            print(f"{name}: {values[1]} to {values[-1]}, highest {max(values)}")
        for name in CLASSES:  # the first sample is warm-up
            expect(series[-1][name] <= series[1][name] + SLACK[name], f"{name} grow")
        expect(series[-1]["heap"] <= series[1]["heap"] + HEAP_SLACK, "the heap grows")
        expect(series[-1]["sessions"] <= SLACK["sessions"], "sessions stay in the JVM")
    finally:
        jvm.stop()
    print(f"{connects} connections: nothing grows")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--connects", type=int, default=10000)
    connects = max(SAMPLES, parser.parse_args().connects)
    work = tempfile.mkdtemp(prefix="firstmile-leases.", dir="/var/tmp")
    try:
        if not shutil.which("jcmd"):
            raise Skipped("needs jcmd")
        run(connects, work)
        return 0
    except Skipped as e:
        print(f"skip leases: {e}")
        return 0
    except (Failed, OSError, subprocess.SubprocessError) as e:
        print(f"FAIL leases: {e}")
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
