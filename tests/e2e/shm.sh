#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tensors in shared memory: who may hand them over, what is refused, and clients that change or remove their objects meanwhile.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
writer=$(dirname "$veltair")/tests/e2e/onnx_write
client=$PWD/tests/e2e/shm.js
dir=$(mktemp -d)
object=vt-e2e-$$
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir" /dev/shm/"$object"*' EXIT
. tests/e2e/lib.sh

if [ ! -x "$writer" ] || ! command -v node >/dev/null || [ "$(stat -f -c %T /dev/shm 2>/dev/null)" != tmpfs ]; then
	echo "1..0 # SKIP needs $writer, node and a tmpfs at /dev/shm"
	exit 0
fi

# start WHO: the server; sets pid and port
start() {
	: >"$dir/err"
	"$veltair" serve --monitor off --qos-ms 20000 --shared-memory "$1" --listen 127.0.0.1:0 --listen "unix:$dir/sock" \
		"$dir/add.onnx" "$dir/bools.onnx" "$tiny=tiny" "$dir/slow.onnx" >"$dir/out" 2>"$dir/err" &
	pid=$!
	port=$(listening $pid "$dir/err")
}
ends() {
	kill -TERM $pid && wait $pid
}
# run SUITE [ARGUMENT...]: lines of shm.js become ours
run() {
	local status=0
	node "$client" "$@" "$port" "$dir" "$object" >"$dir/results" 2>>"$dir/err" || status=$?
	client_lines "$dir/results"
	[ $status = 0 ] && [ "$(tail -n 1 "$dir/results")" = "# end" ]
	ok "($1)"
}

slow="in x f32 512,512; t0 = MatMul(x,x);"
for i in $(seq 24); do slow+=" t$i = MatMul(t$((i - 1)),x);"; done
"$writer" 13 "in a f32 2,3; in b f32 2,3; y = Add(a,b); out y" >"$dir/add.onnx" &&
	"$writer" 13 "in m b 4; y = Cast(m) to=1; out y" >"$dir/bools.onnx" &&
	"$writer" 13 "$slow y = Neg(t24); out y" >"$dir/slow.onnx" &&
	"$veltair" zoo --tiny --out "$dir" mobilenet-v2 >"$dir/out" 2>"$dir/err"
ok "(models)"
tiny=$(ls "$dir"/mobilenet*.onnx)

"$veltair" serve --shared-memory all "$tiny" >"$dir/out" 2>"$dir/err"
[ $? = 2 ] && grep -q "'all' is not one of: off, unix, on" "$dir/err"
ok "--shared-memory takes off, unix or on"

start off
run off
ends
ok "SIGTERM: exit 0"

start unix
run tcp
curl -sS --max-time 20 --unix-socket "$dir/sock" http://x/v2/models/tiny 2>>"$dir/err" | node -e '
	const i = JSON.parse(require("fs").readFileSync(0)).inputs[0];
	console.log(i.name);
	require(process.argv[1]).write(process.argv[2], { type: "float32", dims: i.shape,
		data: Float32Array.from({ length: i.shape.reduce((a, b) => a * b, 1) }, (_, k) => Math.sin(k)) });
' "$PWD/scripts/npy.js" "$dir/x.npy" >"$dir/input" 2>>"$dir/err" &&
	"$veltair" run "$tiny" --iters 1 --input "$(cat "$dir/input")=$dir/x.npy" --output-dir "$dir/run" >"$dir/out" 2>>"$dir/err"
ok "(an input, and what veltair run makes of it)"
run unix
[ "$(find /proc/$pid/fd -lname "/dev/shm/$object*" | wc -l)" = 1 ]
ok "of all its regions the server has open what is registered"
ends
ok "SIGTERM with a region registered: exit 0"
[ "$(stat -c %s /dev/shm/$object-left)" = 24 ]
ok "and the client's object is as it was"

# In a file that may not grow a write past the limit is a signal.
ulimit -S -f 64
start on
ulimit -S -f unlimited
run on
ends
ok "SIGTERM: exit 0 (on)"

if [ "$(id -u)" = 0 ]; then
	chmod 755 "$dir" && head -c 24 /dev/zero >/dev/shm/$object-read && chmod 444 /dev/shm/$object-read
	head -c 24 /dev/zero >/dev/shm/$object-mine && chmod 600 /dev/shm/$object-mine
	: >"$dir/err"
	"$veltair" serve --monitor off --qos-ms 20000 --user nobody --shared-memory on --listen 127.0.0.1:0 "$dir/add.onnx" 2>"$dir/err" &
	pid=$!
	port=$(listening $pid "$dir/err")
	run rights
	ends
	ok "SIGTERM: exit 0 (--user)"
else
	skip "rights of the server's user" "needs root"
fi
echo "1..$count"
[ $failed = 0 ]
