#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# haproxy.cfg for a fleet of veltair nodes, from a list of nodes and models (fleet.example).
#
#   generate.sh [-o FILE] FLEET
#
# Exit status: 0 written; 2 something is wrong with FLEET, said in one line with its place.
set -eu
out=
usage() {
	sed -n 's/^# \{0,1\}//; 3,7p' "$0"
}
while getopts o:h flag; do
	case $flag in
	o) out=$OPTARG ;;
	h)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || {
	echo "generate.sh: one FLEET file was expected; generate.sh -h" >&2
	exit 2
}
if [ ! -f "$1" ] || [ ! -r "$1" ]; then
	echo "generate.sh: $1: cannot be read" >&2
	exit 2
fi

text=$(awk -f "$(dirname "$0")/generate.awk" "$1") || exit 2
if [ -n "$out" ]; then
	# Written beside it and moved: a balancer that reloads never sees half of it.
	if ! { printf '%s\n' "$text" >"$out.new" && mv "$out.new" "$out"; } 2>/dev/null; then
		echo "generate.sh: $out: cannot be written" >&2
		exit 1
	fi
else
	printf '%s\n' "$text"
fi
