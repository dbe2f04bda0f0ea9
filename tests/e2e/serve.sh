#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair serve` as its users meet it: flags and files it refuses, the protocol, rude clients, reloads,
# ends, and starts after a kill. VT_LONG=1: twenty kills and ten minutes of mixed load.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
writer=$(dirname "$veltair")/tests/e2e/onnx_write
client=$PWD/tests/e2e/serve.js
dir=$(mktemp -d)
pins=/sys/fs/bpf/vt-serve-$$
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir" "$pins"' EXIT
. tests/e2e/lib.sh
if [ -n "${VT_LONG:-}" ]; then kills=20 soak=${VT_SOAK:-600}; else kills=3 soak=5; fi

[ -x "$writer" ] || {
	echo "1..0 # SKIP $writer is not built"
	exit 0
}

# refuses WHAT STATUS TEXT ARGUMENT...: that exit status, one line on stderr that holds TEXT
refuses() {
	local what=$1 want=$2 text=$3 status
	shift 3
	timeout 60 "$veltair" serve --monitor off "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status = "$want" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$text" "$dir/err"
	ok "refuses $what: exit $want, one line"
}

# start ARGUMENT...: in the background; sets pid and port
start() {
	: >"$dir/err"
	"$veltair" serve --pin-dir "$pins" "$@" >"$dir/out" 2>"$dir/err" &
	pid=$!
	port=$(listening $pid "$dir/err")
}

# ends SIGNAL STATUS
ends() {
	local status
	kill "-$1" $pid
	wait $pid
	status=$?
	pid=
	[ $status = "$2" ]
}

# said TEXT: on the server's stderr, within a while
said() {
	for _ in $(seq 1200); do
		grep -qF -- "$1" "$dir/err" && return 0
		sleep 0.05
	done
	return 1
}

# times TEXT N: as said, on N lines
times() {
	for _ in $(seq 1200); do
		[ "$(grep -acF -- "$1" "$dir/err")" -ge "$2" ] && return 0
		sleep 0.05
	done
	return 1
}

"$writer" 13 "in a f32 2,3; in b f32 2,3; y = Add(a,b); out y" >"$dir/add.onnx" && cp "$dir/add.onnx" "$dir/sum.onnx" &&
	"$writer" 13 "in a f32 2,3; in b f32 2,3; c = Add(a,b); y = Neg(c); out y" >"$dir/neg.onnx" &&
	"$writer" 13 "in x f32 1,T; y = Neg(x); out y" >"$dir/symbolic.onnx" &&
	"$veltair" zoo --tiny --out "$dir" resnet-50 mobilenet-v2 >"$dir/out" 2>"$dir/err"
ok "(models)"
tiny=$(ls "$dir"/resnet-50*.onnx) mobile=$(ls "$dir"/mobilenet*.onnx)

# ---- what is refused at the start ----------------------------------------------------------------
refuses "no models" 2 "no models" --listen 127.0.0.1:0
refuses "an unknown flag" 2 "unrecognized" --frobnicate
refuses "an address that is none" 2 "no address" "$tiny" --listen here
refuses "a policy that does not exist" 2 "no policy 'best'" "$tiny" --policy best
refuses "a file that is not there" 2 "$dir/none.yaml" --config "$dir/none.yaml"
printf 'models:\n  - path: x.onnx\n    qos: 5\n' >"$dir/typo.yaml"
refuses "a typo in the file, by its line" 2 "$dir/typo.yaml:3: unknown key 'qos' in a model" --config "$dir/typo.yaml"
printf 'models:\n  - path: %s/none.onnx\n' "$dir" >"$dir/gone.yaml"
refuses "a model that is not there, by its line" 2 "$dir/gone.yaml:2: $dir/none.onnx" --config "$dir/gone.yaml" --listen 127.0.0.1:0
for target in 50 20:3 auto; do
	refuses "a target of bench's syntax, $target" 2 "$tiny:$target: cannot open: No such file or directory; targets of single models: a --config file" \
		"$tiny:$target" --listen 127.0.0.1:0
done
refuses "a file that is not there, with or without a number" 2 "none.onnx:50: cannot open: No such file or directory" "$dir/none.onnx:50" --listen 127.0.0.1:0
! grep -q "targets of single" "$dir/err"
ok "and is told of no target there"
refuses "two models of one name" 2 "is there twice" "$tiny=a" "$tiny=a"
refuses "a symbolic dimension without a size" 2 "--dim T=" "$dir/symbolic.onnx" --listen 127.0.0.1:0
echo "no model" >"$dir/text.onnx"
refuses "a file that is no model" 2 "$dir/text.onnx" "$dir/text.onnx" --listen 127.0.0.1:0
truncate -s 1T "$dir/huge.onnx" 2>/dev/null && refuses "a model that does not fit in memory" 1 "does not fit" "$dir/huge.onnx" --listen 127.0.0.1:0
rm -f "$dir/huge.onnx"
refuses "activations that do not fit in memory" 1 "symbolic.onnx: does not fit in memory: it needs 0 MiB of weights and 64 times" \
	"$dir/symbolic.onnx" --dim T=2000000000 --instances 64 --listen 127.0.0.1:0
mib=$(sed -n 's/.*activations, \([0-9]*\) MiB are available.*/\1/p' "$dir/err")
timeout 60 "$veltair" serve --monitor off "$dir/symbolic.onnx=one" "$dir/symbolic.onnx=two" --dim T=$((mib * 2500)) --instances 64 \
	--listen 127.0.0.1:0 >"$dir/out" 2>"$dir/err"
[ $? = 1 ] && grep -q "serving one" "$dir/err" && grep -q "symbolic.onnx: does not fit in memory" "$dir/err"
ok "a model beside one whose instances have not run yet: both would not fit"
timeout 60 "$veltair" serve --check "$dir/symbolic.onnx=one" "$dir/symbolic.onnx=two" --dim T=$((mib * 2500)) --instances 64 \
	--listen 127.0.0.1:0 >"$dir/out" 2>"$dir/err"
[ $? = 1 ] && grep -q "symbolic.onnx: does not fit in memory" "$dir/err" &&
	"$veltair" serve --check "$dir/symbolic.onnx=one" --dim T=$((mib * 2500)) --instances 64 --listen 127.0.0.1:0 >"$dir/out" 2>"$dir/err"
