// SPDX-License-Identifier: Apache-2.0
/* Weights: the formula, the window, and how what is told follows. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "server/spare.h"

#define MS VT_NS_PER_MS

/* ---- the formula -------------------------------------------------------------------------------- */

static void the_formula(void **state)
{
	static const struct {
		const char *what;
		struct vt_spare in;
		uint32_t percent;
	} table[] = {
		{"idle", {.cores = 8}, 100},
		{"half busy", {.cores = 8, .busy_ppm = 500000}, 50},
		{"busy", {.cores = 8, .busy_ppm = 1000000}, VT_SPARE_FLOOR},
		{"heaviest pressure", {.cores = 8, .pressure_ppm = 1000000}, 50},
		{"half pressure", {.cores = 8, .pressure_ppm = 500000}, 75},
		{"half busy, heaviest pressure",
		 {.cores = 8, .busy_ppm = 500000, .pressure_ppm = 1000000},
		 25},
		{"at its plan's pace", {.cores = 8, .pace_ppm = 1000000}, 100},
		{"faster than its plan", {.cores = 8, .pace_ppm = 1300000}, 100},
		{"half the pace", {.cores = 8, .pace_ppm = 500000}, 50},
		{"a neighbour takes half: twice as busy, half the pace",
		 {.cores = 1, .busy_ppm = 400000, .pace_ppm = 500000},
		 30},
		{"others have half of one of four cores", {.cores = 4, .taken_ppm = 125000}, 88},
		{"half busy, and others have half",
		 {.cores = 2, .busy_ppm = 500000, .taken_ppm = 500000},
		 VT_SPARE_FLOOR},
		{"hardly any pace", {.cores = 8, .pace_ppm = 1}, VT_SPARE_FLOOR},
		{"a third of the target used",
		 {.cores = 8, .service_ns = 10 * MS, .target_ns = 30 * MS},
		 100},
		{"half of the target used",
		 {.cores = 8, .service_ns = 15 * MS, .target_ns = 30 * MS},
		 100},
		{"three quarters used",
		 {.cores = 8, .service_ns = 30 * MS, .target_ns = 40 * MS},
		 50},
		{"all used",
		 {.cores = 8, .service_ns = 30 * MS, .target_ns = 30 * MS},
		 VT_SPARE_FLOOR},
		{"more than all",
		 {.cores = 8, .service_ns = 90 * MS, .target_ns = 30 * MS},
		 VT_SPARE_FLOOR},
		/* 40 ms of core time wait for 2 cores: 20 ms, and 10 of service, of 40 */
		{"a queue",
		 {.cores = 2, .backlog_ns = 40 * MS, .service_ns = 10 * MS, .target_ns = 40 * MS},
		 50},
		{"the same queue on 8 cores",
		 {.cores = 8, .backlog_ns = 40 * MS, .service_ns = 10 * MS, .target_ns = 40 * MS},
		 100},
		{"a queue, nothing ended",
		 {.cores = 1, .backlog_ns = 30 * MS, .target_ns = 40 * MS},
		 50},
		{"a tenth missed", {.cores = 8, .missed_ppm = 100000}, 90},
		{"all missed", {.cores = 8, .missed_ppm = 1000000}, VT_SPARE_FLOOR},
		{"no cores", {.backlog_ns = 30 * MS, .target_ns = 40 * MS}, 50},
		{"nonsense",
		 {8, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX,
		  UINT64_MAX, 1},
		 VT_SPARE_FLOOR},
	};

	for (size_t i = 0; i < VT_COUNT(table); i++) {
		uint32_t got = vt_spare_percent(&table[i].in);

		if (got != table[i].percent)
			fail_msg("%s: %u, expected %u", table[i].what, got, table[i].percent);
	}
}

/* ---- the window --------------------------------------------------------------------------------- */

static struct vt_runtime_stats *fresh(void **state)
{
	struct vt_runtime_stats *s = *state;

	memset(s, 0, sizeof(*s));
	s->now_ns = s->start_ns = 5 * VT_NS_PER_S;
	s->n_cores = 2;
	s->n_domains = 1;
	s->domain[0].n_cores = 2;
	s->n_models = 1;
	s->model[0].qos_ns = 30 * MS;
	return s;
}

/* 100 ms pass, with @n requests of 10 ms on one core each. */
static void pass(struct vt_runtime_stats *s, uint32_t n)
{
	s->now_ns += 100 * MS;
	s->core[0].busy_ns += n * 10 * MS;
	s->model[0].in_time += n;
	s->model[0].latency_sum_ns += n * 12 * MS;
	s->model[0].queue_sum_ns += n * 2 * MS;
	s->model[0].core_sum_ns += n * 10 * MS;
	s->blocks_took_ns += n * 10 * MS;
	s->blocks_planned_ns += n * 10 * MS;
}

