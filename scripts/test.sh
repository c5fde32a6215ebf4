#!/usr/bin/env bash
# The whole gate: the lints beside the tests, so that no core waits for the other. Arguments go to
# pytest. Fails when either does; what the lints said stands at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT

scripts/lint.sh >"$said" 2>&1 &
lints=$!
.venv/bin/python -m pytest -q -n "${WORKERS:-2}" --dist loadgroup "$@" || failed=1
wait "$lints" || { echo "the lints failed:"; failed=1; }
cat "$said"
exit "$failed"
