#!/usr/bin/env bash
# Tests against a real vLLM, which starts once, in a minute; check_precise.py starts a second one, twice, and
# check_predictions.py two of its own, whose times it measures: best while the machine has nothing else to do. Arguments
# go to pytest. Files stay in build/engines.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/engines/install.sh
mkdir -p build
# `check_*.py` is no name that pytest collects by itself, so that `make test` leaves these files alone. The time
# limit is that of the first test, which waits for the server.
.venv/bin/pytest tests/engines --override-ini 'python_files=check_*.py' --override-ini timeout=300 \
  --basetemp build/engines "$@" || { status=$?; echo "vLLM's log: build/engines/vllm0/vllm.log" >&2; exit $status; }
