#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the pages show is what the program does: the simulator's table in README.md, figure by figure, every key of the
# configuration and the clients in docs/serving.md, the figures that pictures are drawn from. After a change of the scheduler or the simulator, docs.sh --write puts the new table in.
cd "$(dirname "$0")/../.." || exit 1
veltair=${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

# ---- README's table -------------------------------------------------------------------------------
command=$(sed -n 's/^\$ veltair sim /sim /p' README.md)
# shellcheck disable=SC2086 # words
"$veltair" $command >"$dir/out" 2>"$dir/err" && sed '/./,$!d' "$dir/out" >"$dir/now"
ok "README's '$command' runs"
if [ "${1:-}" = --write ]; then
	[ $failed = 0 ] || exit 1
	awk -v now="$dir/now" '
		inside && /^```/ { inside = 0 }
		!inside { print }
		/^\$ veltair sim / { inside = 1; while ((getline line < now) > 0) print line }' README.md >"$dir/page" &&
		cat "$dir/page" >README.md
	exit
fi
without_time() { # the last column is how long a decision took, here and now
	sed 's/ *[0-9.]*$//' "$@"
}
sed -n '/^\$ veltair sim /,/^```/p' README.md | sed '1d;$d' | without_time >"$dir/page"
without_time "$dir/now" | diff "$dir/page" - >"$dir/err"
ok "and prints what README shows (tests/e2e/docs.sh --write puts in what it prints now)"

# ---- keys of the configuration ---------------------------------------------------------------------
# `limits` has no row of its own: its keys have.
sed -n '/^static const struct key limit_keys/,/^}/s/^\t{"\([a-z_]*\)".*/limits.\1/p
	/^static const struct key \(top\|model\)_keys/,/^}/s/^\t{"\([a-z_]*\)".*/\1/p' user/server/config_yaml.c |
	grep -vx limits | sort >"$dir/keys"
[ "$(wc -l <"$dir/keys")" -gt 20 ]
ok "config_yaml.c has tables of keys" "$dir/keys"
# shellcheck disable=SC2016 # Markdown's backquotes
sed -n '/^## Configuration/,/^\*\*Reload/s/^| `\([a-z_.]*\)` |.*/\1/p' docs/serving.md | sort | diff "$dir/keys" - >"$dir/err"
ok "docs/serving.md has a row for each, and for nothing else"

# ---- the clients in Python -------------------------------------------------------------------------
mkdir "$dir/models"
"$veltair" zoo -i -o "$dir/models" mobilenet-v2 >"$dir/out" 2>"$dir/err"
"$veltair" serve --monitor off --listen 127.0.0.1:0 --qos-ms 5000 --shared-memory on "$dir/models/mobilenet-v2.onnx" 2>"$dir/err" &
server=$!
port=$(listening $server "$dir/err")
# client N: what the page's Nth prints
client() {
	awk -v n="$1" '/^```python/ { inside = ++k == n; next } /^```/ { inside = 0 } inside' docs/serving.md | sed "s/:8000/:$port/" >"$dir/client.py" &&
		(cd "$dir" && python3 client.py) 2>>"$dir/err"
}
[ "$(client 1)" = "[1, 1000]" ]
ok "the client in Python of docs/serving.md gets its answer"
[ "$(client 2)" = 1000 ]
ok "and so does the one with shared memory"
kill $server && wait $server
server=
# ---- figures in pictures --------------------------------------------------------------------------
# Ratios beside ONNX Runtime: the sixth field of four tables, one a machine.
awk -F '|' '/^\| (mobilenet-v2|efficientnet-b0|googlenet|resnet-50|bert-large) \| [12] \|/ {
		gsub(/[ *]/, ""); row = $2 " " $3; if (!(row in ratios)) rows[++n] = row; ratios[row] = ratios[row] " " $6 }
	END { for (i = 1; i <= n; i++) print rows[i] ratios[rows[i]] }' docs/performance.md >"$dir/table"
grep -v '^#' docs/pictures/ratio.dat | diff "$dir/table" - >"$dir/err"
ok "ratio.dat has the ratios of docs/performance.md"
sed -n '/^| policy | light | medium | heavy/,/^$/p' docs/simulator.md | grep '^| [a-z-]* | [0-9]' |
	sed -e 's/ ([0-9. ms]*)//g' -e 's/[|]//g' -e 's/+-//g' | awk '{ $1 = $1; print }' >"$dir/table"
grep -v '^#' docs/pictures/bound.dat | diff "$dir/table" - >"$dir/err"
ok "bound.dat has the figures of docs/simulator.md"
# ---- alerts ------------------------------------------------------------------------------------------
sed -n 's/^ *- alert: //p' share/monitoring/veltair.rules.yml | sort >"$dir/alerts"
# shellcheck disable=SC2016 # Markdown's backquotes
sed -n 's/^| `\(Veltair[A-Za-z]*\)` |.*/\1/p' docs/observing.md | sort | diff "$dir/alerts" - >"$dir/err" && [ -s "$dir/alerts" ]
ok "docs/observing.md says what to do at each alert, and at no other"
echo "1..$count"
exit $((failed > 0))
