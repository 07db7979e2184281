#!/usr/bin/env bash
# Benchmarks: one line of numbers each, on standard output. tests/bench/RESULTS.md keeps some.
# usage: tests/bench/run.sh [PROGRAM...]    B = the build folder
#   BENCH_SECONDS=30  how long the idle agent is watched
#   BENCH_RUNS=200    how often `get` is started
#   BENCH_FLEET_SECONDS=35  how long each of the two fleets of 1,000 targets is polled
#   BENCH_ONLY=agent  leaves all but the agent at rest out; fleet: all but the 1,000 targets
set -u
cd "$(dirname "$0")/../.." || exit 1
export B=${B:-build}
failed=0
for program in "$@"; do
    [ -z "${BENCH_ONLY:-}" ] || continue
    nice -n 5 "$program" || { echo "$program failed" >&2; failed=1; }
done
[ "${BENCH_ONLY:-}" = fleet ] || python3 -B tests/bench/agent.py || failed=1
[ "${BENCH_ONLY:-}" = agent ] || python3 -B tests/bench/targets.py || failed=1
exit "$failed"
