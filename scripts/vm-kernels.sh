#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Download and unpack Debian kernels with what building a module for them takes; install nothing.
#
#   vm-kernels.sh CACHE [KERNEL...]      KERNEL as in the table below; default: all of them
#
# Prints one line per kernel: VERSION VMLINUZ HEADERS. Uses the mirror that this machine's apt uses,
# with lists and state of its own under CACHE, so the machine's package state is not touched.
# Debian rotates versions: names are resolved, never pinned. Exit 3: not possible here, reason on
# stderr; 1: failed.
set -eu
cache=$1
shift

# What to boot: name, suite, versions as a pattern of grep.
table="
6.1   bookworm            6\.1\.
6.12  bookworm-backports  6\.12\.
7     sid                 [7-9]\.
7tb   trixie-backports    [7-9]\.
"
[ $# -gt 0 ] || set -- 6.1 6.12 7

skip() {
	echo "vm-kernels: $*" >&2
	exit 3
}

[ "$(uname -m)" = x86_64 ] || skip "only x86-64 kernels are known here, not $(uname -m)"
command -v apt-get >/dev/null || skip "needs apt"
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# ---- a private apt -------------------------------------------------------------------------

# The mirror of this very release, as apt understands its own sources.
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# shellcheck disable=SC2016 # these are apt's variables
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
	awk -v r="$codename" '$2 == r {print $1; exit}')
[ -n "$mirror" ] || skip "apt names no mirror for '$codename'"
key=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$key" ] || skip "needs $key"

apt=$cache/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
echo "$table" | awk -v m="$mirror" -v k="$key" \
	'NF {if (!seen[$2]++) print "deb [signed-by=" k "] " m " " $2 " main"}' >"$apt/sources.list.new"
cat >"$apt/apt.conf" <<CONF
Dir::State "$apt";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
CONF

# By option rather than by environment: read last, it wins over the machine's own settings.
aptget() {
	apt-get -c "$apt/apt.conf" "$@"
}

aptcache() {
	apt-cache -c "$apt/apt.conf" "$@"
}

update() {
	# Not again for every kernel.
	[ -z "$(find "$apt/unreachable" -mmin -5 2>/dev/null)" ] || skip "the package lists cannot be fetched"
	aptget update -qq >"$apt/update.log" 2>&1 || {
		tail -n 2 "$apt/update.log" >&2
		touch "$apt/unreachable"
		skip "the package lists cannot be fetched"
	}
	touch "$apt/updated"
	rm -f "$apt/unreachable"
}

if ! cmp -s "$apt/sources.list.new" "$apt/sources.list"; then
	mv "$apt/sources.list.new" "$apt/sources.list"
	rm -f "$apt/updated"
fi
# A day-old list still names packages that exist, or get() below refreshes it.
[ -n "$(find "$apt/updated" -mtime -1 2>/dev/null)" ] || update

# get SUITE PACKAGE: fetch it unless there, print its file. What the lists name may have been
# replaced on the mirror since: refresh them once.
get() {
	version=$(aptcache madison "$2" | awk -F' *[|] *' -v s="$1" 'index($3, " " s "/") {print $2; exit}')
	[ -n "$version" ] || return 1
	file=$apt/archives/$2_$(printf %s "$version" | sed 's/:/%3a/')
	for deb in "$file"_*.deb; do
		[ ! -f "$deb" ] || {
			echo "$deb"
			return
		}
	done
	(cd "$apt/archives" && aptget download -qq "$2=$version" >&2) || return 1
	for deb in "$file"_*.deb; do
		echo "$deb"
	done
}

