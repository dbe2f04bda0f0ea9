// SPDX-License-Identifier: Apache-2.0
#include "exec/tune.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
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
	vt_bubble_close(t->bubble);
	vt_pool_close(t->pool);
	vt_big_free(t->sweep, VT_TUNE_SWEEP);
	free(t);
}

static int open_bubble(struct vt_tuner *t, struct vt_err *e)
{
	const unsigned int n = vt_cpuset_count(&t->o.cores), low = pressed_cores(&t->o);
	struct vt_cpuset cores;
	int err;

	if (!low || !(t->o.levels & ~1u))
		return 0;
	cores = vt_tune_cores(&t->o.cores, n - low, true);
	err = vt_bubble_open(&t->bubble, &cores, e);
	if (!err)
		err = vt_bubble_calibrate(t->bubble, vt_cpuset_next(&t->o.cores, 0), &t->scale, e);
	return err;
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
	t->n_cells = vt_tune_cells(o, t->cell);
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
	if (err) {
		vt_tuner_close(t);
		return err;
	}
	*ret = t;
	return 0;
}

const struct vt_bubble_scale *vt_tuner_scale(const struct vt_tuner *t)
{
	return &t->scale;
}

/* ---- an engine ----------------------------------------------------------------------------- */

/* Distinct layers of an engine; steps of one layer hang together through next. */
struct walk {
	struct vt_tuner *t;
	struct vt_engine *eng;
	char (*signature)[VT_PROFILE_TEXT]; /* per step */
	int *first;			    /* per step: the first of its layer */
	bool *wanted;			    /* per step: a first one that is to be measured */
	int *steps;			    /* of the layer in hand */
	void *arena;			    /* as it was before the layer in hand */
	double work, work_done;
	struct vt_tune_progress progress;
};

static void walk_fini(struct walk *w)
{
	free(w->signature);
	free(w->first);
	free(w->wanted);
	free(w->steps);
	vt_big_free(w->arena, w->eng->arena_bytes);
}

/* What a layer will take, in no unit: rounds have a fixed part, and one that grows with the work. */
static double work_of(const struct walk *w, int step)
{
	return 1e8 + (double)w->eng->steps[step].flops;
}

static int walk_init(struct walk *w, struct vt_tune_report *r, struct vt_err *e)
{
	const size_t n = (size_t)w->eng->n_steps + 1;

	w->signature = calloc(n, sizeof(*w->signature));
	w->first = calloc(n, sizeof(*w->first));
	w->wanted = calloc(n, sizeof(*w->wanted));
	w->steps = calloc(n, sizeof(*w->steps));
	w->arena = vt_big_alloc(w->eng->arena_bytes);
	if (!w->signature || !w->first || !w->wanted || !w->steps || !w->arena)
		return vt_fail(e, -ENOMEM, "no memory to measure %d layers", w->eng->n_steps);
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
		r->layers++;
		r->known += known > 0;
		w->wanted[i] = !known;
		w->progress.layers += !known;
		w->work += known ? 0 : work_of(w, i);
	}
	return 0;
}

static void show(struct walk *w, const char *layer)
{
	w->progress.layer = layer;
	w->progress.share = w->work > 0 ? w->work_done / w->work : 1;
	if (w->t->o.progress)
		w->t->o.progress(w->t->o.arg, &w->progress);
}

static int measure_layer(struct walk *w, int step, struct vt_tune_report *r, struct vt_err *e)
{
	const struct vt_step *s = &w->eng->steps[step];
	struct vt_tune_job j = {.t = w->t, .layer = {.eng = w->eng, .steps = w->steps}};
	int err;

	for (int i = step; i < w->eng->n_steps; i++)
		if (w->first[i] == step)
			w->steps[j.layer.n_steps++] = i;
	strcpy(j.layer.signature, w->signature[step]);
	show(w, w->eng->graph.nodes[s->node].name);
	memcpy(w->arena, w->eng->inst[0].arena, w->eng->arena_bytes);
	err = vt_tune_init(&j.tune, &s->layer, s->variant, w->t->o.points, w->t->o.n_points,
			   w->t->n_cells);
	if (err)
		err = vt_fail(e, err, "no memory to measure a layer");
	if (!err)
		err = vt_tune_save_inputs(&j.layer, e);
	if (!err)
		err = vt_tune_measure(&j, e);
	memcpy(w->eng->inst[0].arena, w->arena, w->eng->arena_bytes);
	vt_tune_free_inputs(&j.layer);
	vt_tune_fini(&j.tune);
	r->samples += j.samples;
	r->measured += !err;
	w->work_done += work_of(w, step);
	w->progress.layers_done += !err;
	return err;
}

/* Values like those of a run: floats in [-1, 1), integers 0, which is a valid index anywhere. */
static void fill_inputs(struct vt_engine *eng)
{
	struct vt_rng r = {1};

	memset(eng->inst[0].arena, 0, eng->arena_bytes);
	for (int i = 0; i < eng->graph.n_inputs; i++) {
		const struct vt_tensor *t = &eng->graph.tensors[eng->graph.inputs[i]];
		const size_t n = (size_t)vt_shape_elems(&t->shape);
		float *to = vt_engine_tensor(eng, 0, eng->graph.inputs[i]);

		for (size_t k = 0; k < n && t->dtype == VT_F32; k++)
			to[k] = (float)(vt_rng_unit(&r) * 2 - 1);
	}
}

static int advance(struct walk *w, int step, struct vt_err *e)
{
	const struct vt_cpuset all =
		vt_tune_cores(&w->t->o.cores, w->t->o.points[w->t->o.n_points - 1], false);
	struct vt_run r;
	int err;

	vt_tune_press(w->t, 0);
	vt_run_init(&r, w->eng, 0);
	r.first = step;
	r.last = step + 1;
	err = vt_pool_run(w->t->pool, &r.work, &all);
	return err ? vt_fail(e, err, "cannot run a layer: %s", strerror(-err)) : 0;
}

/* Through the model once; a layer that is wanted is measured where its inputs lie ready. */
static int walk_steps(struct walk *w, struct vt_tune_report *r, struct vt_err *e)
{
	int last = -1, err = 0;

	for (int i = 0; i < w->eng->n_steps; i++)
		last = w->wanted[i] ? i : last;
	if (last >= 0)
		fill_inputs(w->eng);
	for (int i = 0; i <= last && !err; i++) {
		if (vt_tune_stopped(w->t))
			return -ECANCELED;
		if (w->wanted[i])
			err = measure_layer(w, i, r, e);
		if (!err && i < last)
			err = advance(w, i, e);
	}
	return err;
}

int vt_tune_engine(struct vt_tuner *t, struct vt_engine *eng, struct vt_tune_report *ret,
		   struct vt_err *e)
{
	struct walk w = {.t = t, .eng = eng};
	struct vt_tune_report r = {0};
	int err = walk_init(&w, &r, e);

	if (!err && vt_pool_reserve(t->pool, eng->scratch_bytes))
		err = vt_fail(e, -ENOMEM, "no memory for the scratch of the workers");
	if (!err)
		err = walk_steps(&w, &r, e);
	if (!err)
		show(&w, "");
	vt_tune_press(t, 0);
	walk_fini(&w);
	*ret = r;
	return err == -ECANCELED ? vt_fail(e, err, "stopped") : err;
}
