/* SPDX-License-Identifier: Apache-2.0 */
/* engine_fixture.h - a model of the zoo as an engine. */
#ifndef VT_TESTS_ENGINE_FIXTURE_H
#define VT_TESTS_ENGINE_FIXTURE_H

#include "harness.h"

#include <stdio.h>
#include <unistd.h>

#include "exec/engine.h"
#include "model/zoo.h"

/** fx_engine - model @name with @instances of it (0: 1); its file is in @dir meanwhile. The caller's to free */
static inline struct vt_engine *fx_engine(const char *dir, const char *name, int instances)
{
	struct vt_zoo_opts zo = {.seed = 1};
	struct vt_engine_opts o = {.instances = instances};
	struct vt_engine *m = NULL;
	struct vt_err e = {0};
	char path[160];

	assert_int_equal(vt_zoo_write(vt_zoo_find(name), dir, &zo, NULL, &e), 0);
	snprintf(path, sizeof(path), "%s/%s.onnx", dir, name);
	if (vt_engine_load(&m, path, &o, &e))
		fail_msg("%s", e.msg);
	unlink(path);
	return m;
}

#endif
