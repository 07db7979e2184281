#!/usr/bin/env bash
# Build the container image with docker, podman or buildah, whichever is there and works.
# usage: docker/image.sh [NAME:TAG]      default firstmile:latest
#   BUILDER=docker|podman|buildah   that one and no other
#   BASE=debian:bookworm-slim       the base image
#   BOOTSTRAP=1                     make the base here even if a registry would have it
# Where no registry can be reached, the base is made here: by debootstrap, from the Debian mirror
# that apt on this machine uses (root only).
set -eu
cd "$(dirname "$0")/.."
image=${1:-firstmile:latest}
base=${BASE:-debian:bookworm-slim}
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
say() { echo "image: $*" >&2; }

works() { # a client alone is not enough: docker needs its daemon
    command -v "$1" >/dev/null || return 1
    case $1 in
    docker) timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ;;
    *) timeout 10 "$1" info >/dev/null 2>&1 ;;
    esac
}

builder=${BUILDER:-}
if [ -z "$builder" ]; then
    for candidate in docker podman buildah; do
        if works "$candidate"; then
            builder=$candidate
            break
        elif command -v "$candidate" >/dev/null; then
            say "$candidate is installed, but does not work here"
        fi
    done
fi
if [ -z "$builder" ]; then
    say 'no builder works; install docker, podman or buildah (apt-get install buildah debootstrap)'
    exit 1
fi
isolation=()
[ "$builder" = buildah ] && isolation=(--isolation chroot) # needs no namespaces of its own
say "building $image with $builder"

have_base() { "$builder" image inspect "$1" >/dev/null 2>&1 ||
    { [ "$builder" = buildah ] && buildah inspect --type image "$1" >/dev/null 2>&1; }; }
pull_base() {
    [ "${BOOTSTRAP:-0}" = 1 ] && return 1
    say "fetching $base"
    timeout "${PULL_SECONDS:-120}" "$builder" pull -q "$base" >/dev/null 2>&1
}

# The mirror of the release's main archive, as apt knows it.
mirror_of() {
    apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT) $(CREATED_BY)' 2>/dev/null |
        awk -v suite="$1" '$2 == suite && $3 == "main" && $4 == "Packages" { print $1; exit }'
}

import_base() { # FOLDER NAME
    case $builder in
    buildah)
        local container
        container=$(buildah from scratch)
        buildah add -q "$container" "$1" / >/dev/null
        buildah config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            "$container"
        buildah commit -q --rm "$container" "$2" >/dev/null
        ;;
    *) tar -C "$1" -c . | "$builder" import - "$2" >/dev/null ;;
    esac
}

bootstrap_base() {
    local suite=${base#*:} mirror
    suite=${suite%-slim}
    if ! command -v debootstrap >/dev/null || [ "$(id -u)" -ne 0 ]; then
        say "$base cannot be fetched, and making it here needs root and debootstrap"
        return 1
    fi
    mirror=$(mirror_of "$suite")
    if [ -z "$mirror" ]; then
        say "apt on this machine knows no mirror of $suite"
        return 1
    fi
    say "no registry has $base in reach: making it with debootstrap from apt's own mirror"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 ||
        { tail -5 "$work/log" >&2; say 'debootstrap failed'; return 1; }
    # What the slim image leaves out.
    rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/* \
        "$work"/root/usr/share/{doc,man,info,locale}/*
    # Inside the build apt asks the same mirror, through the same HTTP proxy if there is one.
    apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT) $(CREATED_BY)' |
        awk -v suite="$suite" 'index($2, suite) == 1 && $3 == "main" && $4 == "Packages" {
            print "deb", $1, $2, "main" }' >"$work/root/etc/apt/sources.list"
    apt-config dump | grep -i '^Acquire::https\?::Proxy' >"$work/root/etc/apt/apt.conf.d/proxy" || true
    base=localhost/firstmile-base:$suite
    import_base "$work/root" "$base"
    say "imported as $base"
}

have_base "$base" || pull_base || bootstrap_base
"$builder" build "${isolation[@]}" --build-arg "BASE=$base" --build-arg "COMMIT=$commit" \
    $([ "$builder" = docker ] || echo --format docker) -t "$image" -f docker/Dockerfile .
say "done: $image"
