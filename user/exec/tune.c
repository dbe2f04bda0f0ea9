// SPDX-License-Identifier: Apache-2.0
#include "exec/tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "exec/costs.h"
#include "exec/tune_int.h"
#include "kernels/bigmem.h"

/* ---- cells --------------------------------------------------------------------------------- */

/* Cores that a layer may have while the bubble blows: the lower half, rounded up. */
static unsigned int pressed_cores(const struct vt_tune_opts *o)
{
	const unsigned int n = vt_cpuset_count(&o->cores);

	return n > 1 ? n - n / 2 : 0;
}

size_t vt_tune_cells(const struct vt_tune_opts *o, struct vt_tune_cell ret[VT_TUNE_CELLS])
{
	size_t n = 0;

	for (uint8_t level = 0; level < VT_LEVELS; level++)
		for (size_t p = 0; p < o->n_points && n < VT_TUNE_CELLS; p++)
			if (!level ||
			    ((o->levels >> level & 1) && o->points[p] <= pressed_cores(o)))
				ret[n++] = (struct vt_tune_cell){o->points[p], level};
	return n;
}

int vt_tune_find_cell(const struct vt_tune_cell *cell, size_t n, uint16_t cores, uint8_t level)
{
	for (size_t i = 0; i < n; i++)
		if (cell[i].cores == cores && cell[i].level == level)
			return (int)i;
	return -1;
}

/* @n cores of the set: the first, or with @last the last. */
struct vt_cpuset vt_tune_cores(const struct vt_cpuset *all, unsigned int n, bool last)
{
	unsigned int skip = last ? vt_cpuset_count(all) - n : 0;
	struct vt_cpuset r = {0};

	for (int c = vt_cpuset_next(all, 0); c >= 0 && n;
	     c = vt_cpuset_next(all, (unsigned int)c + 1)) {
		if (skip) {
			skip--;
			continue;
		}
		vt_cpuset_add(&r, (unsigned int)c);
		n--;
	}
	return r;
}

/* ---- life ---------------------------------------------------------------------------------- */

void vt_tuner_close(struct vt_tuner *t)
{
	if (!t)
		return;
	vt_bubble_search_free(t->search);
	vt_bubble_close(t->bubble);
	vt_pool_close(t->pool);
	vt_big_free(t->sweep, VT_TUNE_SWEEP);
	free(t);
}

/* Levels that another tuner found mean the same, if there is as much room as they take. */
static bool take_scale(struct vt_tuner *t)
{
	const struct vt_bubble_scale *s = t->o.scale;

	if (!s || !s->probed || s->level[VT_LEVELS - 1].footprint_bytes > vt_bubble_room(t->bubble))
		return false;
	t->scale = *s;
	return true;
}

static int open_bubble(struct vt_tuner *t, struct vt_err *e)
{
	const unsigned int n = vt_cpuset_count(&t->o.cores), low = pressed_cores(&t->o);
	struct vt_cpuset cores;
	uint64_t need, have;
	int err;

	t->calibrated = true;
	if (!low || !(t->o.levels & ~1u))
		return 0;
	if (!vt_bubble_fits(t->o.root, &need, &have)) {
		t->o.levels = 1;
		snprintf(t->lacks, sizeof(t->lacks),
			 "levels 1 to 4 are left out: they need %" PRIu64
			 " MiB and as much again, and there are %" PRIu64,
			 need >> 20, have >> 20);
		return 0;
	}
	cores = vt_tune_cores(&t->o.cores, n - low, true);
	err = vt_bubble_open(&t->bubble, &cores, e);
	if (err || take_scale(t))
		return err;
	t->calibrated = false;
	return vt_bubble_search_new(&t->search, t->bubble, vt_cpuset_next(&t->o.cores, 0), e);
}

int vt_tuner_open(struct vt_tuner **ret, const struct vt_tune_opts *o, struct vt_profile *db,
		  struct vt_err *e)
{
	const unsigned int n = vt_cpuset_count(&o->cores);
	struct vt_tuner *t;
	int err = 0;

