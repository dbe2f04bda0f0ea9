// SPDX-License-Identifier: Apache-2.0
/* test_drive.c - the open-loop generator, tallies, and peers that are small shell scripts. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "load/drive.h"
#include "load/peer.h"
#include "load/tally.h"

static const double upto[] = {1, 2};

/** Ends every shot as a table says, on another thread if asked. */
struct fake {
	struct vt_shot *shots;
	size_t n, sent, begun, ended;
	bool keep; /* never answer shot 3 */
	pthread_t thread;
};

static int fake_begin(void *self, struct vt_shot *shots, size_t n, struct vt_err *e)
{
	struct fake *f = self;

	f->shots = shots;
	f->n = n;
	f->begun++;
	return 0;
}

static void fake_send(void *self, struct vt_shot *s)
{
	struct fake *f = self;
	size_t i = (size_t)(s - f->shots);

	f->sent++;
	if (f->keep && i == 3)
		return;
	vt_shot_end(s,
		    i % 10 == 7	  ? VT_SHOT_REFUSED
		    : i % 20 == 8 ? VT_SHOT_DROPPED
				  : VT_SHOT_DONE,
		    s->at_mono_ns + (1 + i % 5) * VT_NS_PER_MS);
}

static void fake_end(void *self)
{
	((struct fake *)self)->ended++;
}

static void ticked(void *arg, uint64_t now)
{
	++*(int *)arg;
}

static void all_are_sent_and_counted(void **state)
{
	struct fake f = {0};
	struct vt_target t = {fake_begin, fake_send, NULL, NULL, fake_end, &f};
	static const uint64_t qos[] = {4000000, 2000000};
	struct vt_tally all = {0}, one = {0}, other = {0};
	struct vt_drive d;
	struct vt_err e = {0};
	int ticks = 0;
	struct vt_drive_cfg cfg = {.rate_hz = 2000,
				   .secs = 0.1,
				   .seed = 5,
				   .upto = upto,
				   .n_tenants = 2,
				   .tick = ticked,
				   .arg = &ticks,
				   .tick_ns = 10 * VT_NS_PER_MS};

	assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), 0);
	assert_int_equal(d.n, 200);
	assert_int_equal(f.sent, 200);
	assert_int_equal(f.begun, 1);
	assert_int_equal(f.ended, 1);
	assert_in_range(ticks, 1, 100);
	for (size_t i = 0; i < d.n; i++)
		assert_true(d.shots[i].sent_mono_ns >= d.shots[i].at_mono_ns);
	assert_int_equal(vt_tally_add(&all, &d, qos, UINT32_MAX), 0);
	assert_int_equal(vt_tally_add(&one, &d, qos, 0), 0);
	assert_int_equal(vt_tally_add(&other, &d, qos, 1), 0);
	assert_int_equal(all.offered, 200);
	assert_int_equal(all.refused, 20);
	assert_int_equal(all.in_time + all.late + all.refused + all.failed, 200);
	assert_int_equal(one.offered + other.offered, 200);
	assert_int_equal(one.in_time + other.in_time, all.in_time);
	assert_int_equal(all.n, 170); /* dropped are late, but have no latency */
	assert_true(all.late > 0 && one.late > 0 && other.late > one.late);
	assert_float_equal(vt_tally_ms(&all, 0), 1, 1e-5);
	assert_float_equal(vt_tally_ms(&all, 1), 5, 1e-5);
	assert_float_equal(vt_tally_share(&all), (double)all.in_time / 200, 1e-12);
	vt_tally_fini(&all);
	vt_tally_fini(&one);
	vt_tally_fini(&other);
	free(d.shots);
}

