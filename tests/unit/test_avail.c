// SPDX-License-Identifier: Apache-2.0
/* What is left of a core: the kernel's numbers, hysteresis, when a taken core is tried again. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "exec/avail.h"
#include "exec/pool.h"
#include "pressure/level.h"

#define MS VT_NS_PER_MS

static void test_text(void **state)
{
	static const struct {
		const char *text;
		int err;
		struct vt_avail_sums s;
	} table[] = {
		{"189747675 12 1\n", 0, {189747675, 12, 1}},
		{"1 2 3", 0, {1, 2, 3}},
		{"0 0 0\n", 0, {0, 0, 0}},
		{"18446744073709551615 1 1\n", 0, {UINT64_MAX, 1, 1}},
		{"", -EINVAL, {0}},
		{"\n", -EINVAL, {0}},
		{"1 2\n", -EINVAL, {0}},
		{"1 2 \n", -EINVAL, {0}},
		{"1 2 3 4\n", -EINVAL, {0}},
		{"1 -2 3\n", -EINVAL, {0}},
		{"a 2 3\n", -EINVAL, {0}},
		{"1 2 3x\n", -EINVAL, {0}},
		{"1,2,3\n", -EINVAL, {0}},
	};

	for (size_t i = 0; i < VT_COUNT(table); i++) {
		struct vt_avail_sums s = {7, 7, 7};
		int err = vt_avail_parse(table[i].text, &s);

		if (err != table[i].err)
			fail_msg("'%s': %d, expected %d", table[i].text, err, table[i].err);
		if (!err)
			assert_memory_equal(&s, &table[i].s, sizeof(s));
		else
			assert_int_equal(s.ran_ns, 7);
	}
}

/* ---- a made-up kernel --------------------------------------------------------------------- */

struct core {
	struct vt_avail a;
	struct vt_avail_sums sums;
	uint64_t now;
};

static void begin(struct core *c)
{
	*c = (struct core){.now = 1000 * MS};
	vt_avail_init(&c->a, &c->sums);
}

/* It wants the core for @wanted_ns and gets @ppm of them, in one time slice; then the reading. */
static bool wants(struct core *c, uint64_t wanted_ns, uint32_t ppm, uint32_t best, bool tried)
{
	uint64_t ran = wanted_ns / VT_PPM * ppm;

	c->sums.ran_ns += ran;
	c->sums.waited_ns += wanted_ns - ran;
	c->sums.slices++;
	c->now += wanted_ns;
	return vt_avail_note(&c->a, &c->sums, best, c->now, tried);
}

static void test_hysteresis(void **state)
{
	static const struct {
		const char *what;
		uint32_t ppm, best;
		bool from, to;
	} table[] = {
		{"alone", VT_PPM, VT_PPM, false, false},
		{"a little is taken", 800000, VT_PPM, false, false},
		{"half is taken", 500000, VT_PPM, false, true},
		{"all but nothing", 10000, VT_PPM, false, true},
		{"half of every core", 500000, 520000, false, false},
		{"better than the best known", VT_PPM, 500000, false, false},
		{"taken, and still", 500000, VT_PPM, true, true},
		{"taken, and not quite free", 850000, VT_PPM, true, true},
		{"taken, and free again", 980000, VT_PPM, true, false},
		{"taken, and as good as the others are now", 500000, 500000, true, false},
	};

	for (size_t i = 0; i < VT_COUNT(table); i++) {
		struct core c;
		unsigned int changes = 0;

		begin(&c);
		for (unsigned int k = 0; k < 50 && table[i].from; k++)
			wants(&c, 6 * MS, 300000, VT_PPM, false);
		assert_int_equal(c.a.taken, table[i].from);
		for (unsigned int k = 0; k < 100; k++)
			changes += wants(&c, 6 * MS, table[i].ppm, table[i].best, false);
		if (c.a.taken != table[i].to || changes != (table[i].from != table[i].to))
			fail_msg("%s: taken %d after %u changes at %u", table[i].what, c.a.taken,
				 changes, c.a.ppm);
		assert_true(labs((long)c.a.ppm - (long)table[i].ppm) <= 20000);
	}
}

