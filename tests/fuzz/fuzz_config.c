// SPDX-License-Identifier: Apache-2.0
/* fuzz_config.c - hostile configuration files. What is accepted must be within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vt_config c;
	struct vt_err e = {0};
	int err = vt_config_init(&c);

	if (!err)
		err = vt_config_parse(&c, data, size, "f.yaml", &e);
	if (!err)
		err = vt_config_check(&c, "f.yaml", &e);
	if (err) {
		check(e.code == err && e.msg[0] && !strchr(e.msg, '\n'));
	} else {
		check(c.n_listen && c.n_listen <= VT_CONFIG_LISTEN &&
		      c.n_models <= VT_CONFIG_MODELS);
		for (uint32_t i = 0; i < c.n_models; i++)
			check(c.model[i].path && c.model[i].name[0] && c.model[i].version[0] &&
			      c.model[i].n_dims <= VT_CONFIG_DIMS && c.model[i].instances <= 64);
	}
	vt_config_fini(&c);
	return 0;
}
