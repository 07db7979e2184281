"""What the end-to-end cases stand on: a real Kafka, the sandbox in front of it, JVMs, agents.

Everything lives in one temporary folder, and only processes started here are ever ended.
"""
import base64
import contextlib
import ctypes
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from observe import Observer

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FIRSTMILE = os.path.join(ROOT, "build", "firstmile")
E2E = os.path.join(ROOT, "tests", "e2e")
# The main class of the local JVM: the fixture under a name that no other run on this machine has.
LOCAL = "E2eLocal" + os.urandom(4).hex()


class Failed(Exception):
    """A case's expectation did not hold."""


class Skipped(Exception):
    """A case cannot run here."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


def wait_for(what, condition, seconds, step=0.1):
    """Wait until condition() is true; its value is returned. Never a fixed sleep."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(step)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class OWN:
    """What this process has to itself."""
    network = False


def own_network():
    """A network namespace with nothing but loopback for this process and its children; without the
    right to have one, the machine's, where ports are chosen freely too."""
    new_network = 0x40000000  # CLONE_NEWNET
    if ctypes.CDLL(None, use_errno=True).unshare(new_network) == 0:
        must_run(["ip", "link", "set", "lo", "up"])
        OWN.network = True


def cache_dir():
    """Where downloads are kept, outside the tree."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("FIRSTMILE_CACHE") or os.path.join(home, "firstmile")


def jdks():
    """The JDKs of this machine: home by major version."""
    found = {}
    for home in sorted(glob.glob("/usr/lib/jvm/*")):
        with contextlib.suppress(OSError), open(os.path.join(home, "release"), encoding="utf-8") as f:
            found.setdefault(int(re.search(r'JAVA_VERSION="(\d+)', f.read()).group(1)), home)
    if not found:
        raise Skipped("needs a JDK in /usr/lib/jvm")
    return found


def tail(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return "".join("    | " + line for line in f.readlines()[-lines:])
    except OSError:
        return ""


class Process:
    """A child with its output in a file."""

    def __init__(self, name, argv, log, env=None, stdin=None):
        self.name, self.log = name, log
        self.file = open(log, "ab")
        self.popen = subprocess.Popen(
            argv, stdout=self.file, stderr=self.file, stdin=stdin or subprocess.DEVNULL,
            cwd=ROOT, env=env)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def wait(self, seconds):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, seconds=10):
        """SIGTERM, then SIGKILL. Returns the exit code, or None if it had to be killed."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        code = self.wait(seconds)
        if code is None:
            self.kill()
        self.close()
        return code

    def kill(self):
        if self.alive():
            self.popen.kill()
            self.popen.wait()

    def close(self):
        for stream in (self.popen.stdin, self.file):
            if stream and not stream.closed:
                try:
                    stream.close()
                except OSError:
                    pass