# The newest version that has its headers and an image. From 7.x on the image is a meta package and
# the kernel lies in linux-binary-*.
newest() {
	suite=$1 pattern=$2
	aptcache pkgnames linux-headers- | sed -n "s/^linux-headers-\($pattern.*\)-cloud-amd64\$/\1/p" |
		grep -v -e '-rt' | sort -rV | while read -r v; do
		for image in "linux-binary-$v-cloud-amd64" "linux-image-$v-cloud-amd64"; do
			aptcache madison "$image" | grep -q " $suite/" || continue
			aptcache madison "linux-headers-$v-cloud-amd64" | grep -q " $suite/" || continue
			echo "$v $image"
			exit
		done
	done
}

# ---- unpack --------------------------------------------------------------------------------

# Tools built for a newer libc than this machine's: run each through the libc it was built for.
# modpost and objtool choose a backend by argv[0], hence --argv0.
wrap_tools() {
	root=$1 suite=$2
	find "$root"/usr/lib/linux-kbuild-* -type f -perm -u+x | while read -r f; do
		[ "$(head -c 4 "$f" | tail -c 3)" = ELF ] || continue
		! ldd "$f" 2>&1 | grep -q 'not found' || echo "$f"
	done >"$root/too-new"
	[ -s "$root/too-new" ] || return 0
	for p in libc6 libelf1t64 zlib1g libzstd1 libssl3t64; do
		deb=$(get "$suite" "$p") || return 1
		dpkg-deb -x "$deb" "$root/libs"
	done
	while read -r f; do
		mv "$f" "$f.elf"
		cat >"$f" <<WRAP
#!/bin/sh
exec "$root/libs/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/libs/usr/lib/x86_64-linux-gnu" --argv0 "\$0" "$f.elf" "\$@"
WRAP
		chmod +x "$f"
	done <"$root/too-new"
}

unpack() {
	suite=$1 v=$2 image=$3 root=$4
	rm -rf "$root"
	mkdir -p "$root"
	headers=linux-headers-$v-cloud-amd64
	parts=$(aptcache depends --no-recommends "$headers" |
		sed -n 's/^ *Depends: \(linux-headers-.*-common\|linux-kbuild-.*\)$/\1/p' | sort -u)
	for p in "$image" "$headers" $parts; do
		deb=$(get "$suite" "$p") || {
			echo "vm-kernels: cannot fetch $p" >&2
			return 1
		}
		dpkg-deb -x "$deb" "$root"
	done
	# These Makefiles name each other by absolute path.
	for f in "$root"/usr/src/linux-headers-*/Makefile "$root"/usr/src/linux-headers-*/.kernelvariables; do
		[ ! -f "$f" ] || sed -i "s|\([ =]\)/usr/src/|\1$root/usr/src/|g" "$f"
	done
	wrap_tools "$root" "$suite"
}

for name; do
	# Resolved today already, and still there.
	if [ -n "$(find "$cache/resolved-$name" -mtime -1 2>/dev/null)" ]; then
		read -r v image headers <"$cache/resolved-$name"
		if [ -f "$cache/kernels/$v/.done" ] && [ -f "$image" ]; then
			echo "$v $image $headers"
			continue
		fi
	fi
	row=$(echo "$table" | awk -v n="$name" '$1 == n {print $2, $3}')
	[ -n "$row" ] || skip "no kernel '$name' in the table"
	suite=${row% *}
	found=$(newest "$suite" "${row#* }")
	if [ -z "$found" ]; then
		update
		found=$(newest "$suite" "${row#* }")
	fi
	[ -n "$found" ] || skip "$suite offers no kernel $name"
	v=${found% *} root=$cache/kernels/${found% *}
	if [ ! -f "$root/.done" ]; then
		unpack "$suite" "$v" "${found#* }" "$root" || {
			update
			unpack "$suite" "$v" "${found#* }" "$root" || skip "kernel $v cannot be fetched"
		}
		touch "$root/.done"
	fi
	image=$(find "$root" -name "vmlinuz*" -type f | head -n 1)
	[ -n "$image" ] || skip "no kernel image in the packages of $v"
	echo "$v $image $root/usr/src/linux-headers-$v-cloud-amd64" | tee "$cache/resolved-$name"
done
