#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Man pages from the help texts, one per subcommand, so that they cannot disagree.
# usage: man.sh VELTAIR DIRECTORY
set -eu
veltair=$1 out=$2
version=$("$veltair" --version)
version=${version#veltair }
commands=$("$veltair" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || {
	echo "man.sh: $veltair --help names no commands" >&2
	exit 1
}
mkdir -p "$out"
more=$(mktemp)
trap 'rm -f "$more"' EXIT

see_also() {
	printf '[exit status]\n0 ok; 1 failed: no memory, a full disk, no server that answers; 2 bad usage or input, or an address to listen on that cannot be had; 3 not supported here.\n\n[see also]\n'
	for c in veltair $(echo "$commands" | sed 's/^/veltair-/'); do
		[ "$c" = "$1" ] || printf '.BR %s (1)\n' "$c"
	done
	printf '.PP\nPages are in share/doc/veltair under the prefix of the installation: serving.md has every key of the configuration.\n'
}

# page PAGE COMMAND SUMMARY
page() {
	see_also "$1" >"$more"
	help2man --no-info --no-discard-stderr --version-string="$version" --name="$3" --include="$more" "$2" |
		sed -e "s/^\.TH VELTAIR /.TH $(echo "$1" | tr "[:lower:]" "[:upper:]") /" -e "s/ \"veltair[^\"]*\" / \"veltair $version\" /" \
			-e '/^\.SH EXAMPLES/,/^\.SH /s/^veltair /.br\n&/' \
			>"$out/$1.1"
	[ -s "$out/$1.1" ]
}

page veltair "$veltair" "serve many deep-learning models on one CPU machine without letting them hurt each other"
for c in $commands; do
	page "veltair-$c" "$veltair $c" "$("$veltair" --help | sed -n "s/^  $c  *//p")"
done
ls "$out"
