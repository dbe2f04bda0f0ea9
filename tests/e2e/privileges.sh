#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each capability and mount that share/kubernetes grants: what is lost without it, on this machine, by dropping
# it. With both capabilities and the mount, `--monitor on` starts; without any one of them it says what it lacks. The
# set of the systemd unit, with what its example configuration suggests. A CPU quota as a container has one. The
# mounts of configuration, models and state: with the container's arguments and configuration, on a read-only root.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
pins=/sys/fs/bpf/vt-priv-$$
pid=
. tests/e2e/lib.sh
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir" "$pins"' EXIT

none() {
	echo "1..0 # SKIP $1"
	exit 0
}

[ "$(id -u)" = 0 ] || none "capabilities are dropped from root's"
if ! command -v setpriv >/dev/null || ! command -v unshare >/dev/null; then none "setpriv and unshare are needed"; fi
mountpoint -q /sys/fs/bpf || none "/sys/fs/bpf is not mounted here"
"$veltair" zoo --tiny --out "$dir" mobilenet-v2 >/dev/null 2>&1 || none "cannot write a model"
chmod 755 "$dir"
chmod 644 "$dir"/*

# started COMMAND...: becomes ready, then ends at SIGTERM; its stderr is in err
started() {
	: >"$dir/err"
	"$@" 2>"$dir/err" &
	pid=$!
	for _ in $(seq 400); do
		grep -q 'ready: ' "$dir/err" && break
		kill -0 $pid 2>/dev/null || break
		sleep 0.05
	done
	kill -TERM $pid 2>/dev/null
	wait $pid
	local status=$?
	pid=
	[ $status = 0 ] && grep -q 'ready: ' "$dir/err"
}

# serves HOW COMMAND...: started, by COMMAND and with the monitor HOW
serves() {
	local how=$1
	shift
	started "$@" "$veltair" serve --monitor "$how" --pin-dir "$pins" --listen 127.0.0.1:0 "$dir/mobilenet-v2-tiny.onnx"
}

# sound COMMAND...: --check, by COMMAND, of a server that must have its monitor
sound() {
	"$@" "$veltair" serve --monitor on --pin-dir "$pins" --listen 127.0.0.1:0 "$dir/mobilenet-v2-tiny.onnx" --check >"$dir/out" 2>"$dir/err"
}

# lacks TEXT COMMAND...: `--monitor on` is refused in a line that holds TEXT, by --check too, and auto serves and says so
lacks() {
	local text=$1
	shift
	! sound "$@" && grep -qiE -- "$text" "$dir/err" && ! serves on "$@" && grep -qiE -- "$text" "$dir/err" &&
		serves auto "$@" && grep -q 'no monitor' "$dir/err" && grep -qiE -- "$text" "$dir/err"
}

# ---- a CPU quota: the time of one core on all that are allowed, as version 1 and 2 of cgroups tell it -----------
# quota COMMAND...: becomes it, where /sys/fs/cgroup is as in a container of its own
quota() {
	# shellcheck disable=SC2016 # of the inner shell
	exec unshare -m sh -c 'set -e
		mount -t tmpfs none /sys/fs/cgroup
		mkdir /sys/fs/cgroup/cpu
		echo 100000 100000 >/sys/fs/cgroup/cpu.max
		echo 100000 >/sys/fs/cgroup/cpu/cpu.cfs_quota_us
		echo 100000 >/sys/fs/cgroup/cpu/cpu.cfs_period_us
		exec "$@"' sh "$@"
}
if [ "$(nproc)" -gt 1 ]; then
	allowed=$(awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/self/status)
	serves off quota && grep -q "computing on 1 of $(nproc) cores, ${allowed%%[-,]*}: .* 1.00 cores" "$dir/err"
	ok "a CPU quota of one core: one computes, said"
	(quota "$veltair" run --json --iters 1 "$dir/mobilenet-v2-tiny.onnx") 2>"$dir/err" | grep -q '"threads": *1,'
	ok "likewise veltair run"
	(quota "$veltair" doctor) | grep -q '^limited  *cpu-quota .* 1.00 cores'
	ok "doctor says it"
	started quota "$veltair" serve --cores "$allowed" --monitor off --listen 127.0.0.1:0 "$dir/mobilenet-v2-tiny.onnx" &&
		! grep -q 'computing on' "$dir/err" && grep -q "cores: $(nproc) are named, .* 1.00 cores" "$dir/err"
	ok "cores that are named compute, with a warning"
else
	skip "a CPU quota of one core: one computes" "there is one core"
fi

both="setpriv --bounding-set=-all,+bpf,+perfmon --inh-caps=-all"
# shellcheck disable=SC2086 # words
why=$(monitor_lacks $both)
if [ -z "$why" ]; then
	# shellcheck disable=SC2086 # words
	sound $both && [ -z "$(find /sys/fs/bpf -maxdepth 1 -name "${pins##*/}*")" ]
	ok "root with CAP_BPF and CAP_PERFMON alone: --check is sound, and leaves nothing behind"
	# shellcheck disable=SC2086 # words
	serves on $both
	ok "and the monitor counts"
	lacks 'CAP_BPF|CAP_SYS_ADMIN|permitted|permission' setpriv --bounding-set=-all,+perfmon --inh-caps=-all
	ok "without CAP_BPF: no monitor, said; serves"
	lacks 'CAP_PERFMON|CAP_SYS_ADMIN|permitted|permission' setpriv --bounding-set=-all,+bpf --inh-caps=-all
	ok "without CAP_PERFMON: no monitor, said; serves"
	# shellcheck disable=SC2086,SC2016 # words; of the inner shell
	lacks 'bpf' unshare -m sh -c 'umount /sys/fs/bpf; exec "$@"' sh $both
	ok "without the mount /sys/fs/bpf: no monitor, said; serves"