def run(argv, seconds=60, env=None, text=None):
    """Run to the end, with text on standard input. Returns exit code, stdout, stderr."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace",
                              timeout=seconds, cwd=ROOT, env=env, check=False, input=text)
    except subprocess.TimeoutExpired as e:
        raise Failed(f"{' '.join(argv)} did not end within {seconds} s") from e
    return done.returncode, done.stdout, done.stderr


def must_run(argv, seconds=120):
    code, out, err = run(argv, seconds)
    if code != 0:
        raise Failed(f"{argv[0]} failed ({code}): {(err or out).strip()[-500:]}")
    return out


# --- Kafka ---

class Kafka:
    """One broker in KRaft mode on loopback, fetched from Maven's repository into a cache."""

    def __init__(self, work):
        self.work = os.path.join(work, "kafka")
        os.makedirs(self.work)
        self.port, self.controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.libs = self.fetch()
        self.process = None
        self.format()

    @staticmethod
    def fetch():
        with open(os.path.join(E2E, "pom.xml"), encoding="utf-8") as f:
            version = re.search(r"<kafka.version>(.*?)<", f.read()).group(1)
        cache = cache_dir()
        libs = os.path.join(cache, f"kafka-{version}")
        if os.path.isdir(libs):
            return libs
        print(f"fetching Apache Kafka {version} into {libs}", flush=True)
        os.makedirs(cache, exist_ok=True)
        fresh = tempfile.mkdtemp(prefix="kafka.", dir=cache)
        try:
            must_run(["mvn", "-q", "-B", "-f", os.path.join(E2E, "pom.xml"),
                      "dependency:copy-dependencies", "-DincludeScope=runtime",
                      f"-DoutputDirectory={fresh}"], 600)
            os.rename(fresh, libs)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return libs

    def java(self, main, *args):
        return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-cp", self.libs + "/*", main, *args]

    @staticmethod
    def settings(port, controller, data):
        return {
            "process.roles": "broker,controller", "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1, "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0, "num.network.threads": 1, "num.io.threads": 2,
            "log.cleaner.enable": "false"}

    @staticmethod
    def cluster_id():
        return base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")

    def format(self):
        self.properties = os.path.join(self.work, "server.properties")
        settings = self.settings(self.port, self.controller, os.path.join(self.work, "data"))
        with open(self.properties, "w", encoding="utf-8") as f:
            f.writelines(f"{key}={value}\n" for key, value in settings.items())
        # With "=", as the id may begin with a dash.
        must_run(self.java("kafka.tools.StorageTool", "format", "--cluster-id=" + self.cluster_id(),
                           "--config", self.properties))

    def start(self):
        self.process = Process("kafka", self.java("kafka.Kafka", self.properties),
                               os.path.join(self.work, "log"))
        wait_for("Kafka answers", self.answers, 180, 0.2)

    def answers(self):
        expect(self.process.alive(), "Kafka ended:\n" + tail(self.process.log))
        return run(["kcat", "-b", self.bootstrap, "-L", "-m", "2"], 10)[0] == 0

    def stop(self):
        if self.process:
            self.process.stop(20)
            self.process = None


def kafka_topics(bootstrap):
    """The brokers' topics, without asking for one by name (which could create it); None if nobody
    answers."""
    code, out, _ = run(["kcat", "-b", bootstrap, "-L", "-J", "-m", "5"], 20)
    return [x["topic"] for x in json.loads(out)["topics"]] if code == 0 else None


class ExternalKafka:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def answers(self):
        return kafka_topics(self.bootstrap) is not None

    def start(self):
        shell("E2E_START_KAFKA")
        wait_for("Kafka answers", self.answers, 180, 0.5)

    def stop(self):
        shell("E2E_STOP_KAFKA", "E2E_START_KAFKA")
        # The command may return before it is gone.
        wait_for("Kafka is gone", lambda: not self.answers(), 90, 0.2)


def shell(variable, *also):
    """Run a command of the user's, or skip the case; also: others that will be needed after it."""
    for name in (variable, *also):
        if not os.environ.get(name):
            raise Skipped(f"needs {name}")
    # Its output goes to a file: what it leaves running in the background would hold a pipe open.
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        try:
            code = subprocess.run(["sh", "-c", os.environ[variable]], stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=out, timeout=180, check=False).returncode
        except subprocess.TimeoutExpired as e:
            raise Failed(f"{variable} did not end within 180 s") from e
        out.seek(0)
        expect(code == 0, f"{variable} failed ({code}): {out.read().strip()[-300:]}")


# --- certificates and the proxy ---

class Authority:
    """A throw-away CA."""

    def __init__(self, work):
        self.dir = os.path.join(work, "tls")
        os.makedirs(self.dir, mode=0o700)
        self.ca = self.path("ca.pem")
        must_run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                  "-subj", "/CN=firstmile e2e CA", "-keyout", self.path("ca.key"),
                  "-out", self.ca])

    def path(self, name):
        return os.path.join(self.dir, name)

    def issue(self, name, days=2):
        """A server certificate for localhost, and the far end of links.py. Returns (certificate, key)."""
        cert, key, request = (self.path(name + end) for end in (".pem", ".key", ".csr"))
        with open(self.path("san.cnf"), "w", encoding="utf-8") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:192.0.2.2\n")
        must_run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                  "-subj", "/CN=localhost", "-out", request])
        must_run(["openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
                  self.path("ca.key"), "-CAcreateserial", "-days", str(days), "-extfile",
                  self.path("san.cnf"), "-out", cert])
        return cert, key


class Proxy:
    """The sandbox on TLS, in front of Kafka or (kafka=None) of its own memory."""

    def __init__(self, work, name, cert, kafka=None, topics=(), timeout="60s", faults=None):
        self.cert, self.kafka, self.topics, self.timeout = cert, kafka, topics, timeout
        self.faults = faults and os.path.join(work, f"faults-{name}")
        if faults:
            with open(self.faults, "w", encoding="utf-8") as f:
                f.write(faults + "\n")
        self.name = "proxy-" + name
        self.log = os.path.join(work, self.name + ".log")
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.process = None

    def start(self):
        """Does nothing while it runs: a second one would take the port as well, and outlive stop()."""
        if self.process and self.process.alive():
            return
        argv = [FIRSTMILE, "sandbox", "--listen", f"127.0.0.1:{self.port}",
                "--tls-cert", self.cert[0], "--tls-key", self.cert[1],
                "--metadata-timeout", self.timeout]
        if self.kafka:
            argv += ["--kafka", self.kafka.bootstrap]
        if self.faults:
            argv += ["--faults", self.faults]
        for topic in self.topics:
            argv += ["--topic", topic]
        self.process = Process(self.name, argv, self.log)
        wait_for(f"{self.name} listens", self.listens, 45)

    def listens(self):
        expect(self.process.alive(), f"{self.name} ended:\n{tail(self.log)}")
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process:
            self.process.stop(10)
            self.process = None


class ExternalProxy:
    """A proxy that is there already; ready() says when it takes records."""

    def __init__(self, url, ready):
        self.url, self.ready = url, ready

    def start(self):
        shell("E2E_START_PROXY")
        wait_for("the proxy answers", self.answers, 180, 0.2)
        self.ready()  # its first request may take seconds; it is back when it takes records

    def answers(self):
        """Any HTTP status will do but a gateway's; certificates are the agent's business."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(self.url, timeout=5, context=context):
                return True
        except urllib.error.HTTPError as e:
            return e.code not in (502, 503, 504)
        except (OSError, http.client.HTTPException):
            return False

    def stop(self):
        shell("E2E_STOP_PROXY", "E2E_START_PROXY")
        # The command may return before the last request is served.
        wait_for("the proxy is gone", lambda: not self.answers(), 90, 0.1)


# --- JVMs ---

class Jvm:
    """A fixture JVM: kind "remote" (an RMI port with a password) or "local" (no JMX flag)."""

    def __init__(self, work, kind, classes):
        self.kind = kind
        self.user, self.password = "reader", "canary-" + os.urandom(6).hex()
        self.dir = os.path.join(work, "jvm-" + kind)
        os.makedirs(self.dir, exist_ok=True)
        self.password_file = self.secret("password", self.password + "\n")
        self.port = free_port()
        self.classes = classes
        self.process = None

    def secret(self, name, text):
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as f:
            f.write(text)
        return path

    def start(self):
        flags, main = [], LOCAL
        if self.kind == "remote":
            main, prefix = "Fixture", "-Dcom.sun.management.jmxremote"
            users = self.secret("users", f"{self.user} {self.password}\n")
            access = self.secret("access", f"{self.user} readonly\n")
            flags = [f"{prefix}.port={self.port}", f"{prefix}.rmi.port={self.port}",
                     f"{prefix}.host=127.0.0.1", f"{prefix}.ssl=false",
                     f"{prefix}.authenticate=true", f"{prefix}.password.file={users}",
                     f"{prefix}.access.file={access}", "-Djava.rmi.server.hostname=127.0.0.1"]
        log = os.path.join(self.dir, "log")
        open(log, "wb").close()
        self.process = Process(
            "jvm-" + self.kind,
            ["java", "-Xmx32m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *flags, "-cp",
             self.classes, main], log, stdin=subprocess.PIPE)
        wait_for("the fixture is ready", lambda: "ready" in open(log, encoding="utf-8").read(), 30)

    def stop(self):
        if self.process:
            self.process.stop(5)
            self.process = None


def compile_fixture(work):
    classes, source = os.path.join(work, "classes"), os.path.join(work, LOCAL + ".java")
    with open(source, "w", encoding="utf-8") as f:
        f.write(f"public class {LOCAL} {{ public static void main(String[] args) throws Exception "
                "{ Fixture.main(args); } }\n")
    must_run(["javac", "-nowarn", "-encoding", "UTF-8", "-J-XX:TieredStopAtLevel=1", "-d", classes,
              os.path.join(ROOT, "tests", "fixture", "Fixture.java"),
              os.path.join(ROOT, "tests", "fixture", "Types.java"), source])
    return classes


# --- the agent ---

class Agent:
    """A running agent and its configuration; the same state folder across restarts."""

    def __init__(self, rig, name, sections=None):
        self.rig, self.name = rig, f"e2e-{name}-{os.urandom(3).hex()}"
        self.dir = tempfile.mkdtemp(prefix=f"agent-{name}-", dir=rig.work)
        self.log = os.path.join(self.dir, "log")
        self.dump = os.path.join(self.dir, "dump")
        self.port = free_port()
        self.config = os.path.join(self.dir, "config.ini")
        self.topic = (sections or {}).get("rest", {}).get("topic", rig.topic)
        self.state = (sections or {}).get("agent", {}).get("state_dir",
                                                           os.path.join(self.dir, "state"))
        self.write(sections or {})
        self.process = self.observer = self.env = None
        self.observers = []  # one for each run
        self.elsewhere = False  # whether some of its records went to another proxy

    def sections(self):
        remote = self.rig.remote
        rest = {"url": self.rig.proxy.url, "topic": self.rig.topic, "probe_timeout": "20s",
                "timeout": "30s", "timeout_single": "40s"}
        rest.update(self.rig.rest)
        return {
            "agent": {"name": self.name, "interval": "500ms",
                      "state_dir": self.state},
            "rest": rest,
            "batch": {"linger": "100ms"},
            "retry": {"backoff": "200ms", "max_backoff": "2s", "hold_interval": "2s",
                      "stuck_interval": "2s"},
            "record": {"tags": "run=e2e"},
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "target:remote": {"url": f"127.0.0.1:{remote.port}", "username": remote.user,
                              "password_file": remote.password_file, "timeout": "2s"},
            "target:local": {"url": "local:" + LOCAL, "attach": "on", "timeout": "2s"},
            "query:fixture": {"bean": "first.mile:type=Counter,* | first.mile:type=Kinds"}}

    def write(self, changes):
        """Write config.ini: the defaults above, with changes by section (None removes one)."""
        sections = self.sections()
        for name, keys in changes.items():
            if keys is None:
                sections.pop(name, None)
            else:
                sections.setdefault(name, {}).update(keys)
        with open(self.config, "w", encoding="utf-8") as f:
            for name, keys in sections.items():
                f.write(f"[{name}]\n")
                f.writelines(f"{key} = {value}\n" for key, value in keys.items())
                f.write("\n")

    def start(self):
        self.process = Process("agent", [FIRSTMILE, "run", "-c", self.config], self.log,
                               self.env)
        if self not in self.rig.agents:
            self.rig.agents.append(self)
        wait_for("the agent serves", self.serves, 10, 0.02)
        self.observer = Observer(self.port)
        self.observers.append(self.observer)
        self.observer.start()

    def serves(self):
        expect(self.process.alive(), f"the agent ended with {self.process.popen.poll()}:\n"
               + tail(self.log))
        return self.get("/livez")[0] == 200

    def get(self, path):
        """Status and body; (0, "") if nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except (OSError, ValueError):
            return 0, ""

    def total(self, name):
        return (self.stats() or {"totals": {}})["totals"].get(name, 0)

    def stats(self):
        status, body = self.get("/stats")
        if status != 200:
            return None
        stats = json.loads(body)
        for stream, a in stats["accounting"].items():
            expect(a["assigned"] == a["delivered"] + a["pending"] + a["lost"] + a["dead"],
                   f"the equation does not hold for {stream}: {a}")
        return stats

    def health(self):
        status, body = self.get("/health")
        if status == 0:
            return {"status": "gone", "reasons": []}
        health = json.loads(body)
        expect(status == (503 if health["status"] == "failing" else 200),
               f"/health says {health['status']} with HTTP {status}")
        return health

    def assigned(self):
        stats = self.stats() or {"accounting": {}}
        return {stream: a["assigned"] for stream, a in stats["accounting"].items()}

    def await_records(self, count, seconds=0):
        """Until so many records were delivered."""
        seconds = seconds or (60 if self.rig.external or self.rig.true_times else 20)

        def enough():
            stats = self.stats()
            return stats and stats["totals"]["records"] >= count
        wait_for(f"{count} records are delivered", enough, seconds)

    def await_delivered(self, seconds=30, or_lost=False):
        """Until everything assigned at this moment is delivered (or declared lost, where the case
        says that this may be). Returns that: number by stream.
        (Polls go on; what they add later stays in the spool at SIGTERM.)"""
        first = wait_for("a stream has numbers", self.assigned, 10)

        def done():
            accounting = (self.stats() or {"accounting": {}})["accounting"]
            return all(s in accounting and accounting[s]["delivered"]
                       + (accounting[s]["lost"] if or_lost else 0) >= n
                       for s, n in first.items())
        wait_for(f"what was spooled is delivered ({first})", done, seconds)
        return first

    def unobserved(self):
        """It is about to end: what its server says from here on may be cut."""
        if self.observer:
            self.observer.end()

    def served_well(self):
        """What the observers of its runs found wrong is a failure."""
        findings = [x for observer in self.observers for x in observer.findings]
        expect(not findings, f"{self.name} served: {findings[:5]}")

    def kill(self):
        self.unobserved()
        self.process.kill()
        self.process.close()

    def stop(self, code=0):
        """SIGTERM; it must end by itself within 5 s with this code."""
        self.unobserved()
        start = time.monotonic()
        got = self.process.stop(5.5)
        took = time.monotonic() - start
        expect(got is not None and took <= 5.2, f"SIGTERM took {took:.1f} s")
        expect(got == code, f"exit code {got} after SIGTERM:\n{tail(self.log)}")
        return took

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()


# --- reading back ---

def read_topic(rig, agent):
    """All records of one agent in the topic, in the order of partition and offset. What kcat said
    of them is kept in agent.dump."""
    argv = ["kcat", "-b", rig.kafka.bootstrap, "-C", "-t", agent.topic, "-o", f"s@{rig.since_ms}",
            "-e", "-q", "-J"]
    code, out, err = run(argv, 180)
    expect(code == 0, f"kcat: {err.strip()[-300:]}")
    records = []
    with open(agent.dump, "w", encoding="utf-8") as dump:
        # Not splitlines(): a proxy that writes JSON anew may leave U+2028 as it is.
        for line in filter(None, out.split("\n")):
            message = json.loads(line)
            try:
                value = json.loads(message["payload"])
            except (TypeError, ValueError):
                continue
            if isinstance(value, dict) and value.get("agent") == agent.name:
                dump.write(line + "\n")
                value["_partition"], value["_offset"] = message["partition"], message["offset"]
                value["_key"], value["_ts"] = message.get("key"), message.get("ts")
                value["_headers"] = message.get("headers") or []
                records.append(value)
    records.sort(key=lambda r: (r["_partition"], r["_offset"]))
    return records


def audit(rig, agent):
    """What read_topic() left in agent.dump, less what still waits in the spool: `audit` must find
    every number there or declared lost, and see the same records as kcat."""
    code, out, err = run([FIRSTMILE, "audit", agent.topic, "--from", agent.dump, "--spool",
                          os.path.join(agent.state, "spool"), "--json", "-c", agent.config])
    expect(code == 0, f"audit: exit {code}: {(out + err).strip()[-600:]}")
    found = json.loads(out)
    for name in ("missing", "cut", "foreign", "malformed"):
        expect(found[name] == 0, f"audit: {name} is {found[name]}: {out.strip()[-600:]}")
    with open(agent.dump, encoding="utf-8") as f:
        n = sum(1 for _ in f)
    expect(found["records"] == n, f"audit saw {found['records']} records, kcat {n}")
    return found


class Rig:
    """All of it together."""

    def __init__(self, true_times=False):
        self.true_times = true_times  # the proxy waits for Kafka as long as the real ones
        # Not /tmp: where that lies in memory, /health rightly says that nothing is durable.
        self.work = tempfile.mkdtemp(prefix="firstmile-e2e.",
                                     dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.agents, self.others = [], []
        self.external = bool(os.environ.get("E2E_REST_URL"))
        self.topic = os.environ.get("E2E_TOPIC", "firstmile-e2e")
        self.rest = {}
        self.since_ms = int(time.time() * 1000) - 600000  # a broker's clock may differ
        self.kafka = self.proxy = self.remote = self.local = None

    def open(self):
        if not os.access(FIRSTMILE, os.X_OK):
            raise Failed("build/firstmile is missing; run make first")
        self.authority = Authority(self.work)
        self.good = self.authority.issue("server")
        if self.external:
            self.open_external()
        else:
            self.kafka = Kafka(self.work)
            self.kafka.start()
            self.rest = {"ca_file": self.authority.ca}
            topics = [f"{self.topic}{more}:3" for more in ("", "-avro", "-jsonschema")]
            self.proxy = Proxy(self.work, "kafka", self.good, self.kafka, topics,
                               "60s" if self.true_times else "5s")
            self.proxy.start()
        classes = compile_fixture(self.work)
        self.remote, self.local = (Jvm(self.work, kind, classes) for kind in ("remote", "local"))
        self.remote.start()
        self.local.start()

    def open_external(self):
        if not os.environ.get("E2E_KAFKA"):
            raise Failed("E2E_REST_URL needs E2E_KAFKA too: the bootstrap servers for kcat")
        self.kafka = ExternalKafka(os.environ["E2E_KAFKA"])
        self.proxy = ExternalProxy(os.environ["E2E_REST_URL"].rstrip("/"), self.warm_up)
        for variable, key in (("E2E_DIALECT", "dialect"), ("E2E_API", "api"),
                              ("E2E_CA", "ca_file"), ("E2E_USER", "username")):
            if os.environ.get(variable):
                self.rest[key] = os.environ[variable]
        if "username" in self.rest:
            self.rest["auth"] = "basic"
            if not os.environ.get("E2E_PASSWORD_FILE"):
                raise Failed("E2E_USER needs E2E_PASSWORD_FILE too")
            # A copy, as firstmile refuses a secret that others may read.
            self.rest["password_file"] = os.path.join(self.work, "rest-password")
            with open(os.environ["E2E_PASSWORD_FILE"], "rb") as f, \
                    open(os.open(self.rest["password_file"], os.O_WRONLY | os.O_CREAT, 0o600),
                         "wb") as copy:
                copy.write(f.read())
        topics = kafka_topics(self.kafka.bootstrap)
        if topics is None:
            raise Failed(f"no Kafka answers kcat at E2E_KAFKA={self.kafka.bootstrap}")
        if self.topic not in topics:
            raise Failed(f"topic {self.topic} does not exist; create it or set E2E_TOPIC")
        self.warm_up()

    def warm_up(self):
        """Until the proxy has taken a record (one that is foreign to every case)."""
        config = os.path.join(self.work, "warm-up.ini")
        rest = {"url": self.proxy.url, "topic": self.topic, **self.rest}
        with open(config, "w", encoding="utf-8") as f:
            f.write("[rest]\n" + "".join(f"{key} = {value}\n" for key, value in rest.items()))
        code, out, err = run([FIRSTMILE, "produce", self.topic, "-c", config, "--timeout", "120s"],
                             150, text='{"firstmile-e2e":"warm-up"}\n')
        if code != 0:
            raise Failed(f"the proxy at {self.proxy.url} takes no record: "
                         f"{(err or out).strip()[-600:]}")

    def close(self):
        for agent in self.agents:
            agent.kill()
        for thing in (*self.others, self.remote, self.local):
            if thing:
                thing.stop()
        if not self.external:
            for thing in (self.proxy, self.kafka):
                if thing:
                    thing.stop()
        if os.environ.get("E2E_KEEP"):
            print(f"kept: {self.work}", file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)
