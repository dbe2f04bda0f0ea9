#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh SECTION...: install the Debian packages of these sections of packages.txt.
# Does nothing when all of it is there. Needs root only when something is missing.
set -eu

root=${VT_DEPS_ROOT:-} # a test's
policy=$root/usr/sbin/policy-rc.d
ours="of veltair's scripts/deps.sh"

# wanted SECTION: its packages, each with the program that is as good
wanted() {
	awk -v section="[$1]" '
		{ sub(/#.*/, "") }
		/^\[/ { inside = $1 == section; found += inside; next }
		inside && NF { print $1, $2 }
		END { exit !found }' "$(dirname "$0")/packages.txt" || {
		echo "deps: packages.txt has no section [$1]" >&2
		exit 2
	}
}

installed() {
	dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

list=
for section; do
	list="$list$(wanted "$section")
"
done
missing=$(printf %s "$list" | while read -r package program; do
	installed "$package" && continue
	[ -n "$program" ] && command -v "$program" >/dev/null && continue
	printf ' %s' "$package"
done)
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "deps: these packages are missing, run 'sudo scripts/deps.sh $*':$missing" >&2
	exit 1
fi

# ---- a server that a test starts itself is not to run on this machine ever after ---------------------

# The policy holds for what we install and while we run: one that a kill or a power cut left behind forbids nothing.
forbid_starts() {
	if [ -e "$policy" ] && ! grep -qs "$ours" "$policy"; then
		return # somebody's own
	fi
	cat >"$policy.new" <<EOF
#!/bin/sh
# $ours: no service that it installs is started. Can be removed when that has ended.
grep -qs deps.sh /proc/$$/cmdline || exit 0
case "$missing " in *" \${1%.service} "*) exit 101 ;; esac
exit 0
EOF
	chmod 755 "$policy.new"
	mv "$policy.new" "$policy"
}

# Units of NAME's as they would be started at boot, or by a policy of somebody's own now.
units_of() {
	dpkg -L "$1" 2>/dev/null | sed -nE 's#^(/usr)?/lib/systemd/system/([^/@]*\.(service|socket|timer))$#\2#p'
}

# A postinst makes the links by itself, where there is no systemctl too.
disable() {
	if command -v systemctl >/dev/null; then
		systemctl --quiet disable "$1"
		[ ! -d /run/systemd/system ] || systemctl --quiet stop "$1"
	fi >/dev/null 2>&1 || true
	rm -f "$root"/etc/systemd/system/*.wants/"$1"
}

undo() {
	status=$?
	trap '' HUP INT TERM
	if grep -qs "$ours" "$policy"; then rm -f "$policy"; fi
	rm -f "$policy.new"
	for package in $missing; do
		for unit in $(units_of "$package"); do
			disable "$unit"
		done
	done
	exit $status
}

echo "deps: installing$missing"
trap undo EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
forbid_starts
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words is meant
apt-get install -y -qq --no-install-recommends $missing >/dev/null
