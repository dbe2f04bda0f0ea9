#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What veltair does, in a few minutes: real models, on this machine, beside ONNX Runtime.
set -eu
cd "$(dirname "$0")/.."
veltair=build/release/veltair
zoo=build/zoo
quick="mobilenet-v2 efficientnet-b0 tiny-yolov2 googlenet resnet-50"
threads=$(nproc)
[ "$threads" -le 8 ] || threads=8

step() {
	echo
	echo "== $*"
}

# Whether $1 MB are free for the build folder.
has_room() {
	[ "$(df -Pm build | awk 'NR == 2 { print $4 }')" -gt "$1" ]
}

models=$quick
if has_room 2500 && [ "$(awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)" -gt 8000 ]; then
	models="$quick bert-large"
else
	echo "bert-large is left out: it wants 2.5 GB of disk and 8 GB of memory"
fi

step "this machine"
"$veltair" doctor

step "models: real architectures, seeded weights"
# shellcheck disable=SC2086 # a list of words is meant
"$veltair" zoo --out "$zoo" --inputs $models

if make -s ort; then
	step "veltair and ONNX Runtime in turns, $threads threads"
	node scripts/bench-ort.js --zoo "$zoo" --out build/demo --threads "$threads" --models "$(echo "$models" | tr ' ' ,)"
else
	step "ONNX Runtime cannot be had here: veltair alone, $threads threads"
	for m in $models; do
		"$veltair" run "$zoo/$m.onnx" --threads "$threads"
	done
fi

step "where the time of one model goes"
"$veltair" run "$zoo/mobilenet-v2.onnx" --threads "$threads" --profile | head -n 40

step "who runs here while a model runs, and what is counted"
"$veltair" run "$zoo/resnet-50.onnx" --threads 1 --iters 1000000 >/dev/null 2>&1 &
busy=$!
trap 'kill "$busy" 2>/dev/null || true' EXIT
"$veltair" monitor --no-pin --by process --duration 2 --top 5 || echo "(the monitor does not run here: see above)"
kill "$busy" 2>/dev/null || true

step "two policies on a simulated machine of 64 cores, the same 4000 requests"
"$veltair" sim --machine 3990x --mix light --policy planaria,veltair-full --rate 400
