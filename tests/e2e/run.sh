#!/usr/bin/env bash
# The whole way, end to end: JVMs, the agent, TLS, a REST proxy, Kafka, and back through kcat.
#
# usage: tests/e2e/run.sh [--full] [CASE...]      (tests/e2e/suite.py --list names them)
# --full: every format, outages of minutes, the times as shipped; more than an hour one by one.
#
# Without settings it fetches Apache Kafka into a cache outside the tree, starts it and the sandbox
# in front of it. With E2E_REST_URL it runs against a proxy that is already there:
#   E2E_REST_URL E2E_KAFKA      base URL of the proxy, bootstrap servers behind it (for kcat)
#   E2E_TOPIC                   topic (default firstmile-e2e); must exist, may hold other records
#   E2E_DIALECT E2E_API         [rest] dialect and api
#   E2E_CA                      CA file
#   E2E_USER E2E_PASSWORD_FILE  Basic auth
#   E2E_STOP_PROXY E2E_START_PROXY E2E_STOP_KAFKA E2E_START_KAFKA   shell commands for the faults;
#                               a case whose command is missing says "skipped: needs ..."
# Others: E2E_JOBS=N runs N cases side by side, each in a network namespace with a Kafka of its own
# (1; make e2e-full: 4; not with E2E_REST_URL); E2E_KEEP=1 keeps the work folder; E2E_SEED=N
# repeats the random moments of a run; FIRSTMILE_CACHE is the folder Kafka is fetched into.
set -eu
for name in E2E_CA E2E_PASSWORD_FILE; do # seen from where we were called
    [ -z "${!name:-}" ] || export "$name=$(realpath -- "${!name}")"
done
cd "$(dirname "$0")/../.."
# Through real Jolokia agents; needs neither Kafka nor a proxy.
status=0
# Every kind of value beside a Java client, and local JVMs of other users, in containers, stale.
for first in jolokia values local; do
    case $* in '' | --full) python3 -B tests/e2e/$first.py || status=1 ;; esac
done
python3 -B tests/e2e/suite.py "$@" || status=$?
exit $status
