#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair run` as a user meets it: what it prints and writes, and how it refuses what is wrong.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
writer=$(dirname "$veltair")/tests/e2e/onnx_write
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh
# What any refusal may take, as address space in KiB: libraries, a stack per core, a file of a few KiB.
limit=$((400000 + 20000 * $(nproc)))

[ -x "$writer" ] || {
	echo "1..0 # SKIP $writer is not built"
	exit 0
}

# model NAME TEXT [OPSET]: $dir/m/NAME.onnx
model() {
	"$writer" "${3:-13}" "$2" >"$dir/m/$1.onnx" || echo "Bail out! cannot write $1"
}

# refuses WHAT WHERE WHY ARGUMENT...: exit 2; one line on stderr that names WHERE and WHY; nothing on
# stdout; no output folder; all that below the memory limit
refuses() {
	local what=$1 where=$2 why=$3 status
	shift 3
	(
		ulimit -v $limit
		exec "$veltair" run --iters 1 --warmup 0 --output-dir "$dir/outputs" "$@"
	) >"$dir/out" 2>"$dir/err"
	status=$?
	printf 'exit %d, wanted %s: %s\n' $status "$where" "$why" >"$dir/note"
	[ $status = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && [[ $(cat "$dir/err") == "veltair run: "* ]] &&
		grep -qF -- "$where" "$dir/err" && grep -qF -- "$why" "$dir/err" &&
		[ ! -s "$dir/out" ] && [ ! -e "$dir/outputs" ]
	status=$?
	cat "$dir/note" >>"$dir/err"
	rm -rf "$dir/outputs"
	(exit $status)
	ok "refuses $what"
}

# bad WHAT TEXT WHERE WHY [OPSET]: the model of TEXT is refused; the line names its file too
bad() {
	model bad "$2" "${5:-13}"
	refuses "$1" "$3" "$4" "$dir/m/bad.onnx"
	grep -qF "$dir/m/bad.onnx" "$dir/err"
	ok "  and names the file"
}

mkdir "$dir/m" "$dir/npy"
model good "in x f32 1,3,8,8; const w f32 4,3,3,3; h = Conv(x,w); y = Relu(h); out y"
model symbolic "in x f32 1,T,4; const w f32 4,2 = 1,2,3,4,5,6,7,8; y = MatMul(x,w); out y"
good=$dir/m/good.onnx

# npy FILE DESCR SHAPE BYTES: version 1, zeros
npy() {
	python3 - "$dir/npy/$1" "$2" "$3" "$4" <<'PY'
import struct, sys
path, descr, shape, n = sys.argv[1:]
head = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)
head += " " * (-(len(head) + 11) % 64) + "\n"
open(path, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(int(n)))
PY
}
npy good.npy "<f4" "(1, 3, 8, 8)" 768
npy type.npy "<i8" "(1, 3, 8, 8)" 1536
npy shape.npy "<f4" "(1, 3, 8, 9)" 864
npy short.npy "<f4" "(1, 3, 8, 8)" 700
echo "not an array" >"$dir/npy/text.npy"
npy huge.npy "<f4" "(4611686018427387904, 4)" 16

# ---- files -------------------------------------------------------------------------------------
refuses "a file that is not there" "$dir/m/none.onnx" "No such file" "$dir/m/none.onnx"
refuses "a folder" "$dir/m" "is a directory" "$dir/m"
: >"$dir/m/empty.onnx"
refuses "an empty file" "$dir/m/empty.onnx" "is empty" "$dir/m/empty.onnx"
printf 'GIF89a and then some' >"$dir/m/text.onnx"
refuses "a file that is not ONNX" "$dir/m/text.onnx" "not ONNX" "$dir/m/text.onnx"
head -c 200 "$good" >"$dir/m/short.onnx"
refuses "a truncated file" "$dir/m/short.onnx" "truncated" "$dir/m/short.onnx"
python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(65536))' >"$dir/m/noise.onnx"
refuses "noise" "$dir/m/noise.onnx" "not ONNX" "$dir/m/noise.onnx"
# A length that says 2^62 bytes follow.
printf '\010\007\072\200\200\200\200\200\200\200\200\100' >"$dir/m/lie.onnx"
refuses "a length beyond the file" "$dir/m/lie.onnx" "truncated" "$dir/m/lie.onnx"

