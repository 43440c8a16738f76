#!/usr/bin/env bash
# Renews requirements.lock and requirements-dev.lock: newest versions that fit, with the hashes of all their files.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$(python_found)" -m venv "$tools"
"$tools/bin/pip" --disable-pip-version-check -q install pip-tools
for each in requirements requirements-dev; do
    say "locking $each.in"
    CUSTOM_COMPILE_COMMAND="make lock" "$tools/bin/pip-compile" -q --upgrade --generate-hashes --strip-extras \
        --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o "$each.lock" "$each.in"
done
