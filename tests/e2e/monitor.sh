#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair monitor` as a user meets it: what it prints and refuses, and that docs/abi.md tells the truth.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
PATH=$PATH:/usr/sbin:/sbin
dir=$(mktemp -d)
pins=/sys/fs/bpf/vt-e2e-$$
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

monitor() {
	timeout 30 "$veltair" monitor "$@" >"$dir/out" 2>"$dir/err"
}

# says STATUS TEXT ARGUMENT...: that exit status, TEXT on stderr, nothing on stdout
says() {
	local want=$1 text=$2 status
	shift 2
	monitor "$@"
	status=$?
	[ $status = "$want" ] && grep -qF -- "$text" "$dir/err" && [ ! -s "$dir/out" ]
	ok "refuses $* (exit $want)"
}

says 2 "not a whole number" --interval 0
says 2 "not a whole number" --top x
says 2 "is not tenant, cgroup or process" --by color
says 2 "unexpected argument" now
says 2 "llc_misses" --event llc_mises=cycles
says 2 "ROLE=EVENT" --event llc_misses

timeout 30 "$veltair" monitor --help | grep -q 'llc_misses=r412e'
ok "--help names the code of the misses"

# The rest needs BPF: say why it is left out.
why=$(monitor_lacks)
if [ -n "$why" ]; then
	skip "the rest" "$why"
	echo "1..$count"
	exit $((failed > 0))
fi
monitor --no-pin -d 1 -i 100 --json
ok "starts where doctor finds all it needs"

python3 - "$dir/out" <<'PY' 2>"$dir/err"
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert lines[0]["type"] == "start" and lines[0]["by"] == "cgroup"
windows = [l for l in lines if l["type"] == "window"]
assert 4 <= len(windows) <= 10, len(windows)
for w in windows:
    assert all(t["kind"] in ("cgroup", "other") and t["cpus"] >= 0 for t in w["tenants"])
for role, slot in lines[0]["counts"].items():
    assert slot["event"] or slot["absent"], role
hw = lines[0]["counts"]["llc_misses"].get("class") == "hw"
for w in windows:  # a stand-in is never called a miss
    assert hw or all(t["llc_misses_per_second"] is None for t in w["tenants"])
PY
ok "--json: a head and a window every 100 ms, each role with its event or its reason"

monitor --no-pin -d 1 -i 200 --csv --by process
[ "$(awk -F, 'NR == 1 { n = NF } NR > 1 && $3 == "process" { seen = 1 } END { print n, seen }' "$dir/out")" = "15 1" ]
ok "--csv: a header of 15 columns and processes"

# One that nothing switches out: each window must hold all it ran, not none and then two windows' worth.
chrt -f 1 true 2>/dev/null && first='chrt -f 1' || first=
$first sh -c 'while :; do :; done' &
busy=$!
monitor --no-pin -d 2 -i 50 --json --by process
kill $busy
wait $busy 2>/dev/null
python3 - "$dir/out" $busy <<'PY' 2>"$dir/err"
import json, sys
cpus = []
for w in [json.loads(l) for l in open(sys.argv[1])][1:]:
    cpus.append(next((t["cpus"] for t in w["tenants"] if t["id"] == int(sys.argv[2])), 0))
out = [c for c in cpus if c > 1.5]
assert len(cpus) > 20 and max(cpus) > 0.3 and not out, cpus
PY
ok "a busy loop never shows more than one CPU"

# A name that is no UTF-8 and would steer a terminal, by a byte and by one character of two.
name=$(printf 'n\377\302\233m')
cp "$(command -v bash)" "$dir/$name"
"$dir/$name" -c 'while :; do :; done' &
busy=$!
monitor --no-pin -d 1 -i 500 --json --by process && grep -qF "\"n??m[$busy]\"" "$dir/out"
ok "--json: a tenant whose name is no text is there, with what can be shown of it"
monitor --no-pin -d 1 -i 500 --by process && grep -qF "n??m[$busy]" "$dir/out"
ok "table: nor does its name steer the terminal"
kill $busy
wait $busy 2>/dev/null

