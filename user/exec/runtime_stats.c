// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_stats.c - looking at it without holding up the loop.
 *
 * All counts are atomics with plain loads and stores. rt->seq is odd while somebody steps: a reader
 * copies, and copies again if it was odd or has moved on. Under constant load it takes what it has
 * after a few tries: each number is right then, of moments a step apart.
 */
#include <string.h>

#include "base/clock.h"
#include "exec/runtime_int.h"
#include "pressure/pressure.h"

#define TRIES	 64
#define BUCKET_0 500000ull
#define TURN_0	 250ull

#define REASONS_AT_ONCE 64u /* on the stack */

uint64_t vt_runtime_bucket_ns(unsigned int i)
{
	static const uint64_t bounds[VT_RUNTIME_BUCKETS - 1] = {
#define B(n, d) (BUCKET_0 * (n) / (d))
		B(1, 1),
		B(3, 2),
		B(9, 4),
		B(27, 8),
		B(81, 16),
		B(243, 32),
		B(729, 64),
		B(2187, 128),
		B(6561, 256),
		B(19683, 512),
		B(59049, 1024),
		B(177147, 2048),
		B(531441, 4096),
		B(1594323, 8192),
		B(4782969, 16384),
		B(14348907, 32768),
		B(43046721, 65536),
		B(129140163, 131072),
		B(387420489, 262144),
		B(1162261467, 524288),
		B(3486784401, 1048576),
		B(10460353203, 2097152),
		B(31381059609, 4194304),
#undef B
	};

	return i < VT_RUNTIME_BUCKETS - 1 ? bounds[i] : UINT64_MAX;
}

uint64_t vt_turn_bucket_ns(unsigned int i)
{
	if (!i)
		return TURN_0;
	i--;
	return i < 4 * VT_TURN_OCTAVES ? ((TURN_0 * (5 + i % 4) << i / 4) + 3) / 4 : UINT64_MAX;
}

unsigned int vt_turn_bucket(uint64_t ns)
{
	unsigned int octave;

	if (ns < TURN_0)
		return 0;
	octave = 63u - (unsigned int)__builtin_clzll(ns / TURN_0);
	if (octave >= VT_TURN_OCTAVES)
		return VT_TURN_BUCKETS - 1;
	return 1 + 4 * octave + (unsigned int)((4 * ns / TURN_0 >> octave) - 4);
}

uint64_t vt_turn_percentile_ns(const uint64_t count[VT_TURN_BUCKETS], double p)
{
	uint64_t n = 0, seen = 0;

	for (unsigned int i = 0; i < VT_TURN_BUCKETS; i++)
		n += count[i];
	for (unsigned int i = 0; i < VT_TURN_BUCKETS && n; i++) {
		seen += count[i];
		if ((double)seen >= p * (double)n)
			return vt_turn_bucket_ns(i);
	}
	return 0;
}

/* ---- written by who steps ----------------------------------------------------------------- */

static void publish_loop(struct vt_runtime *rt)
{
	const struct vt_loop_stats *s = vt_loop_stats(rt->loop), *b = &rt->loop_before;

	RT_SET(rt->n.steps, b->steps + s->steps);
	RT_SET(rt->n.starts, b->starts + s->starts);
	RT_SET(rt->n.conflicts, b->conflicts + s->conflicts);
	RT_SET(rt->n.grows, b->grows + s->grows);
	RT_SET(rt->n.shrinks, b->shrinks + s->shrinks);
	RT_SET(rt->n.preempts, b->preempts + s->preempts);
	RT_SET(rt->n.sheds, b->sheds + s->sheds);
	RT_SET(rt->n.learned, b->learned + s->learned);
}

static void publish_domains(struct vt_runtime *rt, const struct vt_sample *s)
{
	uint32_t learned = vt_loop_stats(rt->loop)->learned ? VT_PRESSURE_SLOWDOWN : 0;

	for (uint32_t d = 0; d < s->view.n_domains; d++) {
		bool counted = s->counts && s->counts[d].window_ns;

		RT_SET(rt->domain[d].ppm, s->view.domains[d].pressure_ppm);
		RT_SET(rt->domain[d].confidence_ppm, s->view.domains[d].confidence_ppm);
		RT_SET(rt->domain[d].sources,
		       learned | (counted ? VT_PRESSURE_COUNTERS
					  : RT_GET(rt->domain[d].sources) & VT_PRESSURE_COUNTERS));
	}
}

