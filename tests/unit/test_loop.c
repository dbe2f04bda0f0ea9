// SPDX-License-Identifier: Apache-2.0
/* The loop over a small plant, its trace, and the replay of that trace. */
#include <errno.h>

#include "harness.h"
#include "loop/trace.h"
#include "loop/trace_int.h"
#include "toy_plant.h"

#define CORES	 16u
#define DOMAINS	 4u
#define ARRIVALS 400u

/* A trace in memory. */
struct tape {
	char *buf;
	size_t len, cap;
};

static void tape_room(struct tape *t, size_t more)
{
	if (t->len + more <= t->cap)
		return;
	t->cap = 2 * (t->len + more);
	t->buf = realloc(t->buf, t->cap);
	assert_non_null(t->buf);
}

struct recorder {
	struct toy *toy;
	struct tape *tape;
};

static int rec_sample(void *self, struct vt_sample *ret)
{
	return toy_sample(((struct recorder *)self)->toy, ret);
}

static int rec_apply(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	struct recorder *r = self;
	size_t need = vt_trace_put_step(NULL, 0, s, d);

	tape_room(r->tape, need);
	assert_int_equal(vt_trace_put_step(r->tape->buf + r->tape->len, need, s, d), need);
	r->tape->len += need;
	return toy_apply(r->toy, s, d);
}

static const struct vt_plant rec_plant = {.sample = rec_sample, .apply = rec_apply};

/* Do others take cores of the toy, and give them back? May a policy refuse? */
static bool takes, sheds;

static void run_toy(const struct vt_policy *p, const struct fx_models *f, struct toy *toy,
		    uint64_t gap_ns, struct tape *tape, struct vt_loop_stats *stats)
{
	struct recorder rec = {toy, tape};
	struct vt_loop_cfg cfg;
	struct vt_loop *l = toy_loop_shed(p, CORES, DOMAINS, sheds, &cfg);

	assert_non_null(l);
	toy_open(toy, f, CORES, DOMAINS, 42, ARRIVALS, gap_ns);
	toy->may_shed = sheds && p->sheds;
	toy->takes = takes;
	toy->takes_rng.s = 8;
	if (tape) {
		size_t need = vt_trace_put_head(NULL, 0, &cfg, f->m, f->n);

		tape_room(tape, need);
		tape->len = vt_trace_put_head(tape->buf, need, &cfg, f->m, f->n);
	}
	while (toy_advance(toy))
		assert_int_equal(vt_loop_step(l, tape ? &rec_plant : &toy_plant,
					      tape ? (void *)&rec : (void *)toy),
				 0);
	if (tape) {
		tape_room(tape, sizeof(vt_trace_end));
		memcpy(tape->buf + tape->len, vt_trace_end, sizeof(vt_trace_end));
		tape->len += sizeof(vt_trace_end);
	}
	if (stats)
		*stats = *vt_loop_stats(l);
	free(l);
}

static void test_every_policy_serves_every_request(void **state)
{
	struct vt_rng rng = {.s = 3};
	struct fx_models f = fx_models_new(&rng, 4, CORES, VT_PLAN_ALL);
	struct toy *toy = fx_alloc(sizeof(*toy));
	static const uint64_t gaps[] = {50000000, 2000000, 200000};

	for (unsigned int i = 0; vt_policy_at(i); i++)
		for (size_t g = 0; g < 4 * VT_COUNT(gaps); g++) {
			struct vt_loop_stats st;

			takes = g % 2;
			sheds = g / 2 % 2;
			run_toy(vt_policy_at(i), &f, toy, gaps[g / 4], NULL, &st);
			takes = sheds = false;
			assert_int_equal(toy->errors, 0);
			assert_int_equal(toy->on_time + toy->late + toy->shed + toy->lost,
					 ARRIVALS);
			assert_int_equal(toy->view.v.n_requests, 0);
			assert_int_equal(vt_coreset_count(&toy->view.v.free), CORES);
			assert_true(st.starts >= ARRIVALS - toy->shed - toy->lost);
		}
	fx_models_free(&f);
	free(toy);
}

/* A nearly idle machine meets deadlines of twice the time of four cores, but for overlaps. */
static void test_light_load_is_on_time(void **state)
{
	struct vt_rng rng = {.s = 3};
	struct fx_models f = fx_models_new(&rng, 4, CORES, VT_PLAN_ALL);
	struct toy *toy = fx_alloc(sizeof(*toy));

	for (unsigned int i = 0; vt_policy_at(i); i++) {
		run_toy(vt_policy_at(i), &f, toy, 500000000, NULL, NULL);
		if (toy->on_time < ARRIVALS * 95 / 100)
			fail_msg("%s: %u of %u on time", vt_policy_at(i)->name,
				 (unsigned int)toy->on_time, ARRIVALS);
	}
	fx_models_free(&f);
	free(toy);
}

