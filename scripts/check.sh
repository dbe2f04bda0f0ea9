#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything `make check` runs, in the order in which a fault is cheapest to find.
set -eu
cd "$(dirname "$0")/.."
j=$(nproc)

results=$PWD/build/check
mkdir -p "$results"
export WERROR=1                  # of every build below
export VT_TAP_LOG="$results/tap" # every result of every test, by scripts/tap.sh
: >"$VT_TAP_LOG"
began=$(date +%s) step_began=
aside= # a job beside the present step, in a process group of its own
now_doing=

step() {
	[ -z "$step_began" ] || echo "-- $(($(date +%s) - step_began)) s: $now_doing"
	now_doing=$* step_began=$(date +%s)
	echo
	echo "== $*"
}

# What failed, why things were skipped, and the totals as the last line.
finish() {
	status=$?
	[ -z "$aside" ] || kill -- "-$aside" 2>/dev/null || true
	[ $status = 0 ] || echo "-- failed after $(($(date +%s) - step_began)) s: $now_doing"
	echo
	echo "== result, after $(($(date +%s) - began)) s"
	sed -n 's/.*# SKIP */skipped: /p' "$VT_TAP_LOG" | sort | uniq -c
	sed -n 's/^not ok [0-9]*/failed:/p' "$VT_TAP_LOG"
	awk -v status=$status '
		/^(ok|1\.\.0).*# SKIP/ { skipped++; next }
		/^ok/ { passed++ }
		/^not ok/ { failed++ }
		END {
			if (status && !failed)
				failed = 1 # a build, a rule of the tree
			printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		}' "$VT_TAP_LOG" | tee "$results/totals"
	scripts/give-back.sh build
}
trap finish EXIT
trap 'exit 130' INT TERM

# beside FILE COMMAND...: runs in the background, its output in FILE; joined waits for it, shows that, and ends if it failed
beside() {
	file=$1
	shift
	setsid "$@" >"$file" 2>&1 &
	aside=$!
}
joined() {
	status=0
	wait "$aside" || status=$?
	aside=
	cat "$file"
	[ "$status" = 0 ] || exit "$status"
}

step "rules of the tree"
scripts/check-tree.sh

step "builds: gcc, clang"
make -j"$j" all benches
make -j"$j" CONFIG=clang all benches

step "cppcheck"
scripts/lint.sh

step "the pure archive is pure"
scripts/check-pure.sh build/release/libvtpure.a build/clang/libvtpure.a

step "unit tests under AddressSanitizer and UndefinedBehaviorSanitizer"
make -j"$j" CONFIG=asan tests
make -s CONFIG=asan run-tests

# The server mostly waits; little quarantine, or it would look like a leak in the memory that serve.sh watches.
step "AVX-512's kernels, emulated, under the same sanitizers; beside them the server"
beside "$results/asan-server" env ASAN_OPTIONS=exitcode=99:quarantine_size_mb=8 VELTAIR=build/asan/veltair \
	prove --timer --exec scripts/tap.sh tests/e2e/serve.sh tests/e2e/agent.sh tests/e2e/decisions.sh
make -s -j"$j" CONFIG=asan run-avx512
joined

step "executor under ThreadSanitizer"
make -j"$j" CONFIG=tsan run-tsan

step "fuzz targets: models 60 s, arrays, profile stores, answers, requests, configurations, recordings and the simulator's files 15 s each; beside them ONNX Runtime, the reference"
beside "$results/ort" sh -c 'make -s ort || echo "no ONNX Runtime to be had here: what needs it is skipped"'
make -s -j"$j" fuzz FUZZ="fuzz_onnx:60 fuzz_npy fuzz_profile fuzz_http fuzz_infer fuzz_config fuzz_sched fuzz_sim" FUZZ_SECONDS=15
joined

step "man pages"
make -s man

step "ONNX's own cases"
make -s -j"$j" testdata

step "tests, in them page faults per tenant, 20 runs of each size, and 100 starts and kill -9s of the monitor"
make -j"$j" tests
VT_EXACT_RUNS=20 VT_MONITOR_KILLS=100 make -s run-tests

step "gcc and clang decide alike"
for c in release clang; do
	make -s CONFIG=$c build/$c/tests/unit/sched_dump
	build/$c/tests/unit/sched_dump >build/$c/decisions.txt
done
cmp build/release/decisions.txt build/clang/decisions.txt

# Kernels of other releases in emulated guests: a minute or two, and 120 MB of packages the first time.
step "BPF programs under other kernels, beside them a million random views per policy"
make -s build/release/tests/vm/veltair-vm
beside "$results/views" env VT_VIEWS=1000000 prove --timer --exec scripts/tap.sh build/release/tests/unit/test_policy_props
prove --timer --exec scripts/tap.sh scripts/check-vm.sh :: build/release/tests/vm/veltair-vm
joined

step "HAProxy before three nodes: one pressed, one killed, all restarted in turn"
SHORT=1 prove --timer --exec scripts/tap.sh tests/scale/scale.sh
