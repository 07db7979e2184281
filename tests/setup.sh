#!/usr/bin/env bash
# Install what is missing, through the system's package manager. Quick when nothing is.
# usage: tests/setup.sh GROUP...   groups: build test lint fuzz demo e2e
set -eu
declare -A groups=(
    [build]="gcc make pkg-config libcurl4-openssl-dev libjansson-dev libmicrohttpd-dev libsqlite3-dev zlib1g-dev liblz4-dev
             libini-config-dev librdkafka-dev"
    [test]="libcriterion-dev openssl python3 zsh JDK"
    [lint]="clang-format clang-tidy cppcheck"
    [fuzz]="clang libclang-rt-dev"
    [demo]="openssl curl JDK"
    [e2e]="maven kcat openssl curl python3 jq faketime iproute2 JDK"
)
have() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -q '^installed'; }
missing=()
for group in "$@"; do
    for package in ${groups[$group]}; do
        if [ "$package" = JDK ]; then
            command -v javac >/dev/null || missing+=(default-jdk-headless)
        elif ! have "$package"; then
            missing+=("$package")
        fi
    done
done
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
    echo "setup: please install: ${missing[*]}" >&2
    exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo)
fi
echo "setup: installing ${missing[*]} with ${sudo[*]} apt-get" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "${missing[@]}" >"$log" 2>&1
}
# The package lists of a fresh machine are empty or old.
if ! install; then
    "${sudo[@]}" apt-get update >>"$log" 2>&1 || true
    install || { tail -20 "$log" >&2; echo "setup: apt-get failed" >&2; exit 1; }
fi
