#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair doctor` on trees that stand for other machines: what it finds there, and what it says to do.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh
: >"$dir/err"

# put PATH TEXT: a file of the tree, the folders above it made
put() {
	mkdir -p "$(dirname "$root/$1")"
	printf '%s\n' "$2" >"$root/$1"
}

# cache CPU INDEX LEVEL TYPE SIZE SHARED
cache() {
	local at=sys/devices/system/cpu/cpu$1/cache/index$2
	put "$at/level" "$3"
	put "$at/type" "$4"
	put "$at/size" "$5"
	put "$at/shared_cpu_list" "$6"
}

doctor() {
	"$veltair" doctor --root "$root" "$@" >"$dir/out" 2>"$dir/err"
}

# finds STATUS FEATURE TEXT: one line begins so and holds TEXT; what is not ok comes with a hint
finds() {
	local line
	line=$(grep "^$1 *$2 " "$dir/out")
	printf 'wanted: %s %s %s\n' "$@" >"$dir/err"
	grep "  *$2 " "$dir/out" >>"$dir/err"
	[ "$(printf '%s\n' "$line" | grep -cF -- "$3")" = 1 ] &&
		{ [ "$1" = ok ] || [[ $line == *" -> "* ]]; }
	ok "$root_name: $2 is $1: $3"
}

# ---- a server with everything: two sockets, four LLC domains, bare metal -----------------------
root=$dir/server root_name=server
flags="fpu sse2 abm avx f16c fma movbe bmi1 bmi2 avx2 avx512f avx512dq avx512cd avx512bw avx512vl"
put proc/cpuinfo "processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 25
model		: 17
model name	: AMD EPYC 9354 32-Core Processor
stepping	: 1
flags		: $flags"
put proc/self/status "Name:	veltair
CapEff:	000001ffffffffff
Cpus_allowed_list:	0-127"
put proc/self/schedstat "1500000 42000 7"
put proc/self/mounts "sysfs /sys sysfs rw 0 0
bpf /sys/fs/bpf bpf rw 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw 0 0
resctrl /sys/fs/resctrl resctrl rw 0 0"
put proc/filesystems "nodev	sysfs
nodev	resctrl
	ext4"
put proc/meminfo "MemTotal:       263979232 kB
MemFree:        1 kB
MemAvailable:   209715200 kB"
put proc/sys/kernel/osrelease 6.12.9-amd64
put proc/sys/kernel/perf_event_paranoid 3
put proc/sys/kernel/unprivileged_bpf_disabled 2
put sys/kernel/btf/vmlinux x
put sys/kernel/security/lockdown "none [integrity] confidentiality"
put sys/kernel/mm/transparent_hugepage/enabled "[always] madvise never"
put sys/bus/event_source/devices/cpu/type 4
put sys/fs/resctrl/info/L3_MON/mon_features "llc_occupancy
mbm_total_bytes
mbm_local_bytes"
put sys/devices/system/cpu/online 0-7
put sys/devices/system/cpu/smt/active 0
put sys/devices/system/cpu/cpu0/cpufreq/scaling_governor performance
put sys/devices/system/node/online 0-1
put sys/devices/system/node/node0/cpulist 0-3
put sys/devices/system/node/node1/cpulist 4-7
for c in 0 1 2 3 4 5 6 7; do
	cache $c 0 1 Data 32K $c
	cache $c 1 1 Instruction 64K $c
	cache $c 2 2 Unified 1024K $c
	cache $c 3 3 Unified 32768K $((c / 2 * 2))-$((c / 2 * 2 + 1))
done

doctor
ok "server: exit 0"
[ "$(wc -l <"$dir/out")" = "$(grep -cE '^(ok|limited|missing) +[a-z0-9-]+ +.' "$dir/out")" ]
ok "server: every line is a status, a feature and what there is"
finds ok cpu "AMD EPYC 9354 32-Core Processor, events of zen4"
finds ok isa avx512
finds ok matrix-kernel "AVX-512 kernel"
finds ok cores "8 online, all allowed: 0-7"
finds ok cpu-quota none
finds ok smt off
finds ok taken-cores schedstat
finds ok governor performance
finds ok caches "L1 32K, L2 1024K, L3 32768K"
finds ok llc-domains "4 domains of L3 (32768K); 0-1; 2-3; 4-5; 6-7"
finds ok core-to-core "not measured: this is a copy of a machine's files"
finds ok numa "2 nodes; node 0: 0-3; node 1: 4-7"
finds ok memory "251.8 GiB, 200.0 GiB available"
finds ok huge-pages always
finds ok kernel 6.12.9-amd64
finds ok capabilities "cap_bpf, cap_perfmon"
finds ok perf-paranoid "3, which does not bind"
finds ok pmu "'cpu'"
finds limited llc-misses "only opening a counter tells"
finds ok btf vmlinux
finds ok bpffs /sys/fs/bpf
finds ok cgroup2 "mounted at /sys/fs/cgroup"
finds ok unprivileged-bpf "only with CAP_BPF"
finds ok lockdown integrity
finds ok resctrl "memory bandwidth and cache occupancy"

doctor --require resctrl --require btf --require pmu
ok "server: --require of what is there: exit 0"