else
	skip "what the monitor needs" "$why"
fi
serves auto setpriv --reuid=10001 --regid=10001 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs &&
	grep -q 'no monitor' "$dir/err"
ok "uid 10001 with nothing at all: serves without the monitor, and says so"
# shellcheck disable=SC2016 # of the inner shell
serves off unshare -m sh -c 'mount -o remount,bind,ro / && exec "$@"' sh setpriv --reuid=10001 --regid=10001 \
	--clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs
ok "a read-only root: serves"

# ---- the systemd unit -------------------------------------------------------------------------------
# The set is read from the unit, so that the two cannot drift: a socket is given to the user, who then serves.
unit=$(sed -n 's/^CapabilityBoundingSet=//p' share/systemd/veltair.service.in)
as_setpriv() { # as_setpriv NAME...: the capabilities as setpriv takes them
	echo "-all$(printf ',+%s' "$@" | sed 's/CAP_//g' | tr '[:upper:]' '[:lower:]')"
}
sed -e 's|^listen:.*|listen:|; s|^  - 127.0.0.1:8000|  - 127.0.0.1:0|' -e "s|^# - unix:.*|  - unix:$dir/unit.sock|" \
	-e "s|^# user: *veltair|user: nobody|; s|^models:.*|models: [{path: $dir/mobilenet-v2-tiny.onnx}]|" share/examples/serve.yaml >"$dir/unit.yaml"
