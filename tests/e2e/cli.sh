#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What all subcommands promise: help, and one line on stderr with exit status 2 for bad usage.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0

ok() { # ok STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		sed 's/^/# /' "$dir/out" "$dir/err"
	fi
}

run() {
	timeout 30 "$veltair" "$@" >"$dir/out" 2>"$dir/err" </dev/null
}

# refuses ARGUMENT...: exit 2, one line on stderr, nothing on stdout
refuses() {
	run "$@"
	[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && [ ! -s "$dir/out" ]
	ok $? "refuses $*"
}

# helps ARGUMENT...: exit 0, help on stdout, nothing on stderr
helps() {
	run "$@" && grep -q "^Usage: veltair" "$dir/out" && [ ! -s "$dir/err" ]
	ok $? "$*"
}

commands=$("$veltair" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ]
ok $? "--help names the commands"
helps --help
refuses no-such-command
for c in $commands; do
	helps "$c" --help
	refuses "$c" --no-such-option
done
echo "1..$count"