static void publish_reason(struct vt_runtime *rt, const struct vt_reason *r, const char *model)
{
	uint64_t n = RT_GET(rt->reasons) + 1, word[sizeof(*r) / 8];
	struct rt_reason *to = &rt->reason[n % VT_RUNTIME_REASONS];

	memcpy(word, r, sizeof(word));
	RT_SET(to->seq, 0);
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		RT_SET(to->word[i], word[i]);
	RT_SET(to->seq, n);
	RT_SET(rt->reasons, n);
	if (rt->o.monitor)
		vt_monitor_decided(rt->o.monitor, n, r, model);
}

/* What pressure rests on, in any domain: they differ for the first moments only. */
static uint8_t sources_of(const struct vt_runtime *rt)
{
	uint32_t all = 0;

	for (uint32_t d = 0; d < rt->topo.n_domains; d++)
		all |= RT_GET(rt->domain[d].sources);
	return (uint8_t)all;
}

static void publish_reasons(struct vt_runtime *rt, struct vt_reason *r, size_t n)
{
	const uint8_t sources = sources_of(rt);

	for (size_t i = 0; i < n; i++) {
		const struct rt_model *m = rt->model_of[r[i].model];

		r[i].model = RT_GET(m->id);
		r[i].sources = sources;
		publish_reason(rt, &r[i], m->name);
	}
}

void rt_publish(struct vt_runtime *rt, const struct vt_sample *s)
{
	struct vt_reason r[REASONS_AT_ONCE];
	size_t from = 0, n;

	publish_loop(rt);
	publish_domains(rt, s);
	do {
		n = vt_explain(s, vt_loop_decision(rt->loop), from, r, REASONS_AT_ONCE);
		publish_reasons(rt, r, n);
		from += n;
	} while (n == REASONS_AT_ONCE);
}

/* ---- read by anybody ---------------------------------------------------------------------- */

static void read_loop(const struct vt_runtime *rt, struct vt_runtime_stats *s)
{
	s->loop = (struct vt_loop_stats){
		.steps = RT_GET(rt->n.steps),
		.starts = RT_GET(rt->n.starts),
		.conflicts = RT_GET(rt->n.conflicts),
		.grows = RT_GET(rt->n.grows),
		.shrinks = RT_GET(rt->n.shrinks),
		.preempts = RT_GET(rt->n.preempts),
		.sheds = RT_GET(rt->n.sheds),
		.learned = RT_GET(rt->n.learned),
	};
	s->late_actions = RT_GET(rt->n.late_actions);
	s->decide_ns = RT_GET(rt->n.decide_ns);
	s->decide_max_ns = RT_GET(rt->n.decide_max_ns);
	s->turn_ns = RT_GET(rt->n.turn_ns);
	s->blocks_took_ns = RT_GET(rt->n.took_ns);
	s->blocks_planned_ns = RT_GET(rt->n.planned_ns);
	for (unsigned int i = 0; i < VT_TURN_BUCKETS; i++) {
		s->decide[i] = RT_GET(rt->n.decide[i]);
		s->turn[i] = RT_GET(rt->n.turn[i]);
	}
	s->waiting = RT_GET(rt->n_queued);
	s->running = RT_GET(rt->n_running);
	s->policy = RT_GET(rt->policy_now)->name;
}

