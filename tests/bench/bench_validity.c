// SPDX-License-Identifier: Apache-2.0
/*
 * Does the simulator say what the runtime then does? The same arrivals, the same policy, the same
 * times of layers: once on this machine's cores, once on the simulated machine.
 *
 *	bench_validity MACHINE ZOO_DIR [-m MODELS] [-p POLICY] [-l LOAD] [-q QOS] [-s SECONDS] [-r ROUNDS]
 *		       [-P STORE] [-o FILE] [-R]
 *
 * Each round measures the layers anew (or takes them from a profile store), tells the runtime,
 * drives it with Poisson arrivals at LOAD of the capacity of the whole machine, measures once more, and
 * simulates just these arrivals with the mean of both. Measured with them: what a core full of the same
 * models costs beside one; cores of a virtual machine are often two threads of one. Printed are the
 * latencies of both and their ratio, by model: of each round, and of all rounds together. `pace` is
 * what blocks took over what the layers' times say: how far these were off while the requests ran.
 *
 * -o: the arrivals of the last round, for `veltair sim --arrivals`.
 * -R: with real-time priority, so that what else runs here does not count (root). The generator comes
 *     before the workers: a request is due when it is due.
 */
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "exec/runtime.h"
#include "load/drive.h"
#include "sched/turn.h"
#include "sim/machine.h"
#include "sim/sim.h"

#define MAX  8u
#define RUNS 15u

struct opts {
	const char *machine, *zoo, *policy, *store, *out;
	const char *models[MAX];
	double load, qos, secs;
	unsigned int n_models, rounds;
	bool real_time;
};

/** Latencies of one model, of one side. */
struct side {
	float *ms;
	size_t n, cap, refused;
};

struct pace {
	_Atomic uint64_t took_ns, said_ns;
};

struct bench {
	struct opts o;
	const struct vt_policy *policy;
	struct vt_machine machine;
	struct vt_runtime *rt;
	uint32_t id[MAX];
	struct vt_costs costs[MAX]; /* ours, equal to those the runtime has */
	uint64_t qos_ns[MAX];
	struct pace pace[2]; /* of blocks on one core, on more */
	struct vt_infer *infer;
	struct vt_shot *shots;
	struct vt_drive drive;
	size_t at; /* of the arrivals simulated */
	struct side live[MAX + 1], sim[MAX + 1], all_live[MAX + 1], all_sim[MAX + 1];
};

static void die(const struct vt_err *e)
{
	fprintf(stderr, "bench_validity: %s\n", e->msg);
	exit(1);
}

/* ---- times of layers ----------------------------------------------------------------------- */

struct measuring {
	struct vt_engine *eng;
	const char *name;
	uint64_t qos_ns;
	struct vt_costs ours, theirs;
	struct vt_err e;
};

static void copy_costs(struct vt_costs *to, const struct vt_costs *from, struct vt_engine *eng,
		       struct vt_pool *pool, struct measuring *m, int *err)
{
	const struct vt_model *f = &from->model;
	size_t cells = (size_t)f->n_layers * f->n_versions * VT_LEVELS * f->n_points;

	/* Of equal shape; then the same numbers. */
	*err = vt_costs_measured(to, eng, pool, m->name, f->qos_ns, f->points, f->n_points, 1,
				 &m->e);
	if (!*err)
		memcpy((uint64_t *)to->model.ns, f->ns, cells * sizeof(*f->ns));
}

static int measure(void *arg, struct vt_pool *pool)
{
	const unsigned int cores = vt_cpuset_count(vt_pool_cores(pool));
	const uint16_t points[] = {1, (uint16_t)cores};
	struct measuring *m = arg;
	int err = vt_costs_measured(&m->ours, m->eng, pool, m->name, m->qos_ns, points,
				    cores > 1 ? 2 : 1, RUNS, &m->e);

	if (!err)
		copy_costs(&m->theirs, &m->ours, m->eng, pool, m, &err);
	return err;
}

