"""Records in the formats avro and jsonschema, read back from Kafka behind the registry's prefix:
a zero byte and four of the schema's id. The schema is what `firstmile check --schema` prints."""
import json
import struct
import subprocess

import rig as r
from rig import Failed, expect

FORMATS = ("avro", "jsonschema")


class Avro:
    """As much of Avro's binary encoding as the record's schema needs."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        expect(0 <= n <= len(self.data) - self.at, "Avro: the value ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def long(self):
        shift = value = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)

    def text(self):
        return self.take(self.long()).decode("utf-8")

    def map(self, values):
        out = {}
        while (n := self.long()) != 0:
            if n < 0:
                self.long()  # bytes of the block
            for _ in range(abs(n)):
                name = self.text()
                out[name] = self.value(values)
        return out

    def value(self, schema):
        if isinstance(schema, list):
            return self.value(schema[self.long()])
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind == "record":
            return {f["name"]: self.value(f["type"]) for f in schema["fields"]}
        if kind == "map":
            return self.map(schema["values"])
        if kind == "null":
            return None
        if kind == "boolean":
            return self.take(1) != b"\0"
        if kind == "double":
            return struct.unpack("<d", self.take(8))[0]
        if kind == "long":
            return self.long()
        expect(kind == "string", f"Avro: {kind} is not read here")
        return self.text()


def decode(data, schema):
    """A value behind the prefix; schema None: JSON."""
    expect(len(data) > 5 and data[0] == 0, f"no prefix of a registry: {data[:20]!r}")
    if schema is None:
        return json.loads(data[5:].decode("utf-8"))
    avro = Avro(data[5:])
    value = avro.value(schema)
    expect(avro.at == len(avro.data), f"Avro: {len(avro.data) - avro.at} bytes are left over")
    return value


def nested(value):
    """What was nested in the MBean travels as its JSON text."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def messages(out):
    """(partition, offset, time, headers, key, value) of what kcat wrote; see read_topic()."""
    at = 0
    while at < len(out):
        end = out.index(b"\n", at)
        partition, offset, ts, klen, vlen, *headers = out[at:end].decode().split(" ", 5)
        at = end + 1
        key = out[at:at + int(klen)] if int(klen) >= 0 else None
        at += max(int(klen), 0)
        value = out[at:at + max(int(vlen), 0)]
        at += max(int(vlen), 0)
        pairs = [x for h in "".join(headers).split(",") if h for x in h.split("=", 1)]
        yield int(partition), int(offset), int(ts), pairs, key, value


def read_topic(rig, agent, form):
    """As rig.read_topic(), of records in this format, their nested attributes made whole again."""
    schema = key_schema = None
    if form == "avro":
        schema = json.loads(r.must_run([r.FIRSTMILE, "check", "--schema", "bean", "-c", agent.config]))
        key_schema = "string"
    argv = ["kcat", "-b", rig.kafka.bootstrap, "-C", "-t", agent.topic, "-o", f"s@{rig.since_ms}",
            "-e", "-q", "-f", "%p %o %T %K %S %h\n%k%s"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=180, check=False)
    except subprocess.TimeoutExpired as e:
        raise Failed("kcat did not end within 180 s") from e
    expect(done.returncode == 0, f"kcat: {done.stderr[-300:]!r}")
    records = []
    for partition, offset, ts, headers, key, data in messages(done.stdout):
        value = decode(data, schema)
        if value["agent"] != agent.name:
            continue
        value["attributes"] = {k: nested(x) for k, x in (value.get("attributes") or {}).items()}
        if key is not None and key[:1] == b"\0":  # v2: key and value share the format
            key = decode(key, key_schema)
        elif key is not None:
            key = key.decode("utf-8")
        value.update(_partition=partition, _offset=offset, _ts=ts, _key=key, _headers=headers)
        records.append(value)
    records.sort(key=lambda x: (x["_partition"], x["_offset"]))
    return records
