// SPDX-License-Identifier: Apache-2.0
#include "server/spare.h"

#define PPM 1000000u

static double bounded(double x)
{
	return x < 0 ? 0 : x > 1 ? 1 : x;
}

static double slack(const struct vt_spare *s)
{
	double need;

	if (!s->target_ns)
		return 1;
	need = (double)s->service_ns + (double)s->backlog_ns / (s->cores ? s->cores : 1);
	return bounded(2 * (1 - need / (double)s->target_ns));
}

uint32_t vt_spare_percent(const struct vt_spare *s)
{
	double pace = s->pace_ppm ? bounded((double)s->pace_ppm / PPM) : 1;
	double spare = bounded(1 - (double)s->busy_ppm / PPM - (double)s->taken_ppm / PPM) * pace *
		       slack(s) * bounded(1 - (double)s->pressure_ppm / (2 * PPM)) *
		       bounded(1 - (double)s->missed_ppm / PPM);
	uint32_t percent = (uint32_t)(100 * spare + 0.5);

	return percent < VT_SPARE_FLOOR ? VT_SPARE_FLOOR : percent;
}

/* ---- the window --------------------------------------------------------------------------------- */

/* A model that was unloaded takes its counts with it: sums may shrink. */
static uint64_t since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

static uint32_t share(uint64_t part, uint64_t whole)
{
	double x = whole ? (double)part / (double)whole : 0;

	return (uint32_t)(PPM * (x > 1 ? 1 : x));
}

/* A model's QoS may change: it is that of the requests since the last look, and what ended before keeps its own. */
static void add_targets(struct vt_spare_window *w, const struct vt_runtime_model *m, uint64_t done)
{
	const uint32_t slot = m->id % VT_RUNTIME_MODELS;
	const uint64_t more = w->model[slot].id == m->id ? since(done, w->model[slot].done) : 0;

	w->targets += more;
	w->target_ns += more * m->qos_ns;
	w->model[slot].id = m->id;
	w->model[slot].done = done;
}

static void sum_up(struct vt_spare_window *w, const struct vt_runtime_stats *s,
		   struct vt_spare_sums *ret)
{
	*ret = (struct vt_spare_sums){
		.ns = s->now_ns, .took_ns = s->blocks_took_ns, .planned_ns = s->blocks_planned_ns};
	for (uint32_t i = 0; i < s->n_cores; i++) {
		const struct vt_runtime_core *c = &s->core[i];

		/* Counted at a block's end: what runs is added, or long blocks would look idle. */
		ret->busy_ns += c->busy_ns + (c->id ? since(s->now_ns, c->since_ns) : 0);
	}
	for (uint32_t i = 0; i < s->n_models; i++) {
		const struct vt_runtime_model *m = &s->model[i];
		uint64_t done = m->in_time + m->late;
		uint64_t refused =
			m->ended[VT_REFUSED] + m->ended[VT_QUEUE_FULL] + m->ended[VT_NO_MEMORY];

		ret->done += done;
		ret->refused += refused;
		ret->missed += m->late + refused;
		ret->service_ns += since(m->latency_sum_ns, m->queue_sum_ns);
		add_targets(w, m, done);
	}
	ret->targets = w->targets;
	ret->target_ns = w->target_ns;
}

/* Of a model that has never run, a third of its target: what `qos: auto` takes it to be. */
static uint64_t core_time(const struct vt_runtime_model *m)
{
	uint64_t done = m->in_time + m->late;

	return done ? m->core_sum_ns / done : m->qos_ns / 3;
}

static void look_at_queue(const struct vt_runtime_stats *s, struct vt_spare *ret)
{
	uint64_t waiting = 0, targets = 0;

	for (uint32_t i = 0; i < s->n_models; i++) {
		waiting += s->model[i].waiting;
		targets += s->model[i].waiting * s->model[i].qos_ns;
		ret->backlog_ns += s->model[i].waiting * core_time(&s->model[i]);
	}
	if (!ret->target_ns && waiting)
		ret->target_ns = targets / waiting;
}

static uint32_t mean_pressure(const struct vt_runtime_stats *s)
{
	uint64_t sum = 0, cores = 0;

	for (uint32_t i = 0; i < s->n_domains; i++) {
		sum += (uint64_t)s->domain[i].pressure_ppm * s->domain[i].n_cores;
		cores += s->domain[i].n_cores;
	}
	return cores ? (uint32_t)(sum / cores) : 0;
}

