#!/usr/bin/env bash
# All static checks. usage: tests/lint/lint.sh [STAGE]...   default: every stage, in this order.
# Prints what is wrong and ends with one line: N passed, N failed (a file in a stage counts as one).
set -u
cd "$(dirname "$0")/../.." || exit 1
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
jobs=$(nproc)
passed=0 failed=0

mapfile -t sources < <(git ls-files 'src/*.[ch]' 'include/*.h' 'tests/*.[ch]')
mapfile -t ours < <(git ls-files 'src/*.c')
mapfile -t headers < <(git ls-files 'src/*.h' 'include/*.h')
mapfile -t scripts < <(git ls-files '*.sh')
flags=(-std=c17 -D_GNU_SOURCE -Isrc -Iinclude '-DFM_VERSION="lint"' '-DFM_COMMIT="lint"')
if pkg-config --exists rdkafka; then
    flags+=(-DFM_HAVE_RDKAFKA=1)
fi
export FLAGS="${flags[*]}"

# each NAME COMMAND FILE...: run COMMAND FILE for each file, in parallel; its words only if it fails.
each() {
    local name=$1 command=$2 before=$failed start=$SECONDS n
    shift 2
    export CHECK=$command LOGS=$logs
    printf '%s\n' "$@" | xargs -P "$jobs" -I{} bash -c '
        out=$(mktemp "$LOGS/out.XXXXXX")
        if $CHECK "$1" >"$out" 2>&1; then rm -f "$out"; else mv "$out" "$out.bad"; fi' _ {}
    n=$(find "$logs" -name '*.bad' | wc -l)
    cat "$logs"/*.bad 2>/dev/null
    rm -f "$logs"/*.bad
    failed=$((failed + n)) passed=$((passed + $# - n))
    printf '  %-5s %-10s %4d files  %ds\n' \
        "$([ "$failed" -eq "$before" ] && echo ok || echo FAIL)" "$name" "$#" $((SECONDS - start))
}

# whole NAME COMMAND...: one check over everything.
whole() {
    local name=$1 start=$SECONDS state=ok
    shift
    if "$@" >"$logs/whole" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) state=FAIL
        cat "$logs/whole"
    fi
    printf '  %-5s %-10s             %ds\n' "$state" "$name" $((SECONDS - start))
}

check_format() { clang-format --dry-run -Werror "$1"; }

# A header must compile alone, and twice.
check_header() {
    printf '#include "%s"\n#include "%s"\n' "$1" "$1" |
        cc $FLAGS -I. -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -fsyntax-only -x c -
}

# Comments and strings are taken out first. POSIX functions with hidden state or without a bound.
check_banned() {
    local names='sprintf|vsprintf|strcpy|strcat|strtok|atoi|atol|atof|gets|localtime|gmtime|ctime'
    names+='|asctime|system|popen|tmpnam|mktemp|setlocale|setenv|putenv|strerror|rand|usleep|alloca'
    local bad
    bad=$(cc -fpreprocessed -dD -E -P "$1" 2>/dev/null | sed 's/"\([^"\\]\|\\.\)*"/""/g' |
        grep -nE "\b($names) *\(")
    [ -z "$bad" ] || { echo "$1: banned function: $bad"; return 1; }
}

# Nothing half done, no place of one machine, no file that nobody can read in one sitting.
check_text() {
    local bad most rc=0
    bad=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b|not implemented|(^|[^A-Za-z])/(work|root)/' "$1") &&
        { echo "$1: $bad"; rc=1; }
    case $1 in src/*) most=500 ;; *) most=800 ;; esac
    [ "$(wc -l <"$1")" -le "$most" ] || { echo "$1: more than $most lines"; rc=1; }
    bad=$(grep -nP '\t| +$' "$1") && { echo "$1: tab or blank at the end: $bad"; rc=1; }
    return $rc
}

# Only the findings: the way an analyzer came to one is long; run clang-tidy on the file to see it.
# The bound on the analyzer's paths through a function makes it six times faster.
check_tidy() {
    local out rc model=tests/lint/analyzer.h
    [ "$1" != src/base/err.c ] || model=firstmile/err.h
    out=$(clang-tidy --quiet "$1" -- $FLAGS -include $model \
        -Xclang -analyzer-config -Xclang max-nodes=30000 2>&1)
    rc=$?
    grep -E '(error|warning):' <<<"$out"
    return $rc
}

check_script() { bash -n "$1"; }

check_cppcheck() {
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
        --error-exitcode=1 --template='{file}:{line}: {message} [{id}]' -j "$jobs" \
        --suppress=missingIncludeSystem -D_GNU_SOURCE -DFM_HAVE_RDKAFKA=1 -D__GNUC__=12 \
        -Isrc -Iinclude src
}

# A suppression without its reason is a warning that nobody answered.
check_suppressions() {
    ! grep -rnE 'cppcheck-suppress|NOLINT' src include tests --include='*.[ch]' |
        grep -vE '(cppcheck-suppress [A-Za-z]+|NOLINT(NEXTLINE|BEGIN)?\([A-Za-z0-9,. -]+\)):? .*[a-z]{3}' |
        grep -v 'NOLINTEND('
}

# No mutable variable at file scope: nothing of ours in .data or .bss.
check_globals() {
    make -j "$jobs" --no-print-directory -s build/libfirstmile.a || return 1
    ! objdump -t build/libfirstmile.a 2>/dev/null |
        awk '/^[^ ]+\.o:/ {file = $1} $0 ~ / O \.(data|bss)\t/ && $NF !~ /^__/ {print file, $NF}' |
        grep .
}

export -f check_format check_header check_banned check_text check_tidy check_script

run_stage() {
    case $1 in
    format) each format check_format "${sources[@]}" ;;
    text) each text check_text "${sources[@]}" ;;
    scripts) each scripts check_script "${scripts[@]}" ;;
    layers) whole layers tests/lint/layers.sh ;;
    headers) each headers check_header "${headers[@]}" ;;
    banned) each banned check_banned "${ours[@]}" ;;
    reasons) whole reasons check_suppressions ;;
    globals) whole globals check_globals ;;
    cppcheck) whole cppcheck check_cppcheck ;;
    tidy) each tidy check_tidy "${ours[@]}" ;;
    *) echo "lint: no stage $1" >&2; exit 2 ;;
    esac
}
[ $# -gt 0 ] || set -- format text scripts layers headers banned reasons globals cppcheck tidy
for stage in "$@"; do
    run_stage "$stage"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
