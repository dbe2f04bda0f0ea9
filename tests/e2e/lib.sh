# SPDX-License-Identifier: Apache-2.0
# lib.sh - TAP for the end-to-end scripts: to be sourced where $dir is set; ok after each command that is a test.
# shellcheck shell=bash
count=0 failed=0

# ok NAME [FILE]: the last command's status decides; the end of FILE says more if it failed
ok() {
	local status=$? file=${2:-${dir:-}/err}
	count=$((count + 1))
	if [ $status = 0 ]; then
		echo "ok $count - $1"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $1"
	[ ! -s "$file" ] || tail -n 20 "$file" | sed 's/^/# /'
}

# skip NAME REASON
skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}