/* The models of a trace that has been opened, for the caller to free. */
static void *models_of(struct vt_trace *t, uint32_t needs)
{
	size_t len = vt_trace_models_size(t, needs);
	void *models = fx_alloc(len);

	assert_int_equal(vt_trace_models(t, needs, models, len), 0);
	return models;
}

/* Returns how it ended. */
static int replay_to(const struct tape *tape, struct vt_trace_replay *r, struct vt_trace *t)
{
	struct vt_loop_cfg cfg;
	struct vt_loop *l;
	size_t len;
	void *models, *mem;
	int err;

	assert_int_equal(vt_trace_open(t, tape->buf, tape->len), 0);
	cfg = (struct vt_loop_cfg){
		.policy = vt_policy_find(t->head.policy),
		.policy_cfg = t->head.policy_cfg,
		.n_domains = t->head.n_domains,
		.max_layers = t->head.max_layers,
		.fresh_ns = t->head.fresh_ns,
	};
	assert_non_null(cfg.policy);
	models = models_of(t, cfg.policy->plan_needs);
	len = vt_loop_size(&cfg);
	mem = fx_alloc(len);
	l = vt_loop_init(mem, len, &cfg);
	*r = (struct vt_trace_replay){.trace = t};
	do
		err = vt_loop_step(l, &vt_trace_plant, r);
	while (!err);
	free(mem);
	free(models);
	return err;
}

static void replay(const struct tape *tape, struct vt_trace_replay *r, struct vt_trace *t)
{
	assert_int_equal(replay_to(tape, r, t), -ENODATA);
}

static void test_replay_decides_the_same_bytes(void **state)
{
	struct vt_rng rng = {.s = 9};
	struct fx_models f = fx_models_new(&rng, 3, CORES, VT_PLAN_ALL);
	struct toy *toy = fx_alloc(sizeof(*toy));
	struct vt_trace_replay r;
	struct vt_trace t;
	uint64_t steps;

	for (unsigned int i = 0; vt_policy_at(i); i++) {
		struct tape tape = {0};

		takes = i % 2;
		run_toy(vt_policy_at(i), &f, toy, 1000000, &tape, NULL);
		takes = false;
		replay(&tape, &r, &t);
		assert_true(r.steps > ARRIVALS);
		assert_int_equal(r.differ, 0);
		assert_true(t.ended && t.at == t.end);
		assert_int_equal(vt_trace_next(&t, &r.step), 0); /* nothing follows the mark */
		/* Cut before the mark, all steps are there, but that is not known. */
		steps = r.steps;
		tape.len -= sizeof(vt_trace_end);
		replay(&tape, &r, &t);
		assert_int_equal(r.steps, steps);
		assert_false(t.ended);
		free(tape.buf);
	}
	fx_models_free(&f);
	free(toy);
}

/* Every byte that the last step may lack. */
static void cut_anywhere(struct tape *tape)
{
	struct vt_trace t, last;
	struct vt_trace_step step;
	uint64_t steps;
	void *models;

	assert_int_equal(vt_trace_open(&t, tape->buf, tape->len - sizeof(vt_trace_end)), 0);
	models = models_of(&t, vt_policy_find(t.head.policy)->plan_needs);
	do
		last = t;
	while (vt_trace_next(&t, &step) == 1 && t.at < t.end);
	steps = last.steps;
	assert_true(steps > ARRIVALS && t.steps == steps + 1 && t.at == t.end);
	for (size_t left = (size_t)(last.end - last.at) - 1; left; left--) {
		char *piece = malloc(left); /* nothing after it, as far as a sanitizer knows */

		assert_non_null(piece);
		t = last;
		t.at = memcpy(piece, last.at, left);
		t.end = piece + left;
		assert_int_equal(vt_trace_next(&t, &step), -EINVAL);
		assert_string_equal(t.what, "last step is cut short");
		assert_int_equal(t.steps, steps);
		free(piece);
	}
	last.end = last.at; /* all of it: one step less */
	assert_int_equal(vt_trace_next(&last, &step), 0);
	assert_false(last.ended);
	free(models);
}