/* Others' part of the cores that are taken; blocks stay off these, so no pace tells of them. */
static uint32_t taken(const struct vt_runtime_stats *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->n_cores; i++)
		if (s->core[i].taken && s->core[i].available_ppm < PPM)
			sum += PPM - s->core[i].available_ppm;
	return s->n_cores ? (uint32_t)(sum / s->n_cores) : 0;
}

/*
 * A plan may be a little too careful, hence at most 1. Without a block the last pace is forgotten by and
 * by: somebody has to try again.
 */
static uint32_t pace(struct vt_spare_window *w, const struct vt_spare_sums *now,
		     const struct vt_spare_sums *brief)
{
	uint64_t took = since(now->took_ns, brief->took_ns), halves;
	double p = w->pace ? w->pace : 1;

	if (took) {
		p = (double)since(now->planned_ns, brief->planned_ns) / (double)took;
		w->pace = p = p > 1 ? 1 : p < 1.0 / PPM ? 1.0 / PPM : p;
		w->pace_ns = now->ns;
	}
	halves = since(now->ns, w->pace_ns) / (VT_SPARE_HALF_MS * 1000000ull);
	for (; halves && p < 0.999; halves--)
		p = 1 - (1 - p) / 2;
	return (uint32_t)(PPM * p);
}

/* The latest look since which blocks have taken enough time to tell the pace by. */
static const struct vt_spare_sums *enough(const struct vt_spare_window *w,
					  const struct vt_spare_sums *now)
{
	const uint32_t most = w->n < VT_SPARE_BRIEF ? w->n : VT_SPARE_BRIEF;
	const struct vt_spare_sums *s = now;

	for (uint32_t k = 1; k <= most; k++) {
		s = &w->ring[(w->next + VT_SPARE_SAMPLES - k) % VT_SPARE_SAMPLES];
		if (since(now->took_ns, s->took_ns) >= VT_SPARE_ENOUGH_MS * 1000000ull)
			break;
	}
	return s;
}

void vt_spare_take(struct vt_spare_window *w, const struct vt_runtime_stats *s,
		   struct vt_spare *ret)
{
	const struct vt_spare_sums *brief;
	struct vt_spare_sums now, *old;
	uint64_t done, refused, targets;

	sum_up(w, s, &now);
	w->ring[w->next] = now;
	brief = enough(w, &now);
	w->next = (w->next + 1) % VT_SPARE_SAMPLES;
	w->n += w->n < VT_SPARE_SAMPLES;
	old = &w->ring[w->n < VT_SPARE_SAMPLES ? 0 : w->next];
	done = since(now.done, old->done);
	refused = since(now.refused, old->refused);
	targets = done ? since(now.targets, old->targets) : 0;
	*ret = (struct vt_spare){
		.cores = s->n_cores,
		.busy_ppm = share(since(now.busy_ns, old->busy_ns),
				  since(now.ns, old->ns) * s->n_cores),
		.pressure_ppm = mean_pressure(s),
		.pace_ppm = pace(w, &now, brief),
		.taken_ppm = taken(s),
		.missed_ppm = share(since(now.missed, old->missed), done + refused),
		.service_ns = done ? since(now.service_ns, old->service_ns) / done : 0,
		.target_ns = targets ? since(now.target_ns, old->target_ns) / targets : 0,
	};
	look_at_queue(s, ret);
}

/* ---- what is told ------------------------------------------------------------------------------- */

uint32_t vt_weight_step(struct vt_weight *w, uint32_t percent, uint64_t now_ns)
{
	double ms = w->begun ? (double)since(now_ns, w->ns) / 1e6 : 0, apart;

	if (!w->begun) {
		w->begun = true;
		w->level = percent;
		w->shown = percent;
	} else if (percent < w->level) {
		w->level += (percent - w->level) * ms / (ms + VT_SPARE_FALL_MS);
	} else {
		double most = VT_SPARE_RISE * ms / 1000;

		w->level += percent - w->level < most ? percent - w->level : most;
	}
	w->ns = now_ns;
	apart = w->level - w->shown;
	/* The last step to the top may be shorter, or an idle node would never be told as one. */
	if (apart >= VT_SPARE_STEP || -apart >= VT_SPARE_STEP || w->level > 99.5)
		w->shown = (uint32_t)(w->level + 0.5);
	return w->shown;
}
