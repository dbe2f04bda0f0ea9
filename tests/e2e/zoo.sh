#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair zoo` as a user meets it: what is written, what is said, with which exit status, what is left.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
trap 'umount "$dir/small" 2>/dev/null; rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

# says STATUS TEXT ARGUMENT...: that exit status, one line on stderr with TEXT, nothing on stdout
says() {
	local want=$1 text=$2 status
	shift 2
	"$veltair" zoo "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status = "$want" ] && [ "$(grep -c . "$dir/err")" = 1 ] && grep -qF -- "$text" "$dir/err" && [ ! -s "$dir/out" ]
}

"$veltair" zoo --list >"$dir/out" 2>"$dir/err" && [ "$(wc -l <"$dir/out")" = 15 ]
ok "--list shows seven models and seven tiny ones"

"$veltair" zoo --list --json 2>"$dir/err" | python3 -c 'import json, sys; sys.exit(len(json.load(sys.stdin)) != 14)' 2>>"$dir/err"
ok "--list --json is JSON"

"$veltair" zoo --out "$dir/a/b" --tiny --inputs >"$dir/out" 2>"$dir/err" &&
	[ "$(find "$dir/a/b" -name '*.onnx' | wc -l)" = 7 ] && [ "$(find "$dir/a/b" -name '*.npy' | wc -l)" = 9 ] &&
	[ "$(find "$dir/a/b" -type f | wc -l)" = 16 ]
ok "--tiny --inputs writes seven models, nine inputs and nothing else, into a folder that it makes"

"$veltair" zoo --out "$dir/c" --tiny resnet-50 googlenet-tiny >"$dir/out" 2>"$dir/err" &&
	[ "$(ls "$dir/c")" = "googlenet-tiny.onnx
resnet-50-tiny.onnx" ] && cmp "$dir/c/resnet-50-tiny.onnx" "$dir/a/b/resnet-50-tiny.onnx" 2>"$dir/err"
ok "names choose; the same seed gives the same bytes"

"$veltair" zoo --out "$dir/c" --seed 2 resnet-50-tiny >"$dir/out" 2>"$dir/err" &&
	! cmp -s "$dir/c/resnet-50-tiny.onnx" "$dir/a/b/resnet-50-tiny.onnx"
ok "another seed replaces the file by another"

says 2 "no model 'alexnet'" --out "$dir/d" alexnet && [ ! -e "$dir/d" ]
ok "unknown model: exit 2, nothing made"
says 2 "--out DIR" resnet-50
ok "no --out: exit 2"
says 2 "--seed" --out "$dir/d" --seed x
ok "a seed that is no number: exit 2"
says 2 "--frobnicate" --out "$dir/d" --frobnicate
ok "unknown flag: exit 2"
touch "$dir/file"
says 2 "$dir/file" --out "$dir/file/x" resnet-50-tiny
ok "a file where the folder should be: exit 2, the path is named"

if mkdir "$dir/small" && mount -t tmpfs -o size=1m tmpfs "$dir/small" 2>/dev/null; then
	"$veltair" zoo --json --out "$dir/small" mobilenet-v2 >"$dir/out" 2>"$dir/err"
	[ $? = 1 ] && [ ! -s "$dir/out" ] && grep -q "13.5 MiB are needed" "$dir/err"
	ok "a full disk: exit 1, says how much is needed"
	[ -z "$(ls "$dir/small")" ]
	ok "and leaves no file"
else
	echo "ok $((count += 1)) - a full disk # SKIP may not mount a small file system here"
	echo "ok $((count += 1)) - and leaves no file # SKIP may not mount a small file system here"
fi

mkdir "$dir/stop"
"$veltair" zoo --out "$dir/stop" bert-large >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 200); do
	[ -n "$(ls "$dir/stop")" ] && break
	sleep 0.01
done
kill -INT $pid
wait $pid
[ $? = 1 ] && grep -q "bert-large: stopped" "$dir/err" && [ -z "$(ls "$dir/stop")" ]
ok "interrupted: exit 1, leaves no file"

echo "1..$count"
[ $failed = 0 ]
