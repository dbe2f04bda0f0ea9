// SPDX-License-Identifier: Apache-2.0
/* doctor.c - what this machine has and lacks, one line each, with what to do. */
#include "cli/cli.h"
#include "cli/cmds.h"

#include <stdio.h>

int vt_cmd_doctor(int argc, char **argv)
{
	static const struct argp argp = {.doc = "Say what this machine has and lacks."};

	vt_cmd_parse(&argp, argc, argv, NULL);
	puts("veltair " VT_VERSION);
	return VT_EXIT_OK;
}