monitor --no-pin -d 1 --top 1 && grep -q "SUFFERS FROM" "$dir/out" && grep -q "^by cgroup" "$dir/out"
ok "table"
# What nothing counts: the cause in the table, in one short line; what was tried in --json.
sed -n '/^$/q; /^  bandwidth/d; /n\/a/p' "$dir/out" >"$dir/absent"
[ ! -s "$dir/absent" ] || {
	! grep -vE '^  [a-z0-9_]+ +n/a  (no PMU here|no event of this CPU counts it) \(veltair doctor says what to do\)$' "$dir/absent" >"$dir/err" &&
		monitor --no-pin -d 1 --json && grep -q '"absent":"[a-z0-9_]*: nothing counts it here (' "$dir/out"
}
ok "table: why a counter is missing, in a few words"

# Where cgroups are those of v1 alone all is one of them: said, not shown as one that was removed.
if unshare -m umount -l /sys/fs/cgroup 2>"$dir/err"; then
	v1() { timeout 30 unshare -m sh -c 'umount -l /sys/fs/cgroup && exec "$@"' - "$@" >"$dir/out" 2>"$dir/err"; }
	v1 "$veltair" monitor --no-pin -d 1 -i 500 --json --by cgroup &&
		[ "$(grep -c 'cgroups cannot be told apart: cgroup v2 is not mounted' "$dir/err")" = 1 ] &&
		grep -q '"kind":"cgroup"' "$dir/out" && ! grep -q '(removed)' "$dir/out"
	ok "without cgroup v2: one line that says so, and nothing is called removed"
	v1 "$veltair" monitor --no-pin -d 1 -i 500 --by process && ! grep -q cgroup "$dir/err"
	ok "without cgroup v2, by process: nothing to say"
	"$veltair" zoo --tiny --out "$dir" mobilenet-v2 >/dev/null 2>&1
	unshare -m sh -c 'umount -l /sys/fs/cgroup && exec "$@"' - "$veltair" serve "$dir/mobilenet-v2-tiny.onnx=m" \
		--listen 127.0.0.1:0 --pin-dir "$pins" 2>"$dir/err" &
	pid=$!
	listening $pid "$dir/err" >/dev/null && kill -TERM $pid && wait $pid &&
		[ "$(grep -c 'cannot be told apart by cgroup: cgroup v2 is not mounted' "$dir/err")" = 1 ]
	ok "without cgroup v2: serve says so once"
	pid=
else
	skip "without cgroup v2: one line that says so" "cannot unmount it here"
fi

# A CPU that comes after the start and whose events cannot be opened: one that the kernel does not have.
cpus=/sys/devices/system/cpu
last=$(sed 's/.*[-,]//' $cpus/possible)
echo "0-$((last + 1))" >"$dir/possible"
cat $cpus/online >"$dir/online"
# shellcheck disable=SC2016 # for the inner shell
with_cpus=(unshare -m sh -c 'mount --bind "$1/possible" "$2/possible" && mount --bind "$1/online" "$2/online" && shift 2 && exec "$@"' - "$dir" "$cpus")
if "${with_cpus[@]}" true 2>"$dir/err"; then
	[ -s "$dir/mobilenet-v2-tiny.onnx" ] || "$veltair" zoo --tiny --out "$dir" mobilenet-v2 >/dev/null 2>&1
	"${with_cpus[@]}" "$veltair" serve "$dir/mobilenet-v2-tiny.onnx=m" --monitor on --listen 127.0.0.1:0 --pin-dir "$pins" 2>"$dir/err" &
	pid=$!
	port=$(listening $pid "$dir/err") && sleep 1.5 && ! grep -q "monitor: " "$dir/err"
	ok "(serve, before that)"
	echo "$(cat $cpus/online),$((last + 1))" >"$dir/online"
	for _ in $(seq 200); do
		grep -q "monitor: " "$dir/err" && break
		sleep 0.05
	done
	sleep 2.5
	[ "$(grep -c "veltair serve: monitor: cannot open event .* on CPU $((last + 1)): Invalid argument\$" "$dir/err")" = 1 ] &&
		curl -sS --max-time 20 "http://127.0.0.1:$port/metrics" 2>>"$dir/err" | grep -q '^veltair_tenant_cpu_seconds_total{'
	ok "serve says once of which CPU the counters cannot be opened, and goes on counting"
	kill -TERM $pid && wait $pid
	ok "SIGTERM: exit 0"
	pid=
else
	skip "serve says once of which CPU the counters cannot be opened" "cannot put others in place of the files of CPUs here"
fi

