"""A poll of 40 MBeans with 200 attributes: how often it crosses the wire, how long it takes when the
wire is slow, and what it costs beside a warm Java client that reads the same beans. Prints figures,
and whether the limits hold."""
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
NATIVE = os.path.join(ROOT, os.environ.get("B", "build"), "tests", "bench_jmx")
BEANS, CALLS = 40, 64  # the limits speak of 40 MBeans, and of up to 64 calls
DELAY = 0.010  # seconds, each way
POLLS = int(os.environ.get("BENCH_POLLS", "1000"))
LIMITS = {"wire": 1.2, "cpu": 10}


class Wire:
    """A loopback proxy that holds every byte back for a while and counts round trips: how often the
    client speaks after it was spoken to. One thread."""

    def __init__(self, port, delay):
        self.port, self.delay, self.turns = port, delay, 0
        # The same port of another loopback address: the JVM tells its own.
        self.listener = socket.create_server(("127.0.0.2", port))
        self.stop_read, self.stop_write = os.pipe()
        self.peer, self.clients = {}, set()
        self.answered = {}  # client socket: it was spoken to since it last spoke
        self.due = deque()  # (when, from, to, bytes), in the order of when: the delay is constant
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def accept(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.port))
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer[client], self.peer[server] = server, client
        self.clients.add(client)
        self.answered[client] = True

    def read(self, source):
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        now = time.monotonic()
        if source in self.clients and data:
            self.turns += self.answered[source]
            self.answered[source] = False
        self.due.append((now + self.delay, source, self.peer[source], data))
        if not data:
            self.closed.add(source)

    def deliver(self):
        while self.due and self.due[0][0] <= time.monotonic():
            _, source, target, data = self.due.popleft()
            try:
                if data:
                    target.sendall(data)
                else:
                    target.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            if target in self.clients:
                self.answered[target] = True

    def loop(self):
        self.closed = set()
        while True:
            wait = max(0, self.due[0][0] - time.monotonic()) if self.due else None
            ready = select.select([self.listener, self.stop_read,
                                   *(s for s in self.peer if s not in self.closed)], [], [], wait)[0]
            if self.stop_read in ready:
                return
            for s in ready:
                if s is self.listener:
                    self.accept()
                else:
                    self.read(s)
            self.deliver()

    def close(self):
        os.write(self.stop_write, b"x")
        self.thread.join()
        for s in (self.listener, *self.peer):
            s.close()
        os.close(self.stop_read)
        os.close(self.stop_write)


class Bench:
    def __init__(self, work):
        self.work, self.children = work, []
        subprocess.run(["javac", "-d", work, "tests/bench/JmxBench.java"], check=True, cwd=ROOT)

    def start(self, argv):
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 cwd=ROOT)
        self.children.append(child)
        if child.stdout.readline().strip() != "ready":
            raise SystemExit(f"bench: {argv[0]} did not start")
        return child

    def stop(self):
        for child in self.children:
            if not child.stdin.closed:
                child.stdin.close()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def server(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        prefix = "-Dcom.sun.management.jmxremote"
        self.start(["java", "-Xmx128m", f"{prefix}.port={port}", f"{prefix}.rmi.port={port}",
                    f"{prefix}.ssl=false", f"{prefix}.authenticate=false", f"{prefix}.host=127.0.0.1",
                    "-Djava.rmi.server.hostname=127.0.0.1", "-cp", self.work, "JmxBench", "serve",
                    "1", str(BEANS), str(CALLS)])
        return port

    def run(self, argv, wire=None):
        """Returns what the client prints of its polls, with the round trips seen on the wire."""
        child = self.start(argv)
        before = wire.turns if wire else 0
        child.stdin.write("go\n")
        child.stdin.flush()
        out = json.loads(child.stdout.readline())
        if wire:
            out["wire"] = (wire.turns - before) / out["polls"]
        child.stdin.close()
        return out

    def native(self, port, beans, polls, gap_ms=0, wire=None, warm=50):
        place = f"127.0.0.{2 if wire else 1}:{port}"
        return self.run([NATIVE, place, str(beans), str(warm), str(polls), str(gap_ms)], wire)

    def java(self, port, beans, polls, gap_ms, warm):
        return self.run(["java", "-Xmx256m", "-cp", self.work, "JmxBench", "poll", str(port),
                         str(beans), str(warm), str(polls), str(gap_ms)])


def on_the_wire(bench, port, missed):
    """Round trips, and the time of a poll over a slow wire."""
    wire = Wire(port, DELAY)
    try:
        for beans in (BEANS, CALLS):
            near = bench.native(port, beans, 200)
            one = bench.native(port, 1, 30, wire=wire, warm=5)
            far = bench.native(port, beans, 30, wire=wire, warm=5)
            limit = LIMITS["wire"] * one["p50_ms"] + near["p50_ms"]
            print(f"jmx: {beans} beans, {beans * 5} attributes: {far['wire']:.2f} round trips on the "
                  f"wire; with {DELAY * 1e3:.0f} ms each way {far['p50_ms']:.2f} ms a poll (one bean "
                  f"{one['p50_ms']:.2f}, no delay {near['p50_ms']:.2f}, limit {limit:.2f})")
            if far["wire"] != 1:
                missed.append(f"{beans} beans: {far['wire']} round trips (limit 1)")
            if far["p50_ms"] > limit:
                missed.append(f"{beans} beans: {far['p50_ms']:.2f} ms (limit {limit:.2f})")
    finally:
        wire.close()


def beside_java(bench, port, missed):
    """CPU of both clients: polls one after another, and polls at a pace, as agents do."""
    for label, gap, polls in (("one after another", 0, POLLS), ("20 a second", 50, 100)):
        native = bench.native(port, BEANS, polls, gap)
        java = bench.java(port, BEANS, polls, gap, 1000)
        ratio = java["cpu_ms"] / native["cpu_ms"]
        print(f"jmx: CPU of a poll, {label}: firstmile {native['cpu_ms']:.3f} ms"
              f"{' (with its scheduler)' if gap else ''}, Java {java['cpu_ms']:.3f} ms (warm), "
              f"1/{ratio:.1f}; takes {native['p50_ms']:.2f} and {java['p50_ms']:.2f} ms")
        if ratio < LIMITS["cpu"]:
            missed.append(f"CPU {label} 1/{ratio:.1f} of Java's (limit 1/{LIMITS['cpu']})")


def main():
    work = tempfile.mkdtemp(prefix="firstmile-bench.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    missed, bench = [], None
    try:
        bench = Bench(work)
        port = bench.server()
        on_the_wire(bench, port, missed)
        beside_java(bench, port, missed)
    finally:
        if bench:
            bench.stop()
        shutil.rmtree(work, ignore_errors=True)
    print("jmx limits: " + ("missed: " + ", ".join(missed) if missed else
                            "one round trip, 1.2 x its time, 1/10 of Java's CPU: all hold"))
    return 1 if missed else 0


sys.exit(main())
