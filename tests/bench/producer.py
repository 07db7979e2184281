"""What a Python program does: records rendered by json, batches of 1000 posted with requests.
usage: producer.py URL TOPIC RECORDS [CA]"""
import json
import sys

import requests

url, topic, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
session = requests.Session()
if len(sys.argv) > 4:
    session.verify = sys.argv[4]
headers = {"Content-Type": "application/vnd.kafka.json.v2+json"}
seq = 0
while seq < records:
    batch = []
    for _ in range(min(1000, records - seq)):
        seq += 1
        batch.append({"key": "web-1", "value": {
            "v": 1, "agent": "edge-7", "stream": "3f9c2a71d04be811", "seq": seq,
            "timestamp": 1763812800000 + seq, "host": "web-1", "target": "orders",
            "bean": "java.lang:name=G1 Young Generation,type=GarbageCollector",
            "domain": "java.lang", "properties": {"name": "G1 Young Generation"},
            "attributes": {"CollectionCount": seq, "CollectionTime": 3 * seq}}})
    answer = session.post(f"{url}/topics/{topic}", data=json.dumps({"records": batch}),
                          headers=headers, timeout=30)
    answer.raise_for_status()
    if any(o["error_code"] is not None for o in answer.json()["offsets"]):
        sys.exit("a record was refused")
