// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a view, for every policy; the same bytes as a trace. Nothing may read out of bounds.
 */
#include "../unit/sched_fixture.h"
#include "loop/trace.h"

static struct fx_models models;
static struct fx_policy policies[16];
static struct fx_view *view;

static void make_once(void)
{
	struct vt_rng rng = {.s = 1};

	if (view)
		return;
	view = fx_alloc(sizeof(*view));
	models = fx_models_new(&rng, 4, 64, VT_PLAN_ALL);
	for (unsigned int i = 0; vt_policy_at(i); i++)
		fx_policy_open(&policies[i], vt_policy_at(i), 64);
}

/* Requests and blocks are the bytes themselves: ids, layers, models and times are all foreign. */
static void read_view(const uint8_t *data, size_t len)
{
	struct vt_view *v = &view->v;
	size_t half = len / 2;

	memset(view, 0, sizeof(*view));
	fx_domains(view, 64, 1 + (len ? data[0] % 16 : 0));
	v->n_models = models.n;
	v->models = models.m;
	v->requests = view->requests;
	v->blocks = view->blocks;
	memcpy(&v->now_ns, data, len < 8 ? len : 8);
	memcpy(&v->free, data, len < 32 ? len : 32);
	memcpy(&v->taken, data + len / 3, len / 3 < 32 ? len / 3 : 32);
	memcpy(&v->taken_ppm, data + len / 5, len / 5 < 4 ? len / 5 : 4);
	v->n_requests = (uint32_t)(half / sizeof(struct vt_request) % FX_REQUESTS);
	memcpy(view->requests, data, v->n_requests * sizeof(struct vt_request));
	v->n_blocks = (uint32_t)(half / sizeof(struct vt_block) % FX_CORES);
	memcpy(view->blocks, data + half, v->n_blocks * sizeof(struct vt_block));
}

static void read_trace(const uint8_t *data, size_t len)
{
	char *copy = fx_alloc(len + 1); /* aligned, as a mapped file is */
	struct vt_trace t;

	memcpy(copy, data, len);
	if (!vt_trace_open(&t, copy, len) && t.head.n_models == 0) {
		struct vt_trace_step step;

		while (vt_trace_next(&t, &step) == 1)
			;
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	make_once();
	read_view(data, len);
	for (unsigned int i = 0; vt_policy_at(i); i++)
		vt_policy_at(i)->decide(policies[i].state, &view->v, &policies[i].d);
	read_trace(data, len);
	return 0;
}
