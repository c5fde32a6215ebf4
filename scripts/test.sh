#!/usr/bin/env bash
# The whole gate: lints, and the tests of core with every branch counted, beside all other tests, so
# that no processor waits for another. Arguments go to pytest. Fails when anything does; what was
# said beside the tests stands at the end.
#
# Thousands of tests with real processes meet, now and then, a machine that others use too. At most
# three that failed are tried once more, alone; one that fails again fails the gate, and one that
# passes then is named at the end, because an unsteady test is a defect too.
set -euo pipefail
cd "$(dirname "$0")/.."

SECOND_TRIES_MAX=3
CACHE=build/pytest
failed=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT

mkdir -p build
rm -rf "$CACHE"

again() {
  local failures=$CACHE/v/cache/lastfailed names
  [ -f "$failures" ] || return 1
  names=$(.venv/bin/python -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$failures")
  [ "$(wc -l <<<"$names")" -le "$SECOND_TRIES_MAX" ] || return 1
  .venv/bin/python -m pytest -q -o cache_dir="$CACHE" --last-failed --ignore=tests/core "$@" || return 1
  printf '\nunsteady: failed once and passed alone:\n%s\n' "$names" >>"$said"
}

{
  beside=0
  scripts/lint.sh || beside=1
  .venv/bin/python -m coverage run -m pytest -q -o cache_dir=build/pytest-core tests/core || beside=1
  .venv/bin/python -m coverage report || beside=1
  exit "$beside"
} >>"$said" 2>&1 &
others=$!
.venv/bin/python -m pytest -q -o cache_dir="$CACHE" -n "${WORKERS:-2}" \
  --ignore=tests/core "$@" || again "$@" || failed=1
wait "$others" || { echo "beside the tests something failed:"; failed=1; }
cat "$said"
exit "$failed"
