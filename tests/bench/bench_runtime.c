// SPDX-License-Identifier: Apache-2.0
/*
 * The live plant alone: no HTTP, nobody else on the machine.
 *
 *	bench_runtime ZOO_DIR [-m MODELS] [-p POLICIES] [-l LOADS] [-q QOS] [-s SECONDS] [-r ROUNDS]
 *		      [-P PROFILE] [-M]
 *
 *	own	one model at a time, whole, on all cores: the same runs straight on the workers and as requests, in turns.
 *		The difference is what the runtime itself costs per request and per block.
 *	open	Poisson arrivals at shares of the queueing limit (one server, earliest deadline first,
 *		hopeless requests dropped), policies in turns. QoS: times the model's own time.
 *
 * -M: with the monitor on (root), to see what it costs.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "exec/runtime.h"
#include "load/drive.h"
#include "load/limit.h"
#include "load/tally.h"

#include "asked.h"

#define MAX	 ASKED_MAX
#define OWN_RUNS 30u
#define TARGET	 0.95

struct opts {
	const char *zoo, *profile;
	const char *models[MAX], *policies[MAX];
	double loads[MAX], qos, secs;
	unsigned int n_models, n_policies, n_loads, rounds;
	bool monitor;
};

struct bench {
	struct opts o;
	struct asked a;
	struct vt_monitor *monitor;
	uint64_t alone_ns[MAX];
	struct vt_runtime_stats before, after;
};

static void die(const struct vt_err *e)
{
	fprintf(stderr, "bench_runtime: %s\n", e->msg);
	exit(1);
}

/* ---- models -------------------------------------------------------------------------------- */

struct measuring {
	struct vt_engine *eng;
	struct vt_costs costs;
	const char *name;
	uint64_t *alone_ns;
	struct vt_err e;
};

/* The median of whole runs on all cores, and the times of layers. */
static int measure(void *arg, struct vt_pool *pool)
{
	struct measuring *m = arg;
	uint64_t ns[OWN_RUNS];
	int err = asked_times(&m->costs, m->eng, pool, m->name, 7, &m->e);

	for (unsigned int i = 0; i < OWN_RUNS && !err; i++) {
		struct vt_run r;

		vt_run_init(&r, m->eng, 0);
		err = vt_pool_run(pool, &r.work, vt_pool_cores(pool));
		ns[i] = r.work.end_mono_ns - r.work.start_mono_ns;
		for (unsigned int k = i; k && ns[k - 1] > ns[k]; k--) {
			uint64_t t = ns[k];

			ns[k] = ns[k - 1];
			ns[k - 1] = t;
		}
	}
	if (!err)
		*m->alone_ns = ns[OWN_RUNS / 2];
	return err;
}

static void from_profile(struct bench *b, struct vt_served *s)
{
	const uint16_t points[] = {1, 2, 4, 8, 16, 32, 64, 128};
	struct vt_profile *db = NULL;
	struct vt_profile_key key;
	struct vt_costs c = {0};
	struct vt_err e = {0};

	vt_profile_here(&key);
	if (vt_profile_open(&db, b->o.profile, VT_PROFILE_READ, &key, &e) ||
	    vt_costs_profiled(&c, s->engine, db, s->name, s->costs.model.qos_ns, points,
			      sizeof(points) / sizeof(points[0]), &e))
		die(&e);
	vt_profile_close(db);
	vt_costs_fini(&s->costs);
	s->costs = c;
}

static void add_model(struct bench *b, unsigned int i)
{
	struct measuring m = {.name = b->o.models[i], .alone_ns = &b->alone_ns[i]};
	struct vt_served s = {.max_queue = 512};

	if (asked_load(&m.eng, b->o.zoo, m.name, 2, &m.e) ||
	    vt_runtime_borrow(b->a.rt, measure, &m))
		die(&m.e);
	b->a.qos_ns[i] = (uint64_t)((double)b->alone_ns[i] * b->o.qos);
	m.costs.model.qos_ns = b->a.qos_ns[i];
	s.engine = m.eng;
	s.costs = m.costs;
	snprintf(s.name, sizeof(s.name), "%s", m.name);
	if (b->o.profile)
		from_profile(b, &s);
	if (vt_runtime_add(b->a.rt, &s, &b->a.id[i], &m.e))
		die(&m.e);
	printf("model  %-18s alone %8.3f ms   QoS %8.3f ms\n", m.name, (double)b->alone_ns[i] / 1e6,
	       (double)b->a.qos_ns[i] / 1e6);
}

/* ---- own: what a request costs that is not computing ---------------------------------------- */

struct back_to_back {
	struct bench *b;
	const struct vt_engine *eng;
	_Atomic uint32_t left, answered;
	uint64_t served_ns, blocks;
};