# ---- graphs ------------------------------------------------------------------------------------
bad "an unknown operator" "in x f32 3; y = NoSuchThing(x); out y" NoSuchThing "not supported"
bad "an unknown opset" "in x f32 3; y = Neg(x); out y" "opset 99" "1 to 23" 99
bad "an operator newer than its opset" "in x f32 3; y = Erf(x); out y" Erf "opset" 8
bad "a cycle" "in x f32 3; a = Add(x,c); b = Neg(a); c = Neg(b); out c" '"a"' "cycle"
bad "a missing initialiser" "in x f32 3; y = Add(x,w); out y" '"w"' "is not an input, initialiser or output"
bad "an output that nothing computes" "in x f32 3; y = Neg(x); out z" '"z"' "nothing computes"
bad "an initialiser with too much data" "const w f32 2,2 = 1,2,3,4,5; y = Neg(w); out y" '"w"' "its type and shape need 16"
bad "an initialiser with too little data" "const w f32 2,300000000; y = Neg(w); out y" '"w"' "its type and shape need"
bad "an initialiser that overflows" \
	"const w f32 4611686018427387904,4611686018427387904; y = Neg(w); out y" '"w"' overflows
bad "an initialiser of a negative size" "const w f32 -1; y = Neg(w); out y" '"w"' "-1"
bad "an input that overflows" "in x f32 4611686018427387904,4; y = Neg(x); out y" '"x"' overflows
bad "an input of a negative size" "in x f32 2,-7; y = Neg(x); out y" '"x"' "-7"
bad "shapes that do not broadcast" "in x f32 2; in z f32 3; y = Add(x,z); out y" Add "3"
bad "a product of shapes that do not fit" "in x f32 2,3; const w f32 4,5; y = MatMul(x,w); out y" MatMul "cannot multiply 2x3 by 4x5"
bad "a Conv of the wrong channels" \
	"in x f32 1,3,8,8; const w f32 4,5,3,3; y = Conv(x,w); out y" Conv "3 channels"
bad "a Reshape to another size" \
	"in x f32 2,3; const s i64 2 = 4,4; y = Reshape(x,s); out y" Reshape "cannot become 4x4"
bad "activations larger than any memory" \
	"in x f32 1,1; const r i64 2 = 1048576,1048576; y = Tile(x,r); z = Neg(y); out z" Tile "1048576x1048576 is too large"
bad "strings" "in x str 2; y = Identity(x); out y" '"x"' "not supported"

model f64 "in x f64 1,1,4,4; const w f64 1,1,1,1; y = Conv(x,w); out y"
"$veltair" run --iters 1 "$dir/m/f64.onnx" >"$dir/out" 2>"$dir/err"
[ $? = 3 ] && [ ! -s "$dir/out" ] &&
	[ "$(cat "$dir/err")" = "veltair run: node 'y' (Conv): no kernel for Conv of float64; convert the model to float32" ]
ok "a type that no kernel has: exit 3, one line that says what to do"

# ---- data beside the model ---------------------------------------------------------------------
head -c 256 /dev/zero >"$dir/secret.bin"
head -c 256 /dev/zero >"$dir/m/w.bin"
ln -s ../secret.bin "$dir/m/link.bin"
ln -s .. "$dir/m/up"
for file in ../secret.bin up/secret.bin link.bin /etc/passwd; do
	bad "external data at $file" "extern w f32 64 = $file; in x f32 64; y = Add(x,w); out y" "$file" "outside the model's folder"
done
bad "external data that is not there" "extern w f32 64 = none.bin; in x f32 64; y = Add(x,w); out y" none.bin "No such file"
bad "external data shorter than its tensor" "extern w f32 65 = w.bin; in x f32 65; y = Add(x,w); out y" w.bin "256 bytes"
model inside "extern w f32 64 = w.bin; in x f32 64; y = Add(x,w); out y"
"$veltair" run --iters 1 "$dir/m/inside.onnx" >"$dir/out" 2>"$dir/err"
ok "external data inside the folder loads"

