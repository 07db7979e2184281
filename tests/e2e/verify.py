"""What must hold for the records of one agent that were read back from Kafka."""
import collections
import json
import re
import socket

from rig import expect


def line_with(text, words):
    """Whether one line of the text matches all of the expressions."""
    return any(all(re.search(w, line) for w in words) for line in text.splitlines())


def by_stream(records):
    streams = collections.defaultdict(list)
    for record in records:
        streams[record["stream"]].append(record)
    return streams


def declared(records):
    """(stream, seq) of every number that a gap record declares lost."""
    out = set()
    for record in records:
        if record.get("type") == "gap" and record.get("from_seq") is not None:
            stream = record.get("lost_stream") or record["stream"]
            out.update((stream, n) for n in range(record["from_seq"], record["to_seq"] + 1))
    return out


def sequence(records, assigned, duplicates):
    """Every number up to the assigned one is there once (or more, where repeats are allowed), with
    the same content each time."""
    expect(assigned, "no stream was assigned any number")
    streams, lost = by_stream(records), declared(records)
    for stream, n in assigned.items():
        seen = collections.Counter(x["seq"] for x in streams[stream])
        missing = [i for i in range(1, n + 1) if i not in seen and (stream, i) not in lost]
        expect(not missing, f"stream {stream}: {len(missing)} of {n} are missing: {missing[:10]}")
        if not duplicates:
            twice = [i for i, times in seen.items() if times > 1]
            expect(not twice, f"stream {stream}: more than once: {twice[:10]}")
        content = {}
        for x in streams[stream]:
            body = json.dumps({k: y for k, y in x.items() if not k.startswith("_")}, sort_keys=True)
            expect(content.setdefault(x["seq"], body) == body,
                   f"stream {stream}: seq {x['seq']} has two contents")


def repeats(records, possible):
    """What arrived more than once was counted as possible."""
    counts = collections.Counter((x["stream"], x["seq"]) for x in records)
    more = sum(times - 1 for times in counts.values())
    expect(more <= possible, f"{more} records arrived twice, but possible_duplicates is {possible}")


def order(records, late=0):
    """Per key, among first deliveries, numbers rise along the partition. late: so many records may
    come after younger ones."""
    seen, last, partition_of, n_late = set(), {}, {}, 0
    for x in records:  # sorted by partition and offset
        identity = (x["stream"], x["seq"])
        key = (x["stream"], x["_key"])
        expect(partition_of.setdefault(key, x["_partition"]) == x["_partition"],
               f"key {x['_key']} is in two partitions")
        if identity in seen:
            continue
        seen.add(identity)
        n_late += x["seq"] < last.get(key, 0)
        expect(n_late <= late, f"key {x['_key']}: seq {x['seq']} comes after {last.get(key)}")
        last[key] = max(x["seq"], last.get(key, 0))


def envelope(records, agent):
    """The fields of design section 5 that do not depend on the bean."""
    for x in records:
        where = f"seq {x.get('seq')}"
        expect(x["v"] == 1 and x["agent"] == agent.name, f"{where}: {x}")
        expect(re.fullmatch("[0-9a-f]{16}", x["stream"]), f"{where}: stream {x['stream']}")
        expect(isinstance(x["timestamp"], int), f"{where}: timestamp {x['timestamp']}")
        if x.get("bean"):
            expect(x["domain"] == "first.mile" and x["properties"]["type"] in ("Counter", "Kinds"),
                   f"{where}: {x['bean']}")
            host = "127.0.0.1" if x["target"] == "remote" else socket.gethostname()
            expect(x["host"] == host, f"{where}: host {x['host']}, not {host}")
            key = x["_key"][1:-1] if x["_key"].startswith('"') else x["_key"]
            expect(key == host, f"{where}: key {x['_key']}")
            expect(x["tags"] == {"run": "e2e"}, f"{where}: tags {x['tags']}")


def identity(records):
    """v3: the three headers and the record's own time."""
    for x in records:
        pairs = x["_headers"]
        got = dict(zip(pairs[::2], pairs[1::2]))
        wanted = {"firstmile-agent": x["agent"], "firstmile-stream": x["stream"],
                  "firstmile-seq": str(x["seq"])}
        expect(got == wanted, f"seq {x['seq']}: headers are {got}")
        expect(x["_ts"] == x["timestamp"],
               f"seq {x['seq']}: Kafka's time is {x['_ts']}, not {x['timestamp']}")


def same(got, wanted):
    """Equal as JSON, numbers compared as numbers (a proxy may respell them)."""
    if isinstance(wanted, bool) or isinstance(got, bool) or wanted is None:
        return got is wanted
    if isinstance(wanted, (int, float)):
        return isinstance(got, (int, float)) and got == wanted
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(same, got, wanted))
    if isinstance(wanted, dict):
        return isinstance(got, dict) and got.keys() == wanted.keys() and all(
            same(got[k], y) for k, y in wanted.items())
    return got == wanted


def counter(n):
    return {"Count": n, "Twice": 2 * n, "Text": f"n-{n}"}


def kinds(n):
    """What tests/fixture/Fixture.java shows at its n-th reading, by the table of design section 5."""
    return {
        "Count": n,
        "Composite": {"name": f"n-{n}", "value": n},
        "Table": {"a": {"name": "a", "value": n}, "b": {"name": "b", "value": 2 * n}},
        "Map": {"n": n, "twice": 2 * n},
        "List": [n, 2 * n, f"n-{n}"],
        "Longs": [n, 2 * n],
        "Strings": [f"n-{n}", None, "é€😀"],
        "Bytes": "AAGA",
        "BigInteger": "123456789012345678901234567890",
        "BigDecimal": "-1.5E+3",
        "Max": 9223372036854775807,
        "Min": -9223372036854775808,
        "Half": n / 2,
        "Float": 0.1,
        "NaN": None,
        "NegativeZero": 0.0,
        "Bool": True,
        "Char": "€",
        "Null": None,
        "Odd": "nul\0 quote\" tab\t lone�x \u2028",
        "Date": 1700000000123,
        "Instant": "2023-11-14T22:13:20.123Z",
        "Enum": "GREEN",
        "Uuid": "00000000-0000-0001-0000-000000000002",
        "Name": "a:a=\"q,*\",b=c",
        "Unknown": {"class": "Fixture$Point"}}


def values(records, contiguous):
    """Each record's values belong together, and along a bean the counter rises; by one each time
    where no poll can have been lost."""
    last, n_checked = {}, 0
    for x in sorted((y for y in records if y.get("bean")), key=lambda y: (y["stream"], y["seq"])):
        attributes, kind = x["attributes"], x["properties"]["type"]
        n = attributes.get("Count")
        expect(isinstance(n, int) and n > 0, f"{x['bean']}: Count is {n}")
        wanted = counter(n) if kind == "Counter" else kinds(n)
        for name in sorted(wanted.keys() | attributes.keys()):
            expect(name in attributes, f"{x['bean']}: {name} is missing")
            expect(name in wanted and same(attributes[name], wanted[name]),
                   f"{x['bean']}, Count {n}: {name} is {attributes[name]!r}, "
                   f"not {wanted.get(name)!r}")
        key = (x["target"], x["bean"])
        before = last.get(key)
        if before is not None and before[0] != (x["stream"], x["seq"]):
            rises = n == before[1] + 1 if contiguous else n > before[1]
            expect(rises, f"{key}: Count {n} follows {before[1]}")
        if before is None or before[0] != (x["stream"], x["seq"]):
            last[key] = ((x["stream"], x["seq"]), n)
            n_checked += 1
    expect(n_checked > 0, "no record of a bean was found")