ok "--check: each of them fits, both do not"
truncate -s 1T "$dir/huge.data" 2>/dev/null && "$writer" 13 "in x f32 1; extern w f32 200000000000 = huge.data; y = Add(x,w); out y" >"$dir/beside.onnx" &&
	refuses "data beside a model that does not fit in memory" 1 "does not fit in memory" "$dir/beside.onnx" --listen 127.0.0.1:0
rm -f "$dir/huge.data"
refuses "a user that does not exist" 2 "no user" "$tiny" --user nobody-of-this-name --listen 127.0.0.1:0
refuses "a socket's path that is a file" 2 "cannot listen on unix:$dir/text.onnx" "$tiny" --listen "unix:$dir/text.onnx"

refuses "a socket in a directory that is not there" 2 "cannot listen on unix:$dir/none/s" "$tiny" --listen "unix:$dir/none/s"
refuses "a size that is none" 2 "no size from 1KiB" "$tiny" --max-body 1MB --listen 127.0.0.1:0
refuses "a store in a folder that is not there" 2 "--profiles: $dir/none/p.db: no store can be made" "$tiny" --profiles "$dir/none/p.db" --listen 127.0.0.1:0

# fault TEXT LINE...: a file of these lines is refused with TEXT, and $fault_status, by --check and at the start
fault_status=2
fault() {
	local text=$1
	shift
	printf '%s\n' 'listen: 127.0.0.1:0' "$@" >"$dir/fault.yaml"
	refuses "in a file: $text" "$fault_status" "$dir/fault.yaml:$text" --config "$dir/fault.yaml"
	refuses "--check, in a file: $text" "$fault_status" "$dir/fault.yaml:$text" --config "$dir/fault.yaml" --check
}
one="models: [{path: $tiny}]"
fault "3: there is no policy 'nope'" "$one" "policy: nope"
fault "3: limits.max_body (9 GiB) exceeds limits.max_memory (512 MiB): raise one or lower the other" "limits:" "  max_body: 9GiB" "$one"
fault "2: limits.max_body (64 MiB) exceeds limits.max_memory (1536 KiB)" "limits: {max_memory: 1536KiB}" "$one"
fault "3: this process may not use core 1023, only " "$one" "cores: 0,1023"
fault "3: there is no user 'nobody-of-this-name'" "$one" "user: nobody-of-this-name"
fault "2: $dir/none/p.db: no store can be made in $dir/none" "profiles: $dir/none/p.db" "$one"
fault "3: 257 cores are named; a server computes on 256 at most" "$one" "cores: 0-256"
# Of a range that nobody has. 1, as it may come with the network: the unit tries again.
fault_status=1 fault "2: cannot listen on 203.0.113.77:80: " "agent: 203.0.113.77:80" "$one"
refuses "an address that this machine does not have: to be tried again" 1 "this machine has no such address" "$tiny" --listen 203.0.113.77:80
# Without a network nobody answers who knows the name; where none is asked, it does not exist.
unshare -n timeout 60 "$veltair" serve --monitor off "$tiny" --listen name.example.org:80 >"$dir/out" 2>"$dir/err"
status=$?
if grep -q "name.example.org:80: Temporary failure" "$dir/err"; then
	[ $status = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ]
	ok "refuses a name that DNS cannot tell yet: exit 1, one line"
else
	skip "refuses a name that DNS cannot tell yet" "nobody is asked for names here, or no namespace can be had"
fi
fault "2: 'x' is no address: HOST:PORT, [IPv6]:PORT or :PORT" "agent: x" "$one"
fault "3: $dir/text.onnx: " "models:" "  - path: $dir/text.onnx" "  - path: $tiny"

# ---- --check: what a start would refuse it refuses, and leaves nothing behind ----------------------
: >"$dir/empty.onnx"
echo "no store" >"$dir/no.db"
mkdir "$dir/folder" "$dir/clean"
checks() { # checks WHAT TEXT ARGUMENT...
	local what=$1 text=$2
	shift 2
	refuses "--check: $what" 2 "$text" "$@" --check
}
checks "a model that is not there, by its line" "$dir/gone.yaml:2: $dir/none.onnx" --config "$dir/gone.yaml"
checks "a target of bench's syntax" "; targets of single models: a --config file" "$tiny:50"
checks "a model that is empty" "$dir/empty.onnx: is empty" "$dir/empty.onnx"
checks "a model that is none" "$dir/text.onnx" "$dir/text.onnx"
checks "a model that is a folder" "$dir/folder: is a directory" "$dir/folder"
checks "a symbolic dimension without a size" "--dim T=" "$dir/symbolic.onnx"
checks "a user that does not exist" "--user: there is no user" "$tiny" --user nobody-of-this-name
checks "a core that does not exist" "--cores: this process may not use core 1023" "$tiny" --cores 0,1023
checks "a policy that does not exist" "--policy: there is no policy 'best'" "$tiny" --policy best
checks "a body that memory cannot hold" "--max-body: limits.max_body (1 GiB) exceeds limits.max_memory (512 MiB)" "$tiny" --max-body 1GiB
checks "a store that is none" "--profiles: $dir/no.db: not a profile store" "$tiny" --profiles "$dir/no.db"
checks "a store in a folder that is not there" "--profiles: $dir/none/a" "$tiny" --profiles "$dir/none/a"
checks "a recording in a folder that is not there" "--record: $dir/none/x: cannot write" "$tiny" --record "$dir/none/x"
checks "a trace that is a folder" "--trace: $dir/folder: cannot write: Is a directory" "$tiny" --trace "$dir/folder"
checks "one address twice" "another process has it" "$tiny" --listen "127.0.0.1:$((20000 + $$ % 10000))" --listen "127.0.0.1:$((20000 + $$ % 10000))"
"$veltair" serve "$tiny" --listen 127.0.0.1:0 --listen "unix:$dir/clean/s" --profiles "$dir/clean/p.db" --record "$dir/clean/r" \
	--trace "$dir/clean/t" --check >"$dir/out" 2>"$dir/err" && grep -qx "flags: sound; models: 1" "$dir/out" && [ ! -s "$dir/err" ] &&
	[ -z "$(ls -A "$dir/clean")" ]
ok "--check: what is sound, and nothing is left behind"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$dir/clean/dead" &&
	"$veltair" serve "$tiny" --listen "unix:$dir/clean/dead" --check >"$dir/out" 2>"$dir/err" && [ -S "$dir/clean/dead" ]
