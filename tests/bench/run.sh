#!/usr/bin/env bash
# Benchmarks: one line of numbers each, on standard output. tests/bench/RESULTS.md keeps some.
# usage: tests/bench/run.sh [PROGRAM...]    B = the build folder
#   BENCH_SECONDS=30  how long the idle agent is watched
#   BENCH_RUNS=200    how often `get` is started
#   BENCH_POLLS=1000  how often the beans of the JMX bench are polled
#   BENCH_FLEET_SECONDS=35  how long each of the two fleets of 1,000 targets is polled
#   BENCH_ONLY=SCRIPT  only one of: jmx; agent, the agent at rest; targets, the 1,000
#                      targets; backlog, an agent that drains 1 GB (never by itself)
set -u
cd "$(dirname "$0")/../.." || exit 1
export B=${B:-build}
failed=0
for program in "$@"; do
    case ${BENCH_ONLY:+x}$program in
    x* | *bench_jmx) continue ;; # bench_jmx is started by jmx.py
    esac
    nice -n 5 "$program" || { echo "$program failed" >&2; failed=1; }
done
for script in jmx agent targets; do
    case ${BENCH_ONLY:-$script} in
    "$script") python3 -B "tests/bench/$script.py" || failed=1 ;;
    esac
done
if [ "${BENCH_ONLY:-}" = backlog ]; then
    python3 -B tests/bench/backlog.py || failed=1
fi
exit "$failed"
