#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run one test, a cmocka binary or a script that prints TAP itself, for `prove --exec`.
export CMOCKA_MESSAGE_OUTPUT=TAP
exec "$@"
