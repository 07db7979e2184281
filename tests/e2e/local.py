#!/usr/bin/env python3
"""Local JVMs that are not simply ours: of another user, in a container, killed.

usage: tests/e2e/local.py     (needs build/firstmile, a JDK, and root)

Ends with "N passed, N failed, N skipped"."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import rig as r
from rig import Failed, Skipped, expect, wait_for

RUNTIME = "java.lang:type=Runtime"


class Started:
    """The fixture behind a command that changes where or as whom it runs."""

    def __init__(self, work, name, before, home):
        log = os.path.join(work, f"{name}-{os.path.basename(home)}.log")
        self.process = r.Process(name, [*before, os.path.join(home, "bin", "java"), "-Xmx48m",
                                        "-XX:+UseSerialGC", "-cp", os.path.join(work, "classes"),
                                        "Fixture"], log, stdin=subprocess.PIPE)
        wait_for(f"{name} is ready:\n{r.tail(log)}", lambda: "ready" in r.tail(log), 40)
        self.pid = self.find(self.process.pid)

    def find(self, pid):
        """The JVM: this process or one below it."""
        if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "java":
            return pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            children = f.read().split()
        expect(children, f"{self.process.name} runs no JVM")
        return self.find(int(children[0]))

    def stop(self):
        self.process.popen.stdin.close()
        if self.process.wait(10) is None:
            self.process.kill()
        self.process.close()


def runtime_name(pid):
    code, out, err = r.run([r.FIRSTMILE, "get", f"pid:{pid}", RUNTIME, "Name", "-o", "target.attach=on"], 30)
    expect(code == 0, f"get pid:{pid}: exit {code}: {err[-300:]}")
    return out.strip()


def listed(pid):
    code, out, err = r.run([r.FIRSTMILE, "jvms", "--json"], 30)
    expect(code == 0, f"jvms: exit {code}: {err[-300:]}")
    return [row for row in json.loads(out) if row["pid"] == pid]


def other_user(work, home):
    """Attach to a JVM of another user, with that user's rights."""
    jvm = Started(work, "nobody", ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], home)
    try:
        expect(os.stat(f"/proc/{jvm.pid}").st_uid == 65534, "it does not run as nobody")
        rows = listed(jvm.pid)
        expect(len(rows) == 1, f"jvms does not list it once: {rows}")
        name = runtime_name(jvm.pid)
        expect(name.startswith(f"{jvm.pid}@"), f"another JVM answered: {name}")
    finally:
        jvm.stop()


def container(work, home):
    """Attach into namespaces of pid and mounts with a /tmp of their own, where the JVM is pid 1."""
    jvm = Started(work, "container", ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "sh", "-c",
                                      'mount -t tmpfs none /tmp && exec "$@"', "sh"], home)
    try:
        rows = listed(jvm.pid)
        expect(len(rows) == 1, f"jvms does not list it once: {rows}")
        name = runtime_name(jvm.pid)
        expect(name.startswith("1@"), f"inside it is pid 1, but: {name}")
    finally:
        jvm.stop()


def killed(work, home):
    """What a killed JVM leaves behind is no JVM."""
    jvm = Started(work, "killed", [], home)
    left = f"/tmp/hsperfdata_root/{jvm.pid}"
    try:
        expect(len(listed(jvm.pid)) == 1, "jvms does not list it while it lives")
        os.kill(jvm.pid, signal.SIGKILL)
        jvm.process.wait(10)
        expect(os.path.exists(left), f"{left} is not there, so this tests nothing")
        expect(not listed(jvm.pid), "jvms lists a dead JVM")
        code, _, err = r.run([r.FIRSTMILE, "get", f"pid:{jvm.pid}", RUNTIME, "Name", "-o",
                              "target.attach=on"], 30)
        expect(code == 1 and str(jvm.pid) in err, f"get of a dead JVM: exit {code}: {err[-300:]}")
    finally:
        jvm.stop()
        if os.path.exists(left):
            os.unlink(left)


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    work = tempfile.mkdtemp(prefix="firstmile-local.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    os.chmod(work, 0o755)
    try:
        if os.geteuid() != 0:
            raise Skipped("needs root")
        r.compile_fixture(work)
        for version, home in r.jdks().items():
            for case in (other_user, container, killed):
                start = time.monotonic()
                try:
                    case(work, home)
                    counts["passed"] += 1
                    print(f"ok   {case.__name__} JDK {version} ({time.monotonic() - start:.1f} s)", flush=True)
                except (Failed, KeyError, ValueError, OSError) as e:
                    counts["failed"] += 1
                    print(f"FAIL {case.__name__} JDK {version}: {type(e).__name__}: {e}", flush=True)
    except Skipped as e:
        counts["skipped"] += 1
        print(f"skip local: skipped: {e}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