/* A plan's size follows from these, so they are looked at before it is asked for. */
static void refuse_models(struct tape *tape)
{
	static const struct {
		uint16_t n_layers, n_points;
		uint8_t n_versions;
	} t[] = {{0, 1, 1}, {VT_MAX_LAYERS + 1, 1, 1},	 {1, 0, 1},
		 {1, 1, 0}, {1, 1, VT_MAX_VERSIONS + 1}, {UINT16_MAX, UINT16_MAX, 0}};
	char *at = (char *)tape->buf + sizeof(struct vt_trace_head);
	struct vt_trace_model was, m;
	struct vt_trace trace;

	memcpy(&was, at, sizeof(was));
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		m = was;
		m.n_layers = t[i].n_layers;
		m.n_points = t[i].n_points;
		m.n_versions = t[i].n_versions;
		memcpy(at, &m, sizeof(m));
		assert_int_equal(vt_trace_open(&trace, tape->buf, tape->len), -EINVAL);
		assert_string_equal(trace.what,
				    "a model's layers, points or versions are out of range");
	}
	memcpy(at, &was, sizeof(was));
}

/* What is wrong of a step, of its first request or its first block. */
typedef void spoiler(struct vt_trace_step_head *h, struct vt_request *q, struct vt_block *b);

/* In the first step that has one; its checksum is put right. */
static void spoil(const struct tape *tape, spoiler *how, bool of_block)
{
	struct vt_trace_head head;
	struct vt_trace_step_head step;
	char *at = tape->buf;
	uint64_t sum;

	memcpy(&head, at, sizeof(head));
	at += head.len;
	for (memcpy(&step, at, sizeof(step)); !(of_block ? step.n_blocks : step.n_requests);
	     memcpy(&step, at, sizeof(step)))
		at += step.len;
	assert_true(at + step.len <= tape->buf + tape->len);
	how((struct vt_trace_step_head *)at, (struct vt_request *)(at + sizeof(step)),
	    (struct vt_block *)(at + sizeof(step) + step.n_requests * sizeof(struct vt_request)));
	sum = vt_trace_sum(at, step.len - sizeof(sum));
	memcpy(at + step.len - sizeof(sum), &sum, sizeof(sum));
}

static void of_no_model(struct vt_trace_step_head *h, struct vt_request *q, struct vt_block *b)
{
	q->model = UINT32_MAX;
}

static void of_the_model_behind_the_last(struct vt_trace_step_head *h, struct vt_request *q,
					 struct vt_block *b)
{
	q->model = 2;
}

static void runs_no_model(struct vt_trace_step_head *h, struct vt_request *q, struct vt_block *b)
{
	b->model = UINT32_MAX;
}

static void has_no_cores(struct vt_trace_step_head *h, struct vt_request *q, struct vt_block *b)
{
	h->n_cores = 0;
}

/* What is explained of a step, it looks up: what that would be looked up with is refused before. */
static void test_a_step_names_only_what_is_there(void **state)
{
	static const struct {
		spoiler *how;
		bool of_block;
	} rows[] = {
		{of_no_model, false},
		{of_the_model_behind_the_last, false},
		{runs_no_model, true},
		{has_no_cores, false},
	};
	struct vt_rng rng = {.s = 9};
	struct fx_models f = fx_models_new(&rng, 2, CORES, VT_PLAN_ALL);
	struct toy *toy = fx_alloc(sizeof(*toy));

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_trace_step step;
		struct tape tape = {0};
		struct vt_trace t;
		void *models;
		int got;

		run_toy(vt_policy_find("veltair-full"), &f, toy, 1000000, &tape, NULL);
		spoil(&tape, rows[i].how, rows[i].of_block);
		assert_int_equal(vt_trace_open(&t, tape.buf, tape.len), 0);
		models = models_of(&t, VT_PLAN_ALL);
		do
			got = vt_trace_next(&t, &step);
		while (got == 1);
		if (got != -EINVAL || strcmp(t.what, "a step names what is not there") != 0)
			fail_msg("row %zu: %d, %s", i, got, t.what);
		free(models);
		free(tape.buf);
	}
	fx_models_free(&f);
	free(toy);
}

