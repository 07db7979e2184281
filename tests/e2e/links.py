"""Links that fail: packets swallowed, a flapping link, a hole for large packets, 64 kbit/s. The proxy
stands at the far end of a pair of virtual cards, in a network namespace of its own. See the catalogue,
D02 and D13 to D15."""
import ctypes
import os
import re
import socket
import threading
import time

import rig as r
import verify as v
from rig import Agent, Skipped, expect, wait_for

NEAR, FAR, NOBODY, MOVED = "192.0.2.1", "192.0.2.2", "192.0.2.9", "192.0.2.3"
PORT = 8082
NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class Flow:
    """Bytes that went one way: (time, how many)."""

    def __init__(self):
        self.moves, self.lock = [], threading.Lock()

    def add(self, n):
        with self.lock:
            self.moves.append((time.monotonic(), n))

    def between(self, start, end):
        with self.lock:
            return sum(n for at, n in self.moves if start <= at <= end)

    def total(self):
        return self.between(0, time.monotonic())


class Link:
    """The way to the rig's proxy over a cable: what listens at FAR passes every byte on."""
    count = 0

    def __init__(self, rig):
        if rig.external:
            raise Skipped("needs a proxy of our own")
        if not r.OWN.network:
            raise Skipped("needs the right to have a network namespace")
        for before in [x for x in rig.others if isinstance(x, Link)]:
            before.stop()  # its addresses are ours
            rig.others.remove(before)
        Link.count += 1
        self.rig, self.near, self.far = rig, f"fmn{Link.count}", f"fmf{Link.count}"
        self.up, self.down = Flow(), Flow()  # to the proxy, and back
        self.open, self.peak, self.lock = 0, 0, threading.Lock()
        self.macs = {}
        self.holder = r.Process("far-end", ["unshare", "-n", "sleep", "36000"],
                                os.path.join(rig.work, "far-end.log"))
        rig.others.append(self)
        own = os.readlink("/proc/self/ns/net")
        wait_for("the far end is there",
                 lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, 10)
        r.must_run(["ip", "link", "add", self.near, "type", "veth", "peer", "name", self.far,
                    "netns", str(self.holder.pid)])
        self.ip("addr", "add", NEAR + "/24", "dev", self.near)
        # One packet at a time: what is cut up only by a card never meets a limit of size.
        self.ip("link", "set", self.near, "gso_max_segs", "1")
        self.ip("link", "set", self.near, "up")
        self.at_far("ip", "addr", "add", FAR + "/24", "dev", self.far)
        self.at_far("ip", "link", "set", self.far, "up")
        # As long lines do, the cards take what the other end then drops; without a queue between,
        # the sender would notice.
        self.rate("100mbit", "64kb")
        self.listener = self.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    @staticmethod
    def ip(*words):
        return r.must_run(["ip", *words])

    def at_far(self, *argv):
        return r.must_run(["nsenter", "-t", str(self.holder.pid), "-n", *argv])

    @property
    def url(self):
        return f"https://{FAR}:{PORT}"

    def listen(self):
        """A socket made at the far end; a namespace belongs to a thread."""
        made = []

        def enter():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.holder.pid}/ns/net", "rb") as ns:
                if libc.setns(ns.fileno(), NEW_NETWORK) == 0:
                    s = socket.socket()
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)  # what came is taken on
                    s.bind((FAR, PORT))
                    s.listen(16)
                    made.append(s)
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        expect(made, "cannot listen at the far end")
        return made[0]

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(conn,), daemon=True).start()

    def relay(self, conn):
        with self.lock:
            self.open += 1
            self.peak = max(self.peak, self.open)
        try:
            proxy = socket.create_connection(("127.0.0.1", self.rig.proxy.port), 5)
            proxy.settimeout(None)
        except OSError:
            proxy = None
        if proxy:
            back = threading.Thread(target=self.copy, args=(proxy, conn, self.down), daemon=True)
            back.start()
            self.copy(conn, proxy, self.up)
            back.join()
            proxy.close()
        conn.close()
        with self.lock:
            self.open -= 1

    @staticmethod
    def copy(source, sink, flow):
        try:
            while data := source.recv(16384):
                flow.add(len(data))
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def rate(self, text, burst="1600"):
        """So many bits a second in both directions."""
        shape = ["root", "tbf", "rate", text, "burst", burst, "latency", "2s"]
        r.must_run(["tc", "qdisc", "replace", "dev", self.near, *shape])
        self.at_far("tc", "qdisc", "replace", "dev", self.far, *shape)

    def hole(self, mtu):
        """Larger packets than this vanish on their way to the proxy, and nobody is told: the card
        there drops what is above its MTU, and goes on to ask for large ones."""
        self.at_far("ip", "link", "set", self.far, "mtu", str(mtu))
        self.at_far("ip", "route", "replace", "192.0.2.0/24", "dev", self.far, "src", FAR, "advmss",
                    "1460")

    def dropped(self):
        """Packets that the far card refused."""
        out = self.at_far("ip", "-s", "link", "show", self.far)
        return int(re.search(r"RX:.*\n\s*\d+\s+\d+\s+\d+\s+(\d+)", out).group(1))

    def plug(self, inserted):
        """The cable is pulled: the card here notices."""
        self.at_far("ip", "link", "set", self.far, "up" if inserted else "down")

    def pass_on(self, whether):
        """Further away nothing is passed on, in neither direction, and no card notices: both ends
        speak to addresses that nobody has."""
        for end, address in ((self.ip, self.near), (self.at_far_ip, self.far)):
            mac = self.macs.setdefault(address, self.mac(end, address))
            end("link", "set", address, "address", mac if whether else "02:00:00:00:00:" + mac[-2:])

    @staticmethod
    def mac(end, name):
        return re.search(r"link/ether (\S+)", end("link", "show", name)).group(1)

    def at_far_ip(self, *words):
        return self.at_far("ip", *words)

    def stop(self):
        """As of the rig's other helpers."""
        if self.holder:
            self.listener.close()
            r.run(["ip", "link", "del", self.near])
            self.holder.stop(1)
            self.holder = None


