#!/usr/bin/env bash
# The layers of src/README.md: a module includes only headers of a lower rank, never another
# module's private header (*_priv.h), and library headers only where they are at home.
set -u
cd "$(dirname "$0")/../.." || exit 1
rank() {
    case $1 in
    base) echo 0 ;;
    net | value | frame) echo 1 ;;
    config) echo 2 ;;
    jmx | record | spool) echo 3 ;;
    poll | rest | http | sandbox) echo 4 ;;
    agent) echo 5 ;;
    cli) echo 6 ;;
    *) echo "unknown module $1" >&2; echo 99 ;;
    esac
}
# A public header belongs to the module of its name.
module_of() {
    case $1 in
    firstmile/err.h) echo base ;;
    firstmile/*) basename "$1" .h ;;
    */*) echo "${1%%/*}" ;;
    esac
}
allowed() { # library header, file
    case $1 in
    curl/*) [[ $2 == src/net/* ]] ;;
    microhttpd.h) [[ $2 == src/net/* ]] ;;
    sqlite3.h) [[ $2 == src/spool/* || $2 == src/sandbox/log_* ]] ;;
    librdkafka/*) [[ $2 == src/sandbox/log_kafka* ]] ;;
    ini_configobj.h) [[ $2 == src/config/* ]] ;;
    zlib.h) [[ $2 == src/rest/gzip.c ]] ;;
    jansson.h) [[ $2 == *.c || $2 == *_priv.h ]] ;;
    *) true ;;
    esac
}
bad=0
while IFS= read -r file; do
    own=$(module_of "${file#src/}")
    [[ $file == include/* ]] && own=$(module_of "${file#include/}")
    own_rank=$(rank "$own")
    while IFS= read -r header; do
        other=$(module_of "$header")
        [[ $other == "$own" ]] && continue
        if [[ $header == *_priv.h ]]; then
            echo "$file: includes $header, private to $other"; bad=1
        fi
        if [ "$(rank "$other")" -ge "$own_rank" ]; then
            echo "$file: includes $header, but $other does not lie below $own"; bad=1
        fi
    done < <(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file")
    while IFS= read -r header; do
        if ! allowed "$header" "$file"; then
            echo "$file: <$header> is not at home here"; bad=1
        fi
    done < <(sed -n 's/^ *# *include *<\([^>]*\)>.*/\1/p' "$file")
done < <(find src include -name '*.[ch]')
[ $bad -eq 0 ] && echo "layers: every include points down"
exit $bad