static void test_bad_traces(void **state)
{
	struct vt_rng rng = {.s = 9};
	struct fx_models f = fx_models_new(&rng, 2, CORES, VT_PLAN_ALL);
	struct toy *toy = fx_alloc(sizeof(*toy));
	struct vt_trace_step step;
	struct tape tape = {0};
	struct vt_trace t;
	size_t head;
	int got;

	run_toy(vt_policy_find("veltair-full"), &f, toy, 1000000, &tape, NULL);
	assert_int_equal(vt_trace_open(&t, tape.buf, tape.len), 0);
	head = t.head.len;
	assert_int_equal(vt_trace_open(&t, tape.buf, 50), -EINVAL);
	assert_int_equal(vt_trace_open(&t, tape.buf, head - 8), -EINVAL);
	tape.buf[8]++;
	assert_int_equal(vt_trace_open(&t, tape.buf, tape.len), -EPROTO);
	assert_string_equal(t.what, "recorded by another version");
	tape.buf[8]--;
	tape.buf[0] = 'X';
	assert_int_equal(vt_trace_open(&t, tape.buf, tape.len), -EINVAL);
	tape.buf[0] = 'V';
	refuse_models(&tape);

	/* One flipped bit. */
	tape.buf[head + 100] ^= 4;
	assert_int_equal(vt_trace_open(&t, tape.buf, tape.len), 0);
	assert_int_equal(vt_trace_next(&t, &step), -EINVAL);
	assert_string_equal(t.what, "a step does not match its checksum");
	tape.buf[head + 100] ^= 4;
	cut_anywhere(&tape);
	assert_int_equal(vt_trace_open(&t, tape.buf, tape.len), 0);
	t.head.n_models = 0; /* no models made: a step that learns is refused, not followed */
	do
		got = vt_trace_next(&t, &step);
	while (got == 1);
	assert_int_equal(got, -EINVAL);
	assert_string_equal(t.what, "a step names what is not there");
	fx_models_free(&f);
	free(tape.buf);
	free(toy);
}

/* ---- seeds of tests/fuzz/fuzz_sched.c ------------------------------------------------------------ */

#define SEEDS "tests/fuzz/corpus/sched/"

static const char *const seeds[] = {"fcfs-efficient", "prema", "planaria", "veltair-full"};
/* One of veltair-full's whose first request is of no model; tests/e2e/decisions.sh reads it, too. */
#define SPOILT "no_such_model"

/* A few requests of two tiny models on four cores: some kB. */
static void record_small(const struct vt_policy *p, struct tape *tape)
{
	static const uint16_t points[] = {1, 2, 4};
	static uint64_t ns[2][3 * 2 * VT_LEVELS * VT_COUNT(points)];
	struct vt_model m[2];
	struct vt_rng rng = {.s = 5};
	struct fx_models f = {.n = 2, .m = m};
	struct toy *toy = fx_alloc(sizeof(*toy));
	struct recorder rec = {toy, tape};
	struct vt_loop_cfg cfg;
	struct vt_loop *l = toy_loop(p, 4, 2, &cfg);
	size_t need;

	for (size_t i = 0; i < VT_COUNT(m); i++) {
		m[i] = (struct vt_model){.name = "tiny",
					 .qos_ns = 2000000,
					 .n_layers = 3,
					 .n_versions = 2,
					 .n_points = VT_COUNT(points),
					 .points = points,
					 .ns = ns[i]};
		fx_fill_times(&m[i], &rng, ns[i]);
		need = vt_plan_size(&m[i], VT_PLAN_ALL);
		assert_int_equal(vt_plan_init(&m[i], 4, VT_PLAN_ALL, fx_alloc(need), need), 0);
	}
	toy_open(toy, &f, 4, 2, 42, 8, 500000);
	need = vt_trace_put_head(NULL, 0, &cfg, m, 2);
	tape_room(tape, need);
	tape->len = vt_trace_put_head(tape->buf, need, &cfg, m, 2);
	while (toy_advance(toy))
		assert_int_equal(vt_loop_step(l, &rec_plant, &rec), 0);
	tape_room(tape, sizeof(vt_trace_end));
	memcpy(tape->buf + tape->len, vt_trace_end, sizeof(vt_trace_end));
	tape->len += sizeof(vt_trace_end);
	for (size_t i = 0; i < VT_COUNT(m); i++)
		free((void *)m[i].plan);
	free(l);
	free(toy);
}

/* A seed to read; with VT_WRITE_SEEDS=1 made anew. */
static void seed(const char *name, const char *policy, bool spoilt, struct tape *tape)
{
	const bool writes = getenv("VT_WRITE_SEEDS");
	char path[96];
	FILE *f;

	*tape = (struct tape){.cap = 1 << 16, .buf = fx_alloc(1 << 16)};
	snprintf(path, sizeof(path), SEEDS "%s", name);
	f = fopen(path, writes ? "we" : "re");
	assert_non_null(f);
	if (writes) {
		record_small(vt_policy_find(policy), tape);
		if (spoilt)
			spoil(tape, of_no_model, false);
		assert_int_equal(fwrite(tape->buf, 1, tape->len, f), tape->len);
	} else {
		tape->len = fread(tape->buf, 1, tape->cap, f);
	}
	fclose(f);
}

