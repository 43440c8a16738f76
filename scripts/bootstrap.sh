#!/usr/bin/env bash
# Makes this machine able to run Towline, and with `bootstrap.sh servers` to test it. Installs only what is missing; a
# second run changes nothing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
CHANGED=
SERVERS=${1:-}

missing_packages() {
    local python
    python=$(python_found)
    if [[ -z $python ]]; then
        echo python3 python3-venv
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo python3-venv
    fi
    command -v busybox >/dev/null || echo busybox-static
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
    if [[ -z $python ]] || ! engine_answers; then
        command -v dockerd >/dev/null || echo docker.io
        command -v iptables >/dev/null || echo iptables
    fi
    if [[ $SERVERS == servers ]]; then
        [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || echo rabbitmq-server
        command -v java >/dev/null || echo default-jdk-headless
        command -v mvn >/dev/null || echo maven
        command -v unzip >/dev/null || echo unzip
        command -v ip >/dev/null || echo iproute2
        command -v chromium >/dev/null && command -v chromedriver >/dev/null || echo chromium chromium-driver
        command -v iptables >/dev/null || echo iptables
        command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 || echo docker-compose
        # Images of the tests are made from this machine's packages: Debian's own Python is one of them.
        [[ -x /usr/bin/python3 && -d /usr/share/python-wheels ]] || echo python3 python3-venv
        command -v openssl >/dev/null || echo openssl
        command -v curl >/dev/null && command -v wget >/dev/null || echo curl wget
        [[ -d /usr/lib/jvm/java-17-openjdk-amd64 ]] || echo openjdk-17-jre-headless
    fi
}

# Beside what runs: the tests start their own.
missing_tools() {
    [[ $SERVERS == servers ]] || return 0
    command -v prometheus >/dev/null && command -v promtool >/dev/null || echo prometheus
    command -v haproxy >/dev/null || echo haproxy
    command -v prometheus-alertmanager >/dev/null || echo prometheus-alertmanager
    command -v prometheus-node-exporter >/dev/null || echo prometheus-node-exporter
    command -v prometheus-elasticsearch-exporter >/dev/null || echo prometheus-elasticsearch-exporter
}

install_tools() {
    local packages policy=/usr/sbin/policy-rc.d
    packages=$(missing_tools | xargs)
    [[ -n $packages ]] || return 0
    ((EUID != 0)) || [[ -e $policy ]] || {
        # The packages would start their servers, now and at each boot; Debian asks this file first.
        trap "rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
        local ours=1
    }
    # shellcheck disable=SC2086
    install_packages $packages
    [[ -z ${ours:-} ]] || rm -f $policy
    [[ ! -d /run/systemd/system ]] || systemctl disable -q $packages || true
}

install_packages() {
    local packages=$*
    [[ -n $packages ]] || return 0
    ((EUID == 0)) || fail "missing: $packages; run this as root, or: sudo apt-get install $packages"
    command -v apt-get >/dev/null || fail "missing: $packages; install them (there is no apt-get here)"
    say "installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends $packages >"$RUN/apt.log" 2>&1 || {
        tail -n 20 "$RUN/apt.log" >&2
        fail "apt-get could not install $packages (all of it: $RUN/apt.log)"
    }
    CHANGED=1
}

install_python_packages() {
    local python wanted
    python=$(python_found)
    wanted=$({ "$python" -V && echo "$ROOT" && cat pyproject.toml requirements.lock requirements-dev.lock; } | sha256sum)
    if [[ -x $VENV/bin/python && "$(cat "$VENV/.installed" 2>/dev/null)" == "$wanted" ]]; then
        return
    fi
    say "making .venv with $("$python" -V), packages as locked"
    # A pip from elsewhere on the machine may bring its own settings; hashes keep the content the same.
    "$python" -m venv --clear "$VENV"
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check -q)
    "${pip[@]}" install --require-hashes -r requirements.lock
    "${pip[@]}" install --require-hashes -r requirements-dev.lock
    "${pip[@]}" install --no-deps --no-build-isolation -e .
    echo "$wanted" >"$VENV/.installed"
    CHANGED=1
}

start_engine() {
    engine_answers && return
    ((EUID == 0)) || fail "no Docker engine answers on $SOCKET and only root can start one: sudo service docker start"
    [[ $SOCKET == /var/run/docker.sock ]] || fail "no Docker engine answers on $SOCKET; start it, or unset TOWLINE_ENGINE"
    say "starting the Docker engine"
    CHANGED=1
    if [[ -d /run/systemd/system ]]; then
        service docker start || true
    elif ! wait_for 5 engine_answers; then
        # Without systemd the package's own script may or may not have started it; the pid file of a dead one misleads.
        [[ -e /var/run/docker.pid && ! -d /proc/$(cat /var/run/docker.pid) ]] && rm -f /var/run/docker.pid
        setsid nohup dockerd >>"$RUN/dockerd.log" 2>&1 </dev/null &
    fi
    wait_for 60 engine_answers && return
    grep -iE 'error|fail' "$RUN/dockerd.log" 2>/dev/null | tail -n 3 >&2 || true
    fail "the Docker engine does not answer on $SOCKET; its log: $RUN/dockerd.log or 'journalctl -u docker'"
}

mkdir -p "$RUN"
# shellcheck disable=SC2046
install_packages $(missing_packages)
install_tools
install_python_packages
start_engine
if [[ -n $CHANGED ]]; then say "ready"; else say "everything is here already: nothing changed"; fi