as_unit() { # as_unit SET [COMMAND...]: the example with a socket and a user, as root within SET, by COMMAND
	local set=$1
	shift
	started "$@" setpriv --bounding-set="$set" --inh-caps=-all --no-new-privs "$veltair" serve --config "$dir/unit.yaml" --pin-dir "$pins"
}
# shellcheck disable=SC2086 # words
as_unit "$(as_setpriv $unit)" && grep -q "$dir/unit.sock" "$dir/err"
ok "the set of the systemd unit: the socket is given to the user, who serves"
# What it is not started again for is what a bad file, and what a bad model, end with.
prevent=$(sed -n 's/^RestartPreventExitStatus=//p' share/systemd/veltair.service.in)
sed "s|^models:.*|models: [{path: $dir/none.onnx}]|" "$dir/unit.yaml" >"$dir/bad-model.yaml"
sed "s|^models:.*|modles: []|" "$dir/unit.yaml" >"$dir/bad-file.yaml"
for bad in model file; do
	timeout 60 "$veltair" serve --config "$dir/bad-$bad.yaml" --monitor off 2>"$dir/err2"
	grep -qw -- $? <<<"$prevent" && continue
	prevent=
done
[ -n "$prevent" ]
ok "the unit: a bad file or model is not tried again and again"
nice=$(sed -n 's/^LimitNICE=//p' share/systemd/veltair.service.in)
grep -q "LimitNICE=$nice" "$dir/err"
ok "without its LimitNICE: I/O threads do not come first, said"
raised="prlimit --nice=$((20 - nice)):$((20 - nice))"
if $raised true 2>/dev/null; then
	# shellcheck disable=SC2086 # words
	as_unit "$(as_setpriv $unit)" $raised && ! grep -q LimitNICE "$dir/err"
	ok "with it they do"
else
	skip "with it they do" "this root may not raise limits"
fi
# shellcheck disable=SC2086 # words
! as_unit "$(as_setpriv ${unit/CAP_CHOWN/})" && grep -q 'cannot give' "$dir/err"
ok "without its CAP_CHOWN: refused, said"
# ---- rights given up while serving: what root pinned still goes -----------------------------------------
PATH=$PATH:/usr/sbin:/sbin
# counters_of PIN_DIR: the id of the array that holds the open counters
counters_of() {
	set -- "$1"/v*/prog_switch
	bpftool -j prog show pinned "$1" 2>/dev/null | tr -d '[]' | grep -o '"map_ids":[0-9,]*' | grep -oE '[0-9]+' |
		while read -r id; do bpftool map show id "$id" | grep -q 'name vt_perf' && echo "$id"; done
}
# freed MAP: the kernel frees what nobody holds any more a moment later
freed() {
	for _ in $(seq 40); do
		bpftool map show id "$1" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	return 1
}
if [ -n "$why" ]; then
	skip "--user nobody: at its end no pin is left" "$why"
elif command -v bpftool >/dev/null && id nobody >/dev/null 2>&1; then
	"$veltair" serve --user nobody --monitor on --pin-dir "$pins" --listen 127.0.0.1:0 "$dir/mobilenet-v2-tiny.onnx" 2>"$dir/err" &
	pid=$!
	listening $pid "$dir/err" >/dev/null
	perf=$(counters_of "$pins")
	[ -n "$perf" ] && [ "$(stat -c %U "/proc/$pid")" = nobody ]
	ok "--user nobody: serves as nobody, the counters are open"
	kill -TERM $pid
	wait $pid && [ -z "$(find "$pins" ! -type d)" ] && freed "$perf"
	ok "--user nobody: at its end no pin is left, and no counter"
	pid=
	serves on && [ ! -e "$pins" ]
	ok "and the next start finds the place free"
else
	skip "--user nobody: at its end no pin is left" "no bpftool or no user nobody"
fi

# ---- a container's own PID namespace: workers are known by the kernel's numbers ------------------------------
if [ -n "$why" ]; then
	skip "in a PID namespace of its own: the model's CPU time is counted" "$why"
