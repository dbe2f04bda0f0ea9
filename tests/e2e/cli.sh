#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What all subcommands promise: help, and one line on stderr with exit status 2 for bad usage that says where to
# read on.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

run() {
	timeout 30 "$veltair" "$@" >"$dir/out" 2>"$dir/err" </dev/null
}

# refuses ARGUMENT...: exit 2, one line on stderr, nothing on stdout
refuses() {
	run "$@"
	[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && [ ! -s "$dir/out" ]
	ok "refuses $*"
}

# hints COMMAND ARGUMENT...: refused, and the line's end names the command's help
hints() {
	run "$@"
	[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "; see \`veltair $1 --help\`" "$dir/err" && [ ! -s "$dir/out" ]
	ok "says where to read on: ${*//$'\n'/ }"
}

# helps ARGUMENT...: exit 0, help on stdout, nothing on stderr
helps() {
	run "$@" && grep -q "^Usage: veltair" "$dir/out" && [ ! -s "$dir/err" ]
	ok "$*"
}

commands=$("$veltair" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ]
ok "--help names the commands"
helps --help
helps -h
helps help
refuses no-such-command
refuses help no-such-command
[ "$("$veltair" version)" = "$("$veltair" --version)" ]
ok "version is --version"
with=
for c in $commands; do
	helps "$c" --help
	cp "$dir/out" "$dir/help"
	helps "$c" -h && cmp -s "$dir/out" "$dir/help" && helps help "$c" && cmp -s "$dir/out" "$dir/help"
	ok "$c: -h and help tell the same"
	if grep -q '^Examples:' "$dir/help"; then
		with="$with$c "
		sed '1,/^Examples:/d' "$dir/help" >"$dir/examples"
		grep -q "^  .*veltair $c" "$dir/examples" && ! grep -q '^[^ ]' "$dir/examples"
		ok "$c: examples are whole lines, to be copied"
	fi
	hints "$c" --no-such-option
	hints "$c" -Z
done
[ "$with" = "bench sim " ]
ok "bench and sim have examples: $with"
hints run
hints run --threads
hints run $'a\nb' c
hints serve --listen
hints serve x.onnx --max-body 3MB

# One cause, one exit status: nobody answers is 1, an address that cannot be had is 2.
status() { # status WANTED TEXT ARGUMENT...
	local want=$1 text=$2
	shift 2
	run "$@"
	[ $? = "$want" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$text" "$dir/err"
	ok "exit $want: $*"
}
for url in "unix:$dir/none" http://127.0.0.1:1; do
	status 1 "" bench --url "$url" --model m --rate 1
	status 1 "" top --url "$url" --batch -n 1 -i 100
done
if grep -q ' lo$' /proc/net/if_inet6 2>/dev/null; then
	status 1 "Connection refused" top --url 'http://[::1]:1' --batch -n 1 -i 100
else
	skip "exit 1: top --url http://[::1]:1" "no IPv6 here"
fi
# Who neither takes a connection nor refuses it, as a machine that is gone: listeners with all the waiting room taken.
python3 - "$dir/full" >"$dir/ports" <<'PY' &
import socket, sys, time
kept = []
for family, at in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, sys.argv[1])):
    l = socket.socket(family)
    l.bind(at)
    l.listen(0)
    kept.append(l)
    for _ in range(4):
        c = socket.socket(family)
        c.setblocking(False)
        c.connect_ex(l.getsockname())
        kept.append(c)
print(kept[0].getsockname()[1], flush=True)
time.sleep(600)
PY
full=$!
for _ in $(seq 600); do [ ! -s "$dir/ports" ] || break; sleep 0.05; done
for url in "http://127.0.0.1:$(cat "$dir/ports")" "unix:$dir/full"; do
	timeout 10 "$veltair" top --url "$url" --batch -n 1 -i 100 >"$dir/out" 2>"$dir/err"
	[ $? = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF "timed out" "$dir/err"
	ok "exit 1, and not stuck: top --url of who neither takes a connection nor refuses it (${url%%:*})"
done
kill $full
status 2 "cannot listen on unix:$dir/none/s" serve /dev/null --monitor off --listen "unix:$dir/none/s"
why=$(monitor_lacks)
if [ -z "$why" ]; then
	status 2 "cannot listen on unix:$dir/none/s" monitor --no-pin --listen "unix:$dir/none/s"
else
	skip "exit 2: monitor --listen" "$why"
fi
echo "1..$count"
[ $failed = 0 ]
