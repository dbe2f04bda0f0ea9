#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The zoo in veltair and in ONNX Runtime must give the same numbers. VT_ZOO=all: the seven full models;
# otherwise the tiny ones and MobileNet-V2. Skipped, with the reason, where ONNX Runtime cannot be had.
cd "$(dirname "$0")/../.." || exit 1

skip() {
	echo "1..0 # SKIP $1"
	exit 0
}

command -v node >/dev/null || skip "no Node.js: run 'make deps-demo'"
[ -d "${VT_NODE_DIR:-build/node}/node_modules/onnxruntime-node" ] || skip "no ONNX Runtime: run 'make ort'"
exec node tests/conformance/zoo_vs_ort.js