static void from_store(struct bench *b, struct measuring *m, struct vt_costs *ret)
{
	const uint16_t points[] = {1, 2, 4, 8, 16, 32, 64, 128};
	struct vt_profile *db = NULL;
	struct vt_profile_key key;

	vt_profile_here(&key);
	if (vt_profile_open(&db, b->o.store, VT_PROFILE_READ, &key, &m->e) ||
	    vt_costs_profiled(ret, m->eng, db, m->name, m->qos_ns, points,
			      sizeof(points) / sizeof(points[0]), &m->e))
		die(&m->e);
	vt_profile_close(db);
}

static void get_costs(struct bench *b, struct measuring *m)
{
	int err;

	if (b->o.store) {
		from_store(b, m, &m->ours);
		from_store(b, m, &m->theirs);
		return;
	}
	while ((err = vt_runtime_borrow(b->rt, measure, m)) == -EBUSY)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	if (err)
		die(&m->e);
}

static uint64_t whole_ns(const struct vt_model *m)
{
	return vt_model_block_ns(m, 0, m->n_layers, NULL, m->points[m->n_points - 1], 0);
}

static void add_model(struct bench *b, unsigned int i)
{
	struct measuring m = {.name = b->o.models[i]};
	struct vt_engine_opts eo = {.instances = 4};
	struct vt_served s = {.max_queue = 512};
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.onnx", b->o.zoo, m.name);
	if (vt_engine_load(&m.eng, path, &eo, &m.e))
		die(&m.e);
	get_costs(b, &m);
	b->qos_ns[i] = (uint64_t)((double)whole_ns(&m.ours.model) * b->o.qos);
	m.theirs.model.qos_ns = m.ours.model.qos_ns = b->qos_ns[i];
	b->costs[i] = m.ours;
	s.engine = m.eng;
	s.costs = m.theirs;
	snprintf(s.name, sizeof(s.name), "%s", m.name);
	if (vt_runtime_add(b->rt, &s, &b->id[i], &m.e))
		die(&m.e);
	printf("model  %-18s whole %8.3f ms   QoS %8.3f ms\n", m.name,
	       (double)whole_ns(&b->costs[i].model) / 1e6, (double)b->qos_ns[i] / 1e6);
}

/** This minute's times, for both sides. */
static void again(struct bench *b)
{
	for (unsigned int i = 0; i < b->o.n_models && !b->o.store; i++) {
		struct measuring m = {
			.name = b->o.models[i],
			.eng = (struct vt_engine *)vt_runtime_engine(b->rt, b->id[i]),
			.qos_ns = b->qos_ns[i],
		};

		get_costs(b, &m);
		vt_costs_fini(&b->costs[i]);
		b->costs[i] = m.ours;
		if (vt_runtime_recost(b->rt, b->id[i], &m.theirs, &m.e))
			die(&m.e);
	}
}

/** The mean with the times right after the run: a machine drifts while it runs. For the simulation. */
static void average(struct bench *b)
{
	for (unsigned int i = 0; i < b->o.n_models && !b->o.store; i++) {
		struct measuring m = {
			.name = b->o.models[i],
			.eng = (struct vt_engine *)vt_runtime_engine(b->rt, b->id[i]),
			.qos_ns = b->qos_ns[i],
		};
		const struct vt_model *f = &b->costs[i].model;
		size_t cells = (size_t)f->n_layers * f->n_versions * VT_LEVELS * f->n_points;
		uint64_t *ns = (uint64_t *)f->ns;

		get_costs(b, &m);
		for (size_t k = 0; k < cells; k++)
			ns[k] = (ns[k] + m.ours.model.ns[k]) / 2;
		vt_costs_fini(&m.ours);
		vt_costs_fini(&m.theirs);
	}
}

/* ---- live ---------------------------------------------------------------------------------- */

