#!/usr/bin/env bash
# Build the wheel, install it with the locked versions into a clean environment, and use it as a newcomer
# would: from an empty folder outside the checkout, with a config of one's own.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv="$checkout/.venv/bin/uv"

"$uv" build --wheel --no-build-isolation --python "$checkout/.venv/bin/python" --out-dir "$work/dist" "$checkout" --quiet
"$checkout/.venv/bin/python" -m venv "$work/clean"
VIRTUAL_ENV="$work/clean" "$uv" pip install --quiet --require-hashes -r "$checkout/requirements.lock" \
    || "$work/clean/bin/python" -m pip install --quiet --require-hashes -r "$checkout/requirements.lock"
"$work/clean/bin/python" -m pip install --quiet --no-deps "$work"/dist/*.whl

mkdir "$work/empty"
cd "$work/empty"
export PATH="$work/clean/bin:$PATH"
unset PYTHONPATH
transferlab --version
transferlab list strategies
transferlab train trainer.max_epochs=2 | tee output.txt
run=$(tail -n 1 output.txt)
test -s "$run/result.json" -a -s "$run/model.safetensors"

mkdir -p conf/experiment elsewhere/experiment
printf '# @package _global_\ndefaults: [{override /strategy: feature_extraction}]\ntrainer: {max_epochs: 1}\n' > conf/experiment/mine.yaml
cp conf/experiment/mine.yaml elsewhere/experiment/theirs.yaml
transferlab train experiment=mine
transferlab train --config-dir elsewhere experiment=theirs
status=0
transferlab train strategy.learning_rates.bsae=1 2> wrong.txt || status=$?
test "$status" -eq 2
grep -q "Did you mean strategy.learning_rates.base?" wrong.txt
echo "the wheel works"