/* Not by one time slice of somebody's, within some tens of milliseconds by half. */
static void test_how_soon(void **state)
{
	struct core c;
	uint64_t since;

	begin(&c);
	assert_false(wants(&c, 4 * MS, 0, VT_PPM, false));
	assert_false(c.a.taken);
	for (unsigned int k = 0; k < 10; k++)
		assert_false(wants(&c, 6 * MS, VT_PPM, VT_PPM, false));
	since = c.now;
	while (!wants(&c, 8 * MS, 500000, VT_PPM, false))
		assert_true(c.now - since < 100 * MS);
	assert_in_range(c.now - since, 10 * MS, 40 * MS);
}

/* Threads that do I/O come often and go soon; one that computes stays for its time slice. Both take half. */
static void test_short_and_long_waits(void **state)
{
	static const struct {
		const char *what;
		uint64_t wait_ns; /* for each time slice */
		bool taken;
	} table[] = {
		{"waking up", 20000, false},
		{"I/O", 150000, false},
		{"just short", VT_AVAIL_SHORT_NS - 1, false},
		{"just long", VT_AVAIL_SHORT_NS, true},
		{"a time slice", 3 * MS, true},
	};

	for (size_t i = 0; i < VT_COUNT(table); i++) {
		struct core c;

		begin(&c);
		for (unsigned int k = 0; k < 200; k++) {
			uint64_t slices = 1 + 2 * MS / table[i].wait_ns;

			c.sums.ran_ns += slices * table[i].wait_ns;
			c.sums.waited_ns += slices * table[i].wait_ns;
			c.sums.slices += slices;
			vt_avail_note(&c.a, &c.sums, VT_PPM, c.now += 4 * MS, false);
		}
		if (c.a.taken != table[i].taken)
			fail_msg("%s: taken %d at %u", table[i].what, c.a.taken, c.a.ppm);
	}
}

/* Waking up is no waiting, however often; and nothing wanted says nothing. */
static void test_waking_up(void **state)
{
	struct core c;

	begin(&c);
	for (unsigned int k = 0; k < 1000; k++) {
		c.sums.ran_ns += 20000;
		c.sums.waited_ns += 25000;
		c.sums.slices++;
		assert_false(vt_avail_note(&c.a, &c.sums, VT_PPM, c.now += MS, false));
	}
	assert_int_equal(c.a.ppm, VT_PPM);
	assert_false(vt_avail_note(&c.a, &c.sums, VT_PPM, c.now += MS, false));
	assert_int_equal(c.a.ppm, VT_PPM);
	/* Sums that fall, as of another thread, are nothing. */
	assert_false(vt_avail_note(&c.a, &(struct vt_avail_sums){0}, VT_PPM, c.now += MS, false));
	assert_int_equal(c.a.ppm, VT_PPM);
}

static void test_tries(void **state)
{
	uint64_t pause = VT_AVAIL_PAUSE_NS, since;
	struct core c;

	begin(&c);
	assert_true(vt_avail_try_in(&c.a, c.now) == UINT64_MAX);
	while (!wants(&c, 8 * MS, 400000, VT_PPM, false))
		;
	assert_int_equal(vt_avail_try_in(&c.a, c.now), VT_AVAIL_PAUSE_NS);
	/* Work there measures too, and puts the try off. */
	wants(&c, 8 * MS, 400000, VT_PPM, false);
	assert_int_equal(vt_avail_try_in(&c.a, c.now), VT_AVAIL_PAUSE_NS);
	for (unsigned int k = 0; k < 10; k++) {
		pause = pause < VT_AVAIL_PAUSE_MAX_NS / 2 ? 2 * pause : VT_AVAIL_PAUSE_MAX_NS;
		c.now += vt_avail_try_in(&c.a, c.now);
		assert_int_equal(vt_avail_try_in(&c.a, c.now), 0);
		assert_int_equal(vt_avail_try_in(&c.a, c.now + MS), 0);
		wants(&c, VT_AVAIL_TRY_NS, 500000, VT_PPM, true);
		assert_int_equal(vt_avail_try_in(&c.a, c.now), pause);
	}
	assert_int_equal(pause, VT_AVAIL_PAUSE_MAX_NS);
	/* Whoever was there has gone: at the next try, then soon after each other. */
	since = c.now;
	do {
		c.now += vt_avail_try_in(&c.a, c.now);
	} while (!wants(&c, VT_AVAIL_TRY_NS, VT_PPM, VT_PPM, true));
	assert_false(c.a.taken);
	assert_true(vt_avail_try_in(&c.a, c.now) == UINT64_MAX);
	assert_in_range(c.now - since, VT_AVAIL_PAUSE_MAX_NS, VT_AVAIL_PAUSE_MAX_NS + 300 * MS);
	/* The next time begins with the short pause. */
	while (!wants(&c, 8 * MS, 400000, VT_PPM, false))
		;
	assert_int_equal(vt_avail_try_in(&c.a, c.now), VT_AVAIL_PAUSE_NS);
}