def agent_over(rig, name, changes, urls=None):
    """An agent whose way out is the link."""
    link = Link(rig)
    rest = {"url": ", ".join(urls) if urls else link.url, "ca_file": rig.authority.ca}
    rest.update(changes.pop("rest", {}))
    agent = Agent(rig, name, {**changes, "rest": rest})
    return link, agent


def settled(rig, agent, seconds=60):
    """All of it arrived; nothing lost, dead, or more than counted; kcat and audit agree."""
    assigned = agent.await_delivered(seconds)
    totals = agent.stats()["totals"]
    expect(totals["lost"] == 0 and totals["dead"] == 0, f"{totals}")
    agent.stop()
    records = r.read_topic(rig, agent)
    v.sequence(records, assigned, True)
    v.repeats(records, totals["possible_duplicates"])
    v.order(records)
    v.values(records, contiguous=True)
    r.audit(rig, agent)
    return records


def states(agent):
    """(seconds, state) of each change of the topic's state that the log tells."""
    out = []
    for line in agent.log_text().splitlines():
        found = re.search(r"(\d\d):(\d\d):(\d\d\.\d+)Z? .*topic \S+: (\w+)$", line)
        if found:
            hours, minutes, seconds, state = found.groups()
            out.append((int(hours) * 3600 + int(minutes) * 60 + float(seconds), state))
    return out


def probes(agent):
    """How long each probe took that failed."""
    tries, begun = [], None
    for at, state in states(agent):
        if state == "outage" and begun is not None:
            tries.append((at - begun) % 86400)
        begun = at if state == "probing" else None
    return tries


def syn_black_hole(rig):
    """D02: packets to the first endpoint vanish. Each try ends within 11 s, the next endpoint is
    tried before the first is tried again, and records flow there."""
    link, agent = agent_over(rig, "syn", {"log": {"level": "debug"},
                                          "rest": {"connect_timeout": "10s"}},
                             [f"https://{NOBODY}:{PORT}", f"https://{FAR}:{PORT}"])
    link.ip("neigh", "add", NOBODY, "lladdr", "02:00:00:00:00:09", "dev", link.near, "nud", "permanent")
    agent.start()
    agent.await_records(1, 25)
    moves = re.findall(r"from (\S+) to (\S+)", agent.log_text())
    expect(moves and NOBODY in moves[0][0] and FAR in moves[0][1], f"changes of endpoint: {moves}")
    expect(agent.total("possible_duplicates") == 0 and agent.total("retries") == 0,
           f"{agent.stats()['totals']}")
    endpoints = agent.stats()["endpoints"]
    expect("does not answer to connecting" in str(endpoints), f"{endpoints}")
    settled(rig, agent)
    tries = probes(agent)
    # Alone in the list: every try has the same end.
    agent = Agent(rig, "syn-alone", {"log": {"level": "debug"}, "rest": {
        "url": f"https://{NOBODY}:{PORT}", "ca_file": rig.authority.ca, "connect_timeout": "10s"}})
    agent.elsewhere = True
    agent.start()
    wait_for("/health names the packets that vanish",
             lambda: "does not answer to connecting" in str(agent.health()["reasons"]), 13)
    wait_for("a second try", lambda: sum(x == "outage" for _, x in states(agent)) >= 2, 15)
    agent.stop()
    rig.agents.remove(agent)
    tries += probes(agent)
    expect(len(tries) >= 3 and all(9.9 <= x <= 11 for x in tries), f"tries took {tries}")
    print(f"     tries took {', '.join(f'{x:.1f} s' for x in tries)}")