# ---- bandwidth by resctrl: a tree that stands for /sys/fs/resctrl --------------------------------
resctrl=$dir/resctrl
mkdir -p "$resctrl/info/L3_MON" "$resctrl/mon_groups"
printf 'llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n' >"$resctrl/info/L3_MON/mon_features"
echo 176 >"$resctrl/info/L3_MON/num_rmids"

# What the kernel does for each group: its files, and counters that grow, or an answer given instead.
kernel() { # kernel [ANSWER]
	local bytes=0 group at
	while :; do
		bytes=$((bytes + 1000000))
		for group in "$resctrl"/mon_groups/*/; do
			at=${group}mon_data/mon_L3_00
			[ -d "$at" ] || mkdir -p "$at"
			[ -e "${group}tasks" ] || : >"${group}tasks"
			echo 4096 >"$at/llc_occupancy"
			echo "${1:-$bytes}" >"$at/mbm_total_bytes"
			echo "${1:-$bytes}" >"$at/mbm_local_bytes"
		done 2>/dev/null
		sleep 0.05
	done
}

# with_resctrl [ANSWER]: the monitor on that tree beside a busy process, whose pid is $busy
with_resctrl() {
	kernel "$@" &
	local by_kernel=$!
	while :; do :; done &
	busy=$!
	monitor --no-pin --by process --resctrl "$resctrl" -i 200 -d 4 --json
	local status=$?
	kill $busy $by_kernel
	wait $busy $by_kernel 2>/dev/null
	return $status
}

# measured PYTHON-EXPRESSION over v, the busy process's memory_bytes_per_second, and head
measured() {
	python3 - "$dir/out" "$busy" "$1" <<'PY' 2>"$dir/err"
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
head = lines[0]
v = [t["memory_bytes_per_second"] for w in lines[1:] for t in w["tenants"] if t["id"] == int(sys.argv[2])]
assert len(v) > 5 and eval(sys.argv[3]), (head["bandwidth"], v)
PY
}

with_resctrl && measured 'head["bandwidth"].startswith("resctrl MBM") and any(x and x > 0 for x in v)'
ok "--resctrl: bytes per second of a process from its own mon_group"
grep -qx "$busy" "$resctrl"/mon_groups/*/tasks 2>"$dir/err"
ok "--resctrl: the process's thread was moved into the group"
rm -rf "$resctrl"/mon_groups/*
with_resctrl Unavailable && measured 'all(x is None for x in v)'
ok "--resctrl: a counter that answers Unavailable is null, never 0"
rm -rf "$resctrl"/mon_groups/*
monitor --no-pin -d 1 --json --resctrl "$dir/none" && head -n 1 "$dir/out" | grep -q '"bandwidth":"n/a [^"]*none'
ok "--resctrl: no such file system: n/a with the reason, and the rest goes on"

says 2 "no-such-event" --no-pin --event llc_misses=no-such-event
says 2 "exclude each other" --json --csv
says 2 "absolute path" --pin-dir relative
says 3 "BPF file system" --pin-dir /proc/veltair

timeout 20 setpriv --reuid=65534 --clear-groups --inh-caps=-all "$veltair" monitor --no-pin -d 1 >"$dir/out" 2>"$dir/err"
[ $? = 1 ] && grep -qi "root" "$dir/err" && [ "$(wc -l <"$dir/err")" = 1 ]
ok "without root: one line that says so, exit 1"
timeout 20 setpriv --reuid=65534 --clear-groups --inh-caps=-all "$veltair" monitor --pin-dir "$pins" -d 1 >"$dir/out" 2>"$dir/err"
[ $? = 1 ] && grep -q "needs root, or CAP_BPF and CAP_PERFMON" "$dir/err" && [ "$(wc -l <"$dir/err")" = 1 ]
ok "without root, with pins: what it needs, not only what was refused"

"$veltair" monitor --pin-dir "$pins" --by cgroup --csv >"$dir/live" 2>"$dir/err" &
pid=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	[ -s "$dir/live" ] && break
	sleep 0.2
done
says 1 "living process $pid; stop it, read its counters without --by, or give this one --pin-dir" --pin-dir "$pins" --by process -d 1

caps=$(awk '/^Cap(Prm|Eff)/ { print $2 }' "/proc/$pid/status" | sort -u)
[ "$caps" = 000000c000000000 ]
ok "keeps CAP_BPF and CAP_PERFMON only"

# Numbers, tags and names of the moment aside, the page must be what bpftool prints here.
shape() {
	sed -E -e '/^\tpids /d' -e 's/ +run_time_ns.*//' -e 's/(tag) [0-9a-f]+/\1 T/' \
		-e 's/loaded_at [^ ]+/loaded_at D/' -e 's/: "[^"]*"/: "S"/' -e 's/[0-9]+(,[0-9]+)*/N/g'
}
timeout 20 scripts/abi-doc.sh "$pins" <docs/abi.md | shape >"$dir/now"
shape <docs/abi.md >"$dir/page"
diff "$dir/page" "$dir/now" >"$dir/err"
ok "docs/abi.md shows what bpftool prints"