# ---- inputs ------------------------------------------------------------------------------------
refuses "an .npy of the wrong type" "$dir/npy/type.npy" "int64" "$good" --input "x=$dir/npy/type.npy"
refuses "an .npy of the wrong shape" "input 'x': $dir/npy/shape.npy" "1x3x8x9" "$good" --input "x=$dir/npy/shape.npy"
refuses "a truncated .npy" "$dir/npy/short.npy" "bytes of data" "$good" --input "x=$dir/npy/short.npy"
refuses "an .npy whose shape overflows" "$dir/npy/huge.npy" "overflows" "$good" --input "x=$dir/npy/huge.npy"
refuses "a file that is no .npy" "$dir/npy/text.npy" "not a .npy" "$good" --input "x=$dir/npy/text.npy"
refuses "an unknown input" "'nobody'" "no input" "$good" --input "nobody=$dir/npy/good.npy"
refuses "an input given twice" "'x'" "twice" "$good" --input "x=$dir/npy/good.npy" --input "x=$dir/npy/type.npy"
refuses "--input without a file" "--input" "NAME=FILE" "$good" --input x
refuses "an input's file that is not there" "'$dir/none'" "cannot open: No such file" "$good" --input "x=$dir/none"
refuses "a folder as an input" "'$dir/npy'" "is a directory" "$good" --input "x=$dir/npy"
refuses "an input's file of another kind" "'$dir/m/good.onnx'" "the name must end in .npy or .pb" "$good" --input "x=$dir/m/good.onnx"
# Small ones that a rewriting rule or a kernel once did not bear.
takes() { # takes WHAT TEXT LINE [OPSET]: runs, and says LINE of its output
	model odd "$2" "${4:-13}"
	"$veltair" run --iters 1 --warmup 0 --output-dir "$dir/odd" "$dir/m/odd.onnx" >"$dir/out" 2>"$dir/err" &&
		python3 -c 'import ast, sys; b = open(sys.argv[1], "rb").read(); n = int.from_bytes(b[8:10], "little")
sys.exit(ast.literal_eval(b[10:10 + n].decode())["shape"] != ast.literal_eval(sys.argv[2]))' "$dir/odd/y.npy" "$3" 2>>"$dir/err"
	ok "runs $1"
	rm -rf "$dir/odd"
}
takes "a weight of no rows, scaled" "in x f32 1,4; const w f32 0,4; const k f32 1 = 2; t = Gemm(x,w) transB=1; y = Mul(t,k); out y" "(1, 0)"
takes "a scale of 0.9f" "in x f32 1,1,10,10; const s f32 4 = 1,1,0.9,0.9; y = Resize(x,-,s) mode=nearest; out y" "(1, 1, 9, 9)"
takes "a pad of what is empty elsewhere" "in x f32 0,3; const p i64 4 = 0,1,0,1; y = Pad(x,p) mode=reflect; out y" "(0, 5)"
takes "a norm scaled into another rank" "in x f32 2,4; const a f32 4 = 1,1,1,1; const s f32 1,1,4 = 1,2,3,4; t = LayerNormalization(x,a); y = Mul(t,s); out y" "(1, 2, 4)" 17
refuses "a symbolic dimension without --dim" "$dir/m/symbolic.onnx" "--dim T=" "$dir/m/symbolic.onnx"
refuses "--dim of no dimension" "--dim M" "no input" "$good" --dim M=3
refuses "--dim of no size" "--dim" "NAME=N" "$dir/m/symbolic.onnx" --dim T=0
refuses "two sizes of one name" "--dim" "'T' is given twice" "$dir/m/symbolic.onnx" --dim T=3 --dim T=4
(
	ulimit -v $limit
	exec "$veltair" run --output-dir "$dir/outputs" "$dir/m/symbolic.onnx" --dim T=2147483647
) >"$dir/out" 2>"$dir/err"
[ $? = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "no memory for the [0-9]* bytes" "$dir/err" &&
	[ ! -s "$dir/out" ] && [ ! -e "$dir/outputs" ]
ok "a --dim beyond this machine's memory fails: exit 1, one line that says how much"

# ---- flags -------------------------------------------------------------------------------------
refuses "an unknown flag" "--frobnicate" "unrecognized" "$good" --frobnicate
refuses "no model" "which model" "ONNX file"
refuses "two models" "one model at a time" "second.onnx" "$good" second.onnx
refuses "a list of cores that is none" "--cores" "0-3,8" "$good" --cores 3-1
refuses "cores that are not there" "core 1000" "does not exist" "$good" --cores 1000
refuses "more threads than cores" "--threads 1024" "cores" "$good" --threads 1024
refuses "no threads" "--threads" "whole number" "$good" --threads 0
refuses "iterations that are no number" "--iters" "whole number" "$good" --iters ten
refuses "an unknown variant" "'f32_gemm_sideways'" "unknown" "$good" --variant f32_gemm_sideways
refuses "an unknown order" "--order" "xnnpack" "$good" --order reversed
touch "$dir/file"
"$veltair" run --iters 1 "$good" --output-dir "$dir/file/x" >"$dir/out" 2>"$dir/err"
[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF "$dir/file/x" "$dir/err" && [ ! -s "$dir/out" ]
ok "refuses an output folder inside a file"
model clash "in x f32 3; a/b = Neg(x); a:b = Abs(x); out a/b; out a:b"
refuses "outputs whose files would be one" "a_b.npy" "would hold two outputs" "$dir/m/clash.onnx"

# ---- what works --------------------------------------------------------------------------------
"$veltair" run "$good" --input "x=$dir/npy/good.npy" --iters 3 --output-dir "$dir/outputs" >"$dir/out" 2>"$dir/err" &&
	grep -q "over 3 runs" "$dir/out" && [ "$(ls "$dir/outputs")" = y.npy ] &&
	[ "$(stat -c %s "$dir/outputs/y.npy")" = $((128 + 4 * 4 * 6 * 6)) ]
ok "a run with an input of its own writes each output"
"$veltair" run "$good" --iters 1 --threads 1 >"$dir/out" 2>"$dir/err" && grep -q "over 1 run on core [0-9]*;" "$dir/out"
ok "one run on one core is told in the singular"
model view "in x f32 2,3; const s i64 1 = 6; h = Reshape(x,s); y = Relu(h); out y"
"$veltair" inspect --summary "$dir/m/view.onnx" >"$dir/out" 2>"$dir/err" && grep -q "of which 1 is a view$" "$dir/out"
ok "so is one view"
"$veltair" run "$dir/m/symbolic.onnx" --dim T=5 --seed 7 --iters 1 --output-dir "$dir/o1" >"$dir/out" 2>"$dir/err" &&
	"$veltair" run "$dir/m/symbolic.onnx" --dim T=5 --seed 7 --iters 2 --threads 1 --output-dir "$dir/o2" >"$dir/out" 2>"$dir/err" &&
	cmp "$dir/o1/y.npy" "$dir/o2/y.npy" 2>>"$dir/err"
ok "--dim binds, and the same seed gives the same bits on one core"

# ---- a dimension of 0 --------------------------------------------------------------------------
# values FILE: which float32 are in it, each once
values() {
	python3 - "$1" <<'PY'
import struct, sys
d = open(sys.argv[1], "rb").read()
v = d[10 + struct.unpack("<H", d[8:10])[0]:]
print(*sorted(set(struct.unpack("<%df" % (len(v) // 4), v))))
PY
}
# Each line is for one kernel: what it reads is empty, or what it writes too; nothing to add up is 0, and so is the
# greatest of nothing. Then what y holds, nothing: it is empty.
while IFS='|' read -r what value text; do
	model empty "$text" 14
	rm -rf "$dir/outputs"
	"$veltair" run --iters 1 --threads 2 --output-dir "$dir/outputs" "$dir/m/empty.onnx" >"$dir/out" 2>"$dir/err" &&
		values "$dir/outputs/y.npy" >"$dir/values" 2>>"$dir/err" && [ "$(cat "$dir/values")" = "$value" ]
	ok "runs $what" "$dir/values"
done <<'EOF'
a MaxPool without channels||in x f32 1,0,4,4; y = MaxPool(x) kernel_shape=[2,2]; out y
a MaxPool without a batch||in x f32 0,2,4,4; y = MaxPool(x) kernel_shape=[2,2]; out y
a MaxPool of padding only|0.0|in x f32 1,1,4,0; y = MaxPool(x) kernel_shape=[3,3] pads=[1,2,1,2]; out y
an AveragePool without channels||in x f32 1,0,4,4; y = AveragePool(x) kernel_shape=[2,2]; out y
an AveragePool without a batch||in x f32 0,2,4,4; y = AveragePool(x) kernel_shape=[2,2]; out y
an AveragePool of padding only|0.0|in x f32 1,1,4,0; y = AveragePool(x) kernel_shape=[3,3] pads=[1,2,1,2]; out y
a Conv without a batch||in x f32 0,16,8,8; const w f32 24,16,1,1; y = Conv(x,w); out y
a Conv of padding only|0.0|in x f32 1,1,4,0; const w f32 1,1,3,3; y = Conv(x,w) pads=[1,2,1,2]; out y
a Conv of padding only with a bias|2.5|in x f32 1,1,4,0; const w f32 1,1,3,3; const b f32 1 = 2.5; y = Conv(x,w,b) pads=[1,2,1,2]; out y
a depthwise Conv without a batch||in x f32 0,8,12,12; const w f32 8,1,3,3; y = Conv(x,w) group=8 pads=[1,1,1,1]; out y
a depthwise Conv of padding only|0.0|in x f32 1,8,12,0; const w f32 8,1,3,3; y = Conv(x,w) group=8 pads=[1,2,1,2]; out y
a Winograd Conv without a batch||in x f32 0,64,56,56; const s i64 4 = 64,64,3,3; w = ConstantOfShape(s); y = Conv(x,w) pads=[1,1,1,1]; out y
two joined Convs without a batch||in x f32 0,8,64,64; const w f32 48,8,1,1; const v f32 48,1,3,3; h = Conv(x,w); y = Conv(h,v) group=48 pads=[1,1,1,1]; out y
a ConvTranspose without a batch||in x f32 0,2,4,4; const w f32 2,3,2,2; y = ConvTranspose(x,w) strides=[2,2]; out y
a product of nothing|0.0|in x f32 2,0; const w f32 0,3; y = MatMul(x,w); out y
a product of nothing with a bias|-1.0 0.5 3.0|in x f32 2,0; const w f32 0,3; const b f32 3 = 0.5,3,-1; h = MatMul(x,w); y = Add(h,b); out y
a product without rows||in x f32 0,4; const w f32 4,40; y = MatMul(x,w); out y
a product of two inputs without rows||in x f32 2,0,4; in z f32 2,4,40; y = MatMul(x,z); out y
attention without a batch||in q f32 0,4,16; in k f32 0,3,16; in v f32 0,3,16; const a i64 4 = 0,4,2,8; const b i64 4 = 0,3,2,8; f = Reshape(q,a) allowzero=1; g = Reshape(k,b) allowzero=1; h = Reshape(v,b) allowzero=1; l = Transpose(f) perm=[0,2,1,3]; m = Transpose(g) perm=[0,2,3,1]; n = Transpose(h) perm=[0,2,1,3]; r = MatMul(l,m); p = Softmax(r); o = MatMul(p,n); t = Transpose(o) perm=[0,2,1,3]; y = Relu(t); out y
attention without keys|0.0|in q f32 1,4,16; in k f32 1,0,16; in v f32 1,0,16; const a i64 4 = 1,4,2,8; const b i64 4 = 1,0,2,8; f = Reshape(q,a) allowzero=1; g = Reshape(k,b) allowzero=1; h = Reshape(v,b) allowzero=1; l = Transpose(f) perm=[0,2,1,3]; m = Transpose(g) perm=[0,2,3,1]; n = Transpose(h) perm=[0,2,1,3]; r = MatMul(l,m); p = Softmax(r); o = MatMul(p,n); t = Transpose(o) perm=[0,2,1,3]; y = Relu(t); out y
EOF

zoo=$dir/zoo
"$veltair" zoo --out "$zoo" resnet-50-tiny >"$dir/out" 2>"$dir/err"
ok "(a tiny ResNet-50)"
tiny=$zoo/resnet-50-tiny.onnx
"$veltair" run "$tiny" --profile --threads 1 --json --iters 3 >"$dir/json" 2>"$dir/err" && python3 - "$dir/json" "$tiny" <<'PY' 2>"$dir/err"
import json, sys
j = json.load(open(sys.argv[1]))
want = {"model": str, "threads": int, "iters": int, "median_ms": float, "min_ms": float, "p95_ms": float,
        "gflops": float, "peak_rss_bytes": int, "arena_bytes": int, "weights_bytes": int, "layers": list}
assert {k: type(v) for k, v in j.items()} == want, j.keys()
assert j["model"] == sys.argv[2] and j["threads"] == 1 and j["iters"] == 3
assert 0 < j["min_ms"] <= j["median_ms"] <= j["p95_ms"] and j["gflops"] > 0
assert j["weights_bytes"] > 0 and j["arena_bytes"] > 0 and j["peak_rss_bytes"] > j["weights_bytes"] + j["arena_bytes"]
layers = j["layers"]
assert len(layers) > 20
for l in layers:
    assert set(l) == {"name", "op", "kernel", "shape", "variant", "ms", "gflops"}, l
assert sum(l["ms"] for l in layers) <= 1.01 * j["p95_ms"]  # p95 of three is the slowest
assert any(l["variant"] != "-" for l in layers)
PY
ok "--json --profile: every key, of the right type, times that agree"
"$veltair" run "$tiny" --profile --iters 2 >"$dir/out" 2>"$dir/err" && grep -q "^kernel .*GFLOP/s *share" "$dir/out" &&
	awk '/^kernel / { on = 1; next } on && /%$/ { sub(/%/, "", $NF); sum += $NF; n++ } END { exit !(n > 20 && sum > 98 && sum < 102) }' "$dir/out"
ok "--profile: a table whose shares add up"
"$veltair" run --variant list >"$dir/variants" 2>"$dir/err" && [ "$(wc -l <"$dir/variants")" -ge 4 ] &&
	! grep -qvE '^(f32_gemm|any)_[a-z0-9_]+$' "$dir/variants"
ok "--variant list: names that say what they are"

"$veltair" run "$tiny" --iters 1 --output-dir "$dir/plain" >"$dir/out" 2>"$dir/err"
ok "(outputs as veltair chooses)"
same=0
while read -r v; do
	"$veltair" run "$tiny" --iters 1 --variant "$v" --output-dir "$dir/v" >"$dir/out" 2>"$dir/err" &&
		cmp "$dir/v/"*.npy "$dir/plain/"*.npy 2>>"$dir/err" || same=1
done <"$dir/variants"
[ $same = 0 ]
ok "every variant gives the same bits"
"$veltair" run "$tiny" --iters 1 --order xnnpack --output-dir "$dir/v" >"$dir/out" 2>"$dir/err" && cmp "$dir/v/"*.npy "$dir/plain/"*.npy 2>>"$dir/err"
ok "--order xnnpack gives the same bits"
"$veltair" run "$tiny" --iters 1 --direct --output-dir "$dir/v" >"$dir/out" 2>"$dir/err" && cmp "$dir/v/"*.npy "$dir/plain/"*.npy 2>>"$dir/err"
ok "--direct gives the same bits where no layer is large enough for another algorithm"

printf 'run 2\nthreads 1\nrun 1\nquit\nrun 9\n' | "$veltair" run "$tiny" --interactive >"$dir/out" 2>"$dir/err" && python3 - "$dir/out" <<'PY' 2>"$dir/err"
import json, sys
a = [json.loads(l) for l in open(sys.argv[1])]
assert a[0] == {"ready": True} and a[2] == {"threads": 1} and len(a) == 4, a
assert len(a[1]["ms"]) == 2 and len(a[3]["ms"]) == 1 and all(x > 0 for x in a[1]["ms"] + a[3]["ms"])
PY
ok "--interactive answers each command and stops at quit"
printf 'dance\n' | "$veltair" run "$tiny" --interactive >"$dir/out" 2>"$dir/err"
[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "unknown command 'dance'" "$dir/err"
ok "--interactive refuses an unknown command: exit 2, one line"

echo "1..$count"
[ $failed = 0 ]
