#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Print docs/abi.md with the output of every command in it replaced by what this machine answers now.
#   scripts/abi-doc.sh [PIN_DIR] <docs/abi.md
# A live `veltair monitor --pin-dir PIN_DIR` must be there (a live `veltair serve` for decisions). To renew the page:
#   scripts/abi-doc.sh <docs/abi.md >new && mv new docs/abi.md
dir=${1:-/sys/fs/bpf/veltair}
inside=
while IFS= read -r line; do
	case $line in
	'```console') inside=1 ;;
	'```') inside= ;;
	'# '*)
		if [ "$inside" ]; then
			printf '%s\n' "$line"
			run=$(printf '%s' "${line#??}" | sed "s|/sys/fs/bpf/veltair|$dir|")
			# shellcheck disable=SC2086 # the words of a command
			$run 2>&1
			continue
		fi
		;;
	*) [ -z "$inside" ] || continue ;;
	esac
	printf '%s\n' "$line"
done