static void the_last_second(void **state)
{
	struct vt_runtime_stats *s = fresh(state);
	struct vt_spare_window w = {0};
	struct vt_spare in;

	vt_spare_take(&w, s, &in);
	assert_int_equal(vt_spare_percent(&in), 100);
	for (int i = 0; i < 30; i++) {
		pass(s, 8);
		vt_spare_take(&w, s, &in);
	}
	assert_int_equal(in.busy_ppm, 400000); /* 80 of 200 ms */
	assert_int_equal(in.service_ns, 10 * MS);
	assert_int_equal(in.target_ns, 30 * MS);
	for (int i = 0; i < 5; i++) {
		pass(s, 0);
		vt_spare_take(&w, s, &in);
	}
	assert_int_equal(in.busy_ppm, 200000);
	for (int i = 0; i < 5; i++) {
		pass(s, 0);
		vt_spare_take(&w, s, &in);
	}
	assert_int_equal(in.busy_ppm, 0);
	assert_int_equal(vt_spare_percent(&in), 100);
}

/* Requests that ended under the old QoS keep it: the mean goes from the one to the other. */
static void the_target_changes(void **state)
{
	static const uint64_t course[] = {30 * MS, 90 * MS, 10 * MS};
	struct vt_runtime_stats *s = fresh(state);
	struct vt_spare_window w = {0};
	struct vt_spare in;

	for (int i = 0; i < 300; i++) {
		pass(s, 8);
		vt_spare_take(&w, s, &in);
	}
	for (size_t k = 1; k < VT_COUNT(course); k++) {
		const uint64_t a = course[k - 1], b = course[k];

		s->model[0].qos_ns = b;
		for (int i = 0; i < 10; i++) {
			pass(s, 8);
			vt_spare_take(&w, s, &in);
			assert_in_range(in.target_ns, a < b ? a : b, a < b ? b : a);
			assert_true(in.target_ns != a);
		}
		assert_int_equal(in.target_ns, b);
	}
}

/* Each row is 100 ms in which blocks of @planned_ms took @took_ms. */
static void the_pace(void **state)
{
	static const struct {
		const char *what;
		uint32_t times, planned_ms, took_ms, at_least, at_most; /* percent, after the row */
	} course[] = {
		{"no block yet", 3, 0, 0, 100, 100},
		{"as planned", 10, 40, 40, 100, 100},
		{"a little faster", 10, 40, 36, 100, 100},
		{"pressed, with enough blocks to tell", 1, 40, 80, 50, 50},
		{"as planned again", 5, 40, 40, 100, 100},
		{"few blocks, pressed, after 0.2 s", 2, 4, 8, 75, 90},
		{"after half a second", 3, 4, 8, 50, 50},
		{"no block, the last are still in the window", 4, 0, 0, 50, 50},
		{"none for 0.6 s", 2, 0, 0, 50, 50},
		{"none for 1.5 s: half forgotten", 9, 0, 0, 75, 75},
		{"pressed still", 1, 10, 40, 25, 25},
		{"none for a minute", 600, 0, 0, 99, 100},
		{"eight times as long", 5, 10, 80, 12, 13},
		{"well again", 5, 10, 10, 100, 100},
	};
	struct vt_runtime_stats *s = fresh(state);
	struct vt_spare_window w = {0};
	struct vt_spare in;

	vt_spare_take(&w, s, &in);
	for (size_t i = 0; i < VT_COUNT(course); i++) {
		for (uint32_t t = 0; t < course[i].times; t++) {
			s->now_ns += 100 * MS;
			s->blocks_planned_ns += course[i].planned_ms * MS;
			s->blocks_took_ns += course[i].took_ms * MS;
			vt_spare_take(&w, s, &in);
		}
		if (in.pace_ppm < course[i].at_least * 10000 ||
		    in.pace_ppm > course[i].at_most * 10000)
			fail_msg("%s: %u ppm, not in %u..%u %%", course[i].what, in.pace_ppm,
				 course[i].at_least, course[i].at_most);
	}
}

static void what_runs_is_busy(void **state)
{
	struct vt_runtime_stats *s = fresh(state);
	struct vt_spare_window w = {0};
	struct vt_spare in;

	vt_spare_take(&w, s, &in);
	s->now_ns += 100 * MS;
	s->core[1].id = 7;
	s->core[1].since_ns = s->now_ns - 50 * MS;
	vt_spare_take(&w, s, &in);
	assert_int_equal(in.busy_ppm, 250000);
}

static void waits_misses_and_goes(void **state)
{
	struct vt_runtime_stats *s = fresh(state);
	struct vt_spare_window w = {0};
	struct vt_spare in;

	s->model[0].waiting = 3;
	s->domain[0].pressure_ppm = 250000;
	vt_spare_take(&w, s, &in);
	assert_int_equal(in.backlog_ns, 30 * MS); /* a third of the target each: it has never run */
	assert_int_equal(in.target_ns, 30 * MS);
	assert_int_equal(in.pressure_ppm, 250000);
	pass(s, 4);
	s->model[0].late = 1;
	s->model[0].core_sum_ns = 100 * MS;
	s->model[0].ended[VT_REFUSED] = 2;
	s->model[0].ended[VT_QUEUE_FULL] = 1;
	vt_spare_take(&w, s, &in);
	assert_int_equal(in.backlog_ns, 60 * MS);
	assert_int_equal(in.missed_ppm, 500000); /* one late, three refused, of eight */
	/* The model is unloaded: no count may turn into 2^64. */
	s->n_models = 0;
	s->now_ns += 100 * MS;
	vt_spare_take(&w, s, &in);
	assert_int_equal(in.missed_ppm, 0);
	assert_int_equal(in.target_ns, 0);
}