static void read_cores(const struct vt_runtime *rt, struct vt_runtime_stats *s)
{
	struct vt_cpuset taken = {{0}};

	for (uint32_t d = 0; d < rt->topo.n_domains; d++)
		s->domain[d] = (struct vt_runtime_domain){
			.pressure_ppm = RT_GET(rt->domain[d].ppm),
			.confidence_ppm = RT_GET(rt->domain[d].confidence_ppm),
			.sources = RT_GET(rt->domain[d].sources),
			.first = rt->topo.domain[d].first,
			.n_cores = rt->topo.domain[d].n_cores,
		};
	vt_pool_taken(rt->pool, &taken);
	for (uint32_t c = 0; c < rt->topo.n_cores; c++)
		s->core[c] = (struct vt_runtime_core){
			.cpu = rt->topo.cpu[c],
			.id = RT_GET(rt->core[c].id),
			.since_ns = RT_GET(rt->core[c].since_ns),
			.model = RT_GET(rt->core[c].model),
			.busy_ns = vt_pool_busy_ns(rt->pool, rt->topo.cpu[c]),
			.available_ppm = vt_pool_available_ppm(rt->pool, rt->topo.cpu[c]),
			.taken = vt_cpuset_has(&taken, rt->topo.cpu[c]),
		};
}

/* What ended is read before what came, so that no more has ended than came. ONE(field), EACH(field, length) */
#define SUMS(ONE, EACH)                                                                            \
	EACH(ended, VT_OUTCOMES)                                                                   \
	ONE(requests)                                                                              \
	ONE(in_time)                                                                               \
	ONE(late)                                                                                  \
	EACH(latency, VT_RUNTIME_BUCKETS)                                                          \
	ONE(latency_sum_ns)                                                                        \
	ONE(queue_sum_ns)                                                                          \
	ONE(core_sum_ns)                                                                           \
	ONE(blocks)                                                                                \
	ONE(conflicts)                                                                             \
	ONE(wanted_cores)                                                                          \
	ONE(granted_cores)                                                                         \
	EACH(layer_runs, VT_MAX_VERSIONS)

static void add_counts(struct vt_runtime_model *s, const struct rt_model *m)
{
#define ONE(f) s->f += RT_GET(m->f);
#define EACH(f, n)                                                                                 \
	for (unsigned int i = 0; i < (n); i++)                                                     \
		s->f[i] += RT_GET(m->f[i]);
	SUMS(ONE, EACH)
#undef ONE
#undef EACH
	s->waiting += RT_GET(m->waiting);
	s->running += RT_GET(m->running);
}

/* Plain ones, of models that have gone. */
static void add_before(struct vt_runtime_model *s, const struct vt_runtime_model *b)
{
#define ONE(f) s->f += b->f;
#define EACH(f, n)                                                                                 \
	for (unsigned int i = 0; i < (n); i++)                                                     \
		s->f[i] += b->f[i];
	SUMS(ONE, EACH)
#undef ONE
#undef EACH
}

void rt_pass_on(struct vt_runtime *rt, const struct rt_model *m)
{
	struct rt_model *to = NULL;

	for (uint32_t i = 0; i < VT_RUNTIME_MODELS && m->name[0] && m->replaced; i++)
		if (!rt->model[i].replaced && rt_same_name(&rt->model[i], m->name, m->version))
			to = &rt->model[i];
	if (!to)
		return;
	add_counts(&to->before, m);
	add_before(&to->before, &m->before);
	to->before.waiting = to->before.running = 0;
}

/* @old: the replaced ones, of any name: they still answer what they took, and have their share in the counts. */
static void read_model(const struct rt_model *m, const struct rt_model *const *old, uint32_t n_old,
		       struct vt_runtime_model *s)
{
	*s = m->before;
	for (uint32_t i = 0; i < n_old; i++) {
		if (!rt_same_name(old[i], m->name, m->version))
			continue;
		add_counts(s, old[i]);
		add_before(s, &old[i]->before);
	}
	add_counts(s, m);
	memcpy(s->name, m->name, sizeof(s->name));
	memcpy(s->version, m->version, sizeof(s->version));
	s->id = atomic_load(&m->id);
	s->qos_ns = RT_GET(m->qos_ns);
	s->max_queue = m->max_queue;
	s->costs_source = RT_GET(m->costs_source);
	s->row = m->row;
}