elif command -v node >/dev/null; then
	unshare --pid --fork --mount-proc --kill-child "$veltair" serve --monitor on --pin-dir "$pins" --listen 127.0.0.1:0 \
		"$dir/mobilenet-v2-tiny.onnx=here" 2>"$dir/err" &
	pid=$!
	port=$(listening $pid "$dir/err")
	timeout 2 node tests/e2e/serve.js load "$port" here 1000 1 >/dev/null 2>&1
	curl -sf "http://127.0.0.1:$port/metrics" | grep -q '^veltair_tenant_cpu_seconds_total{tenant="here",kind="tenant"} [0-9.]*[1-9]'
	ok "in a PID namespace of its own: the model's CPU time is counted"
	kill -TERM "$(cat "/proc/$pid/task/$pid/children")"
	wait $pid
	pid=
else
	skip "in a PID namespace of its own: the model's CPU time is counted" "no node here"
fi

# ---- config, models, state: the container's arguments, the ConfigMap's file -------------------------
# contained WITHOUT COMMAND...: becomes it, in a mount namespace whose root is read-only, with the mounts of the manifest but the one
# WITHOUT; the folders under /var are there for this, as an image would have them.
at=/var/tmp/vt-priv-$$
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir" "$pins" "$at"' EXIT
mkdir -p "$at/etc" "$at/models" "$at/state" "$dir/config" "$dir/state"
chmod 755 "$at" "$at"/* "$dir/config"
chown 10001:10001 "$dir/state"
cp "$dir/mobilenet-v2-tiny.onnx" "$dir/mobilenet-v2.onnx"
sed -e "s|/models/|$at/models/|; s|/var/lib/veltair/|$at/state/|; s+0.0.0.0:800[01]+127.0.0.1:0+; /resnet-50/,+1d" \
	share/kubernetes/base/serve.yaml >"$dir/config/serve.yaml"
chmod 644 "$dir/config/serve.yaml"
contained() {
	# shellcheck disable=SC2016 # of the inner shell
	exec unshare -m sh -c 'set -e
		at=$1 from=$2 without=$3
		shift 3
		[ $without = config ] || mount --bind -o ro "$from/config" "$at/etc"
		[ $without = models ] || mount --bind -o ro "$from" "$at/models"
		[ $without = state ] || mount --bind "$from/state" "$at/state"
		mount -o remount,bind,ro /
		exec setpriv --reuid=10001 --regid=10001 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"' \
		sh "$at" "$dir" "$@"
}

# runs WITHOUT TEXT: serves, and says TEXT sooner or later; ends at SIGTERM
runs() {
	local status
	: >"$dir/err"
	contained "$1" "$veltair" serve --config "$at/etc/serve.yaml" --monitor off 2>"$dir/err" &
	pid=$!
	for _ in $(seq 1200); do
		grep -q -- "$2" "$dir/err" && break
		kill -0 $pid 2>/dev/null || break
		sleep 0.05
	done
	kill -TERM $pid 2>/dev/null
	wait $pid
	status=$?
	pid=
	[ $status = 0 ] && grep -q 'ready: ' "$dir/err" && grep -q -- "$2" "$dir/err"
}

# stops WITHOUT TEXT: exit 2, one line
stops() {
	local status
	(contained "$1" timeout 60 "$veltair" serve --config "$at/etc/serve.yaml" --monitor off 2>"$dir/err")
	status=$?
	[ $status = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q -- "$2" "$dir/err"
}

if runs nothing "profiled mobilenet-v2" && [ -s "$dir/state/profiles.db" ]; then
	true
	ok "with the three mounts of the manifest, uid 10001: serves, and keeps a profile in state"
	stops config "$at/etc/serve.yaml"
	ok "without the mount of config: exit 2, names the file"
	stops models "$at/models/mobilenet-v2.onnx"
	ok "without the mount of models: exit 2, names the model"
	runs state "stays on its first times: $at/state/profiles.db"
	ok "without the mount of state: serves, and says that it keeps no profile"
	runs nothing "alone (profiled)"
	ok "and what state kept is there at the next start"
else
	false
	ok "with the three mounts of the manifest, uid 10001: serves, and keeps a profile in state"
fi
echo "1..$count"
[ $failed = 0 ]