/* ---- what is told ------------------------------------------------------------------------------- */

static void follows(void **state)
{
	static const struct {
		uint32_t wanted, ms, at_least, at_most;
	} course[] = {
		{80, 0, 80, 80},     /* the first is taken as it is */
		{77, 1000, 80, 80},  /* less than a step: not told */
		{83, 1000, 80, 80},  /* likewise */
		{20, 300, 20, 50},   /* down fast */
		{20, 700, 20, 25},   /* all the way within a second */
		{100, 500, 20, 30},  /* up slowly */
		{100, 2000, 40, 50}, /* 10 a second */
		{100, 9000, 100, 100}, {98, 1000, 100, 100}, {5, 1000, 5, 9},
	};
	struct vt_weight w = {0};
	uint64_t now = VT_NS_PER_S;

	for (size_t i = 0; i < VT_COUNT(course); i++) {
		uint32_t shown = vt_weight_step(&w, course[i].wanted, now);

		for (uint32_t ms = 0; ms < course[i].ms; ms += 100) {
			now += 100 * MS;
			shown = vt_weight_step(&w, course[i].wanted, now);
		}
		if (shown < course[i].at_least || shown > course[i].at_most)
			fail_msg("row %zu: %u, not in %u..%u", i, shown, course[i].at_least,
				 course[i].at_most);
	}
}

/*
 * Few requests and a neighbour that comes: 13 a second of 5 ms, a core that then gives them half. Seeded Poisson
 * arrivals, times that scatter by 30 %. When is the node ten points below all that it has told before?
 */
static uint64_t drawn;

static double uniform(void)
{
	drawn = drawn * 6364136223846793005ull + 1442695040888963407ull;
	return ((double)(drawn >> 11) + 1) / 9007199254740994.0;
}

/* 100 ms of it; returns what is told. */
static uint32_t some_requests(struct vt_runtime_stats *s, struct vt_spare_window *w,
			      struct vt_weight *told, double *next_ms, double slower)
{
	struct vt_spare in;

	for (*next_ms -= 100; *next_ms < 0; *next_ms -= 77 * log(uniform())) {
		uint64_t ns = (uint64_t)(5e6 * slower * (0.7 + 0.6 * uniform()));

		s->core[0].busy_ns += ns;
		s->model[0].in_time++;
		s->model[0].latency_sum_ns += ns;
		s->model[0].core_sum_ns += ns;
		s->blocks_took_ns += ns;
		s->blocks_planned_ns += 5 * MS;
	}
	s->now_ns += 100 * MS;
	vt_spare_take(w, s, &in);
	return vt_weight_step(told, vt_spare_percent(&in), s->now_ns);
}

static void falls_within_a_second(void **state)
{
	uint32_t in_time = 0, sum = 0;

	for (uint32_t seed = 0; seed < 200; seed++) {
		struct vt_runtime_stats *s = fresh(state);
		struct vt_spare_window w = {0};
		struct vt_weight told = {0};
		double next_ms = 0;
		uint32_t least = 100, ms = 0;

		s->n_cores = s->domain[0].n_cores = 1;
		drawn = seed;
		for (int i = 0; i < 60; i++) {
			uint32_t shown = some_requests(s, &w, &told, &next_ms, 1);

			least = shown < least ? shown : least;
		}
		while (ms < 5000 && some_requests(s, &w, &told, &next_ms, 2) + 10 > least)
			ms += 100;
		in_time += ms + 100 <= 750; /* HAProxy asks every 250 ms */
		sum += ms + 100;
	}
	print_message("# in time in %u of 200 courses, after %u ms in the mean\n", in_time,
		      sum / 200);
	assert_true(in_time >= 190);
}

/* A weight wanted that jumps by 8 around a mean must not be told as jumps. */
static void does_not_flap(void **state)
{
	struct vt_weight w = {0};
	uint32_t last = vt_weight_step(&w, 60, 0), changes = 0;

	for (uint32_t i = 1; i < 600; i++) {
		uint32_t shown = vt_weight_step(&w, i % 2 ? 64 : 56, i * 100 * MS);

		changes += shown != last;
		last = shown;
	}
	assert_true(changes <= 1);
}

static int setup(void **state)
{
	*state = malloc(sizeof(struct vt_runtime_stats));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_formula),
		cmocka_unit_test(the_last_second),
		cmocka_unit_test(the_target_changes),
		cmocka_unit_test(the_pace),
		cmocka_unit_test(what_runs_is_busy),
		cmocka_unit_test(waits_misses_and_goes),
		cmocka_unit_test(follows),
		cmocka_unit_test(falls_within_a_second),
		cmocka_unit_test(does_not_flap),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