static void again(struct vt_infer *q, enum vt_outcome how)
{
	struct back_to_back *x = q->user;

	x->served_ns += q->served_ns;
	x->blocks += q->blocks;
	if (atomic_fetch_sub(&x->left, 1) > 2)
		vt_runtime_submit(x->b->a.rt, q);
	atomic_fetch_add(&x->answered, 1);
}

/* Two at a time, so that one always waits; both of one model with the whole machine each. */
static uint64_t as_requests(struct bench *b, unsigned int i, unsigned int n, struct back_to_back *x)
{
	struct vt_infer q[2];
	uint64_t t0 = vt_now_mono_ns();

	*x = (struct back_to_back){.b = b};
	x->left = n;
	for (unsigned int k = 0; k < 2; k++)
		q[k] = (struct vt_infer){.model = b->a.id[i],
					 .done = again,
					 .user = x,
					 .deadline_ns = UINT64_MAX / 2};
	for (unsigned int k = 0; k < 2; k++)
		vt_runtime_submit(b->a.rt, &q[k]);
	while (atomic_load(&x->answered) < n)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 200000);
	return vt_now_mono_ns() - t0;
}

struct straight {
	struct vt_engine *eng;
	unsigned int n;
	uint64_t ns;
};

static int straight(void *arg, struct vt_pool *pool)
{
	struct straight *s = arg;
	uint64_t t0 = vt_now_mono_ns();

	for (unsigned int i = 0; i < s->n; i++) {
		struct vt_run r;

		vt_run_init(&r, s->eng, 0);
		vt_pool_run(pool, &r.work, vt_pool_cores(pool));
	}
	s->ns = vt_now_mono_ns() - t0;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void own(struct bench *b, unsigned int i)
{
	struct straight s = {.eng = (struct vt_engine *)vt_runtime_engine(b->a.rt, b->a.id[i])};
	unsigned int n = (unsigned int)(300e6 / (double)b->alone_ns[i]) + 4;
	double ratio[64], gap_us[64];
	unsigned int rounds = b->o.rounds < 64 ? b->o.rounds : 64;

	s.n = n;
	vt_runtime_policy(b->a.rt, vt_policy_find("fcfs"), true); /* whole models on all cores */
	for (unsigned int r = 0; r < rounds; r++) {
		struct back_to_back x;
		uint64_t ns;

		while (vt_runtime_borrow(b->a.rt, straight, &s))
			vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
		ns = as_requests(b, i, n, &x);
		ratio[r] = (double)ns / (double)s.ns;
		gap_us[r] = (double)(ns - x.served_ns) / (double)x.blocks / 1e3;
	}
	qsort(ratio, rounds, sizeof(ratio[0]), by_value);
	qsort(gap_us, rounds, sizeof(gap_us[0]), by_value);
	printf("own    %-18s as requests / straight: %.4f (%.4f to %.4f), between blocks %.1f us "
	       "(%u rounds of %u)\n",
	       b->o.models[i], ratio[rounds / 2], ratio[0], ratio[rounds - 1], gap_us[rounds / 2],
	       rounds, n);
}

/* ---- open: Poisson arrivals ----------------------------------------------------------------- */

static double decide_us(const struct bench *b, double share)
{
	uint64_t count[VT_TURN_BUCKETS];

	for (unsigned int i = 0; i < VT_TURN_BUCKETS; i++)
		count[i] = b->after.decide[i] - b->before.decide[i];
	return (double)vt_turn_percentile_ns(count, share) / 1e3;
}

static uint64_t busy_ns(const struct vt_runtime_stats *s)
{
	uint64_t sum = 0;

	for (uint32_t c = 0; c < s->n_cores; c++)
		sum += s->core[c].busy_ns;
	return sum;
}

static uint64_t blocks(const struct vt_runtime_stats *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->n_models; i++)
		sum += s->model[i].blocks;
	return sum;
}

