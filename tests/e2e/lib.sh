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

# listening PID FILE: the port of 127.0.0.1 that server PID says in FILE it is ready on; nothing if it ends or takes a minute
listening() {
	local port
	for _ in $(seq 1200); do
		port=$(sed -n 's/.*ready: .*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$2")
		[ -z "$port" ] || break
		kill -0 "$1" 2>/dev/null || return 1
		sleep 0.05
	done
	echo "$port"
	[ -n "$port" ]
}

# client_lines FILE: the results of a client, "ok NAME" and "not ok NAME", become ours
client_lines() {
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*) true && ok "${line#ok }" ;;
		"not ok "*) false || ok "${line#not ok }" ;;
		*) echo "$line" ;;
		esac
	done <"$1"
}

# memory_group BYTES: a new cgroup that may have so much memory, in $group; removed by who asked for it, when it is empty
memory_group() {
	local at name limit
	for at in "memory/vt-test-$$ memory.limit_in_bytes" "vt-test-$$ memory.max"; do
		read -r name limit <<<"$at"
		mkdir "/sys/fs/cgroup/$name" 2>/dev/null || continue
		group=/sys/fs/cgroup/$name
		echo "$1" 2>/dev/null >"$group/$limit" && return
		rmdir "$group"
		group=''
	done
	return 1
}

# skip NAME REASON
skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# monitor_lacks [COMMAND...]: of what BPF needs, what this machine does not give to COMMAND's veltair; nothing if it is all
# there, and then a monitor that does not start is a fault, not a skip
# shellcheck disable=SC2120 # most have no COMMAND
monitor_lacks() {
	{ "$@" "${veltair:-}" doctor --require kernel --require btf --require bpffs --require capabilities --require lockdown >/dev/null; } 2>&1
}