ok "--check: a socket that a killed server left is sound, and stays"
printf 'listen: 127.0.0.1:0\nmodels: []\n' >"$dir/nothing.yaml"
"$veltair" serve --config "$dir/nothing.yaml" --check >"$dir/out" 2>"$dir/err" && grep -q "sound; models: 0" "$dir/out" &&
	grep -q "no models: nothing can be served until $dir/nothing.yaml names some" "$dir/err" && [ "$(wc -l <"$dir/err")" = 1 ]
ok "--check: a file without models is sound, and it is said that nothing will be served"
sed 's|127.0.0.1:8000|127.0.0.1:0|' share/examples/serve.yaml >"$dir/example.yaml"
"$veltair" serve --config "$dir/example.yaml" --check >"$dir/out" 2>"$dir/err" && grep -q "sound; models: 0" "$dir/out"
ok "--check: the example is sound"
sed -i '/^models:/,$s|^# ||; s|/var/lib/veltair/models|/none|' "$dir/example.yaml"
checks "the example, its models without their comment signs" "$dir/example.yaml:$(grep -n resnet-50 "$dir/example.yaml" | cut -d: -f1): /none/resnet-50.onnx: cannot open" \
	--config "$dir/example.yaml"

cat >"$dir/c.yaml" <<END
listen: [127.0.0.1:0, "unix:$dir/sock"]
models:
  - {path: $dir/add.onnx, version: 3, qos_ms: 20000}
  - {path: $tiny, name: tiny, qos_ms: 20000}
limits: {drain_ms: 20000, max_body: 3MiB, max_memory: 4MiB}
END
"$veltair" serve --config "$dir/c.yaml" --check >"$dir/out" 2>"$dir/err" && grep -q "sound; models: 2" "$dir/out"
ok "--check: a sound file"
"$veltair" serve --config "$dir/c.yaml" --max-body 2MiB --check >"$dir/out" 2>"$dir/err" && grep -q sound "$dir/out"
ok "--max-body takes a unit, as the file does"

# ---- the protocol --------------------------------------------------------------------------------
start --config "$dir/c.yaml" --verbose
ok "starts, and says where it listens"
refuses "a port in use" 2 "another process has it" "$tiny" --listen "127.0.0.1:$port"
refuses "a Unix socket in use" 2 "another process has it" "$tiny" --listen "unix:$dir/sock"
checks "a port in use" "cannot listen on 127.0.0.1:$port" "$tiny" --listen "127.0.0.1:$port"
checks "an agent's port in use" "cannot listen on 127.0.0.1:$port" "$tiny" --listen 127.0.0.1:0 --agent "127.0.0.1:$port"
checks "a Unix socket in use" "cannot listen on unix:$dir/sock" "$tiny" --listen "unix:$dir/sock"
checks "a port in use and a model that is none: the model" "$dir/text.onnx" "$dir/text.onnx" --listen "127.0.0.1:$port"
curl -sS --max-time 20 "http://127.0.0.1:$port/v2/health/ready" 2>>"$dir/err" | grep -q '"ready":true' &&
	curl -sS --max-time 20 --unix-socket "$dir/sock" http://x/v2/models/add 2>>"$dir/err" | grep -q '"name":"add"'
ok "answers curl, over TCP and the Unix socket"
if [ -e "$pins" ]; then
	refuses "another's directory of pins" 1 "$pins belongs to the living process $pid; stop it, or give this one --pin-dir (pin_dir:)" \
		"$tiny" --listen 127.0.0.1:0 --pin-dir "$pins" --monitor on
else
	skip "another's directory of pins" "there is no monitor here"
fi
curl -sS --max-time 20 "http://127.0.0.1:$port/metrics" 2>>"$dir/err" | grep -q '^veltair_' &&
	curl -sS --max-time 20 "http://127.0.0.1:$port/dashboard" 2>>"$dir/err" | grep -qi '<html'
ok "metrics and the dashboard are there"
[ "$(stat -c %a "$dir/sock")" = 660 ]
ok "the socket has its permissions"

results() { # results STATUS: lines of serve.js become ours; it ended with STATUS, and its last line is of its last check
	client_lines "$dir/results"
	[ "$1" = 0 ] && [ "$(tail -n 1 "$dir/results")" = "ok and goes on" ]
	ok "(the client ran to its end)"
}

if ! command -v node >/dev/null; then
	skip "the protocol, rude clients, load" "node is not installed"
	ends TERM 0
	ok "SIGTERM: exit 0"
	echo "1..$count"
	[ $failed = 0 ]
	exit
fi

curl -sS --max-time 20 "http://127.0.0.1:$port/v2/models/tiny" 2>>"$dir/err" | node -e '
	const i = JSON.parse(require("fs").readFileSync(0)).inputs[0];
	console.log(i.name);
	require(process.argv[1]).write(process.argv[2], { type: "float32", dims: i.shape,
		data: Float32Array.from({ length: i.shape.reduce((a, b) => a * b, 1) }, (_, k) => Math.sin(k)) });
' "$PWD/scripts/npy.js" "$dir/x.npy" >"$dir/input" 2>>"$dir/err" &&
	"$veltair" run "$tiny" --iters 1 --input "$(cat "$dir/input")=$dir/x.npy" --output-dir "$dir/run" >"$dir/out" 2>>"$dir/err"
ok "(an input, and what veltair run makes of it)"
node "$client" protocol "$port" "$dir" >"$dir/results" 2>>"$dir/err"
results $?
node "$client" rude "$port" >"$dir/results" 2>>"$dir/err"
results $?

# ---- files that change under load ----------------------------------------------------------------
# load SECONDS MODEL CLIENTS: in the background, into load.json
load() {
	node "$client" load "$port" "$2" "$1" "$3" >"$dir/load.json" 2>>"$dir/err" &
	loader=$!
}
# field NAME: of load.json
field() {
	sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$dir/load.json"
}
inferences() { # inferences MODEL: how many it has answered
	curl -sS --max-time 20 "http://127.0.0.1:$port/v2/models/$1/stats" 2>>"$dir/err" | sed -n 's/.*"inference_count": *\([0-9]*\).*/\1/p'
}
answered() { # answered MODEL [N]: once it has answered more than N, of none if there is a load
	for _ in $(seq 600); do
		[ "$(inferences "$1")" -gt "${2:-0}" ] 2>/dev/null && return 0
		sleep 0.05
	done
	return 1
}

