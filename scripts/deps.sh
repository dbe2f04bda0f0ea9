#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install everything that building, testing and the demo need, by Debian package name.
# Does nothing when all of it is there. Needs root only when something is missing.
set -eu

packages=$(sed 's/#.*//' "$(dirname "$0")/packages.txt" | tr '\n' ' ')
missing=
for p in $packages; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
# A Node.js that is already there, from wherever, serves as well as Debian's.
command -v node >/dev/null && command -v npm >/dev/null || missing="$missing nodejs npm"
# Likewise kubectl, for kustomize.
command -v kubectl >/dev/null || missing="$missing kubernetes-client"

if [ -n "$missing" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "deps: these packages are missing, run 'sudo make deps':$missing" >&2
		exit 1
	fi
	echo "deps: installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of words is meant
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
