#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Rules of the tree: formatting, include DAG, licence lines, shell scripts. Prints each breach; exit 1 if any.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0
say() {
	echo "check-tree: $*" >&2
	bad=1
}

# Who may include whom (docs/architecture.md). Key: directory; value: directories it may name.
allowed() {
	case $1 in
	user/base) echo base ;;
	user/pressure) echo pressure ;;
	user/sched) echo "pressure sched" ;;
	user/loop) echo "pressure sched loop" ;;
	user/model) echo "base model onnx" ;;
	kernels) echo "base model kernels" ;;
	user/events) echo "base events" ;;
	user/monitor) echo "base events monitor bpf loop" ;; # loop: for struct vt_domain_counts
	user/profile) echo "base profile" ;;
	user/exec) echo "base profile kernels model pressure sched loop exec monitor" ;;
	user/sim) echo "base pressure sched loop sim profile" ;;
	user/load) echo "base load" ;;
	user/metrics) echo "base metrics events monitor sched loop pressure exec" ;;
	user/server) echo "base profile sched loop kernels model metrics server exec" ;;
	user/cli) echo "base events monitor pressure sched loop model profile exec sim load server metrics kernels cli" ;;
	*) echo any ;;
	esac
}

# Where git lists nothing (no work tree, or not this user's) or a program is absent nothing would be found wrong.
files=$(git ls-files -co --exclude-standard '*.c' '*.h')
[ -n "$files" ] || say "git lists no files here"
command -v clang-format >/dev/null || say "no clang-format here"
for f in $files; do
	[ -f "$f" ] || continue
	dir=$(dirname "$f")
	can=$(allowed "$dir")
	# shellcheck disable=SC2013 # names of folders hold no spaces
	[ "$can" = any ] || for inc in $(sed -n 's/^#include "\([a-z_]*\)\/.*/\1/p' "$f" | sort -u); do
		case " $can " in *" $inc "*) ;; *) say "$f: may not include $inc/" ;; esac
	done
done

fmt=$(git ls-files -co --exclude-standard '*.c' '*.h' | grep -v -e vmlinux | xargs -r clang-format --dry-run 2>&1 | grep -c 'warning: code should be clang-formatted')
[ "$fmt" = 0 ] || say "clang-format: $fmt places differ; run 'make format'"

for f in $(git ls-files -co --exclude-standard | grep -E '\.(c|h|sh|js|mk|py)$|Kbuild$|Makefile$|\.ci/run$'); do
	[ -f "$f" ] || continue
	head -n 3 "$f" | grep -q SPDX-License-Identifier || say "$f: no SPDX line"
done

scripts=$(git ls-files -co --exclude-standard '*.sh' .ci/run)
# shellcheck disable=SC2086 # a list of words is meant
[ -z "$scripts" ] || shellcheck $scripts || say "shellcheck: see above"
exit $bad
