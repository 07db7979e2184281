#!/usr/bin/env bash
# Fuzz one target with clang's libFuzzer. usage: tests/fuzz/fuzz.sh TARGET [SECONDS]
# New inputs go to build/fuzz/found/TARGET, never into the tree. What crashed is kept beside them:
# once fixed, copy it to tests/fuzz/corpus/TARGET, and `make test` replays it for ever.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
targets=$(printf '%s\n' tests/fuzz/fuzz_*.c | sed 's|.*/fuzz_||; s|\.c$||' | tr '\n' ' ')
target=${1:-} seconds=${2:-60}
if [ ! -f "tests/fuzz/fuzz_$target.c" ]; then
    echo "usage: make fuzz T=TARGET [SECONDS=60]; targets: $targets" >&2
    exit 2
fi
tests/setup.sh build fuzz
out=build/fuzz/tests/fuzz_$target found=build/fuzz/found/$target
make --no-print-directory -s -j"$(nproc)" VARIANT=fuzz CC=clang CCACHE= "$out"
mkdir -p "$found"
crashes=$found-crash-
rc=0
# One input may take 5 s and 1 GiB: more is a fault in itself.
"$out" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="$crashes" "$found" "tests/fuzz/corpus/$target" 2>&1 |
    grep -vE "# Uses:|ecommended dictionary" || rc=$?
if [ "$rc" -ne 0 ]; then
    echo "fuzz: $target failed; the input is in $crashes*" >&2
fi
exit "$rc"
