#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `make deps`, `make demo` and `make check` do to a machine, with stand-ins for dpkg, apt and systemd: no section
# installs what another is for, no service starts or stays enabled, build/ is the user's again. What the user's flags do to a build.
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

# ---- a machine where nothing is installed ------------------------------------------------------------
policy=$dir/root/usr/sbin/policy-rc.d
wants=$dir/root/etc/systemd/system/multi-user.target.wants
mkdir -p "$dir/bin" "$dir/none" "$wants" "${policy%/*}"
stand_in() { # stand_in NAME: its text from stdin
	{
		echo "#!/bin/sh"
		cat
	} >"$dir/bin/$1"
	chmod +x "$dir/bin/$1"
}
stand_in dpkg-query <<<'exit 1'
# shellcheck disable=SC2016 # of the stand-in
stand_in id <<<'echo $UID_HERE'
for tool in awk sed grep dirname cat chmod ln mv rm sh; do
	ln -s "$(command -v $tool)" "$dir/none/$tool"
done
# deps SECTION...: as user $as; no program of this machine but the above is there
as=1000
deps() {
	UID_HERE=$as PATH=$dir/bin:$dir/none VT_DEPS_ROOT=$dir/root sh scripts/deps.sh "$@" >"$dir/out" 2>"$dir/err"
}
has() { # has PACKAGE...: each is a word of what was said
	local p
	for p; do grep -qw -- "$p" "$dir/err" || return; done
}
lacks() {
	local p
	for p; do ! grep -qw -- "$p" "$dir/err" || return; done
}
deps build
[ $? = 1 ] && has gcc clang libxnnpack-dev help2man && lacks curl nodejs libcmocka-dev haproxy prometheus chromium-driver
ok "deps build: what builds, nothing else"
deps build demo
[ $? = 1 ] && has gcc curl nodejs npm && lacks libcmocka-dev haproxy prometheus chromium-driver qemu-system-x86
ok "with demo: what the demo needs too, nothing that tests need"
deps build demo check
[ $? = 1 ] && has gcc curl nodejs libcmocka-dev haproxy prometheus chromium-driver kubernetes-client
ok "with check: all"
stand_in node <<<'exit 0'
deps demo
[ $? = 1 ] && has curl npm && lacks nodejs
ok "a Node.js from elsewhere will do"
deps bench
[ $? = 2 ] && grep -q bench "$dir/err"
ok "a section that there is none of: exit 2"
make -n deps deps-demo deps-check 2>"$dir/err" | grep -o 'deps.sh.*' >"$dir/out"
[ "$(cat "$dir/out")" = "deps.sh build
deps.sh build demo
deps.sh build demo check" ]
ok "make deps, deps-demo, deps-check"

# ---- services: none started, none enabled ------------------------------------------------------------
as=0
# shellcheck disable=SC2016 # of the stand-ins
stand_in dpkg-query <<<'[ "$3" = haproxy ] || [ "$3" = prometheus ] || echo "install ok installed"; exit 0'
# shellcheck disable=SC2016 # likewise
stand_in dpkg <<<'echo /lib/systemd/system/$2.service'
stand_in systemctl <<<"echo \"\$*\" >>$dir/disabled"
# What a postinst asks is answered as apt runs, and it makes its links; $dir/ends says how that ends.
stand_in apt-get <<E2
[ "\$1" = install ] || exit 0
for service in haproxy prometheus.service ssh; do
	"$policy" \$service start
	echo "\$service \$?"
done >"$dir/answers"
for service in haproxy prometheus ssh; do
	[ -L "$wants/\$service.service" ] || ln -s /lib/systemd/system/\$service.service "$wants/\$service.service"
done
ends=\$(cat "$dir/ends")
case \$ends in [A-Z]*) kill -\$ends \$PPID; exit 1 ;; esac
exit "\$ends"
E2
answers="haproxy 101
prometheus.service 101
ssh 0"
# gone: nothing is left of the policy, and both services are disabled, no other is
gone() {
	[ ! -e "$policy" ] && [ ! -e "$policy.new" ] && grep -q 'disable.* haproxy.service' "$dir/disabled" &&
		grep -q 'disable.* prometheus.service' "$dir/disabled" && [ "$(ls "$wants")" = ssh.service ]
}
for ends in 0 100 TERM INT HUP; do
	echo $ends >"$dir/ends"
	rm -f "$dir/disabled"
	deps check
	status=$?
	[ "$(cat "$dir/answers")" = "$answers" ] && gone && [ $((status > 0)) = $((${#ends} > 1)) ]
	ok "what is installed may not start, others may; afterwards nothing is left (apt ends with $ends)"
done
echo KILL >"$dir/ends"
{ deps check; } 2>/dev/null # bash tells of a kill
[ -x "$policy" ] && "$policy" haproxy start
ok "what kill -9 leaves behind forbids nothing"
echo 0 >"$dir/ends"
deps check && gone
ok "and the next run takes it away"
printf '#!/bin/sh\nexit 0\n' >"$policy"
chmod +x "$policy"
cp "$policy" "$dir/others"
deps check && cmp -s "$policy" "$dir/others"
ok "a policy of somebody else's stays as it is"

# ---- build/ is given back ------------------------------------------------------------------------------
if [ "$(id -u)" = 0 ] && nobody=$(id -u nobody) && group=$(id -g nobody); then
	mkdir -p "$dir/build/release"
	touch "$dir/build/release/file" "$dir/outside" "$dir/build/other"
	chown 12345 "$dir/build/other"
	ln -s "$dir/outside" "$dir/build/link"
	SUDO_UID=$nobody SUDO_GID=$group scripts/give-back.sh "$dir/build" 2>"$dir/err" &&
		[ "$(stat -c %u "$dir/build" "$dir/build/release/file" "$dir/build/link" "$dir/outside" "$dir/build/other" | tr '\n' ' ')" = \
			"$nobody $nobody $nobody 0 12345 " ]
	ok "under sudo what root wrote is the user's, what links point to is not"
	chown -h 0 "$dir/build" "$dir/build/link"
	env -u SUDO_UID scripts/give-back.sh "$dir/build" 2>"$dir/err" && [ "$(stat -c %u "$dir/build")" = 0 ]
	ok "without sudo nothing changes"
else
	skip "under sudo what root wrote is the user's" "only root can give away"
fi
grep -q 'give-back.sh build' scripts/check.sh && grep -q "^trap .*give-back.sh build' EXIT" scripts/demo.sh
ok "check and demo do it, however they end"

# ---- flags of who builds ---------------------------------------------------------------------------------
# compiled FLAG...: make's command for a file, and one of the kernels
compiled() {
	local o=$dir/o
	mkdir -p "$o"
	env -u MAKEFLAGS -u MAKELEVEL -u WERROR -u CFLAGS -u CPPFLAGS -u LDFLAGS make -n "O=$o" "$@" "$o/user/base/log.o" 2>"$dir/err" | grep -- ' -c -o ' | tail -n 1
}
compiled >"$dir/out"
grep -q -- '-fstack-protector-strong.*-D_FORTIFY_SOURCE=2' "$dir/out" && ! grep -q -- '-Werror' "$dir/out"
ok "hardened; a warning is no error" "$dir/out"
compiled WERROR=1 | grep -q -- '-Werror'
ok "WERROR=1: it is"
grep -q '^export WERROR=1' scripts/check.sh
ok "and make check builds so"
compiled CFLAGS="-O3 -std=gnu17 -ffp-contract=fast -DHERE" CPPFLAGS=-D_FORTIFY_SOURCE=3 >"$dir/out"
grep -q -- ' -O2 .* -O3 .*-DHERE.* -std=gnu11 .*-ffp-contract=off' "$dir/out" && ! grep -q FORTIFY_SOURCE=2 "$dir/out"
ok "CFLAGS and CPPFLAGS count after ours, but for the language and how sums are rounded" "$dir/out"
for config in asan tsan fuzz debug; do
	compiled CONFIG=$config
done | grep -c FORTIFY >"$dir/out"
[ "$(cat "$dir/out")" = 0 ]
ok "no _FORTIFY_SOURCE where a sanitizer is, or no optimiser"
command -v readelf >/dev/null && readelf -hlW build/release/veltair >"$dir/out" 2>&1 && grep -q 'DYN (Position' "$dir/out" && grep -q GNU_RELRO "$dir/out" &&
	readelf -d build/release/veltair | grep -q NOW
ok "the program: position-independent, its tables read-only once it runs"

# ---- no kernel to boot -------------------------------------------------------------------------------------
# check-vm.sh with a vm-kernels.sh that ends as said; nothing is booted, so nothing is needed.
mkdir -p "$dir/vm/scripts" "$dir/vm/tests/vm" "$dir/vm/bin"
cp scripts/check-vm.sh "$dir/vm/scripts"
touch "$dir/vm/tests/vm/init" "$dir/vm/tests/vm/veltair-vm"
for tool in qemu-system-x86_64 busybox strip cpio; do
	printf '#!/bin/sh\n%s\n' 'cat >/dev/null 2>&1 </dev/null' >"$dir/vm/bin/$tool"
done
# shellcheck disable=SC2016 # of the stand-in
printf '#!/bin/sh\necho "vm-kernels: so it is" >&2\nexit $VM_ENDS\n' >"$dir/vm/scripts/vm-kernels.sh"
chmod +x "$dir"/vm/bin/* "$dir"/vm/scripts/*
vm_check() { # vm_check STATUS: of vm-kernels.sh
	VM_ENDS=$1 PATH=$dir/vm/bin:$PATH VT_VM_CACHE=$dir/vm/cache VT_VM_KERNELS="6.1 7" "$dir/vm/scripts/check-vm.sh" \
		"$dir/vm/tests/vm/veltair-vm" >"$dir/out" 2>"$dir/err"
}
vm_check 3 && [ "$(grep -c '^ok [12] - kernel .* # SKIP vm-kernels: so it is$' "$dir/out")" = 2 ] && grep -qx '1\.\.2' "$dir/out"
ok "a kernel that is not possible here is skipped" "$dir/out"
! vm_check 1 && [ "$(grep -c '^not ok [12] - kernel .* ended with 1$' "$dir/out")" = 2 ] && ! grep -q SKIP "$dir/out"
ok "one that fails is a failure" "$dir/out"
echo "1..$count"
exit $((failed > 0))
