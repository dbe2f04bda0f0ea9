#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make install` into a DESTDIR: what is to be there is there and sound, `make uninstall` leaves nothing.
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

command -v help2man >/dev/null || {
	echo "1..0 # SKIP no help2man here"
	exit 0
}
env -u MAKEFLAGS -u MAKELEVEL make -s install DESTDIR="$dir" PREFIX=/usr >"$dir.log" 2>&1
ok "make install" "$dir.log"
rm -f "$dir.log"
share=$dir/usr/share/veltair/monitoring
"$dir/usr/bin/veltair" --version >/dev/null
ok "the program"
[ -s "$dir/usr/share/man/man1/veltair-inspect.1" ] && [ -s "$dir/usr/lib/systemd/system/veltair.service" ] && [ -s "$dir/usr/share/doc/veltair/serve.yaml" ]
ok "man pages, unit, example"
unit=$dir/usr/lib/systemd/system/veltair.service
grep -qx 'Wants=network-online.target' "$unit" && grep -qx 'After=.*network-online.target.*' "$unit"
ok "the unit comes after the network's addresses"
doc=$dir/usr/share/doc/veltair
missing=
for page in docs/*.md; do
	cmp -s "$page" "$doc/${page#docs/}" || missing="$missing $page"
done
# Whatever a page links to on this machine, pictures included. Code between backquotes is none.
for page in "$doc"/*.md; do
	# shellcheck disable=SC2013,SC2016 # links hold no spaces; Markdown's backquotes
	for link in $(sed 's/`[^`]*`//g' "$page" | grep -oE '\]\([^)# ]+' | sed -E '/^..[a-z]+:/d; s/^..//' | sort -u); do
		[ -s "${page%/*}/$link" ] || missing="$missing ${page##*/}:$link"
	done
done
[ -z "$missing" ]
ok "every page, and what it links to beside it$missing"
cmp -s LICENSE LICENSES/Apache-2.0.txt
ok "LICENSE is the text of Apache-2.0 and nothing else"
missing=
for f in LICENSE NOTICE CHANGELOG.md LICENSES/*; do
	cmp -s "$f" "$doc/$f" || missing="$missing $f"
done
# shellcheck disable=SC2013 # names hold no spaces
for f in $(grep -o 'LICENSES/[A-Za-z0-9.-]*txt' NOTICE); do
	[ -s "$doc/$f" ] || missing="$missing $f"
done
[ -z "$missing" ]
ok "the licences, to whom what belongs, and what has changed$missing"
key=$(sed -n 's/.*Every key is in \([^;]*\);.*/\1/p' "$doc/serve.yaml")
# shellcheck disable=SC2016 # Markdown's backquotes
[ "$key" = /usr/share/doc/veltair/serving.md ] && grep -q '^| `listen` |' "$dir$key"
ok "the example says where every key is"
# The user whom it names is one that what is installed beside it makes.
user=$(sed -n 's/^user: *\([a-z]*\) .*/\1/p' "$doc/serve.yaml")
[ "$user" = veltair ] && grep -q "^u $user - \".*\" /var/lib/veltair\$" "$dir/usr/lib/sysusers.d/veltair.conf"
ok "the example is served as a user of its own"
if [ "$(id -u)" = 0 ] && command -v systemd-sysusers >/dev/null; then
	mkdir "$dir/etc"
	systemd-sysusers --root="$dir" 2>"$dir/err" && grep -q "^$user:.*:/var/lib/veltair:.*nologin" "$dir/etc/passwd"
	ok "whom systemd-sysusers makes"
	rm -rf "${dir:?}/etc"
else
	skip "whom systemd-sysusers makes" "no root, or no systemd-sysusers here"
fi
missing=
for c in $("$dir/usr/bin/veltair" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
	[ -s "$dir/usr/share/man/man1/veltair-$c.1" ] || missing="$missing $c"
done
[ -z "$missing" ]
ok "a man page for each command$missing"
# As they are read: help2man takes what argp wrapped for a new paragraph.
if command -v man >/dev/null; then
	broken=
	for c in sim bench; do
		MANWIDTH=400 man -l "$dir/usr/share/man/man1/veltair-$c.1" >"$dir/out" 2>/dev/null
		grep -q 'each model on the fewest cores that meet its target' <(tr -s ' ' <"$dir/out") || broken="$broken $c:policies"
		"$dir/usr/bin/veltair" $c --help | sed -n '/^Examples:/,$s/^  veltair/veltair/p' >"$dir/err"
		[ -s "$dir/err" ] && sed -n '/^EXAMPLES/,/^SEE/s/^  *veltair/veltair/p' "$dir/out" | tr -s ' ' | cmp -s - "$dir/err" || broken="$broken $c:examples"
	done
	[ -z "$broken" ]
	ok "man pages show policies and examples whole$broken"
else
	skip "man pages show policies and examples whole" "no man here"
fi
(cd "$dir" && sh usr/share/veltair/haproxy/generate.sh usr/share/veltair/haproxy/fleet.example) >"$dir/out" 2>"$dir/err" &&
	cmp -s "$dir/out" "$dir/usr/share/veltair/haproxy/haproxy.cfg" && cmp -s "$dir/out" share/haproxy/haproxy.cfg
ok "haproxy's generator makes what the example is"
# From elsewhere: the files beside the sources are not to be what is found.
(cd "$dir" && usr/bin/veltair sim --machine vm-2 --mix light,live-light --policy edf --rate 10 --requests 50) >"$dir/out" 2>"$dir/err" &&
	[ "$(grep -c ' on vm-2 ' "$dir/out")" = 2 ]
ok "sim finds machines and mixes"
(cd "$dir" && usr/bin/veltair sim --machine mainframe --rate 10) 2>"$dir/out"
[ $? = 2 ] && grep -q "3990x.*$dir/usr/share/veltair/machines" "$dir/out"
ok "a machine that there is none of: the names, and where they were looked for" "$dir/out"
rm -f "$dir/out" "$dir/err"
for f in prometheus.yml prometheus-adapter.yaml veltair.rules.yml veltair.dashboard.json; do
	cmp -s "share/monitoring/$f" "$share/$f"
	ok "$f"
done
node -e 'const d = JSON.parse(require("fs").readFileSync(process.argv[1])); if (!d.panels.length || !d.title) process.exit(1)' "$share/veltair.dashboard.json"
ok "the dashboard is JSON with panels and a title"
if command -v promtool >/dev/null; then
	promtool check config "$share/prometheus.yml" >"$dir/lint" 2>&1 && grep -q '[1-9][0-9]* rules found' "$dir/lint"
	ok "promtool takes the configuration, and finds the rules beside it" "$dir/lint"
	rm -f "$dir/lint"
else
	skip "promtool takes the configuration" "no promtool here"
fi
env -u MAKEFLAGS -u MAKELEVEL make -s uninstall DESTDIR="$dir" PREFIX=/usr >/dev/null 2>&1
[ -z "$(find "$dir" -type f)" ]
ok "make uninstall leaves no file"
echo "1..$count"
exit $((failed > 0))
