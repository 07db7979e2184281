#!/usr/bin/env python3
"""Runs real products with a little load and polls them with the shipped presets: every query of a
preset must yield values. Ends with "N passed, N failed, N skipped".

usage: tests/e2e/presets.py [PRODUCT...]    (--list names them; needs build/firstmile, a JDK, and
Maven for the first time)

The products are fetched from Maven's central repository (presets.xml) into a cache outside the tree;
one that cannot be had is skipped. One after the other, all on loopback; E2E_KEEP=1 keeps the work
folder."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

import products as p
import rig as r
from rig import Failed, Skipped, expect, wait_for

POM = os.path.join(r.E2E, "presets.xml")
PATIENCE = 90  # seconds until every query must have yielded values


class Ground:
    """Where one product runs: a folder, its processes, and the JVMs that are to be polled."""

    def __init__(self, product):
        self.product = product
        self.work = tempfile.mkdtemp(prefix=f"firstmile-{product}.",
                                     dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.processes, self.targets, self.versions = [], [], []

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    # --- what is fetched ---

    def fetch(self, profile=None):
        """The folder with a profile's files."""
        profile = profile or self.product
        with open(POM, encoding="utf-8") as f:
            version = re.search(rf"<id>{profile}</id>.*?<product.version>(.*?)<", f.read(),
                                re.S).group(1)
        self.versions.append(version.removesuffix(".Final"))
        cache = os.path.join(r.cache_dir(), "presets")
        libs = os.path.join(cache, f"{profile}-{version}")
        if os.path.isdir(libs):
            return libs
        if not shutil.which("mvn"):
            raise Skipped(f"needs {libs} or mvn")
        print(f"fetching {profile} {version} into {libs}", flush=True)
        os.makedirs(cache, exist_ok=True)
        fresh = tempfile.mkdtemp(prefix=f"{profile}.", dir=cache)
        try:
            code, out, err = r.run(["mvn", "-q", "-B", "-f", POM, "-P", profile,
                                    "dependency:copy-dependencies", "-DincludeScope=runtime",
                                    f"-DoutputDirectory={fresh}"], 900)
            if code != 0:
                raise Skipped(f"needs {profile} {version}, which cannot be fetched: "
                              f"{(err or out).strip()[-200:]}")
            os.rename(fresh, libs)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return libs

    def unzip(self):
        """The distribution of the product, unpacked; its top folder."""
        libs = self.fetch()
        name = next(f for f in os.listdir(libs) if f.endswith(".zip"))
        with zipfile.ZipFile(os.path.join(libs, name)) as z:
            z.extractall(self.work)
            return self.path(z.namelist()[0].split("/")[0])

    def compile(self, source, libs):
        classes = self.path("classes")
        r.must_run(["javac", "--release", "17", "-nowarn", "-proc:none", "-J-XX:TieredStopAtLevel=1",
                    "-cp", libs + "/*", "-d", classes, os.path.join(r.E2E, "load", source + ".java")])
        return classes

    # --- what runs ---

    def start(self, name, argv, env=None, stdin=None):
        process = r.Process(name, argv, self.path(name + ".log"), stdin=stdin,
                            env={**os.environ, **(env or {})})
        self.processes.append(process)
        return process

    def java(self, name, classpath, main, *args, options=(), heap="256m", **more):
        return self.start(name, ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                                 *options, "-cp", classpath, main, *args], **more)

    def program(self, source, libs, *args, options=(), heap="256m", preset=None, env=None):
        """One of load/*.java: runs until its stdin is closed, prints "ready"."""
        classes = self.compile(source, libs)
        process = self.java(source, f"{classes}:{libs}/*", source, *args, options=options, heap=heap,
                            stdin=subprocess.PIPE, env=env)
        self.await_line(process, "ready", 120)
        if preset:
            self.poll(process.pid, preset)
        return process

    def await_line(self, process, pattern, seconds=90):
        def there():
            expect(process.alive(), f"{process.name} ended:\n{r.tail(process.log, 30)}")
            with open(process.log, encoding="utf-8", errors="replace") as f:
                return re.search(pattern, f.read())
        try:
            return wait_for(f"{process.name} says {pattern}", there, seconds, 0.2)
        except Failed as e:
            raise Failed(f"{e}\n{r.tail(process.log, 30)}") from e

    def child_java(self, process):
        """The JVM that a start script became, or started."""
        def find():
            expect(process.alive(), f"{process.name} ended:\n{r.tail(process.log, 30)}")
            below = [process.pid]
            for pid in below:
                try:
                    if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "java":
                        return pid
                    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                        below.extend(int(x) for x in f.read().split())
                except OSError:
                    pass
            return None
        return wait_for(f"{process.name} runs a JVM", find, 60)

    def poll(self, where, preset, name=None, password=None, **keys):
        """A JVM to be polled: its pid (attach), or its JMX address."""
        if isinstance(where, int):
            where, keys["attach"] = f"pid:{where}", "on"
        if password:
            keys["password_file"] = self.write("jmx.password", password)
            os.chmod(keys["password_file"], 0o600)
        self.targets.append({"name": name or preset, "url": where, "preset": preset, "timeout": "30s",
                             **keys})

    # --- what is asked ---

    def queries(self):
        """Values by "preset/query" of one `check` of every target."""
        config = self.path("config.ini")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"[agent]\nstate_dir = {self.work}/state\n[rest]\nurl = sandbox\n"
                    "[http]\nlisten = off\n")
            for target in self.targets:
                f.write(f"[target:{target['name']}]\n")
                f.writelines(f"{k} = {v}\n" for k, v in target.items() if k != "name")
        code, out, err = r.run([r.FIRSTMILE, "check", "--json", "-c", config], 120)
        try:
            rows = json.loads(out)
        except ValueError as e:
            raise Failed(f"check ended with {code}: {(out + err)[-500:]}") from e
        values, connected = {}, 0
        for row in rows:
            if row["what"] != "target":
                continue
            expect(row["result"] in ("ok", "warn", "skip"),
                   f"{row['name']}: {row['step']}: {row['detail']}")
            connected += row["step"] == "connect"
            if row["step"].startswith("query "):
                query = row["step"].split(" ", 1)[1]
                found = re.search(r"attributes: (\d+)", row["detail"])
                values[query] = values.get(query, 0) + (int(found.group(1)) if found else 0)
        expect(connected == len(self.targets), f"not every target is there: {out[-500:]}")
        return values

    def judge(self, absent):
        """Every query has values; absent ("preset/query") has a reason for each that cannot."""
        last, missing = {}, [""]

        def all_there():
            try:
                last.update(self.queries())
            except Failed as e:
                missing[0] = str(e)  # a JVM that has only just started
                return False
            empty = sorted(q for q, n in last.items() if n == 0 and q not in absent)
            missing[0] = "no values: " + ", ".join(empty)
            return last and not empty
        try:
            wait_for("values of every query", all_there, PATIENCE, 2)
        except Failed:
            raise Failed(missing[0]) from None
        unknown = sorted(q for q in absent if q not in last)
        expect(not unknown, f"exceptions for queries that do not exist: {unknown}")
        alive = sorted(q for q in absent if last[q] > 0)
        expect(not alive, f"yields values although an exception says it cannot: {alive}")
        for query, reason in sorted(absent.items()):
            print(f"     {query}: no values, as expected: {reason}", flush=True)
        self.compare_with_list()
        return len(last) - len(absent), sum(last.values())

    def compare_with_list(self):
        """`presets` says on which version each was run."""
        code, out, err = r.run([r.FIRSTMILE, "presets", "--json"])
        expect(code == 0, err)
        live = {row["name"]: row["live"] or "" for row in json.loads(out)}
        for preset in sorted({target["preset"] for target in self.targets}):
            wrong = [v for v in self.versions if v not in live[preset]]
            expect(not wrong, f"presets says {live[preset]!r} of {preset}; it ran on {wrong}")

    def close(self):
        for process in reversed(self.processes):
            if process.popen.stdin and not process.popen.stdin.closed:
                process.popen.stdin.close()
            process.stop(20)
        if os.environ.get("E2E_KEEP"):
            print(f"kept: {self.work}", file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)