static void an_answer_that_never_comes_is_given_up(void **state)
{
	struct fake f = {.keep = true};
	struct vt_target t = {fake_begin, fake_send, NULL, NULL, fake_end, &f};
	static const uint64_t qos[] = {1, 1};
	struct vt_tally all = {0};
	struct vt_drive d;
	struct vt_err e = {0};
	struct vt_drive_cfg cfg = {.rate_hz = 1000,
				   .secs = 0.02,
				   .upto = upto,
				   .n_tenants = 2,
				   .drain_ns = 20 * VT_NS_PER_MS};

	assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), -ETIMEDOUT);
	assert_string_equal(e.msg, "1 of 20 requests were not answered");
	vt_tally_add(&all, &d, qos, UINT32_MAX);
	assert_int_equal(all.failed, 1);
	vt_tally_fini(&all);
	free(d.shots);
}

static void it_stops_when_told(void **state)
{
	struct fake f = {0};
	struct vt_target t = {fake_begin, fake_send, NULL, NULL, fake_end, &f};
	volatile int stop = 1;
	struct vt_drive d;
	struct vt_err e = {0};
	struct vt_drive_cfg cfg = {
		.rate_hz = 10, .secs = 100, .upto = upto, .n_tenants = 2, .stop = &stop};

	assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), -EINTR);
	assert_int_equal(f.sent, 0);
	assert_int_equal(f.ended, 1);
	free(d.shots);
}

/** A target with a worker, which answers 200 ms after the last send; before, the generator is told to stop. */
struct working {
	struct vt_shot *shots;
	size_t n, sent;
	volatile int stop;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct working *w = arg;

	usleep(200000);
	for (size_t i = 0; i < w->n; i++)
		vt_shot_end(&w->shots[i], VT_SHOT_DONE, vt_now_mono_ns());
	return NULL;
}

static int working_begin(void *self, struct vt_shot *shots, size_t n, struct vt_err *e)
{
	struct working *w = self;

	w->shots = shots;
	w->n = n;
	return 0;
}

static void working_send(void *self, struct vt_shot *s)
{
	struct working *w = self;

	if (++w->sent == w->n)
		assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void stop_it(void *arg, uint64_t now)
{
	struct working *w = arg;

	w->stop = w->sent == w->n;
}

static void stopped_it_waits_for_what_was_sent(void **state)
{
	struct working w = {0};
	struct vt_target t = {working_begin, working_send, NULL, NULL, NULL, &w};
	struct vt_drive_cfg cfg = {.rate_hz = 1000,
				   .secs = 0.02,
				   .upto = upto,
				   .n_tenants = 2,
				   .tick = stop_it,
				   .arg = &w,
				   .tick_ns = 10 * VT_NS_PER_MS,
				   .stop = &w.stop};
	struct vt_drive d;
	struct vt_err e = {0};
	size_t open = 0;

	assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), -EINTR);
	for (size_t i = 0; i < d.n; i++)
		open += !d.shots[i].how;
	pthread_join(w.thread, NULL);
	assert_int_equal(open, 0);
	free(d.shots);
}

/** Answers what was sent when it is polled; sending takes longer than the time between arrivals. */
struct slow {
	struct vt_shot *open[64];
	size_t n, most;
	int fd;
};

static void slow_send(void *self, struct vt_shot *s)
{
	struct slow *f = self;

	usleep(2000);
	f->open[f->n++] = s;
}

static void slow_poll(void *self)
{
	struct slow *f = self;

	f->most = f->n > f->most ? f->n : f->most;
	while (f->n)
		vt_shot_end(f->open[--f->n], VT_SHOT_DONE, vt_now_mono_ns());
}

static int slow_fd(void *self)
{
	return ((struct slow *)self)->fd;
}

/* An answer that came while the generator was late is stamped after the next send, not after the last. */
static void answers_are_taken_between_late_sends(void **state)
{
	struct slow f = {.fd = eventfd(1, 0)};
	struct vt_target t = {NULL, slow_send, slow_poll, slow_fd, NULL, &f};
	struct vt_drive_cfg cfg = {
		.rate_hz = 4000, .secs = 0.015, .seed = 1, .upto = upto, .n_tenants = 2};
	struct vt_drive d;
	struct vt_err e = {0};

	assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), 0);
	assert_int_equal(d.n, 60);
	assert_in_range(f.most, 1, 3); /* one, but for a moment between two looks at the clock */
	free(d.shots);
	close(f.fd);
}