# ---- the same, one thing changed ---------------------------------------------------------------
root_name="server, changed"
put proc/self/status "CapEff:	0000000000000000
Cpus_allowed_list:	0,2-3"
put sys/kernel/security/lockdown "none integrity [confidentiality]"
put sys/kernel/mm/transparent_hugepage/enabled "always madvise [never]"
put sys/devices/system/cpu/smt/active 1
put sys/devices/system/cpu/cpu0/cpufreq/scaling_governor powersave
put proc/sys/kernel/unprivileged_bpf_disabled 0
put proc/sys/kernel/osrelease 5.15.0-100
put proc/self/mounts "sysfs /sys sysfs rw 0 0"
put proc/self/cgroup "0::/kubepods/pod/container"
put sys/fs/cgroup/kubepods/pod/cpu.max "250000 100000"
put sys/fs/cgroup/kubepods/pod/memory.max 2147483648
put sys/fs/cgroup/kubepods/pod/memory.current 1073741824
put proc/cpuinfo "model name	: Some CPU
flags		: ${flags%% avx512*}"
doctor
finds limited cpu "Some CPU: no table"
finds limited isa "avx2: vectors of 8"
finds ok matrix-kernel "AVX2 kernel, tiles of 12 x 32"
finds limited cores "3 of 8 online cores allowed: 0,2-3"
finds limited cpu-quota "the time of 2.50 cores, 3 allowed"
finds limited memory "251.8 GiB, 1.0 GiB available within the limit of the cgroup"
finds limited smt "two threads share"
finds limited governor powersave
finds limited huge-pages never
finds limited kernel 5.15.0-100
finds missing capabilities "no cap_bpf, cap_perfmon"
finds limited perf-paranoid 3
finds missing bpffs "mount -t bpf bpf /sys/fs/bpf"
finds missing cgroup2 "--by process"
finds limited unprivileged-bpf "any user"
finds missing lockdown "lockdown=integrity"
finds missing resctrl "mount -t resctrl resctrl /sys/fs/resctrl"
put proc/self/status "CapEff:	000000c000000000"
put proc/self/mounts "resctrl /sys/fs/resctrl resctrl rw 0 0"
put sys/fs/resctrl/info/L3_MON/mon_features llc_occupancy
put sys/devices/system/cpu/smt/active 0
put sys/fs/cgroup/kubepods/pod/cpu.max "800000 100000"
put sys/fs/cgroup/kubepods/pod/memory.max 8589934592
doctor
finds ok cpu-quota "the time of 8.00 cores"
finds ok memory "7.0 GiB available within the limit of the cgroup"
finds limited capabilities "cap_bpf, cap_perfmon"
finds ok perf-paranoid 3
finds limited resctrl "cache occupancy only"

doctor --require btf --require bpffs
[ $? = 3 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "bpffs is missing: .*mount -t bpf" "$dir/err"
ok "--require of what is missing: exit 3, one line with what to do"
doctor --require smt --require isa
ok "--require of what is limited: exit 0"

# ---- every second of many cores ----------------------------------------------------------------
root_name="server, half"
half=$(seq -s , 0 2 1022)
put sys/devices/system/cpu/online "$half"
put proc/self/status "CapEff:	000001ffffffffff
Cpus_allowed_list:	$half"
doctor
finds ok cores "512 online, all allowed: 0,2,4"
finds ok llc-domains "4 domains of L3 (32768K); 0-1; 2-3; 4-5; 6-7"

# ---- a tree with nothing in it -----------------------------------------------------------------
root=$dir/empty root_name=empty
mkdir -p "$root/proc" "$root/sys"
doctor
ok "empty: exit 0"
finds limited isa baseline
finds limited caches unknown
finds limited llc-domains unknown
finds missing cores "no list"
finds ok cpu-quota none
finds limited taken-cores "cannot stay away"
finds missing memory unknown
finds missing pmu "no core PMU"
finds missing btf "CONFIG_DEBUG_INFO_BTF"
finds missing perf-paranoid "no perf events"
finds missing unprivileged-bpf "no BPF system call"

# ---- this machine, and bad usage ---------------------------------------------------------------
"$veltair" doctor >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/err" ] && grep -q "^ok  *xnnpack " "$dir/out"
ok "this machine: exit 0, XNNPACK is there"
"$veltair" doctor --json >"$dir/json" 2>"$dir/err" && python3 - "$dir/json" "$dir/out" <<'PY' 2>"$dir/err"
import json, sys
j = json.load(open(sys.argv[1]))
text = [l.split()[:2] for l in open(sys.argv[2])]
f = j["findings"]
assert [[x["status"], x["name"]] for x in f] == text, text
assert all(x["what"] and (x["status"] == "ok") == (not x["hint"]) for x in f)
for s in ("ok", "limited", "missing"):
    assert j[s] == sum(x["status"] == s for x in f)
assert j["root"] == "/" and j["version"]
PY
ok "--json: the same findings, each with a hint unless ok"

root=$dir/$(printf 'n\377m')
mkdir -p "$root/proc" "$root/sys"
doctor --json && python3 - "$dir/out" <<'PY' 2>"$dir/err"
import json, sys
j = json.load(open(sys.argv[1]))
assert j["root"].endswith("/n?m") and j["findings"], j["root"]
PY
ok "--json: a root whose name is no text"

# refuses TEXT ARGUMENT...: exit 2, one line on stderr with TEXT, nothing on stdout
refuses() {
	local text=$1
	shift
	"$veltair" doctor "$@" >"$dir/out" 2>"$dir/err"
	[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$text" "$dir/err" && [ ! -s "$dir/out" ]
	ok "refuses $*"
}
refuses "no feature 'warp-drive'" --require warp-drive
refuses "no proc/ and sys/" --root "$dir/nowhere"
refuses "unexpected argument" now
refuses "--frobnicate" --frobnicate

echo "1..$count"
[ $failed = 0 ]