	if (!o->n_points || o->points[o->n_points - 1] > n)
		return vt_fail(e, -EINVAL, "cannot measure on %u cores: there are %u",
			       o->n_points ? o->points[o->n_points - 1] : 0, n);
	t = calloc(1, sizeof(*t));
	if (!t)
		return vt_fail(e, -ENOMEM, "no memory for the tuner");
	t->o = *o;
	t->db = db;
	t->rng.s = 1;
	t->n_alone = o->n_points;
	t->sweep = vt_big_alloc(VT_TUNE_SWEEP);
	if (!t->sweep)
		err = vt_fail(e, -ENOMEM, "no memory for the tuner");
	else
		memset(t->sweep, 0, VT_TUNE_SWEEP); /* real pages, not the zero page */
	if (!err)
		err = vt_pool_open(&t->pool, &o->cores, e);
	if (!err)
		err = open_bubble(t, e);
	t->n_cells = vt_tune_cells(&t->o, t->cell);
	if (err) {
		vt_tuner_close(t);
		return err;
	}
	*ret = t;
	return 0;
}

const char *vt_tuner_lacks(const struct vt_tuner *t)
{
	return t->lacks[0] ? t->lacks : NULL;
}

int vt_tuner_calibrate(struct vt_tuner *t, struct vt_err *e)
{
	int err = t->calibrated ? 0
				: vt_bubble_search_go(t->search, t->o.stop, t->o.arg, &t->scale, e);

	t->calibrated = t->calibrated || !err;
	return err;
}

const struct vt_bubble_scale *vt_tuner_scale(const struct vt_tuner *t)
{
	return t->calibrated ? &t->scale : NULL;
}

/* ---- an engine ----------------------------------------------------------------------------- */

#define PIECE_BYTES ((size_t)1 << 20) /* copied between two questions */

/* Distinct layers of an engine; those before @at are known, or measured and in the store. */
struct vt_tune_walk {
	struct vt_tuner *t;
	struct vt_engine *eng;
	char (*signature)[VT_PROFILE_TEXT]; /* per step */
	int *first;			    /* per step: the first of its layer */
	bool *wanted;			    /* per step: a first one that is to be measured */
	bool *unsteady;			    /* per step: of those, one whose times were far apart */
	bool again;  /* the second time through, when those are the wanted ones */
	int *steps;  /* of the layer in hand */
	void *arena; /* as instance 0 is before step @at */
	int at;	     /* -1: the copy was cut short, begin anew */
	int in_hand; /* the first step of the layer that is, or -1 */
	int next;    /* where to look for one then; n_steps: it is the end */
	struct vt_tune_job job;
	bool measured; /* it is, and not put yet */
	double work, work_done;
	struct vt_tune_progress progress;
	struct vt_tune_report report;
};

/* What a layer will take, in no unit: rounds have a fixed part, and one that grows with the work. */
static double work_of(const struct vt_tune_walk *w, int step)
{
	return 1e8 + (double)w->eng->steps[step].flops;
}

static void show(struct vt_tune_walk *w, const char *layer)
{
	double share;

	w->progress.layer = layer;
	share = w->work > 0 ? w->work_done / w->work : 1;
	if (share > w->progress.share) /* what is to be measured again makes it no less */
		w->progress.share = share;
	if (w->t->o.progress)
		w->t->o.progress(w->t->o.arg, &w->progress);
}

/* Values like those of a run: floats in [-1, 1), integers 0, which is a valid index anywhere. */
static void fill_inputs(struct vt_tune_walk *w)
{
	const struct vt_engine *eng = w->eng;
	struct vt_rng r = {1};

	memset(w->arena, 0, eng->arena_bytes);
	for (int i = 0; i < eng->graph.n_inputs; i++) {
		const struct vt_tensor *t = &eng->graph.tensors[eng->graph.inputs[i]];
		const size_t n = (size_t)vt_shape_elems(&t->shape);
		char *at = vt_engine_tensor(eng, 0, eng->graph.inputs[i]);
		float *to = (void *)((char *)w->arena + (at - (char *)eng->inst[0].arena));

		for (size_t k = 0; k < n && t->dtype == VT_F32; k++)
			to[k] = (float)(vt_rng_unit(&r) * 2 - 1);
	}
	w->at = 0;
}

/* The first step from @next on that is wanted, or n_steps. */
static int next_wanted(struct vt_tune_walk *w)
{
	while (w->next < w->eng->n_steps && !w->wanted[w->next])
		w->next++;
	return w->next;
}

static void begin_again(struct vt_tune_walk *w)
{
	bool *was = w->wanted;

	w->again = true;
	w->wanted = w->unsteady;
	w->unsteady = was;
	w->next = 0;
	if (next_wanted(w) < w->at)
		w->at = -1;
}