static void read_models(struct vt_runtime *rt, struct vt_runtime_stats *s)
{
	const struct rt_model *now[VT_RUNTIME_MODELS], *old[VT_RUNTIME_MODELS];
	uint32_t n_old = 0;

	s->n_models = 0;
	pthread_mutex_lock(&rt->names);
	for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++) {
		const struct rt_model *m = &rt->model[i];

		if (atomic_load(&m->state) == RT_FREE || !m->name[0])
			continue;
		if (m->replaced)
			old[n_old++] = m;
		else
			now[s->n_models++] = m;
	}
	for (uint32_t i = 0; i < s->n_models; i++)
		read_model(now[i], old, n_old, &s->model[i]);
	pthread_mutex_unlock(&rt->names);
}

void vt_runtime_stats(struct vt_runtime *rt, struct vt_runtime_stats *ret)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		uint32_t seq = RT_GET(rt->seq);

		read_loop(rt, ret);
		read_cores(rt, ret);
		read_models(rt, ret);
		if (!(seq & 1) && RT_GET(rt->seq) == seq)
			break;
	}
	ret->now_ns = vt_now_mono_ns();
	ret->start_ns = rt->start_ns;
	ret->max_requests = rt->o.max_requests;
	ret->n_domains = rt->topo.n_domains;
	ret->n_cores = rt->topo.n_cores;
	ret->avail_err = vt_pool_avail_err(rt->pool);
}

size_t vt_runtime_reasons(struct vt_runtime *rt, uint64_t after, struct vt_reason *ret, size_t len,
			  uint64_t *last)
{
	uint64_t end = RT_GET(rt->reasons);
	uint64_t oldest = end > VT_RUNTIME_REASONS ? end - VT_RUNTIME_REASONS : 0;
	size_t n = 0;

	*last = after;
	for (uint64_t i = (after > oldest ? after : oldest) + 1; i <= end && n < len; i++) {
		struct rt_reason *from = &rt->reason[i % VT_RUNTIME_REASONS];
		uint64_t word[sizeof(*ret) / 8];

		if (RT_GET(from->seq) != i)
			continue; /* overtaken by newer ones meanwhile */
		for (size_t w = 0; w < sizeof(word) / sizeof(word[0]); w++)
			word[w] = RT_GET(from->word[w]);
		if (RT_GET(from->seq) != i)
			continue;
		memcpy(&ret[n++], word, sizeof(word));
		*last = i;
	}
	return n;
}

/* ---- finding things ----------------------------------------------------------------------- */

const struct vt_engine *vt_runtime_engine(const struct vt_runtime *rt, uint32_t id)
{
	struct vt_runtime *mut = (struct vt_runtime *)rt; /* for the mutex */
	const struct rt_model *m = &rt->model[RT_SLOT(id)];
	const struct vt_engine *ret = NULL;

	pthread_mutex_lock(&mut->names);
	if (atomic_load(&m->state) == RT_SERVING && atomic_load(&m->id) == id)
		ret = m->engine;
	pthread_mutex_unlock(&mut->names);
	return ret;
}

int vt_runtime_find(const struct vt_runtime *rt, const char *name, const char *version,
		    uint32_t *ret)
{
	struct vt_runtime *mut = (struct vt_runtime *)rt;
	const struct rt_model *best = NULL;

	pthread_mutex_lock(&mut->names);
	for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++) {
		const struct rt_model *m = &rt->model[i];

		if (atomic_load(&m->state) != RT_SERVING || strcmp(m->name, name) != 0 ||
		    (version && version[0] && strcmp(m->version, version) != 0))
			continue;
		if (!best || m->added > best->added)
			best = m;
	}
	if (best)
		*ret = atomic_load(&best->id);
	pthread_mutex_unlock(&mut->names);
	return best ? 0 : -ENOENT;
}

uint32_t vt_runtime_ours_ppm(const struct vt_runtime *rt)
{
	uint32_t ppm = RT_GET(rt->ours_ppm);

	return ppm ? ppm : 1;
}

int vt_runtime_avail_err(const struct vt_runtime *rt)
{
	return vt_pool_avail_err(rt->pool);
}

unsigned int vt_runtime_cpu(const struct vt_runtime *rt, unsigned int core)
{
	return core < rt->topo.n_cores ? rt->topo.cpu[core] : UINT32_MAX;
}