/* They are recordings of this version, or the target reads nothing. */
static void test_seeds_are_recordings(void **state)
{
	struct vt_trace_replay r;
	struct tape tape;
	struct vt_trace t;

	for (size_t i = 0; i < VT_COUNT(seeds); i++) {
		seed(seeds[i], seeds[i], false, &tape);
		replay(&tape, &r, &t);
		assert_true(t.ended && r.steps > 8);
		free(tape.buf);
	}
	seed(SPOILT, "veltair-full", true, &tape);
	assert_int_equal(replay_to(&tape, &r, &t), -EINVAL);
	assert_string_equal(t.what, "a step names what is not there");
	free(tape.buf);
}

static void test_bad_config(void **state)
{
	const struct vt_policy *p = vt_policy_find("veltair-full");
	static const struct {
		uint32_t cores, domains, layers, margin;
	} t[] = {
		{0, 1, 1, 0},  {257, 1, 1, 0},	 {16, 0, 1, 0},	       {16, 65, 1, 0},
		{16, 4, 0, 0}, {16, 4, 5000, 0}, {16, 4, 10, 1000000},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		assert_int_equal(
			vt_loop_size(&(struct vt_loop_cfg){
				.policy = p,
				.policy_cfg = {.n_cores = t[i].cores, .margin_ppm = t[i].margin},
				.n_domains = t[i].domains,
				.max_layers = t[i].layers}),
			0);
	assert_null(vt_policy_find("veltair"));
}

/* Blocks of one model that end, one a step, @off_ppm later or earlier than planned. */
struct ends {
	struct fx_view view;
	struct vt_done done;
	uint32_t margin_ppm; /* in the view that the policy saw */
};

static int ends_sample(void *self, struct vt_sample *ret)
{
	struct ends *e = self;

	*ret = (struct vt_sample){.view = e->view.v, .done = &e->done, .n_done = 1};
	return 0;
}

static int ends_apply(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	((struct ends *)self)->margin_ppm = s->view.margin_ppm;
	return 0;
}

static void test_margin_follows_surprises(void **state)
{
	static const struct {
		uint32_t off_ppm, blocks, margin_ppm;
		uint8_t flags;
	} rows[] = {
		{0, 31, 0, 0},
		{0, 32, 2500, 0},
		{500, 200, 2500, 0},
		{1000, 200, 3000, 0},
		{5000, 200, 15000, 0},
		{200000, 200, 600000, 0},
		{900000, 200, 1000000, 0},
		{5000, 200, 0, VT_BLOCK_RESIZED},
	};
	static const struct vt_plant plant = {.sample = ends_sample, .apply = ends_apply};
	struct vt_rng rng = {.s = 5};
	struct fx_models f = fx_models_new(&rng, 1, CORES, VT_PLAN_ALL);
	uint64_t ns = vt_model_block_ns(&f.m[0], 0, f.m[0].n_layers, NULL, 4, 0);

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct ends *e = fx_alloc(sizeof(*e));
		struct vt_loop_cfg cfg;
		struct vt_loop *l = toy_loop(vt_policy_find("veltair-full"), CORES, DOMAINS, &cfg);

		fx_domains(&e->view, CORES, DOMAINS);
		e->view.v.free = vt_coreset_range(0, CORES);
		e->view.v.models = f.m;
		e->view.v.n_models = 1;
		e->done.layer_end = f.m[0].n_layers;
		e->done.cores = vt_coreset_range(0, 4);
		e->done.flags = rows[i].flags;
		for (uint32_t k = 0; k < rows[i].blocks; k++) {
			uint64_t off = ns * rows[i].off_ppm / VT_PPM;

			e->view.v.now_ns += 2 * ns;
			e->done.end_ns = e->view.v.now_ns;
			e->done.start_ns = e->done.end_ns - (k % 2 ? ns + off : ns - off);
			assert_int_equal(vt_loop_step(l, &plant, e), 0);
		}
		assert_in_range(e->margin_ppm, rows[i].margin_ppm - rows[i].margin_ppm / 100,
				rows[i].margin_ppm);
		free(l);
		free(e);
	}
	fx_models_free(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_policy_serves_every_request),
		cmocka_unit_test(test_light_load_is_on_time),
		cmocka_unit_test(test_replay_decides_the_same_bytes),
		cmocka_unit_test(test_a_step_names_only_what_is_there),
		cmocka_unit_test(test_bad_traces),
		cmocka_unit_test(test_seeds_are_recordings),
		cmocka_unit_test(test_bad_config),
		cmocka_unit_test(test_margin_follows_surprises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
