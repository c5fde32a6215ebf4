#!/usr/bin/env bash
# Layout, lints, types and import contracts. Types take longest, so they run beside the others; all
# that is wrong is told at once.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=(src tests scripts)
failed=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT

.venv/bin/mypy >"$said" 2>&1 &
types=$!
.venv/bin/ruff format --check --quiet "${sources[@]}" || { echo "make fmt mends the layout"; failed=1; }
.venv/bin/ruff check --quiet "${sources[@]}" || failed=1
.venv/bin/lint-imports || failed=1
wait "$types" || failed=1
cat "$said"
exit "$failed"