/* A core that gets no more work before it is clear what is left of it: tried until it is. */
static void test_tries_when_in_doubt(void **state)
{
	struct core c;

	begin(&c);
	/* The best one had a bad moment too. */
	assert_false(wants(&c, 50 * MS, 400000, 600000, false));
	assert_int_equal(vt_avail_try_in(&c.a, c.now), VT_AVAIL_PAUSE_NS);
	c.now += vt_avail_try_in(&c.a, c.now);
	assert_true(wants(&c, VT_AVAIL_TRY_NS, 500000, VT_PPM, true));
	assert_true(c.a.taken);

	begin(&c);
	assert_false(wants(&c, 16 * MS, 400000, VT_PPM, false));
	assert_int_equal(vt_avail_try_in(&c.a, c.now), VT_AVAIL_PAUSE_NS);
	/* Nobody there any more. */
	while (vt_avail_try_in(&c.a, c.now) != UINT64_MAX) {
		c.now += vt_avail_try_in(&c.a, c.now);
		assert_false(wants(&c, VT_AVAIL_TRY_NS, VT_PPM, VT_PPM, true));
		assert_true(c.now < 2000 * MS);
	}
}

/* Anything may be read: the share stays one. */
static void test_any_numbers(void **state)
{
	struct vt_rng rng = {.s = 11};
	struct core c;

	begin(&c);
	for (unsigned int k = 0; k < 200000; k++) {
		struct vt_avail_sums s = {vt_rng_u64(&rng) >> vt_rng_below(&rng, 64),
					  vt_rng_u64(&rng) >> vt_rng_below(&rng, 64),
					  vt_rng_u64(&rng) >> vt_rng_below(&rng, 64)};

		vt_avail_note(&c.a, &s, (uint32_t)vt_rng_below(&rng, VT_PPM + 1), c.now += MS,
			      k % 2);
		assert_true(c.a.ppm <= VT_PPM);
		assert_int_equal(c.a.ppm < VT_PPM / 10 * 9,
				 vt_avail_try_in(&c.a, c.now) != UINT64_MAX);
		assert_true(!c.a.taken || c.a.next_mono_ns);
	}
}

/* ---- the kernel itself -------------------------------------------------------------------- */

static void test_this_kernel(void **state)
{
	int fd = vt_avail_open();
	struct vt_avail_sums a, b;
	uint64_t until = vt_now_mono_ns() + 20 * MS;

	if (fd < 0)
		vt_skip("this kernel does not say how long a thread waited: %s", strerror(-fd));
	assert_int_equal(vt_avail_read(fd, &a), 0);
	while (vt_now_mono_ns() < until)
		;
	vt_sleep_until_mono_ns(vt_now_mono_ns() + MS); /* switched out: all has been added up */
	assert_int_equal(vt_avail_read(fd, &b), 0);
	assert_true(b.ran_ns > a.ran_ns);
	assert_true(b.slices > a.slices);
	assert_true(b.ran_ns - a.ran_ns + (b.waited_ns - a.waited_ns) >= 15 * MS);
	close(fd);
}