def run_product(product):
    """Returns "passed", "failed" or "skipped"."""
    name, start = product.__name__, time.monotonic()
    ground = Ground(name)
    try:
        absent = product(ground) or {}
        queries, values = ground.judge(absent)
        for process in ground.processes:
            expect(process.alive(), f"{process.name} ended:\n{r.tail(process.log)}")
        print(f"ok   {name}: {queries} queries, {values} values "
              f"({time.monotonic() - start:.0f} s)", flush=True)
        return "passed"
    except Skipped as e:
        print(f"skip {name}: skipped: {e}", flush=True)
        return "skipped"
    except (Failed, OSError, StopIteration, zipfile.BadZipFile) as e:
        print(f"FAIL {name} ({time.monotonic() - start:.0f} s): {e}", flush=True)
        for process in ground.processes:
            print(f"  {process.name}:\n{r.tail(process.log)}", flush=True)
        return "failed"
    finally:
        ground.close()


def main():
    known = {product.__name__: product for product in p.PRODUCTS}
    if "--list" in sys.argv:
        print("\n".join(f"{name}  {(f.__doc__ or '').strip()}" for name, f in known.items()))
        return 0
    strange = [name for name in sys.argv[1:] if name not in known]
    if strange:
        print(f"no such product: {', '.join(strange)}; --list names them", file=sys.stderr)
        return 2
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name in sys.argv[1:] or known:
        count[run_product(known[name])] += 1
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
