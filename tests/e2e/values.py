#!/usr/bin/env python3
"""Compares every kind of value with what a Java client makes of the same MBean, on every JDK here.

usage: tests/e2e/values.py     (needs build/firstmile and a JDK)

tests/fixture/Types.java is both the server and the Java client. Ends with "N passed, N failed"."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import rig as r
from rig import Failed, Skipped, expect, wait_for

BEAN = "first.mile:type=Types"
SETS = {"HashSet", "SetOf", "MapOf3", "KeySetView"}  # each side has an order of its own
ANY_CLASS = {"Proxy"}  # the JVM invents the name


def parse(text):
    """JSON where a whole number, a fraction and a text stay apart, and numbers keep their exact value."""
    return json.loads(text, parse_int=lambda n: ("int", int(n)), parse_float=lambda n: ("float", float(n)))


def same(name, ours, java):
    if name in ANY_CLASS:
        return set(ours) == set(java) == {"class"}
    if name in SETS and isinstance(ours, list):
        return sorted(map(repr, ours)) == sorted(map(repr, java))
    if name.startswith("Float"):  # JDK 17 does not print the shortest form
        return ours[0] == java[0] and struct.pack("f", ours[1]) == struct.pack("f", java[1])
    return ours == java


def serve(work, classes, version, home):
    port = r.free_port()
    prefix = "-Dcom.sun.management.jmxremote"
    log = os.path.join(work, f"jdk{version}.log")
    process = r.Process(f"jdk{version}", [
        os.path.join(home, "bin", "java"), "-Xmx96m", "-Xss8m", f"{prefix}.port={port}",
        f"{prefix}.rmi.port={port}", f"{prefix}.ssl=false", f"{prefix}.authenticate=false",
        f"{prefix}.host=127.0.0.1", "-Djava.rmi.server.hostname=127.0.0.1", "-cp", classes, "Types",
        "serve"], log, stdin=subprocess.PIPE)
    wait_for("the fixture is ready", lambda: "ready" in r.tail(log), 30)
    return process, port


def compare(version, home, classes, port):
    """Returns how many kinds are the same; prints the others."""
    lines = r.must_run([os.path.join(home, "bin", "java"), "-Xss8m", "-Dfile.encoding=UTF-8", "-cp",
                        classes, "Types", "read", str(port)]).rstrip("\n").split("\n")  # U+2028 is no end
    code, out, err = r.run([r.FIRSTMILE, "get", f"127.0.0.1:{port}", BEAN, "--json"], 60)
    expect(code in (0, 1) and out, f"get: exit {code}: {err[-300:]}")
    ours, good, wrong = parse(out), 0, 0
    expect(len(lines) > 150, f"the Java client printed only {len(lines)} kinds")
    for line in lines:
        name, java = line.split("\t", 1)
        if java.startswith("!"):
            agrees = name not in ours  # what Java cannot read either is left out, and costs no other
        else:
            agrees = name in ours and same(name, ours[name], parse(java))
        good, wrong = good + agrees, wrong + (not agrees)
        if not agrees:
            print(f"FAIL JDK {version} {name}: {str(ours.get(name, 'absent'))[:150]}, a Java client: "
                  f"{java[:150]}", flush=True)
    print(f"{'FAIL' if wrong else 'ok  '} JDK {version}: {good} of {good + wrong} kinds are what a Java "
          "client sees", flush=True)
    return good, wrong


def main():
    work = tempfile.mkdtemp(prefix="firstmile-values.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    passed = failed = skipped = 0
    try:
        classes = r.compile_fixture(work)
        for version, home in r.jdks().items():
            process, port = serve(work, classes, version, home)
            try:
                good, wrong = compare(version, home, classes, port)
                passed, failed = passed + good, failed + wrong
            finally:
                process.stop(5)
    except Skipped as e:
        print(f"skip values: skipped: {e}")
        skipped += 1
    except (Failed, ValueError, OSError) as e:
        print(f"FAIL values: {e}")
        failed += 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
