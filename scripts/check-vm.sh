#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run the BPF tests under other kernels: check-vm.sh TEST-BINARY [TEST...]
#
# Boots each kernel of vm-kernels.sh in qemu without KVM, loads the scripted PMU in both faces, runs
# the tests, prints TAP: one line per kernel, face and test, then the totals. Environment:
#   VT_VM_CACHE    where packages and builds are kept (default: ~/.cache/veltair/vm)
#   VT_VM_KERNELS  which kernels, names of vm-kernels.sh (default: "6.1 6.12 7")
#   VT_VM_TIMEOUT  seconds that one guest may take (default: 300)
set -eu
binary=$1
shift
here=$(dirname "$0")
cache=${VT_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/veltair/vm}
work=$(mktemp -d)
guests=
stop() {
	# shellcheck disable=SC2086 # a list of pids
	[ -z "$guests" ] || kill $guests 2>/dev/null || true
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

for tool in qemu-system-x86_64 cpio gzip busybox; do
	command -v $tool >/dev/null || skip_all "needs $tool: make deps-check"
done
mkdir -p "$cache" 2>/dev/null || skip_all "cannot write to $cache (set VT_VM_CACHE)"

# ---- kernels, modules, one initial ramdisk for all -------------------------------------------

root=$work/root
mkdir -p "$root/bin" "$root/mod" "$root/proc" "$root/sys" "$root/dev" "$root/tmp"
: >"$work/kernels"
n=0
failed=0
for name in ${VT_VM_KERNELS:-6.1 6.12 7}; do
	status=0
	line=$("$here/vm-kernels.sh" "$cache" "$name" 2>"$work/why") || status=$?
	if [ $status != 0 ]; then
		n=$((n + 1))
		if [ $status = 3 ]; then # not possible here
			echo "ok $n - kernel $name # SKIP $(tail -n 1 "$work/why")"
		else
			failed=$((failed + 1))
			echo "not ok $n - kernel $name cannot be had: vm-kernels.sh ended with $status"
			sed 's/^/# /' "$work/why"
		fi
		continue
	fi
	# shellcheck disable=SC2086 # three words
	set -- "$@" -- $line
	while [ "$1" != -- ]; do # keep the test names in front
		set -- "$@" "$1"
		shift
	done
	shift
	v=$1 image=$2 headers=$3
	shift 3
	module=$cache/veltair_pmu-$v.ko
	if ! "$here/vm-module.sh" "$v" "$headers" "$module" 2>"$work/why"; then
		n=$((n + 1))
		failed=$((failed + 1))
		echo "not ok $n - $v: the module does not build"
		sed 's/^/# /' "$work/why"
		continue
	fi
	cp "$module" "$root/mod/$v-cloud-amd64.ko"
	echo "$v $image" >>"$work/kernels"
done

cp "$(command -v busybox)" "$root/bin/busybox"
cp "$here/../tests/vm/init" "$root/init"
cp "$binary" "$root/veltair-vm"
strip "$root/veltair-vm"
tests=$*
echo "$tests" >"$root/tests"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd"

# ---- boot ------------------------------------------------------------------------------------

# icount: the guest's clock counts its own instructions, so a busy host cannot stretch a slice in the
# middle (multiplexing: 0.2 % error rather than up to 5), and with sleep=off idling costs nothing.
# 6.1 waits for its second CPU in a loop that starves it under this qemu's icount: it goes without.
# One clock (tsc): the kernel's own choice is two, whose rates differ by up to 10 % when the host was
# busy while they were compared.
# Without cx16, because this qemu's cmpxchg16b breaks the flags now and then: 6.12 panicked in 4 of
# 12 boots with it, in none of 20 without. qemu exits 0 after a panic too: only the guest's last line
# says that all ran.
boot() {
	icount="-icount shift=2,sleep=off"
	first=
	case $1 in
	*/6.1.*)
		icount=
		# Its clock is the host's: a little ahead of others, where we may.
		! nice -n -10 true 2>/dev/null || first="nice -n -10"
		;;
	esac
	# shellcheck disable=SC2086 # a few words or none
	$first timeout "${VT_VM_TIMEOUT:-300}" qemu-system-x86_64 \
		-accel tcg,thread=single $icount -cpu Nehalem,-cx16 -smp 2 -m 512 \
		-nodefaults -nographic -no-reboot -serial stdio \
		-kernel "$1" -initrd "$work/initrd" \
		-append "console=ttyS0 quiet panic=-1 oops=panic tsc=reliable clocksource=tsc rdinit=/init ${VT_VM_APPEND:-}" \
		>"$2" 2>&1 </dev/null
}

# All at once: each keeps one core busy for half a minute.
start=$(date +%s)
while read -r v image; do
	boot "$image" "$cache/log-$v" &
	guests="$guests $!"
done <"$work/kernels"
for guest in $guests; do
	wait "$guest" || true
done
guests=

while read -r v image; do
	log=$cache/log-$v.txt # kept for whoever has to look
	tr -d '\r' <"$cache/log-$v" >"$log"
	face=
	done=
	# A kernel message may end up on the same line, before ours.
	sed -n 's/^.*VT \(face\|ok\|not ok\|skip\|done\)/\1/p' "$log" >"$work/lines"
	while read -r line; do
		case $line in
		"face "*) face=${line#face } ;;
		done) done=yes ;;
		*)
			n=$((n + 1))
			what=${line#ok }
			verdict=ok
			case $line in
			"not ok "*)
				what=${line#not ok }
				verdict="not ok"
				failed=$((failed + 1))
				;;
			"skip "*) what=$(echo "${line#skip }" | sed 's/# /# SKIP /') ;;
			esac
			echo "$verdict $n - $v $face $what"
			;;
		esac
	done <"$work/lines"
	faces="cpu named lockdown" # where there is no result nothing ran
	[ -z "$tests" ] || faces=any # those that were named need not be of every one
	empty=$(awk -v faces="$faces" '
		$1 == "face" { face = $2; next }
		$1 != "done" { seen[face]; seen["any"] }
		END { n = split(faces, f); for (i = 1; i <= n; i++) if (!(f[i] in seen)) print f[i] }' "$work/lines")
	for face in $empty; do
		n=$((n + 1))
		failed=$((failed + 1))
		echo "not ok $n - $v $face has no result"
	done
	n=$((n + 1))
	if [ -n "$done" ] && ! grep -qE 'Oops|BUG:|Kernel panic|WARNING:|Call Trace' "$log"; then
		echo "ok $n - $v ran to its end, no complaint by the kernel"
	else
		failed=$((failed + 1))
		echo "not ok $n - $v did not run cleanly to its end"
		tail -n 40 "$log" | sed 's/^/# /'
	fi
done <"$work/kernels"

echo "1..$n"
echo "# check-vm: $(wc -l <"$work/kernels") kernels, $n results, $failed failed, guests took $(($(date +%s) - start)) s"
[ "$failed" = 0 ]
