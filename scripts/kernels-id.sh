#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kernels-id.sh OBJECT...: a C file with a digest of the machine code in these objects. Profiles belong to it:
# another compiler, flag or line of a kernel is another id, another comment is not.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for o in "$@"; do
	objcopy --strip-debug --remove-section=.comment "$o" "$tmp/o"
	sha256sum <"$tmp/o"
done >"$tmp/sums"
id=$(sha256sum <"$tmp/sums" | cut -c1-12)
cat <<EOF
/* Made by scripts/kernels-id.sh. */
extern const char vt_kernels_id[];
const char vt_kernels_id[] = "$id";
EOF