/* The next layer that is wanted, with what the store has of it; none: it is the end. */
static int take_in_hand(struct vt_tune_walk *w, struct vt_err *e)
{
	struct vt_tune_job *j = &w->job;
	const struct vt_step *s;
	int i, err;

	if (next_wanted(w) == w->eng->n_steps && !w->again)
		begin_again(w);
	i = w->next;
	if (i == w->eng->n_steps) {
		show(w, "");
		return 0;
	}
	s = &w->eng->steps[i];
	*j = (struct vt_tune_job){
		.t = w->t, .layer = {.eng = w->eng, .steps = w->steps}, .again = w->again};
	for (int k = i; k < w->eng->n_steps; k++)
		if (w->first[k] == i)
			w->steps[j->layer.n_steps++] = k;
	strcpy(j->layer.signature, w->signature[i]);
	vt_tune_inputs(&j->layer, w->arena);
	err = vt_tune_init(&j->tune, &s->layer, s->variant, w->t->o.points, w->t->o.n_points,
			   w->t->n_cells);
	err = err ? vt_fail(e, err, "no memory to measure a layer") : vt_tune_begin(j, e);
	if (err) {
		vt_tune_fini(&j->tune);
		return err;
	}
	show(w, w->eng->graph.nodes[s->node].name);
	w->in_hand = i;
	return 0;
}

static int look_up(struct vt_tune_walk *w, struct vt_err *e)
{
	for (int i = 0; i < w->eng->n_steps; i++) {
		int known;

		vt_layer_signature(w->eng, i, w->signature[i], VT_PROFILE_TEXT);
		for (w->first[i] = 0; strcmp(w->signature[w->first[i]], w->signature[i]) != 0;)
			w->first[i]++;
		if (w->first[i] != i)
			continue;
		known = vt_tune_known(&w->t->o, w->t->db, w->signature[i], e);
		if (known < 0)
			return known;
		w->report.layers++;
		w->report.known += known > 0;
		w->wanted[i] = !known;
		w->progress.layers += !known;
		w->work += known ? 0 : work_of(w, i);
	}
	return 0;
}

static int check_memory(const struct vt_tuner *t, const struct vt_engine *eng, struct vt_err *e)
{
	const uint64_t have = vt_memory_available(t->o.root);
	const uint64_t need =
		eng->arena_bytes + eng->scratch_bytes * vt_cpuset_count(vt_pool_cores(t->pool));

	if (need <= have / 2)
		return 0;
	return vt_fail(e, -ENOMEM,
		       "to measure layers takes %" PRIu64 " MiB, of %" PRIu64
		       " MiB of memory that are left",
		       need >> 20, have >> 20);
}

static int take_memory(struct vt_tune_walk *w, struct vt_err *e)
{
	const size_t n = (size_t)w->eng->n_steps + 1;
	int err = check_memory(w->t, w->eng, e);

	if (err)
		return err;
	w->signature = calloc(n, sizeof(*w->signature));
	w->first = calloc(n, sizeof(*w->first));
	w->wanted = calloc(n, sizeof(*w->wanted));
	w->unsteady = calloc(n, sizeof(*w->unsteady));
	w->steps = calloc(n, sizeof(*w->steps));
	w->arena = vt_big_alloc(w->eng->arena_bytes);
	if (!w->signature || !w->first || !w->wanted || !w->unsteady || !w->steps || !w->arena)
		return vt_fail(e, -ENOMEM, "no memory to measure %d layers", w->eng->n_steps);
	if (vt_pool_reserve(w->t->pool, w->eng->scratch_bytes))
		return vt_fail(e, -ENOMEM, "no memory for the scratch of the workers");
	return 0;
}

void vt_tune_walk_free(struct vt_tune_walk *w)
{
	if (!w)
		return;
	if (w->in_hand >= 0)
		vt_tune_fini(&w->job.tune);
	free(w->signature);
	free(w->first);
	free(w->wanted);
	free(w->unsteady);
	free(w->steps);
	vt_big_free(w->arena, w->eng->arena_bytes);
	free(w);
}

int vt_tune_walk_new(struct vt_tune_walk **ret, struct vt_tuner *t, struct vt_engine *eng,
		     struct vt_err *e)
{
	struct vt_tune_walk *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return vt_fail(e, -ENOMEM, "no memory to measure layers");
	w->t = t;
	w->eng = eng;
	w->in_hand = -1;
	err = take_memory(w, e);
	if (!err)
		err = look_up(w, e);
	if (!err) {
		fill_inputs(w);
		err = take_in_hand(w, e);
	}
	if (err) {
		vt_tune_walk_free(w);
		return err;
	}
	*ret = w;
	return 0;
}