static void slice(struct bench *b, const char *policy, double rate, double limit, uint64_t seed)
{
	struct vt_tally tally = {0};
	struct vt_drive d = {0};
	struct vt_err e = {0};
	double wall;

	vt_runtime_stats(b->a.rt, &b->before);
	if (asked_run(&b->a, rate, b->o.secs, seed, &d, &e) ||
	    vt_tally_add(&tally, &d, b->a.qos_ns, UINT32_MAX))
		die(&e);
	vt_runtime_stats(b->a.rt, &b->after);
	wall = (double)(b->after.now_ns - b->before.now_ns) * b->after.n_cores;
	printf("open   %-15s %6.1f/s %4.0f %% of limit: in QoS %5.1f %% refused %5.1f %% late "
	       "%5.1f %% "
	       "p50 %6.1f p95 %6.1f ms busy %4.1f %% blocks/req %4.1f decide %4.2f us p99 < %.2f "
	       "us "
	       "max %.0f late act %llu%s\n",
	       policy, rate, rate / limit * 100, vt_tally_share(&tally) * 100,
	       (double)tally.refused / (double)tally.offered * 100,
	       (double)tally.late / (double)tally.offered * 100, vt_tally_ms(&tally, 0.5),
	       vt_tally_ms(&tally, 0.95),
	       (double)(busy_ns(&b->after) - busy_ns(&b->before)) / wall * 100,
	       (double)(blocks(&b->after) - blocks(&b->before)) /
		       (double)(tally.offered - tally.refused + 1),
	       (double)(b->after.decide_ns - b->before.decide_ns) / 1e3 /
		       (double)(b->after.loop.steps - b->before.loop.steps),
	       decide_us(b, 0.99), (double)b->after.decide_max_ns / 1e3,
	       (unsigned long long)(b->after.late_actions - b->before.late_actions),
	       tally.late_sends ? " (generator late)" : "");
	fflush(stdout);
	vt_tally_fini(&tally);
	free(d.shots);
}

static double limit_of(struct bench *b)
{
	struct vt_limit_class c[MAX];
	struct vt_limit_cfg cfg = {.classes = c, .n_classes = b->o.n_models, .target = TARGET};

	for (unsigned int i = 0; i < b->o.n_models; i++)
		c[i] = (struct vt_limit_class){.service_ns = (double)b->alone_ns[i],
					       .qos_ns = (double)b->a.qos_ns[i],
					       .weight = 1};
	printf("limit  serial capacity %.1f/s, %.0f %% in QoS up to %.1f/s\n",
	       vt_limit_capacity(&cfg), TARGET * 100, vt_limit_rate(&cfg));
	return vt_limit_rate(&cfg);
}

static void open_loop(struct bench *b)
{
	double limit = limit_of(b);

	vt_drive_prepare();
	for (unsigned int r = 0; r < b->o.rounds; r++)
		for (unsigned int l = 0; l < b->o.n_loads; l++)
			for (unsigned int p = 0; p < b->o.n_policies; p++) {
				const struct vt_policy *pol = vt_policy_find(b->o.policies[p]);

				if (!pol || vt_runtime_policy(b->a.rt, pol, false))
					die(&(struct vt_err){.msg = "no such policy"});
				slice(b, pol->name, b->o.loads[l] * limit, limit, r + 1);
			}
}

static void parse(struct opts *o, int argc, char **argv)
{
	static char models[] = "resnet-50,googlenet", policies[] = "veltair-full";
	const char *loads[MAX] = {"0.6", "0.8", "1.0"};
	int c;

	o->n_models = asked_list(models, o->models);
	o->n_policies = asked_list(policies, o->policies);
	o->n_loads = 3;
	o->qos = 3;
	o->secs = 5;
	o->rounds = 3;
	while ((c = getopt(argc, argv, "m:p:l:q:s:r:P:M")) != -1)
		switch (c) {
		case 'm':
			o->n_models = asked_list(optarg, o->models);
			break;
		case 'p':
			o->n_policies = asked_list(optarg, o->policies);
			break;
		case 'l':
			o->n_loads = asked_list(optarg, loads);
			break;
		case 'q':
			o->qos = strtod(optarg, NULL);
			break;
		case 's':
			o->secs = strtod(optarg, NULL);
			break;
		case 'r':
			o->rounds = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'P':
			o->profile = optarg;
			break;
		case 'M':
			o->monitor = true;
			break;
		default:
			exit(2);
		}
	for (unsigned int i = 0; i < o->n_loads; i++)
		o->loads[i] = strtod(loads[i], NULL);
	if (optind >= argc || !o->rounds) {
		fprintf(stderr, "bench_runtime: which directory holds the zoo?\n");
		exit(2);
	}
	o->zoo = argv[optind];
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct vt_runtime_opts ro = {.record_fd = -1};
	struct vt_monitor_opts mo = {0};
	struct vt_err e = {0};

	if (!b)
		return 1;
	parse(&b->o, argc, argv);
	b->a.n_models = b->o.n_models;
	if (b->o.monitor && vt_monitor_open(&mo, &b->monitor, &e))
		die(&e);
	ro.monitor = b->monitor;
	if (vt_runtime_open(&b->a.rt, &ro, &e))
		die(&e);
	for (unsigned int i = 0; i < b->o.n_models; i++)
		add_model(b, i);
	for (unsigned int i = 0; i < b->o.n_models; i++)
		own(b, i);
	open_loop(b);
	vt_runtime_close(b->a.rt);
	vt_monitor_close(b->monitor);
	free(b);
	return 0;
}