before=$(inferences add)
load 10 add 4
answered add "$before"
turns=0
: >"$dir/err"
while kill -0 $loader 2>/dev/null; do
	for which in neg sum; do
		cp "$dir/$which.onnx" "$dir/new.onnx" && mv "$dir/new.onnx" "$dir/add.onnx" # replaced whole, as it should be
		kill -HUP $pid
		times reloaded $((turns + 1)) || break 2
		turns=$((turns + 1))
	done
done
wait $loader
[ $turns -ge 10 ]
ok "SIGHUP: says when it has reloaded"
[ "$(field ok)" -gt 0 ] && [ "$(field cut)$(field lost)$(field other)$(field mixed)$(field refused)$(field dropped)" = 000000 ]
ok "a model replaced again and again under load: each request is answered"
echo "# $turns times; $(cat "$dir/load.json")"
[ $(($(inferences add) - before)) = "$(field ok)" ]
ok "and all of them are in its counts"
ask() { # ask MODEL[/versions/V]: the first element of 1 + 1, or of what the model's file has become
	curl -sS --max-time 20 "http://127.0.0.1:$port/v2/models/$1/infer" -d '{"inputs":[
		{"name":"a","datatype":"FP32","shape":[2,3],"data":[1,1,1,1,1,1]},
		{"name":"b","datatype":"FP32","shape":[2,3],"data":[1,1,1,1,1,1]}]}' 2>>"$dir/err"
}
add() { ask add; }
add | grep -q '"data":\[2,' && cp "$dir/neg.onnx" "$dir/new.onnx" && mv "$dir/new.onnx" "$dir/add.onnx" && : >"$dir/err" && kill -HUP $pid && said reloaded
ok "the last one answers"
add | grep -q '"data":\[-2,'
ok "and the new one answers"
: >"$dir/add.onnx" # emptied in place, as it should not be
add | grep -q '"data":\[-2,'
ok "its file emptied: what is loaded goes on"
rm "$dir/add.onnx"
[ "$(curl -sS -o "$dir/body" -w '%{http_code}' --max-time 20 -X POST "http://127.0.0.1:$port/v2/repository/models/add/load" 2>>"$dir/err")" = 200 ] &&
	add | grep -q '"data":\[-2,'
ok "its file deleted: a load finds it loaded, and it goes on"
cp "$dir/neg.onnx" "$dir/add.onnx"

# Data beside the model: an elementwise layer keeps what it was given, 64 KiB of it.
fill() { # BYTE: as each of beside.bin, in place
	head -c 65536 /dev/zero | tr '\0' "$1" >"$dir/beside.bin"
}
beside() { # the first element of 1 + beside.bin
	curl -sS --max-time 20 "http://127.0.0.1:$port/v2/models/beside/infer" -d '{"inputs":[
		{"name":"x","datatype":"INT8","shape":[1],"data":[1]}]}' 2>>"$dir/err" | sed -n 's/.*"data":\[\([-0-9]*\),.*/\1/p'
}
fill '\2' && "$writer" 14 "in x i8 1; extern w i8 65536 = beside.bin; y = Add(x,w); out y" >"$dir/beside.onnx"
cp "$dir/c.yaml" "$dir/good.yaml"
sed "s|^limits|  - {path: $dir/beside.onnx, qos_ms: 20000}\nlimits|" "$dir/good.yaml" >"$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "reloaded" && [ "$(beside)" = 3 ]
ok "a model with data beside it"
fill '\4' && [ "$(beside)" = 3 ] && : >"$dir/beside.bin" && [ "$(beside)" = 3 ]
ok "its data written in place, then emptied: what is loaded goes on"
fill '\4' && curl -sS --max-time 20 -X POST "http://127.0.0.1:$port/v2/repository/models/beside/load" >>"$dir/out" 2>>"$dir/err" && [ "$(beside)" = 5 ]
ok "its data has changed: a load takes it"
fill '\6' && : >"$dir/err" && kill -HUP $pid && said "reloaded" && [ "$(beside)" = 7 ]
ok "and so does SIGHUP"
cp "$dir/good.yaml" "$dir/c.yaml"
printf 'models: [{path: x, nme: y}]\n' >"$dir/c.yaml"
kill -HUP $pid && said "c.yaml:1: unknown key 'nme'" && add | grep -q outputs
ok "a broken file at SIGHUP changes nothing"
sed "s|  - {path: $tiny.*|  - {path: $mobile, name: mobile, qos_ms: 20000}|" "$dir/good.yaml" >"$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "reloaded" &&
	[ "$(curl -sS -o "$dir/body" -w '%{http_code}' "http://127.0.0.1:$port/v2/models/tiny" 2>>"$dir/err")" = 404 ] &&
	curl -sS "http://127.0.0.1:$port/v2/models/mobile" 2>>"$dir/err" | grep -q '"name":"mobile"'
ok "models come and go with the file"
{ cat "$dir/c.yaml" && echo "cores: 0"; } >"$dir/new.yaml" && mv "$dir/new.yaml" "$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "these change with a restart only: cores" && said "reloaded" && add | grep -q outputs
ok "what only a restart can change is said at SIGHUP, and serving goes on"
sed -i /^cores:/d "$dir/c.yaml"

sed -i "s|add.onnx, version: 3|gone.onnx, name: add, version: 3|" "$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "gone.onnx: cannot open" && : >"$dir/err" &&
	kill -HUP $pid && said "gone.onnx: cannot open" && add | grep -q outputs && ! grep -q reloaded "$dir/err"
ok "a model that cannot be loaded is tried at every reload, and goes on as it was"
post() { curl -sS -o "$dir/body" --max-time 20 -X POST "http://127.0.0.1:$port/v2/repository/models/$1" 2>>"$dir/err"; }
code() { curl -sS -o "$dir/body" -w '%{http_code}' "http://127.0.0.1:$port/v2/models/$1/ready" 2>>"$dir/err"; }
sed -i "s|gone.onnx, name: add, version: 3|add.onnx, version: 3|" "$dir/c.yaml"
: >"$dir/err"
post mobile/unload && kill -HUP $pid && said "reloaded" && [ "$(code mobile)" = 404 ] && post mobile/load && [ "$(code mobile)" = 200 ]
ok "what a request unloaded stays so at SIGHUP, until a request loads it"
cp "$dir/c.yaml" "$dir/kept.yaml"
{ sed "s|name: mobile,|name: renamed,|" "$dir/kept.yaml" && echo "cores: 4000"; } >"$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "nothing was changed" && [ "$(code mobile)" = 200 ] && [ "$(code renamed)" = 404 ]
ok "what a start would refuse changes nothing at SIGHUP"
sed "s|^limits|  - {path: $dir/sum.onnx, name: v, version: 1.9, qos_ms: 20000}\nlimits|" "$dir/kept.yaml" >"$dir/nine.yaml"
sed "s|^limits|  - {path: $dir/neg.onnx, name: v, version: 1.10, qos_ms: 20000}\nlimits|" "$dir/nine.yaml" >"$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "reloaded" && curl -sS "http://127.0.0.1:$port/v2/models/v/ready" 2>>"$dir/err" | grep -q '"version":"1.10"'
ok "without a version the highest: 1.10 is above 1.9"
answers() { # answers PATH VERSION ELEMENT
	ask "$1" >"$dir/body" && grep -q "\"model_version\":\"$2\"" "$dir/body" && grep -q "\"data\":\[$3," "$dir/body"
}
answers v 1.10 -2 && answers v/versions/1.9 1.9 2 && answers v/versions/1.10 1.10 -2
ok "each version answers for itself, and the highest for who names none" "$dir/body"
cp "$dir/nine.yaml" "$dir/c.yaml" && : >"$dir/err"
kill -HUP $pid && said "reloaded" && answers v 1.9 2 && [ "$(curl -sS -o "$dir/body" -w '%{http_code}' "http://127.0.0.1:$port/v2/models/v/versions/1.10" 2>>"$dir/err")" = 404 ]
ok "without 1.10 it is 1.9" "$dir/body"
cp "$dir/kept.yaml" "$dir/c.yaml"
long=$(printf 'é%.0s' $(seq 127))
sed -i "s|^limits|  - {path: $dir/$long.onnx, name: even}\n  - {path: $dir/x$long.onnx, name: odd}\nlimits|" "$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "cannot open" && curl -sS -X POST "http://127.0.0.1:$port/v2/repository/index" >"$dir/body" 2>>"$dir/err" &&
	[ "$(grep -o '"name":"\(even\|odd\)","version":"1","state":"UNAVAILABLE","reason":"[^"]*ééé' "$dir/body" | wc -l)" = 2 ]
ok "why a model cannot be loaded is cut between characters"

# ---- ends ----------------------------------------------------------------------------------------
load 2 mobile 4
answered mobile && sleep 0.5 && ends TERM 0
ok "SIGTERM under load: exit 0"
wait $loader
[ ! -e "$dir/sock" ] && [ ! -e "$pins" ]
ok "nothing is left behind"
[ "$(field ok)" -gt 0 ] && [ "$(field mixed)$(field other)$(field cut)" = 000 ]
ok "what was taken was answered"
echo "# $(cat "$dir/load.json")"

slow="t0 = MatMul(x,x);"
for i in $(seq 12); do slow+=" t$i = MatMul(t$((i - 1)),x);"; done
"$writer" 13 "in x f32 512,512; $slow y = Neg(t12); out y" >"$dir/slow.onnx"
cat >"$dir/slow.yaml" <<END
listen: 127.0.0.1:0
admission: late
models: [{path: $dir/slow.onnx, instances: 1}]
limits: {drain_ms: 1}
END
start --config "$dir/slow.yaml"
load 2 slow 8
answered slow && ends TERM 0
ok "SIGTERM while eight requests wait for one instance: exit 0"
wait $loader
[ "$(field refused)" -ge 5 ] && [ "$(field mixed)$(field other)" = 00 ]
ok "after drain_ms, what had not begun is refused"
echo "# $(cat "$dir/load.json")"

many=()
for i in $(seq 250); do many+=("$mobile=m$i"); done
"$veltair" serve --monitor off --listen 127.0.0.1:0 --listen "unix:$dir/sock" "${many[@]}" >"$dir/out" 2>"$dir/first.err" &
pid=$!
for _ in $(seq 1200); do
	grep -q "serving m3 " "$dir/first.err" && break
	sleep 0.05
done
kill -STOP $pid
refuses "the socket of a server that still loads its models" 2 "cannot listen on unix:$dir/sock: Address already in use; another process has it" \
	"$tiny" --listen "unix:$dir/sock"
refuses "--check: likewise" 2 "another process has it" "$tiny" --listen "unix:$dir/sock" --check
kill -CONT $pid
[ -S "$dir/sock" ] && ends TERM 0 && grep -q "stopped before it was ready" "$dir/first.err" && [ ! -e "$dir/sock" ]
ok "SIGTERM while models are loaded: exit 0, at once" "$dir/first.err"
printf 'models:\n' >"$dir/many.yaml"
for i in $(seq 250); do echo "  - {path: $mobile, name: m$i}"; done >>"$dir/many.yaml"
cp "$dir/good.yaml" "$dir/c.yaml"
start --config "$dir/c.yaml"
cp "$dir/many.yaml" "$dir/c.yaml" && : >"$dir/err"
kill -HUP $pid && said "serving m3 "
for _ in 1 2 3 4 5; do kill -HUP $pid && sleep 0.02; done
sed 's/name: m/name: other/' "$dir/many.yaml" >"$dir/c.yaml" && kill -HUP $pid && said "serving other250 " && times reloaded 2 && sleep 0.5
[ "$(grep -c reloaded "$dir/err")" = 2 ]
ok "SIGHUPs while a reload loads: one more, for the last of them"
! grep -q "reload:" "$dir/err" && curl -sS -X POST "http://127.0.0.1:$port/v2/repository/index" >"$dir/body" 2>>"$dir/err" &&
	[ "$(grep -o '"name":"other[0-9]*","version":"1","state":"READY"' "$dir/body" | wc -l)$(grep -c '"name":"m1"' "$dir/body")" = 2500 ]
ok "250 models in place of 250 others"
for i in 1 2 3 4 5 6; do echo "  - {path: $dir/add.onnx, name: more$i}"; done >>"$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "reloaded" && cp "$dir/neg.onnx" "$dir/new.onnx" && mv "$dir/new.onnx" "$dir/add.onnx" && : >"$dir/err" &&
	kill -HUP $pid && said "reloaded" && [ "$(grep -c "serving more" "$dir/err")" = 6 ]
ok "as many as can be served, and six of them replaced"
cp "$dir/many.yaml" "$dir/c.yaml" && : >"$dir/err"
kill -HUP $pid && said "serving m3 " && kill -HUP $pid && ends TERM 0 && [ "$(grep -c "serving m" "$dir/err")" -lt 200 ] &&
	! grep -q "reloaded\|reload:" "$dir/err"
ok "SIGTERM while a reload loads: exit 0, at once"
cp "$dir/good.yaml" "$dir/c.yaml"
start --config "$dir/c.yaml" "$tiny=flag"
ok "starts again"
printf 'models:\n' >"$dir/c.yaml"
for i in $(seq 256); do echo "  - {path: $dir/add.onnx, name: m$i}"; done >>"$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "more than 256 models; nothing was changed" && add | grep -q outputs
ok "more models than there is room for, one of them a flag's: changes nothing"
cp "$dir/good.yaml" "$dir/c.yaml"
half() { # on descriptor 7: a request of which half has come, and the server has asked for the rest
	local line
	exec 7<>"/dev/tcp/127.0.0.1/$port"
	printf 'POST /v2/models/add/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n' >&7
	read -r -t 20 line <&7 && [[ $line = *" 100 "* ]] && read -r -t 20 line <&7 && printf '{' >&7
}
half && kill -TERM $pid && said "stopping: 1 requests" && ends TERM 1
ok "a second SIGTERM ends at once: exit 1"
exec 7>&-
[ ! -e "$dir/sock" ]
ok "without the socket's path"

# One that answers its last request still, and the next on the same path.
start --config "$dir/c.yaml"
first=$pid
half && kill -TERM $first && said "stopping: 1 requests"
# It may take the path a moment to go, or somebody will be found who answers there.
for _ in $(seq 20); do [ -e "$dir/sock" ] && sleep 0.05; done
start --config "$dir/c.yaml" && kill -0 $first
ok "a server starts on the path of one that stops"
printf '}' >&7
read -r -t 20 status <&7
exec 7>&-
wait $first && [[ $status = *" 400 "* ]] && [ "$(curl -sS --max-time 20 -o "$dir/body" -w '%{http_code}' --unix-socket "$dir/sock" http://x/v2/health/ready 2>>"$dir/err")" = 200 ]
ok "and keeps the path when that has ended"
ends TERM 0

# ---- rights --------------------------------------------------------------------------------------
if [ "$(id -u)" = 0 ]; then
	chmod 755 "$dir"
	start "$dir/add.onnx" --qos-ms 20000
	# shellcheck disable=SC2016 # a key between backquotes
	said 'serving as root: `user:` in the configuration'
	ok "as root without a user: said"
	ends TERM 0
	start "$dir/add.onnx" --qos-ms 20000 --user nobody --listen 127.0.0.1:0 --listen "unix:$dir/sock"
	add | grep -q outputs && [ "$(stat -c %U "$dir/sock")" = nobody ] &&
		[ "$(awk '/^Uid/ { print $2 $3 $4 $5 }' /proc/$pid/status)" = "$(id -u nobody)$(id -u nobody)$(id -u nobody)$(id -u nobody)" ] &&
		[ $((0x$(awk '/^CapEff/ { print $2 }' /proc/$pid/status) & ~((1 << 38) | (1 << 39)))) = 0 ] && ! grep -q "as root" "$dir/err"
	ok "--user: another user, with CAP_BPF and CAP_PERFMON at most; the socket is its own"
	if prlimit --nice=30:30 true 2>/dev/null; then
		[ "$(awk '$2 == "(vt-io-0)" { print $19 }' /proc/$pid/task/*/stat)" = $(($(awk '{ print $19 }' /proc/$pid/stat) - 10)) ]
		ok "and its I/O threads come before its workers"
	else
		skip "I/O threads come before workers" "this root may not raise limits"
	fi
	ends TERM 0
	rm -f "$dir/sock"
	mkdir -p "$dir/roots" "$dir/state"
	refuses "a store where the user may not write, at the start" 2 "--profiles" "$dir/add.onnx" --qos-ms 20000 --user nobody \
		--profiles "$dir/roots/p.db" --listen 127.0.0.1:0
	checks "a store where the user may not write" "--profiles: user 'nobody' cannot write" "$dir/add.onnx" --user nobody \
		--profiles "$dir/roots/p.db" --listen 127.0.0.1:0
	chown nobody "$dir/state" && "$veltair" serve "$dir/add.onnx" --user nobody --profiles "$dir/state/p.db" --listen 127.0.0.1:0 --check \
		>"$dir/out" 2>"$dir/err" && [ -z "$(ls -A "$dir/state")" ] && [ ! -s "$dir/err" ]
	ok "--check: looks as the user, and leaves nothing behind"
	chown root "$dir/state"
	timeout 60 setpriv --reuid=65533 --clear-groups --inh-caps=-all "$veltair" serve "$dir/add.onnx" --user nobody --profiles "$dir/roots/p.db" \
		--listen 127.0.0.1:0 --check >"$dir/out" 2>"$dir/err" && grep -q "is known to root and 'nobody' only" "$dir/err"
	ok "--check: somebody else is told what cannot be looked at"
	STATE_DIRECTORY="/nowhere:$dir/state" start "$dir/add.onnx" --qos-ms 20000 --user nobody --profiles "$dir/state/p.db" \
		--listen 127.0.0.1:0 && [ "$(stat -c %U "$dir/state")" = nobody ] && said "profiled add" && ends TERM 0
	ok "systemd's StateDirectory is given to the user, and profiled into"
	cp "$dir/state/p.db" "$dir/roots/p.db"
	start "$dir/add.onnx" --qos-ms 20000 --user nobody --profiles "$dir/roots/p.db" --listen 127.0.0.1:0 --monitor off &&
		said "models will not be profiled" && [ "$(stat -c %U "$dir/roots/p.db")" = nobody ] && ends TERM 0
	ok "a store that is there in such a directory: is the user's, and serves"
else
	skip "--user" "needs root"
fi

# ---- profiles ------------------------------------------------------------------------------------
start "$dir/add.onnx" --qos-ms 20000 --profiles "$dir/p.db" --listen 127.0.0.1:0 && add | grep -q outputs
ok "a model without a profile serves at once"
said "profiled add" && add | grep -q outputs && ends TERM 0
ok "and is profiled while nothing runs"
start "$dir/add.onnx" --qos-ms 20000 --profiles "$dir/p.db" --listen 127.0.0.1:0 && said "alone (profiled)" && ends TERM 0
ok "the next start takes its times from the store"

# ---- refusals are counted -------------------------------------------------------------------------
hopeless() { # status of a request that has a nanosecond
	curl -sS -o "$dir/body" -w '%{http_code}' --max-time 20 "http://127.0.0.1:$port/v2/models/add/infer" -d '{"inputs":[
		{"name":"a","datatype":"FP32","shape":[2,3],"data":[1,1,1,1,1,1]},
		{"name":"b","datatype":"FP32","shape":[2,3],"data":[1,1,1,1,1,1]}],"parameters":{"deadline_ms":0.000001}}' 2>>"$dir/err"
}
start "$dir/add.onnx" --qos-ms 20000 --listen 127.0.0.1:0
[ "$(hopeless)$(hopeless)$(hopeless)" = 504504504 ] && add | grep -q outputs &&
	curl -sS "http://127.0.0.1:$port/metrics" >"$dir/metrics" &&
	grep -q 'veltair_requests_refused_total{model="add",version="1",reason="deadline"} 3' "$dir/metrics" &&
	curl -sS "http://127.0.0.1:$port/v2/models/add/stats" | grep -q '"fail": *{"count": *3'
ok "what is refused on arrival is in the metrics and the statistics"
hopeless >/dev/null && grep -q "could not meet its deadline: 0 ms left, at least [.0-9]* ms needed" "$dir/body"
ok "with what was left and what is needed"
! grep -q "is less than" "$dir/err" && ends TERM 0
ok "(a target that can be met: nothing is said of it)"
cat >"$dir/short.yaml" <<END
listen: 127.0.0.1:0
models: [{path: $dir/slow.onnx, qos_ms: 0.05}]
END
start --config "$dir/short.yaml"
said "QoS 0.05 ms is less than the " && grep -q "that slow takes alone: no request can be in time; raise qos_ms, or admission: late" "$dir/err"
ok "a target shorter than the model's own time: said when it is loaded"
head -c 1048576 /dev/zero | curl -sS -o "$dir/body" --max-time 20 -H 'Inference-Header-Content-Length: 0' --data-binary @- \
	"http://127.0.0.1:$port/v2/models/slow/infer" 2>>"$dir/err" &&
	grep -q "could not meet its deadline: 0[.0-9]* ms left, at least [.0-9]* ms needed" "$dir/body"
ok "and each refusal tells both"
ends TERM 0

# Far more than it can do: who is refused is told so, not kept until it is hopeless. A bound for hangs, on any machine.
# The target is what 64 clients have more work for than it can do until then, and one of them has not.
case $veltair in
*/asan/*) target_ms=3000 ;;
*) target_ms=1000 ;;
esac
cat >"$dir/short.yaml" <<END
listen: 127.0.0.1:0
models: [{path: $dir/small.onnx, qos_ms: $target_ms, instances: 1}]
END
# Slower than slow.onnx, with inputs that cost nothing to send.
for i in $(seq 13 36); do slow+=" t$i = MatMul(t$((i - 1)),x);"; done
"$writer" 13 "in a f32 512,1; in b f32 1,512; x = MatMul(a,b); $slow y = MatMul(t36,a); out y" >"$dir/small.onnx"
start --config "$dir/short.yaml"
load 4 small 64
wait $loader
[ "$(field ok)" -gt 0 ] && [ "$(field refused)" -ge 100 ] && [ "$(field cut)$(field lost)$(field other)$(field mixed)" = 0000 ]
ok "64 clients of a model that serves a few: some are served, others refused"
[ "$(field refused_ms_p99)" -lt $((target_ms / 2)) ]
ok "99 of 100 refusals come long before their target"
echo "# $(cat "$dir/load.json")"
ends TERM 0

# The store comes when the first times have been taken, so that these are what profiling finds in place of them.
cat >"$dir/short.yaml" <<END
listen: 127.0.0.1:0
cores: $(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')
profiles: $dir/made.db
models: [{path: $dir/slow.onnx, qos_ms: 1}, {path: $dir/add.onnx, qos_ms: 1000}]
END
store=$(dirname "$writer")/store_write
"$store" "$dir/later.db" "$dir/slow.onnx" "" "" 0.00001 && "$store" "$dir/later.db" "$dir/add.onnx" "" "" 1000000
ok "(times of a store)"
start --config "$dir/short.yaml"
said "that slow takes alone: no request can be in time" && mv "$dir/later.db" "$dir/made.db" &&
	said "QoS 1 ms can be met after all: slow takes 0" && said "QoS 1000 ms is less than the " && said "ms that add takes alone" &&
	[ "$(grep -c "QoS .* ms \(is less\|can be met\)" "$dir/err")" = 3 ]
ok "a target that profiling finds possible after all, or impossible: said then, once"
ends TERM 0

# ---- open files -----------------------------------------------------------------------------------
cat >"$dir/few.yaml" <<END
listen: 127.0.0.1:0
monitor: off
models: [{path: $dir/add.onnx, qos_ms: 20000}]
END
limited() { # limited SOFT HARD: starts within these limits of open files
	printf '#!/bin/sh\nulimit -Sn %s && ulimit -Hn %s && exec "%s" "$@"\n' "$1" "$2" "$veltair" >"$dir/limited"
	chmod 755 "$dir/limited"
	veltair=$dir/limited start --config "$dir/few.yaml"
}
limited 256 4096 && [ "$(awk '/^Max open files/ { print $4 }' /proc/$pid/limits)" -gt 1024 ] && ! grep -q max_connections "$dir/err" && ends TERM 0
ok "the limit of open files is raised for max_connections"
limited 256 256 && said "limits.max_connections: "
ok "as far as it may be: fewer connections, said"
(
	# shellcheck disable=SC2034 # it stays open until this shell ends
	for _ in $(seq 300); do exec {fd}<>"/dev/tcp/127.0.0.1/$port"; done
	sleep 1
	: >"$dir/err"
	kill -HUP $pid && said reloaded
)
ok "and with all of them idle a file can be read: SIGHUP reloads"
ends TERM 0

# ---- a recording that cannot be written ------------------------------------------------------------
start "$dir/add.onnx" --qos-ms 20000 --listen 127.0.0.1:0 --record /dev/full && add | grep -q outputs && ends TERM 1 &&
	said "/dev/full: the recording is not whole: No space left"
ok "a recording that cannot be written: serves, says so, exit 1"

# ---- a recording that nothing takes ----------------------------------------------------------------
mkfifo "$dir/pipe"
refuses "a recording into a pipe that nobody reads" 1 "$dir/pipe: cannot write: a pipe that nobody reads yet" "$dir/add.onnx" --record "$dir/pipe"
refuses "a trace likewise" 1 "$dir/pipe: cannot write: a pipe that nobody reads yet" "$dir/add.onnx" --trace "$dir/pipe"
exec 6<>"$dir/pipe" # whose reader stands still
start "$dir/add.onnx" --qos-ms 20000 --listen 127.0.0.1:0 --record "$dir/pipe"
load 2 add 4
wait $loader
[ "$(field ok)" -gt 300 ] && [ "$(field cut)$(field lost)$(field other)$(field mixed)$(field refused)$(field dropped)" = 000000 ] &&
	: >"$dir/err" && kill -HUP $pid && said reloaded
ok "a recording into a pipe that is full: requests are answered, and signals" "$dir/err"
{ sleep 30 && kill -9 $pid; } >/dev/null 2>&1 &
killer=$!
ends TERM 1 && said "$dir/pipe: the recording is not whole: the file takes nothing" && kill $killer && [ -p "$dir/pipe" ] && [ ! -e "$dir/pipe.1" ]
ok "SIGTERM: it ends before drain_ms, says so, exit 1" "$dir/err"
exec 6>&-

# ---- the recording of a server that is killed ------------------------------------------------------
start "$dir/add.onnx" --qos-ms 20000 --listen 127.0.0.1:0 --record "$dir/killed" && [ "$(head -c 7 "$dir/killed")" = VTTRACE ]
ok "a recording has its head when the server is ready" "$dir/err"
for _ in $(seq 30); do add | grep -q outputs || break; done
decided() { # decided FILE: starts of blocks in this recording, which is not whole
	timeout 60 "$veltair" inspect --decisions --json --last 1024 "$1" >"$1.json" 2>"$1.err"
	[ $? = 2 ] && grep -q "without its end mark" "$1.err" || echo "# a whole one" >"$1.json"
	grep -o '"action":"start"' "$1.json" | wc -l
}
for _ in $(seq 40); do # once a second, on a machine that does nothing else
	[ "$(decided "$dir/killed")" -lt 30 ] || break
	sleep 0.25
done
{ kill -9 $pid && wait $pid; } 2>/dev/null
pid=
[ "$(decided "$dir/killed")" -ge 30 ]
ok "idle for a while and then killed: every decision is in its recording" "$dir/killed.err"

# ---- and what it was, for those that come after ------------------------------------------------------
cp "$dir/killed" "$dir/kept" && echo "of the night" >"$dir/spans"
refuses "a model that is none, with a recording and a trace of before" 2 "$dir/text.onnx" "$dir/text.onnx" --listen 127.0.0.1:0 \
	--record "$dir/killed" --trace "$dir/spans"
cmp -s "$dir/killed" "$dir/kept" && [ "$(cat "$dir/spans")" = "of the night" ] && [ ! -e "$dir/killed.1" ] && [ ! -e "$dir/killed.new" ] &&
	[ ! -e "$dir/spans.1" ] && [ ! -e "$dir/spans.new" ]
ok "they are as they were"
start "$dir/add.onnx" --qos-ms 20000 --listen 127.0.0.1:0 --record "$dir/killed" --trace "$dir/spans" && add | grep -q outputs && ends TERM 0 &&
	timeout 60 "$veltair" sim --replay "$dir/killed" >"$dir/out" 2>>"$dir/err" && grep -q traceEvents "$dir/spans"
ok "a server that starts with the same files: they are its own" "$dir/err"
cmp -s "$dir/killed.1" "$dir/kept" && [ "$(decided "$dir/killed.1")" -ge 30 ] && [ "$(cat "$dir/spans.1")" = "of the night" ] && [ ! -e "$dir/killed.new" ] &&
	[ ! -e "$dir/spans.new" ]
ok "and what they held is kept as FILE.1" "$dir/killed.1.err"
mkdir "$dir/deep" && ln -s "$dir/killed" "$dir/deep/link"
start "$dir/add.onnx" --qos-ms 20000 --listen 127.0.0.1:0 --record "$dir/deep/link" && ends TERM 0 && [ -L "$dir/deep/link" ] && [ ! -e "$dir/deep/link.1" ] &&
	! cmp -s "$dir/killed.1" "$dir/kept" && timeout 60 "$veltair" sim --replay "$dir/killed.1" >"$dir/out" 2>>"$dir/err"
ok "an older FILE.1 is replaced; a link is followed" "$dir/err"

# ---- kill -9 -------------------------------------------------------------------------------------
bad=0
for _ in $(seq $kills); do
	start --config "$dir/c.yaml" || bad=1
	load 1 tiny 4
	sleep 0.4
	kill -9 $pid
	wait $pid 2>/dev/null
	wait $loader
done
allowed_kib=4096
case $veltair in
*/asan/*) allowed_kib=65536 ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=8} && export ASAN_OPTIONS ;; # what is freed stays a while
esac
start --config "$dir/c.yaml" || bad=1
[ $bad = 0 ] && add | grep -q outputs
ok "$kills times kill -9 under load: each next start serves"

# ---- a while under mixed load --------------------------------------------------------------------
# What a mix needs is there once it has run; after that a request may keep less than the allowance over their number.
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
load 3 tiny 8
node "$client" rude "$port" >"$dir/results" 2>>"$dir/err"
wait $loader
before=$(rss)
load "$soak" tiny 8
node "$client" rude "$port" >"$dir/results" 2>>"$dir/err"
status=$?
wait $loader
after=$(rss)
[ "$(field cut)$(field lost)$(field other)$(field mixed)" = 0000 ] && [ "$(field ok)" -gt 0 ]
ok "$soak s of load and rude clients: every request has one answer, its own"
echo "# resident $before KiB, then $after KiB; $(cat "$dir/load.json")"
[ $((after - before)) -lt $allowed_kib ]
ok "memory does not grow with it"
results $status
ends TERM 0
ok "SIGTERM: exit 0"

echo "1..$count"
[ $failed = 0 ]