static void keep(struct side *s, double ms)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 256;
		s->ms = realloc(s->ms, s->cap * sizeof(*s->ms));
		if (!s->ms)
			die(&(struct vt_err){.msg = "out of memory"});
	}
	s->ms[s->n++] = (float)ms;
}

static void told(void *arg, const struct vt_block_event *ev)
{
	struct bench *b = arg;
	unsigned int cores = vt_coreset_count(&ev->cores), i = 0;
	struct pace *p = &b->pace[cores > 1];

	while (i < b->o.n_models && b->id[i] != ev->model)
		i++;
	if (i == b->o.n_models || ev->flags & VT_BLOCK_RESIZED)
		return;
	atomic_fetch_add(&p->took_ns, ev->end_ns - ev->start_ns);
	atomic_fetch_add(&p->said_ns, vt_model_block_ns(&b->costs[i].model, ev->layer_begin,
							ev->layer_end, ev->versions, cores, 0));
}

static int begin(void *self, struct vt_shot *shots, size_t n, struct vt_err *e)
{
	struct bench *b = self;

	b->infer = calloc(n, sizeof(*b->infer));
	b->shots = shots;
	return b->infer ? 0 : vt_fail(e, -ENOMEM, "no memory for %zu requests", n);
}

static void shot_done(struct vt_infer *q, enum vt_outcome how)
{
	vt_shot_end(q->user, how == VT_DONE ? VT_SHOT_DONE : VT_SHOT_REFUSED, q->end_ns);
}

static void send(void *self, struct vt_shot *s)
{
	struct bench *b = self;
	struct vt_infer *q = &b->infer[s - b->shots];

	q->model = b->id[s->tenant];
	q->tenant = s->tenant;
	q->deadline_ns = s->at_mono_ns + b->qos_ns[s->tenant];
	q->done = shot_done;
	q->user = s;
	vt_runtime_submit(b->rt, q);
}

static void end(void *self)
{
	struct bench *b = self;

	while (!vt_runtime_idle(b->rt))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	free(b->infer);
}

static double capacity_hz(const struct bench *b)
{
	double ns = 0;

	for (unsigned int i = 0; i < b->o.n_models; i++)
		ns += (double)whole_ns(&b->costs[i].model) / b->o.n_models;
	return 1e9 / ns;
}

static void run_live(struct bench *b, uint64_t seed)
{
	struct vt_target t = {.begin = begin, .send = send, .end = end, .self = b};
	double upto[MAX];
	struct vt_drive_cfg cfg = {.rate_hz = b->o.load * capacity_hz(b),
				   .secs = b->o.secs,
				   .seed = seed,
				   .upto = upto,
				   .n_tenants = b->o.n_models};
	struct vt_err e = {0};

	for (unsigned int i = 0; i < b->o.n_models; i++)
		upto[i] = (double)(i + 1);
	if (vt_drive_run(&t, &cfg, &b->drive, &e))
		die(&e);
	for (size_t k = 0; k < b->drive.n; k++) {
		const struct vt_shot *s = &b->drive.shots[k];
		struct side *side = &b->live[s->tenant];

		if (s->how == VT_SHOT_DONE)
			keep(side, (double)(s->end_mono_ns - s->at_mono_ns) / 1e6);
		else
			side->refused++;
	}
}

/* ---- side by side -------------------------------------------------------------------------- */

#define AT_ONCE 4u /* requests of each model in a turn */
#define BESIDE	(4u * AT_ONCE)

static size_t one_core_size(const struct vt_policy_cfg *cfg)
{
	return 64;
}

static int one_core_init(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg)
{
	return 0;
}

/* Whole models, first come first served, a core each. */
static void one_core_decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	struct vt_turn t;

	vt_turn_begin(&t, v, ret, 0);
	for (uint32_t i = 0; i < v->n_requests && t.n_free; i++)
		if (vt_turn_ready(&t, &v->requests[i]))
			vt_turn_start(&t, &(struct vt_start){
						  .request = i,
						  .end = v->models[v->requests[i].model].n_layers,
						  .wanted = 1,
						  .cores = 1});
}

