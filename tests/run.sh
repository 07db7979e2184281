#!/usr/bin/env bash
# Run test programs one after another; a failed test, a crash, or a leak fails the run.
# Criterion exits 0 although AddressSanitizer found a leak, so its reports go to files, and a file
# is a failure. Ends with one line: N passed, N failed.
set -u
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
export ASAN_OPTIONS="log_path=$logs/asan:detect_leaks=1:abort_on_error=0"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$logs/ubsan"
export LSAN_OPTIONS="report_objects=0"
passed=0 failed=0
for program in "$@"; do
    name=$(basename "$program")
    out=$logs/$name.out
    start=$SECONDS
    jobs=2
    # Its tests start programs of their own; beside a second worker Criterion's runner then loses 48
    # bytes of its own now and then, which would count as a leak.
    [ "$name" = test_cli ] && jobs=1
    case $name in
    test_*) "$program" "-j$jobs" --color=never --timeout "${TEST_TIMEOUT:-60}" >"$out" 2>&1 ;;
    *) "$program" >"$out" 2>&1 ;;
    esac
    code=$?
    line=$(grep -o 'Tested: .*' "$out" | tail -1)
    # shellcheck disable=SC2034
    read -r ok bad <<<"$(sed -n 's/.*Passing: \([0-9]*\) | Failing: \([0-9]*\) | Crashing: \([0-9]*\).*/\1 \2 \3/p' \
        <<<"$line" | awk '{print $1, $2 + $3}')"
    if [ -z "${ok:-}" ]; then # not a Criterion program: one test
        ok=$((code == 0)) bad=$((code != 0))
    elif [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
    fi
    reports=$(find "$logs" -name 'asan.*' -o -name 'ubsan.*')
    if [ -n "$reports" ]; then
        echo "  $name: sanitizer reports"
        cat $reports | head -"${REPORT_LINES:-60}"
        rm -f $reports
        bad=$((bad + 1))
    fi
    if [ "$bad" -gt 0 ] || [ "$code" -ne 0 ]; then
        cat "$out"
    fi
    printf '  %-5s %-28s %4d passed %3d failed  %ds\n' "$([ "$bad" -eq 0 ] && echo ok || echo FAIL)" \
        "$name" "$ok" "$bad" "$((SECONDS - start))"
    passed=$((passed + ok)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