kill -TERM $pid
wait $pid && [ ! -e "$pins" ]
ok "SIGTERM: exit 0 and nothing stays pinned"
pid=

# A reader whose owner ends must say so and stop: its windows would be made of no switch at all.
owned() { # owned: an owner on the pins, in $pid
	"$veltair" monitor --pin-dir "$pins" --by cgroup -i 100 --csv >"$dir/live" 2>/dev/null &
	pid=$!
	for _ in {1..50}; do
		[ "$(wc -l <"$dir/live")" -gt 1 ] && break
		sleep 0.1
	done
}
owned
timeout 30 "$veltair" monitor --pin-dir "$pins" -i 200 --json >"$dir/out" 2>"$dir/err" &
reader=$!
timeout 30 "$veltair" monitor --pin-dir "$pins" --listen "unix:$dir/sock" >/dev/null 2>"$dir/err.listen" &
listener=$!
timeout 30 "$veltair" monitor --pin-dir "$pins" -i 3600000 --json >"$dir/out.slow" 2>"$dir/err.slow" &
slow=$!
sleep 1
kill -KILL $pid
wait $pid 2>/dev/null
dead_ns=$(python3 -c 'import time; print(time.monotonic_ns())')
wait $reader
[ $? = 1 ] && grep -q "owner of the counters (pid $pid) has ended" "$dir/err" && [ "$(wc -l <"$dir/out")" -gt 2 ] &&
	python3 - "$dir/out" "$dead_ns" <<'PY' 2>>"$dir/err"
import json, sys
last = json.loads(open(sys.argv[1]).readlines()[-1])
assert last["type"] == "window" and last["end_mono_ns"] < int(sys.argv[2]) + 50000000, (last, sys.argv[2])
PY
ok "a reader ends with its owner, exit 1, and makes no windows up"
wait $listener
[ $? = 1 ] && grep -q "owner of the counters (pid $pid) has ended" "$dir/err.listen"
ok "so does --listen"
wait $slow
[ $? = 1 ] && grep -q "owner of the counters (pid $pid) has ended" "$dir/err.slow"
ok "so does one whose window lasts an hour"
owned
kill -TERM $pid
wait $pid
pid=
[ ! -e "$pins" ]
ok "the pins of the killed one are gone with the next"

# ---- a terminal that closes, and windows of an hour ----------------------------------------------
owned
kill -HUP $pid
wait $pid && [ ! -e "$pins" ]
ok "SIGHUP: exit 0 and nothing stays pinned"
trap '' HUP # as nohup does
owned
trap - HUP
kill -HUP $pid
sleep 0.5
kill -0 $pid && kill -TERM $pid && wait $pid && [ ! -e "$pins" ]
ok "under nohup it goes on"
pid=

"$veltair" monitor --pin-dir "$pins" --by process -i 3600000 --json >"$dir/live" 2>"$dir/err" &
pid=$!
for _ in {1..50}; do
	[ -s "$dir/live" ] && break
	sleep 0.1
done
cp "$(command -v sleep)" "$dir/short-lived"
known() { bpftool map dump pinned "$pins"/*/tenants 2>/dev/null | grep -c short-lived; }
for _ in {1..5}; do # the dead are looked for each second: perhaps just before they are counted here
	for _ in {1..10}; do "$dir/short-lived" 0.01; done
	before=$(known)
	[ "$before" = 0 ] || break
done
for _ in {1..50}; do
	now=$(known)
	[ "$before" -gt 0 ] && [ "$now" = 0 ] && break
	sleep 0.1
done
[ "$before" -gt 0 ] && [ "$now" = 0 ]
ok "-i 3600000: the rows of the dead are given away long before the window ends"
kill -TERM $pid
wait $pid
ok "and SIGTERM need not wait for it"
pid=

echo "1..$count"
exit $((failed > 0))
