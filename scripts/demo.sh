#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What veltair does, in a few minutes: real models on this machine, served under load, policies side by side
# and beside ONNX Runtime. Leaves build/demo/report.html. What this machine lacks is said and left out.
set -eu
cd "$(dirname "$0")/.."
veltair=build/release/veltair
zoo=build/zoo
out=build/demo
models="mobilenet-v2 efficientnet-b0"
began=$(date +%s)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; scripts/give-back.sh build' EXIT
mkdir -p "$out"

step() {
	echo
	echo "== $* ($(($(date +%s) - began)) s so far)"
}

echo "building: two or three minutes on two cores"
make -s -j"$(nproc)" all build/release/tests/bench/bench_peak

step "this machine"
"$veltair" doctor || true

step "models: real architectures, seeded weights"
# shellcheck disable=SC2086 # a list of words is meant
"$veltair" zoo --out "$zoo" $models
model_flags=
for m in $models; do
	model_flags="$model_flags --model $zoo/$m.onnx"
done

step "a quick profile of their layers: which version of a kernel is best at which pressure"
profiles=
paths=
for m in $models; do
	paths="$paths $zoo/$m.onnx"
done
# shellcheck disable=SC2086
if timeout 150 "$veltair" profile --quick --db "$out/profiles.db" $paths >"$out/profile.log"; then
	profiles="--profiles $out/profiles.db"
	tail -n 6 "$out/profile.log"
else
	echo "(not profiled, or not in time: the runtime uses defaults)"
fi

step "served over HTTP under load, with the monitor on"
socket=$PWD/$out/socket
rm -f "$socket"
{
	echo "listen: [\"unix:$socket\"]"
	echo "monitor: auto"
	[ -z "$profiles" ] || echo "profiles: $PWD/$out/profiles.db"
	echo "models:"
	for m in $models; do
		echo "  - path: $PWD/$zoo/$m.onnx"
	done
} >"$out/serve.yaml"
"$veltair" serve --config "$out/serve.yaml" 2>"$out/serve.log" &
server=$!
for _ in $(seq 300); do
	curl -sf --unix-socket "$socket" http://veltair/v2/health/ready >/dev/null 2>&1 && break
	kill -0 "$server" 2>/dev/null || break
	sleep 0.2
done
if kill -0 "$server" 2>/dev/null; then
	names=
	for m in $models; do
		names="$names --model $m"
	done
	# shellcheck disable=SC2086
	"$veltair" bench --url "unix:$socket" $names --rate 40 --secs 6 --rounds 1 >"$out/http.txt" &
	load=$!
	sleep 3
	"$veltair" monitor --no-pin --by process --duration 2 --top 4 || echo "(the monitor does not run here: see above)"
	wait "$load" # a load that failed is a fault, and has said which
	cat "$out/http.txt"
	kill "$server"
	wait "$server" 2>/dev/null || true
else
	echo "(the server did not start: $(tail -n 1 "$out/serve.log"))"
fi
server=

step "policies side by side, live, and beside ONNX Runtime: the highest rate with 95 % in time"
peer=()
if make -s ort; then
	peer=(--peer "onnxruntime=node scripts/ort-tenant.js --threads $(nproc)")
else
	echo "(ONNX Runtime cannot be had here: veltair alone)"
fi
# shellcheck disable=SC2086
"$veltair" bench $model_flags $profiles --policy all "${peer[@]}" --rounds 6 --secs 3 --html "$out/report.html"

step "two policies on a simulated machine of 64 cores, the same 4000 requests"
"$veltair" sim --machine 3990x --mix light --policy planaria,veltair-full --rate 400

step "done"
echo "the report, with pictures: $out/report.html"
