#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# give-back.sh DIR: what root wrote below DIR becomes the user's who called sudo, so that `make` without sudo goes on there.
set -eu
group=${SUDO_GID:-}
if [ "$(id -u)" != 0 ] || [ -z "${SUDO_UID:-}" ] || [ "$SUDO_UID" = 0 ] || [ ! -d "$1" ]; then
	exit 0
fi
find "$1/" -user 0 -exec chown -h "$SUDO_UID:$group" {} +
