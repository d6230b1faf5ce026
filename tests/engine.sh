#!/usr/bin/env bash
# A Docker engine of our own for the tests, with two images, apart from any other engine.
#
#   tests/engine.sh up FOLDER      install what is missing, start it, make the images
#   tests/engine.sh start FOLDER   start it again
#   tests/engine.sh stop FOLDER    stop it; its images stay
#   tests/engine.sh kill FOLDER    kill it, as a crash would
#   tests/engine.sh down FOLDER    stop it and remove FOLDER
#
# FOLDER must be short: the engine's socket lies in it. Afterwards the tests find it by
#   export DOCKER_HOST=unix://FOLDER/docker.sock EVQ_TEST_ENGINE=FOLDER
# Where this machine cannot have one, it says why and exits with 3.
set -euo pipefail

cannot() {
    echo "no container engine: $*"
    exit 3
}

install() {
    [ "$(uname -s)" = Linux ] || cannot "this is not Linux"
    [ "$(id -u)" = 0 ] || cannot "starting one needs root"
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io iptables)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null || cannot "${missing[*]} are not installed, and there is no apt-get"
        apt-get update -q >/dev/null 2>&1 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            "${missing[@]}" >"$folder/apt.log" 2>&1 ||
            cannot "apt-get install ${missing[*]} failed; $(tail -n 1 "$folder/apt.log")"
    fi
}

# A registry to pull from. Not installed: as a package it would be started as a service.
registry() {
    [ -x "$folder/registry" ] && return
    (
        mkdir -p "$folder/package" && cd "$folder/package"
        apt-get download -q docker-registry && dpkg -x docker-registry_*.deb . &&
            cp usr/bin/docker-registry "$folder/registry"
    ) >"$folder/registry.log" 2>&1 || echo "no registry: $(tail -n 1 "$folder/registry.log")"
    rm -rf "$folder/package"
}

answers() { curl -fsS --max-time 5 --unix-socket "$folder/docker.sock" http://engine/_ping >/dev/null 2>&1; }

pid_of() { cat "$folder/$1" 2>/dev/null || true; }
lives() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

start() {
    local driver pid drivers=${EVQ_TEST_DRIVER:-overlay2 vfs}
    answers && return
    # Images belong to the driver that was there first.
    [ -e "$folder/driver" ] && drivers=$(cat "$folder/driver")
    kill_now containerd
    # Not on every file system, and not inside every container, is there overlay.
    for driver in $drivers; do
        rm -f "$folder/dockerd.pid" "$folder/docker.sock"
        setsid dockerd --host="unix://$folder/docker.sock" --data-root="$folder/data" \
            --exec-root="$folder/exec" --pidfile="$folder/dockerd.pid" --storage-driver="$driver" \
            --bridge=none --iptables=false --ip6tables=false \
            >>"$folder/dockerd.log" 2>&1 </dev/null &
        pid=$!
        for _ in $(seq 150); do
            if answers; then
                echo "$driver" >"$folder/driver"
                return 0
            fi
            lives "$pid" || break
            sleep 0.2
        done
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    cannot "dockerd does not start; $(grep -v 'level=info' "$folder/dockerd.log" | tail -n 1)"
}

kill_now() {
    local pid file=$1.pid
    [ "$1" = containerd ] && file=exec/containerd/containerd.pid
    pid=$(pid_of "$file")
    lives "$pid" || return 0
    kill -KILL "$pid" 2>/dev/null || true
    while lives "$pid"; do sleep 0.05; done
}

stop() {
    local pid
    pid=$(pid_of dockerd.pid)
    lives "$pid" || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 150); do
        lives "$pid" || return 0
        sleep 0.2
    done
    kill_now dockerd
}

# An engine leaves mounts of its own folders behind.
unmount() {
    awk -v folder="$folder/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r place; do umount -l "$place"; done
}

has() { curl -fsS --unix-socket "$folder/docker.sock" "http://engine/images/$1/json" >/dev/null 2>&1; }

import() {
    tar -C "$1" --one-file-system -c . |
        curl -fsS -X POST -H 'Content-Type: application/x-tar' -T - --unix-socket \
            "$folder/docker.sock" "http://engine/images/create?fromSrc=-&repo=$2&tag=latest" >/dev/null
}

images() {
    if has evq-test-bare && has evq-test-python; then
        return
    fi
    local root=$folder/root suite
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
    rm -rf "$root"
    debootstrap --variant=minbase "$suite" "$root" >"$folder/debootstrap.log" 2>&1 ||
        cannot "debootstrap failed; $(tail -n 1 "$folder/debootstrap.log")"
    import "$root" evq-test-bare
    chroot "$root" sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
        --no-install-recommends python3 git ca-certificates' >>"$folder/debootstrap.log" 2>&1 ||
        cannot "the image with Python cannot be made; $(tail -n 1 "$folder/debootstrap.log")"
    import "$root" evq-test-python
    rm -rf "$root"
}

verb=${1:-}
folder=${2:-}
if [ -z "$folder" ]; then
    sed -n '2,12p' "$0"
    exit 2
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
case $verb in
    up) install && start && images && registry ;;
    start) start ;;
    stop) stop ;;
    kill) kill_now dockerd && kill_now containerd ;;
    down) stop && unmount && rm -rf "$folder" ;;
    *) sed -n '2,12p' "$0"; exit 2 ;;
esac
