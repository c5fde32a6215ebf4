#!/usr/bin/env bash
# The whole gate: lints, and the tests of core with every branch counted, beside all other tests, so
# that no processor waits for another. Arguments go to pytest. Fails when anything does; what was
# said beside the tests stands at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT

mkdir -p build
{
  beside=0
  scripts/lint.sh || beside=1
  .venv/bin/python -m coverage run -m pytest -q tests/core || beside=1
  .venv/bin/python -m coverage report || beside=1
  exit "$beside"
} >"$said" 2>&1 &
others=$!
.venv/bin/python -m pytest -q -n "${WORKERS:-2}" --dist loadgroup --ignore=tests/core "$@" || failed=1
wait "$others" || { echo "beside the tests something failed:"; failed=1; }
cat "$said"
exit "$failed"