static void one_by_one(void **state)
{
	struct vt_tally t = {0};

	for (uint64_t ms = 3000; ms; ms--)
		assert_int_equal(vt_tally_one(&t, ms * VT_NS_PER_MS, 1000 * VT_NS_PER_MS), 0);
	assert_int_equal(t.offered, 3000);
	assert_int_equal(t.in_time, 1000);
	assert_int_equal(t.late, 2000);
	assert_float_equal(vt_tally_ms(&t, 0.5), 1500, 1e-3);
	assert_float_equal(vt_tally_mean_ms(&t), 1500.5, 1e-3);
	vt_tally_fini(&t);
}

static void refusals_have_times(void **state)
{
	static const uint64_t qos[] = {1, 1};
	struct vt_shot shots[100] = {0};
	struct vt_drive d = {.shots = shots, .n = 100};
	struct vt_tally t = {0};

	for (uint64_t i = 0; i < 100; i++) {
		shots[i].at_mono_ns = 1;
		shots[i].sent_mono_ns = VT_NS_PER_S; /* a late generator is not the server's */
		shots[i].end_mono_ns = VT_NS_PER_S + (i + 1) * VT_NS_PER_MS;
		shots[i].how = VT_SHOT_REFUSED;
	}
	assert_float_equal(vt_tally_refused_ms(&t, 0.5), 0, 0);
	assert_int_equal(vt_tally_add(&t, &d, qos, UINT32_MAX), 0);
	assert_int_equal(t.refused, 100);
	for (int p = 1; p <= 100; p++) {
		double ms = vt_tally_refused_ms(&t, p / 100.0);

		assert_true(ms >= p && ms <= 1.19 * (p + 1) + 0.02);
	}
	vt_tally_fini(&t);
}

/* ---- peers ---------------------------------------------------------------------------------- */

#define ECHO                                                                                       \
	"sh -c 'echo ready; while read id due; do [ \"$due\" = 0 ] && echo $id || echo $id drop; " \
	"done'"

static void a_peer_answers_lines(void **state)
{
	static const char *const models[] = {"a.onnx", "b.onnx"};
	static const uint64_t qos[] = {1000000000, 1000000000};
	struct vt_peer_opts o = {.command = ECHO, .models = models, .n = 2};
	struct vt_drive_cfg cfg = {
		.rate_hz = 500, .secs = 0.2, .seed = 1, .upto = upto, .n_tenants = 2};
	struct vt_err e = {0};
	struct vt_peer *p;
	uint64_t ns[5];

	assert_int_equal(vt_peer_open(&p, &o, &e), 0);
	for (int drops = 0; drops < 2; drops++) {
		struct vt_target t = vt_peer_target(p);
		struct vt_tally all = {0};
		struct vt_drive d;

		vt_peer_deadlines(p, drops ? qos : NULL);
		assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), 0);
		vt_tally_add(&all, &d, qos, UINT32_MAX);
		assert_int_equal(all.offered, 100);
		assert_int_equal(all.refused, drops ? 100 : 0);
		assert_int_equal(all.n, drops ? 0 : 100);
		vt_tally_fini(&all);
		free(d.shots);
		if (!drops) {
			assert_int_equal(vt_drive_alone(&t, 1, 5, ns, &e), 0);
			assert_true(ns[0] > 0 && ns[0] <= ns[4]);
		}
	}
	vt_peer_close(p);
}

