#!/usr/bin/env bash
# Make .venv with the sakk command, and the Node parts. Safe to repeat: does nothing when nothing
# changed. A mark beside each part holds the hash of what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "setup: $1" >&2
  exit 1
}

hash_of() {
  cat "$@" | sha256sum | cut -d ' ' -f 1
}

# The system's Python first: one below a private home cannot be run by the signer's own user.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is missing: install it (Debian: apt install python3 python3-venv)"
}

make_environment() {
  local python
  python=$(find_python) || exit 1
  if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    "$python" -m venv --clear .venv
  elif "$python" -m pip --version >/dev/null 2>&1; then
    # Debian ships ensurepip apart (python3-venv); a pip that is there can fill the environment.
    "$python" -m venv --clear --without-pip .venv
    "$python" -m pip --python .venv/bin/python install --quiet pip
  else
    fail "Python cannot make environments: install its venv (Debian: apt install python3-venv)"
  fi
}

set_up_python() {
  local mark=.venv/.made-from-lock wanted
  wanted=$(hash_of requirements.lock)
  if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
    command -v "${CC:-cc}" >/dev/null 2>&1 ||
      fail "a C compiler is missing: install one (Debian: apt install build-essential python3-dev)"
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
      .venv/bin/python -m pip --version >/dev/null 2>&1 || make_environment
    echo "setup: Python packages" >&2
    # The lock names every package, so nothing is resolved; bytecode is made on all cores.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      --no-deps --no-compile --require-hashes -r requirements.lock
    .venv/bin/python -m compileall -q -j 0 .venv/lib/python*/site-packages >/dev/null || true
    echo "$wanted" >"$mark"
  fi
  mark=.venv/.made-from-project
  wanted=$(hash_of pyproject.toml)-$PWD
  if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ] || [ ! -x .venv/bin/sakk ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      --no-build-isolation --no-deps --editable .
    echo "$wanted" >"$mark"
  fi
}

# The compiled parts, in place; scripts/compile.py builds only what changed.
set_up_compiled() {
  local mark=.venv/.made-from-compiled wanted source
  wanted=$(hash_of scripts/compile.py src/sakk/*/compiled/*.p[yx][xd])-$(.venv/bin/python -V)
  for source in src/sakk/*/compiled/*.pyx; do
    compgen -G "${source%.pyx}.*.so" >/dev/null || rm -f "$mark"
  done
  if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
    .venv/bin/python scripts/compile.py
    echo "$wanted" >"$mark"
  fi
}

set_up_node() {
  local folder=$1 mark wanted
  [ -f "$folder/package-lock.json" ] || return 0
  mark=$folder/node_modules/.made-from-lock
  wanted=$(hash_of "$folder/package-lock.json")
  [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ] || return 0
  node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' >/dev/null 2>&1 &&
    command -v npm >/dev/null 2>&1 ||
    fail "Node.js 20 or newer with npm is missing: install it (needed for the local chain only)"
  echo "setup: Node packages of $folder" >&2
  npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error >&2
  echo "$wanted" >"$mark"
}

# Each waits for the network or for one core, so they go side by side.
{
  set_up_python
  set_up_compiled
} &
python=$!
{
  set_up_node .
  set_up_node contracts
} &
node=$!
failed=0
wait "$python" || failed=1
wait "$node" || failed=1
exit "$failed"