def mtu_hole(rig):
    """D14: packets above 1300 bytes vanish on the way to the proxy. After at most two requests of
    full size smaller packets get through; nothing is lost."""
    link, agent = agent_over(rig, "mtu", {"log": {"level": "debug"}, "agent": {"interval": "200ms"},
                                          "rest": {"timeout": "130s", "timeout_single": "190s"}})
    agent.start()
    agent.await_records(20)
    dropped = link.dropped()
    link.hole(1300)

    start = time.monotonic()
    wait_for("large packets vanish", lambda: link.dropped() > dropped, 30)
    before = agent.total("records")
    agent.await_records(before + 300, 90)
    took = time.monotonic() - start
    totals = agent.stats()["totals"]
    print(f"     through again after {took:.1f} s; {link.dropped() - dropped} packets vanished, "
          f"{totals['retries']} records sent again, {totals['possible_duplicates']} perhaps twice")
    wait_for("/health is ok", lambda: agent.health()["status"] == "ok", 20)
    settled(rig, agent)


class Phases:
    """The link goes down and up by chance: what came through while it was up."""

    def __init__(self, rig, link, agent):
        self.random, self.link, self.agent = rig.random, link, agent
        self.up, self.without = [], []

    def down(self):
        ways = {"pulled": self.link.plug, "silent": self.link.pass_on}
        way = self.random.choice(sorted(ways))
        ways[way](False)
        time.sleep(self.random.uniform(1, 5))
        ways[way](True)
        return way

    def one(self):
        way = self.down()
        seconds = self.random.choice((self.random.uniform(1, 5), self.random.uniform(5, 7)))
        start = time.monotonic()
        time.sleep(seconds)
        got = self.link.down.between(start, time.monotonic())
        if seconds >= 5:
            self.up.append(got)
            if got == 0:
                self.without.append(f"{seconds:.1f} s after {way}, phase {len(self.up)}")


def flapping(rig):
    """D13: the link goes down and up each 1 to 7 s, pulled here or silent further away, and once
    this host's address changes: answers come in every phase of 5 s and more; nothing is lost."""
    link, agent = agent_over(rig, "flap", {"agent": {"interval": "200ms"},
                                           "log": {"level": "debug"},
                                           "rest": {"connect_timeout": "10s", "timeout": "130s",
                                                    "timeout_single": "190s"},
                                           "retry": {"backoff": "1s", "max_backoff": "60s"}})
    agent.start()
    agent.await_records(20)
    phases = Phases(rig, link, agent)
    end = time.monotonic() + FLAP_SECONDS
    moved = False
    while time.monotonic() < end:
        phases.one()
        if not moved and end - time.monotonic() < FLAP_SECONDS / 2:
            moved = True
            link.ip("addr", "del", NEAR + "/24", "dev", link.near)
            link.ip("addr", "add", MOVED + "/24", "dev", link.near)
    totals = agent.stats()["totals"]
    print(f"     {len(phases.up)} phases of 5 s and more, least {min(phases.up)} bytes of answers; "
          f"{totals['retries']} records sent again, {totals['possible_duplicates']} perhaps twice")
    expect(not phases.without, f"nothing came through in {phases.without}")
    settled(rig, agent, 90)


def narrow(rig):
    """D15: 64 kbit/s and a backlog that grows. Requests take longer than the time limit and none is
    given up while bytes flow; nine tenths of the line are used; all arrives in its order. (Records of
    2 KB: while the answer comes, 60 bytes for each, the line upwards is idle.)"""
    link, agent = agent_over(rig, "narrow", {"agent": {"interval": "100ms"},
                                             "record": {"tags": "pad=" + 1500 * "x"},
                                             "rest": {"timeout": "10s", "timeout_single": "10s"}})
    agent.start()
    agent.await_records(20)
    link.rate("64kbit")
    wait_for("a backlog", lambda: agent.stats()["spool"]["records"] > 1000, 60)
    start = time.monotonic()
    wait_for("the time to measure is over", lambda: time.monotonic() - start > NARROW_SECONDS,
             NARROW_SECONDS + 5)
    took = time.monotonic() - start
    rate = link.up.between(start, start + took) * 8 / took
    stats = agent.stats()
    last, totals = stats["last_send"], stats["totals"]
    print(f"     {rate / 1000:.1f} kbit/s of 64; the last request had {last['bytes']} bytes and took "
          f"{last['duration_ms'] / 1000:.1f} s; {stats['spool']['records']} records wait")
    expect(totals["retries"] == 0 and totals["possible_duplicates"] == 0, f"{totals}")
    expect(last["duration_ms"] > 10000, f"no request took longer than the limit: {last}")
    expect(rate >= 0.9 * 64000, f"{rate:.0f} bit/s")
    link.rate("100mbit", "64kb")
    records = settled(rig, agent, 60)
    expect(len(records) > 1000, f"{len(records)} records")


FLAP_SECONDS, NARROW_SECONDS = 180, 80
CASES = [syn_black_hole, mtu_hole]
FULL = [flapping, narrow]
