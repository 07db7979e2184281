#!/usr/bin/env bash
# Benchmarks: one line of numbers each, on standard output. tests/bench/RESULTS.md keeps some.
# usage: tests/bench/run.sh [PROGRAM...]    B = the build folder
#   BENCH_SECONDS=30  how long the idle agent is watched
#   BENCH_RUNS=200    how often `get` is started
#   BENCH_ONLY=agent  leaves the programs out
set -u
cd "$(dirname "$0")/../.." || exit 1
export B=${B:-build}
failed=0
for program in "$@"; do
    [ "${BENCH_ONLY:-}" = agent ] && continue
    nice -n 5 "$program" || { echo "$program failed" >&2; failed=1; }
done
python3 -B tests/bench/agent.py || failed=1
exit "$failed"
