// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_sched.c - any bytes as a view, for every policy, which may refuse or not by the last of them; the same bytes
 * as a recording, replayed as cli/replay.c does and explained as `veltair inspect --decisions` does.
 *
 * Nothing may read out of bounds, and what is decided keeps what policy.h promises whatever a view holds. Checksums
 * are put right first: no mutation would find them. tests/unit/test_loop.c writes the seeds.
 */
#include "../unit/sched_fixture.h"
#include "loop/explain.h"
#include "loop/trace.h"
#include "loop/trace_int.h"

#define AT_ONCE	   16	       /* actions explained */
#define MOST_BYTES (64u << 20) /* of models; a head may ask for any number */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct fx_models models;
static struct fx_policy policies[2][16]; /* [may refuse] */
static struct fx_view *view;

static void check(int ok)
{
	if (!ok)
		abort();
}

static void make_once(void)
{
	struct vt_rng rng = {.s = 1};

	if (view)
		return;
	view = fx_alloc(sizeof(*view));
	models = fx_models_new(&rng, 4, 64, VT_PLAN_ALL);
	for (unsigned int i = 0; vt_policy_at(i); i++)
		for (int shed = 0; shed < 2; shed++)
			fx_policy_open_shed(&policies[shed][i], vt_policy_at(i), 64, shed);
}

/* ---- views ------------------------------------------------------------------------------------ */

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
	memcpy(&v->margin_ppm, data + len / 7, len / 7 < 4 ? len / 7 : 4);
	v->n_requests = (uint32_t)(half / sizeof(struct vt_request) % FX_REQUESTS);
	memcpy(view->requests, data, v->n_requests * sizeof(struct vt_request));
	v->n_blocks = (uint32_t)(half / sizeof(struct vt_block) % FX_CORES);
	memcpy(view->blocks, data + half, v->n_blocks * sizeof(struct vt_block));
}

/* ---- recordings ------------------------------------------------------------------------------- */

/* From the first trace on, as long as lengths lead from one part to the next. */
static void mend(char *at, const char *end)
{
	for (;;) {
		size_t left = (size_t)(end - at);
		struct vt_trace_step_head step;
		struct vt_trace_head head;
		uint64_t sum;

		if (left >= sizeof(head) && !memcmp(at, vt_trace_magic, sizeof(vt_trace_magic))) {
			memcpy(&head, at, sizeof(head));
			if (head.len < sizeof(head) || head.len > left || head.len % 8)
				return;
			at += head.len;
			continue;
		}
		if (left < sizeof(step))
			return;
		memcpy(&step, at, sizeof(step));
		if (step.len < sizeof(step) + sizeof(sum) || step.len > left || step.len % 8)
			return;
		sum = vt_trace_sum(at, step.len - sizeof(sum));
		memcpy(at + step.len - sizeof(sum), &sum, sizeof(sum));
		at += step.len;
	}
}

/* What was decided, of which a recording may say anything. */
static void explain(const struct vt_sample *s, const struct vt_decision *d)
{
	struct vt_reason why[AT_ONCE];
	size_t from = 0, n;

	do {
		n = vt_explain(s, d, from, why, AT_ONCE);
		for (size_t i = 0; i < n; i++)
			check(!why[i].model || why[i].model < s->view.n_models);
		from += n;
	} while (n == AT_ONCE);
}

static int apply(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	explain(s, &((struct vt_trace_replay *)self)->step.decision);
	check(d->n_actions <= d->cap_actions && d->n_versions <= d->cap_versions);
	return vt_trace_plant.apply(self, s, d);
}

static void play(struct vt_trace *t, struct vt_loop *l)
{
	const struct vt_plant plant = {.sample = vt_trace_plant.sample, .apply = apply};
	struct vt_trace_replay r = {.trace = t};
	int err;

	do
		err = vt_loop_step(l, &plant, &r);
	while (!err);
	check(err < 0 && r.steps == t->steps);
}

/* Replay the trace at @at; returns where it ends, or NULL if it is none. */
static const char *replay(const char *at, size_t len)
{
	struct vt_loop_cfg cfg;
	struct vt_trace t;
	void *known, *mem;
	size_t need;

	if (vt_trace_open(&t, at, len)) {
		check(t.what && t.what[0]);
		return NULL;
	}
	cfg = (struct vt_loop_cfg){.policy = vt_policy_find(t.head.policy),
				   .policy_cfg = t.head.policy_cfg,
				   .n_domains = t.head.n_domains,
				   .max_layers = t.head.max_layers,
				   .fresh_ns = t.head.fresh_ns};
	need = cfg.policy ? vt_trace_models_size(&t, cfg.policy->plan_needs) : SIZE_MAX;
	if (need > MOST_BYTES)
		return NULL;
	known = fx_alloc(need + !need);
	need = vt_trace_models(&t, cfg.policy->plan_needs, known, need) ? 0 : vt_loop_size(&cfg);
	if (need) {
		mem = fx_alloc(need);
		play(&t, vt_loop_init(mem, need, &cfg));
		free(mem);
	}
	free(known);
	return need ? t.at : NULL;
}

static void read_recording(const uint8_t *data, size_t len)
{
	char *copy = fx_alloc(len + !len); /* aligned, as a mapped file is */
	const char *at = copy, *end = copy + len;

	memcpy(copy, data, len);
	mend(copy, end);
	while (at && at < end) {
		const char *next = replay(at, (size_t)(end - at));

		check(!next || (next > at && next <= end));
		at = next;
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	make_once();
	read_view(data, len);
	for (unsigned int i = 0; vt_policy_at(i); i++) {
		struct fx_policy *p = &policies[len ? data[len - 1] & 1 : 0][i];
		const char *err;

		p->p->decide(p->state, &view->v, &p->d);
		err = fx_check(&view->v, &p->d, fx_may_shed(p));
		if (err && !strstr(err, "nothing is started")) {
			fprintf(stderr, "%s: %s\n", p->p->name, err);
			abort();
		}
	}
	read_recording(data, len);
	return 0;
}