static void test_a_pool_knows(void **state)
{
	struct vt_cpuset cores, taken;
	struct vt_pool *p = NULL;
	struct vt_err e = {0};
	int fd = vt_avail_open();

	assert_int_equal(vt_cpuset_allowed(&cores), 0);
	assert_int_equal(vt_pool_open(&p, &cores, &e), 0);
	assert_int_equal(vt_pool_avail_err(p), fd < 0 ? fd : 0);
	assert_int_equal(vt_pool_available_ppm(p, (unsigned int)vt_cpuset_next(&cores, 0)), VT_PPM);
	assert_int_equal(vt_pool_available_ppm(p, VT_MAX_CORES), VT_PPM);
	assert_false(vt_pool_taken(p, &taken));
	vt_pool_close(p);
	if (fd >= 0)
		close(fd);
}

/* ---- work beside a busy loop -------------------------------------------------------------- */

struct summing {
	struct vt_work work;
	_Atomic uint64_t sum;
};

static void sum_task(void *ctx, size_t i, size_t count)
{
	uint64_t sum = 0;

	for (size_t k = i; k < i + count; k++)
		for (unsigned int turn = 0; turn < 2000; turn++)
			sum += k ^ turn;
	atomic_fetch_add(&((struct summing *)ctx)->sum, sum);
}

static void sum_run(struct vt_work *w, struct pthreadpool *gang)
{
	pthreadpool_parallelize_1d_tile_1d(gang, sum_task, w, 512, 1, 0);
}

static void sum_done(struct vt_work *w)
{
}

struct hog {
	unsigned int cpu;
	_Atomic int stop;
};

static void *hog(void *arg)
{
	struct hog *h = arg;

	vt_cpuset_pin_self(h->cpu);
	while (!atomic_load_explicit(&h->stop, memory_order_relaxed))
		;
	return NULL;
}

/* Whatever is taken when, politely or not: every chunk is done once. */
static void test_work_beside_a_busy_loop(void **state)
{
	struct vt_cpuset cores, taken = {{0}};
	struct summing s = {.work = {.run = sum_run, .done = sum_done}};
	uint64_t expected = 0, until = vt_now_mono_ns() + 1500 * MS;
	struct hog h = {0};
	struct vt_pool *p = NULL;
	struct vt_err e = {0};
	pthread_t t;

	assert_int_equal(vt_cpuset_allowed(&cores), 0);
	if (vt_cpuset_count(&cores) < 2)
		vt_skip("two CPUs are needed, one of them for the busy loop alone");
	for (int c = vt_cpuset_next(&cores, 0); c >= 0;
	     c = vt_cpuset_next(&cores, (unsigned int)c + 1))
		h.cpu = (unsigned int)c;
	for (uint64_t k = 0; k < 512; k++)
		for (unsigned int turn = 0; turn < 2000; turn++)
			expected += k ^ turn;
	assert_int_equal(vt_pool_open(&p, &cores, &e), 0);
	assert_int_equal(pthread_create(&t, NULL, hog, &h), 0);
	for (unsigned int i = 0; vt_now_mono_ns() < until; i++) {
		vt_pool_be_polite(p, i / 100 % 2 == 0);
		atomic_store(&s.sum, 0);
		assert_int_equal(vt_pool_run(p, &s.work, &cores), 0);
		assert_true(atomic_load(&s.sum) == expected);
	}
	atomic_store(&h.stop, 1);
	pthread_join(t, NULL);
	if (vt_pool_taken(p, &taken))
		for (int c = vt_cpuset_next(&taken, 0); c >= 0;
		     c = vt_cpuset_next(&taken, (unsigned int)c + 1))
			assert_true(vt_cpuset_has(&cores, (unsigned int)c) &&
				    vt_pool_available_ppm(p, (unsigned int)c) < VT_PPM);
	vt_pool_close(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_hysteresis),
		cmocka_unit_test(test_how_soon),
		cmocka_unit_test(test_short_and_long_waits),
		cmocka_unit_test(test_waking_up),
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_tries_when_in_doubt),
		cmocka_unit_test(test_any_numbers),
		cmocka_unit_test(test_this_kernel),
		cmocka_unit_test(test_a_pool_knows),
		cmocka_unit_test(test_work_beside_a_busy_loop),
	};

	return cmocka_run_group_tests_name("avail", tests, NULL, NULL);
}
