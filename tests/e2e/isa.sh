#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The kernels of every instruction set that this machine has, not only of the one it would choose; or of those in ISA,
# baseline first.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
unit=$(dirname "$veltair")/tests/unit
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

tests=$(sed -n 's|tests/unit/||g; s/^isa-test-y += //p' tests/unit/Kbuild)

# A tier that the machine lacks is refused, so nothing here runs another than it says.
VELTAIR_ISA=sse9 "$veltair" doctor >"$dir/out" 2>"$dir/err"
[ $? = 2 ] && [ "$(cat "$dir/err")" = "veltair: VELTAIR_ISA=sse9: not one of baseline, avx2, avx512" ] && [ ! -s "$dir/out" ]
ok "an instruction set that nobody knows is refused"

"$veltair" zoo --tiny --out "$dir/zoo" >"$dir/out" 2>"$dir/err"
ok "tiny models"

for isa in ${ISA:-baseline avx2 avx512}; do
	export VELTAIR_ISA=$isa
	mkdir "$dir/$isa"
	"$veltair" doctor >"$dir/out" 2>"$dir/err"
	if [ $? = 2 ]; then
		grep -qF "VELTAIR_ISA=$isa: this CPU does not have it" "$dir/err"
		ok "$isa: refused, in one line"
		skip "$isa: its kernels" "this CPU does not have $isa"
		continue
	fi
	grep -qE "^(ok|limited) +isa +$isa: " "$dir/out"
	ok "$isa: doctor names it"
	case $isa in
	baseline) grep -qE "^limited +matrix-kernel +XNNPACK's kernels" "$dir/out" ;;
	*) grep -qE "^ok +matrix-kernel +veltair's AVX" "$dir/out" ;;
	esac
	ok "$isa: and whose matrix kernels run"
	for t in $tests; do
		"$unit/$t" >"$dir/out" 2>&1
		ok "$isa: $t" "$dir/out"
	done
	for m in "$dir"/zoo/*.onnx; do
		name=$(basename "$m" .onnx)
		"$veltair" run "$m" --iters 1 --output-dir "$dir/$isa/$name" >"$dir/out" 2>"$dir/err" &&
			[ -n "$(ls "$dir/$isa/$name")" ]
		ok "$isa: $name runs"
	done
done
unset VELTAIR_ISA

# Sums of another width round otherwise, but not by much: 1e-4 of the largest output, as beside ONNX Runtime.
# shellcheck disable=SC2016 # the dollars are JavaScript's
close='const npy = require(process.argv[1]), [a, b] = process.argv.slice(2).map((f) => npy.read(f).data);
	const most = a.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
	const off = a.reduce((m, v, i) => Math.max(m, Math.abs(v - b[i])), 0);
	console.error(`off by ${off} of ${most}`);
	process.exit(a.length === b.length && most > 0 && off <= 1e-4 * most ? 0 : 1);'
for isa in avx2 avx512; do
	for out in "$dir/$isa"/*/*.npy; do
		[ -e "$out" ] || continue
		of=${out#"$dir/$isa/"}
		if command -v node >/dev/null; then
			node -e "$close" "$PWD/scripts/npy.js" "$dir/baseline/$of" "$out" 2>"$dir/err"
			ok "$isa: $of as baseline's"
		else
			skip "$isa: $of as baseline's" "no node"
		fi
	done
done

echo "1..$count"
[ $failed = 0 ]