static int copy_arena(struct vt_tune_walk *w, void *to, const void *from)
{
	const size_t bytes = w->eng->arena_bytes;

	for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
		const size_t left = bytes - at;

		if (vt_tune_stopped(w->t))
			return -ECANCELED;
		memcpy((char *)to + at, (const char *)from + at,
		       left < PIECE_BYTES ? left : PIECE_BYTES);
	}
	return 0;
}

static int run_step(struct vt_tune_walk *w, int step, struct vt_err *e)
{
	const struct vt_cpuset all =
		vt_tune_cores(&w->t->o.cores, w->t->o.points[w->t->o.n_points - 1], false);
	struct vt_run r;
	int err;

	if (vt_tune_stopped(w->t))
		return -ECANCELED;
	vt_run_init(&r, w->eng, 0);
	r.first = step;
	r.last = step + 1;
	err = vt_pool_run(w->t->pool, &r.work, &all);
	return err ? vt_fail(e, err, "cannot run a layer: %s", strerror(-err)) : 0;
}

/* Instance 0 as the layer in hand would find it, and a copy of that for the next time. */
static int come_to_it(struct vt_tune_walk *w, struct vt_err *e)
{
	void *own = w->eng->inst[0].arena;
	int err;

	if (w->at < 0)
		fill_inputs(w);
	err = copy_arena(w, own, w->arena);
	if (w->at == w->in_hand)
		return err;
	for (int i = w->at; i < w->in_hand && !err; i++)
		err = run_step(w, i, e);
	if (err)
		return err;
	w->at = -1;
	err = copy_arena(w, w->arena, own);
	if (!err)
		w->at = w->in_hand;
	return err;
}

int vt_tune_walk_go(struct vt_tune_walk *w, struct vt_err *e)
{
	const uint64_t before = w->job.samples;
	int err;

	if (w->in_hand < 0)
		return w->next < w->eng->n_steps;
	if (w->measured)
		return 1;
	err = vt_tuner_calibrate(w->t, e);
	if (!err)
		err = come_to_it(w, e);
	if (!err)
		err = vt_tune_measure(&w->job, e);
	vt_tune_hush(w->t);
	w->report.samples += w->job.samples - before;
	w->measured = !err;
	return err ? err : 1;
}

int vt_tune_walk_put(struct vt_tune_walk *w, bool all, struct vt_err *e)
{
	int err;

	if (w->t->calibrated) {
		vt_bubble_search_free(w->t->search);
		w->t->search = NULL;
	}
	if (w->in_hand < 0)
		return w->next < w->eng->n_steps ? take_in_hand(w, e) : 0;
	if (!w->measured && (w->again || (!all && !vt_tune_put_due(&w->job))))
		return 0;
	err = vt_tune_put(&w->job, e);
	if (err || !w->measured)
		return err;
	err = vt_tune_keep(&w->job, e);
	if (err)
		return err;
	w->measured = false;
	w->report.measured += !w->again;
	w->report.again += w->again;
	w->work_done += work_of(w, w->in_hand);
	w->progress.layers_done++;
	if (!w->again && w->job.unsteady) {
		w->unsteady[w->in_hand] = true;
		w->progress.layers++;
		w->work += work_of(w, w->in_hand);
	}
	vt_tune_fini(&w->job.tune);
	w->next = w->in_hand + 1;
	w->in_hand = -1;
	return take_in_hand(w, e);
}

const struct vt_tune_report *vt_tune_walk_report(const struct vt_tune_walk *w)
{
	return &w->report;
}

int vt_tune_engine(struct vt_tuner *t, struct vt_engine *eng, struct vt_tune_report *ret,
		   struct vt_err *e)
{
	struct vt_tune_walk *w = NULL;
	int err = vt_tune_walk_new(&w, t, eng, e), put = 0;

	*ret = (struct vt_tune_report){0};
	if (err)
		return err;
	do {
		err = vt_tune_walk_go(w, e);
		if (err >= 0 || err == -ECANCELED)
			put = vt_tune_walk_put(w, err == -ECANCELED, e);
	} while (err == 1 && !put);
	*ret = w->report;
	vt_tune_walk_free(w);
	if (put)
		return put;
	return err == -ECANCELED ? vt_fail(e, err, "stopped") : err;
}