static const struct vt_policy one_core = {.name = "one-core",
					  .summary = "",
					  .state_size = one_core_size,
					  .init = one_core_init,
					  .decide = one_core_decide};

static void answered(struct vt_infer *q, enum vt_outcome how)
{
	atomic_fetch_add((_Atomic unsigned int *)q->user, 1);
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* Times of each model on one core, @at .. of @ms: one at a time, or the other core full of them. */
static void one_core_ms(struct bench *b, bool beside, unsigned int at, float (*ms)[BESIDE])
{
	static struct vt_infer q[MAX * AT_ONCE];
	const unsigned int n = b->o.n_models, ahead = beside ? b->machine.cores + 1 : 1;
	static _Atomic unsigned int done;

	atomic_store(&done, 0);
	for (unsigned int k = 0; k < n * AT_ONCE; k++) {
		q[k] = (struct vt_infer){.model = b->id[k % n],
					 .deadline_ns = UINT64_MAX / 2,
					 .done = answered,
					 .user = (void *)&done};
		vt_runtime_submit(b->rt, &q[k]);
		/* One waits at most, so that no more instances are in use than while it serves. */
		while (k + 1 >= atomic_load(&done) + ahead)
			vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	}
	while (!vt_runtime_idle(b->rt))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	for (unsigned int k = 0; k < n * AT_ONCE; k++)
		ms[k % n][at + k / n] = (float)((double)q[k].served_ns / 1e6);
}

/*
 * What a busy neighbour costs on this machine, this minute: the simulated one gets the same. In turns,
 * the first of which only warms up.
 */
static double measure_beside(struct bench *b)
{
	static float alone[MAX][BESIDE], beside[MAX][BESIDE];
	double sum = 0;

	if (vt_runtime_policy(b->rt, &one_core, true))
		die(&(struct vt_err){.msg = "cannot change the policy"});
	one_core_ms(b, true, 0, beside);
	for (unsigned int at = 0; at < BESIDE; at += AT_ONCE) {
		one_core_ms(b, false, at, alone);
		one_core_ms(b, true, at, beside);
	}
	for (unsigned int i = 0; i < b->o.n_models; i++) {
		qsort(alone[i], BESIDE, sizeof(alone[i][0]), by_value);
		qsort(beside[i], BESIDE, sizeof(beside[i][0]), by_value);
		/* Lower quartiles: what else the machine does comes in lumps. */
		sum += (double)beside[i][BESIDE / 4] / (double)alone[i][BESIDE / 4] - 1;
	}
	if (vt_runtime_policy(b->rt, b->policy, false))
		die(&(struct vt_err){.msg = "cannot change the policy"});
	return fmax(0, sum / b->o.n_models) * 1e6;
}

/* ---- simulated ----------------------------------------------------------------------------- */

static void add_samples(struct vt_bank *bank, const struct vt_model *m)
{
	size_t n = (size_t)m->n_layers * m->n_versions * VT_LEVELS * m->n_points, k = 0;
	struct vt_sampled *s = calloc(n, sizeof(*s));
	struct vt_err e = {0};

	if (!s)
		die(&(struct vt_err){.msg = "out of memory"});
	for (unsigned int l = 0; l < m->n_layers; l++)
		for (unsigned int v = 0; v < m->n_versions; v++)
			for (unsigned int i = 0; i < VT_LEVELS * m->n_points; i++) {
				unsigned int level = i / m->n_points, point = i % m->n_points;

				s[k] = (struct vt_sampled){.layer = (uint16_t)l,
							   .version = (uint16_t)v,
							   .level = (uint16_t)level,
							   .cores = m->points[point],
							   .ns = vt_model_ns(m, l, v, level, point),
							   .dram_bytes = -1};
				k += s[k].ns != 0;
			}
	if (vt_bank_add_samples(bank, m->name, m->qos_ns, s, k, &e) < 0)
		die(&e);
	free(s);
}

static bool next(void *self, struct vt_sim_arrival *ret)
{
	struct bench *b = self;

	if (b->at == b->drive.n)
		return false;
	*ret = (struct vt_sim_arrival){
		.at_ns = b->drive.shots[b->at].at_mono_ns - b->drive.start_mono_ns,
		.tenant = b->drive.shots[b->at].tenant,
	};
	b->at++;
	return true;
}

static void served(void *self, uint32_t tenant, uint64_t latency_ns, bool on_time)
{
	keep(&((struct bench *)self)->sim[tenant], (double)latency_ns / 1e6);
}

static void refused(void *self, uint32_t tenant, uint64_t arrival_ns)
{
	((struct bench *)self)->sim[tenant].refused++;
}

static void run_sim(struct bench *b)
{
	struct vt_sim_tenant tenants[MAX];
	struct vt_sim_result r;
	struct vt_bank bank;
	struct vt_err e = {0};

	if (vt_bank_init(&bank, &b->machine))
		die(&(struct vt_err){.msg = "out of memory"});
	for (unsigned int i = 0; i < b->o.n_models; i++) {
		add_samples(&bank, &b->costs[i].model);
		tenants[i] = (struct vt_sim_tenant){i, b->qos_ns[i], 1};
	}
	b->at = 0;
	if (vt_bank_plan(&bank, b->policy->plan_needs, &e) ||
	    vt_sim_run(&(struct vt_sim_cfg){.bank = &bank,
					    .tenants = tenants,
					    .n_tenants = b->o.n_models,
					    .policy = b->policy,
					    .blind = true,
					    .next = next,
					    .next_self = b,
					    .served = served,
					    .refused = refused,
					    .served_self = b},
		       &r, &e))
		die(&e);
	vt_bank_fini(&bank);
}

/* ---- both ---------------------------------------------------------------------------------- */

static double quantile(struct side *s, double q)
{
	qsort(s->ms, s->n, sizeof(*s->ms), by_value);
	return s->n ? (double)s->ms[(size_t)(q * (double)(s->n - 1) + 0.5)] : NAN;
}

static void print(const char *what, const char *model, struct side *live, struct side *sim)
{
	double l50 = quantile(live, 0.5), l95 = quantile(live, 0.95);
	double s50 = quantile(sim, 0.5), s95 = quantile(sim, 0.95);

	printf("%-6s %-18s n %5zu  p50 %7.2f live %7.2f sim  ratio %.3f   p95 %7.2f live %7.2f sim "
	       " "
	       "ratio %.3f   refused %zu live %zu sim\n",
	       what, model, live->n, l50, s50, s50 / l50, l95, s95, s95 / l95, live->refused,
	       sim->refused);
}

static void merge(struct side *to, const struct side *from)
{
	for (size_t i = 0; i < from->n; i++)
		keep(to, (double)from->ms[i]);
	to->refused += from->refused;
}

static void report(struct bench *b, unsigned int round)
{
	const unsigned int n = b->o.n_models;
	char what[16];

	snprintf(what, sizeof(what), "%u", round);
	for (unsigned int i = 0; i < n; i++) {
		merge(&b->live[n], &b->live[i]);
		merge(&b->sim[n], &b->sim[i]);
	}
	for (unsigned int i = 0; i <= n; i++) {
		print(what, i < n ? b->o.models[i] : "all", &b->live[i], &b->sim[i]);
		merge(&b->all_live[i], &b->live[i]);
		merge(&b->all_sim[i], &b->sim[i]);
		b->live[i].n = b->sim[i].n = b->live[i].refused = b->sim[i].refused = 0;
	}
	printf("%-6s a busy neighbour costs %.1f %%; pace of blocks on one core %.3f, on more "
	       "%.3f\n",
	       what, b->machine.beside_ppm / 1e4,
	       (double)b->pace[0].took_ns / (double)b->pace[0].said_ns,
	       (double)b->pace[1].took_ns / (double)b->pace[1].said_ns);
	for (unsigned int i = 0; i < 2; i++)
		b->pace[i].took_ns = b->pace[i].said_ns = 0;
	fflush(stdout);
}

static void write_arrivals(const struct bench *b)
{
	FILE *f = fopen(b->o.out, "w");

	for (size_t k = 0; f && k < b->drive.n; k++)
		fprintf(f, "%.9f,%s\n",
			(double)(b->drive.shots[k].at_mono_ns - b->drive.start_mono_ns) / 1e9,
			b->o.models[b->drive.shots[k].tenant]);
	if (!f || fclose(f)) {
		perror(b->o.out);
		exit(1);
	}
}

static unsigned int split(char *list, const char **to)
{
	unsigned int n = 0;

	for (char *s = strtok(list, ","); s && n < MAX; s = strtok(NULL, ","))
		to[n++] = s;
	return n;
}

static void usage(void)
{
	fprintf(stderr, "bench_validity: say MACHINE ZOO_DIR [-m MODELS] [-p POLICY] [-l LOAD] [-q "
			"QOS] [-s SECONDS] [-r ROUNDS] [-P STORE] [-o FILE] [-R]\n");
	exit(2);
}

static void parse(struct opts *o, int argc, char **argv)
{
	static char models[] = "resnet-50,googlenet";
	int c;

	*o = (struct opts){
		.policy = "veltair-full", .load = 0.5, .qos = 3, .secs = 10, .rounds = 3};
	o->n_models = split(models, o->models);
	while ((c = getopt(argc, argv, "m:p:l:q:s:r:P:o:R")) != -1)
		switch (c) {
		case 'm':
			o->n_models = split(optarg, o->models);
			break;
		case 'p':
			o->policy = optarg;
			break;
		case 'l':
			o->load = strtod(optarg, NULL);
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
			o->store = optarg;
			break;
		case 'o':
			o->out = optarg;
			break;
		case 'R':
			o->real_time = true;
			break;
		default:
			usage();
		}
	if (argc - optind != 2 || !o->n_models || !(o->load > 0) || !(o->qos > 0) || !(o->secs > 0))
		usage();
	o->machine = argv[optind];
	o->zoo = argv[optind + 1];
}

/* Threads that are made from now on inherit it. */
static void real_time(int priority)
{
	const struct sched_param p = {.sched_priority = priority};

	if (sched_setscheduler(0, SCHED_FIFO, &p)) {
		perror("bench_validity: -R needs root");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct vt_runtime_opts ro = {.record_fd = -1, .block = told, .arg = b};
	struct vt_err e = {0};

	if (!b)
		return 1;
	parse(&b->o, argc, argv);
	b->policy = vt_policy_find(b->o.policy);
	if (!b->policy)
		usage();
	ro.policy = b->policy;
	if (b->o.real_time)
		real_time(1);
	if (vt_machine_load(b->o.machine, &b->machine, &e) || vt_runtime_open(&b->rt, &ro, &e))
		die(&e);
	for (unsigned int i = 0; i < b->o.n_models; i++)
		add_model(b, i);
	vt_drive_prepare();
	if (b->o.real_time)
		real_time(2);
	for (unsigned int r = 1; r <= b->o.rounds; r++) {
		double before, after;

		again(b);
		before = measure_beside(b);
		run_live(b, r);
		after = measure_beside(b);
		average(b);
		b->machine.beside_ppm = (before + after) / 2;
		run_sim(b);
		report(b, r);
		if (b->o.out && r == b->o.rounds)
			write_arrivals(b);
		free(b->drive.shots);
	}
	for (unsigned int i = 0; i <= b->o.n_models; i++)
		print("total", i < b->o.n_models ? b->o.models[i] : "all", &b->all_live[i],
		      &b->all_sim[i]);
	vt_runtime_close(b->rt);
	free(b);
	return 0;
}