/* As after a pause: more bytes at once than one line may have. */
static void a_peer_answers_many_lines_at_once(void **state)
{
	static const char *const model = "a.onnx";
	static const uint64_t qos = 5 * VT_NS_PER_S;
	static const double all_of_one = 1;
	struct vt_peer_opts o = {
		.command = "sh -c 'echo ready; while read id due; do all=\"$all$id\\n\"; "
			   "[ $id != 199 ] || printf \"$all\"; done'",
		.models = &model,
		.n = 1};
	struct vt_drive_cfg cfg = {
		.rate_hz = 2000, .secs = 0.1, .seed = 1, .upto = &all_of_one, .n_tenants = 1};
	struct vt_err e = {0};
	struct vt_tally all = {0};
	struct vt_target t;
	struct vt_drive d;
	struct vt_peer *p;

	assert_int_equal(vt_peer_open(&p, &o, &e), 0);
	t = vt_peer_target(p);
	assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), 0);
	vt_tally_add(&all, &d, &qos, UINT32_MAX);
	assert_int_equal(all.offered, 200);
	assert_int_equal(all.failed, 0);
	assert_int_equal(all.in_time, 200);
	vt_tally_fini(&all);
	free(d.shots);
	vt_peer_close(p);
}

static void a_peer_that_misbehaves_is_refused_or_failed(void **state)
{
	static const struct {
		const char *command, *error; /* of opening */
		const char *later;	     /* of the slice after the first */
	} cases[] = {
		{"false", "'false' ended before it said 'ready'", NULL},
		{"echo hello", "'echo hello' said 'hello ", NULL},
		{"sleep 100; echo", "'sleep 100; echo' did not say 'ready' in time", NULL},
		{"sh -c 'echo ready; read x; exit'", NULL,
		 "the process of 2 of its 2 tenants has ended"},
		{"sh -c 'echo ready; read x; printf %0300d 0; sleep 9'", NULL,
		 "the process of 2 of its 2 tenants answered a line longer than any can be"},
		{"sh -c 'echo ready; read x; echo 99999; sleep 9'", NULL,
		 "the process of 2 of its 2 tenants answered '99999', which is no open request"},
		{"sh -c 'echo ready; read x; echo no; sleep 9'", NULL,
		 "the process of 2 of its 2 tenants answered 'no', which is no open request"},
		{"sh -c 'echo ready; read x; printf %0600d 1; sleep 9'", NULL,
		 "the process of 2 of its 2 tenants answered a line longer"},
	};
	static const char *const models[] = {"a", "b"};
	static const uint64_t qos[] = {1, 1};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		const bool in_vain = cases[i].error && strstr(cases[i].error, "in time");
		/* Else as long as a busy machine may take to start one. */
		struct vt_peer_opts o = {cases[i].command, models, 2,
					 in_vain ? VT_NS_PER_S / 2 : 10 * VT_NS_PER_S};
		struct vt_drive_cfg cfg = {
			.rate_hz = 200, .secs = 0.1, .upto = upto, .n_tenants = 2};
		struct vt_tally all = {0};
		struct vt_drive d;
		struct vt_err e = {0};
		struct vt_target t;
		struct vt_peer *p;

		if (cases[i].error) {
			assert_true(vt_peer_open(&p, &o, &e) < 0);
			assert_memory_equal(e.msg, cases[i].error, strlen(cases[i].error));
			continue;
		}
		assert_int_equal(vt_peer_open(&p, &o, &e), 0);
		t = vt_peer_target(p);
		assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), 0);
		vt_tally_add(&all, &d, qos, UINT32_MAX);
		assert_int_equal(all.failed, 20);
		vt_tally_fini(&all);
		free(d.shots);
		assert_int_equal(vt_peer_check(p, &e), -EIO);
		assert_int_equal(vt_drive_run(&t, &cfg, &d, &e), -EIO);
		assert_memory_equal(e.msg, cases[i].later, strlen(cases[i].later));
		free(d.shots);
		vt_peer_close(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_sent_and_counted),
		cmocka_unit_test(answers_are_taken_between_late_sends),
		cmocka_unit_test(one_by_one),
		cmocka_unit_test(refusals_have_times),
		cmocka_unit_test(an_answer_that_never_comes_is_given_up),
		cmocka_unit_test(it_stops_when_told),
		cmocka_unit_test(stopped_it_waits_for_what_was_sent),
		cmocka_unit_test(a_peer_answers_lines),
		cmocka_unit_test(a_peer_answers_many_lines_at_once),
		cmocka_unit_test(a_peer_that_misbehaves_is_refused_or_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
