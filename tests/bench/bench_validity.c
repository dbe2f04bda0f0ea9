// SPDX-License-Identifier: Apache-2.0
/*
 * Does the simulator say what the runtime then does? The same arrivals, the same policy, the same
 * times of layers: once on this machine's cores, once on the simulated machine.
 *
 *	bench_validity MACHINE ZOO_DIR [-m MODELS] [-p POLICY] [-l LOAD] [-q QOS] [-s SECONDS] [-r ROUNDS]
 *		       [-o FILE] [-R]
 *
 * Each round measures the layers anew, tells the runtime, drives it with Poisson arrivals at LOAD of the
 * capacity of the whole machine, measures once more, and simulates just these arrivals with the mean of
 * both. Measured with them: what a core full of the same models costs beside one (beside.h). Printed are
 * the latencies of both and their ratio, by model: of each round, and of all rounds together. `pace` is
 * what blocks took over what the layers' times say: how far these were off while the requests ran.
 *
 * -o: the arrivals of the last round, for `veltair sim --arrivals`.
 * -R: with real-time priority, so that what else runs here does not count (root). The generator comes
 *     before the workers: a request is due when it is due.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "load/tally.h"
#include "sim/machine.h"
#include "sim/sim.h"

#include "beside.h"

#define MAX  ASKED_MAX
#define RUNS 15u

struct opts {
	const char *machine, *zoo, *policy, *out;
	const char *models[MAX];
	double load, qos, secs;
	unsigned int n_models, rounds;
	bool real_time;
};

struct pace {
	_Atomic uint64_t took_ns, said_ns;
};

/** Latencies by model, and of all; of a round and of all rounds. */
struct latencies {
	struct vt_tally round[MAX + 1], total[MAX + 1];
};

struct bench {
	struct opts o;
	const struct vt_policy *policy;
	struct vt_machine machine;
	struct asked a;
	struct vt_costs costs[MAX]; /* ours, equal to those the runtime has */
	struct pace pace[2];	    /* of blocks on one core, on more */
	double paced[2];	    /* the same while the arrivals came: took / said */
	struct vt_drive drive;
	size_t at; /* of the arrivals simulated */
	struct latencies live, sim;
};

static void die(const struct vt_err *e)
{
	fprintf(stderr, "bench_validity: %s\n", e->msg);
	exit(1);
}

static void die_of_memory(void)
{
	die(&(struct vt_err){.msg = "out of memory"});
}

/* ---- times of layers ----------------------------------------------------------------------- */

static uint64_t whole_ns(const struct vt_model *m)
{
	return vt_model_block_ns(m, 0, m->n_layers, NULL, m->points[m->n_points - 1], 0);
}

static void add_model(struct bench *b, unsigned int i)
{
	struct vt_served s = {.max_queue = 512};
	struct vt_costs *c = &b->costs[i];
	const char *name = b->o.models[i];
	struct vt_err e = {0};

	if (asked_load(&s.engine, b->o.zoo, name, 4, &e) ||
	    asked_times_of(c, s.engine, b->a.rt, name, RUNS, &e))
		die(&e);
	c->model.qos_ns = b->a.qos_ns[i] = (uint64_t)((double)whole_ns(&c->model) * b->o.qos);
	if (vt_costs_copy(&s.costs, c, -1, &e))
		die(&e);
	snprintf(s.name, sizeof(s.name), "%s", name);
	if (vt_runtime_add(b->a.rt, &s, &b->a.id[i], &e))
		die(&e);
	printf("model  %-18s whole %8.3f ms   QoS %8.3f ms\n", name,
	       (double)whole_ns(&c->model) / 1e6, (double)b->a.qos_ns[i] / 1e6);
}

/** This minute's times, by turns: caches are as the model before left them, as when they are served. */
static void measure(struct bench *b, struct vt_costs *ret)
{
	struct vt_err e = {0};

	if (asked_times_in_turn(ret, &b->a, b->o.models, RUNS, &e))
		die(&e);
	for (unsigned int i = 0; i < b->o.n_models; i++)
		ret[i].model.qos_ns = b->a.qos_ns[i];
}

/** For both sides. */
static void again(struct bench *b)
{
	for (unsigned int i = 0; i < b->o.n_models; i++)
		vt_costs_fini(&b->costs[i]);
	measure(b, b->costs);
	for (unsigned int i = 0; i < b->o.n_models; i++) {
		struct vt_costs theirs;
		struct vt_err e = {0};

		if (vt_costs_copy(&theirs, &b->costs[i], -1, &e) ||
		    vt_runtime_recost(b->a.rt, b->a.id[i], &theirs, &e))
			die(&e);
	}
}

/** The mean with the times right after the run, for the simulation: a machine drifts while it runs. */
static void average(struct bench *b)
{
	struct vt_costs after[MAX];

	measure(b, after);
	for (unsigned int i = 0; i < b->o.n_models; i++) {
		const struct vt_model *m = &b->costs[i].model;
		size_t cells = (size_t)m->n_layers * m->n_versions * VT_LEVELS * m->n_points;
		uint64_t *ns = (uint64_t *)m->ns;

		for (size_t k = 0; k < cells; k++)
			ns[k] = (ns[k] + after[i].model.ns[k]) / 2;
		vt_costs_fini(&after[i]);
	}
}

/* ---- live ---------------------------------------------------------------------------------- */

static void told(void *arg, const struct vt_block_event *ev)
{
	struct bench *b = arg;
	unsigned int cores = vt_coreset_count(&ev->cores), i = 0;
	struct pace *p = &b->pace[cores > 1];

	while (i < b->o.n_models && b->a.id[i] != ev->model)
		i++;
	if (i == b->o.n_models || ev->flags & VT_BLOCK_RESIZED)
		return;
	atomic_fetch_add(&p->took_ns, ev->end_ns - ev->start_ns);
	atomic_fetch_add(&p->said_ns, vt_model_block_ns(&b->costs[i].model, ev->layer_begin,
							ev->layer_end, ev->versions, cores, 0));
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
	const unsigned int n = b->o.n_models;
	struct vt_err e = {0};

	for (unsigned int i = 0; i < 2; i++)
		b->pace[i].took_ns = b->pace[i].said_ns = 0;
	if (asked_run(&b->a, b->o.load * capacity_hz(b), b->o.secs, seed, &b->drive, &e))
		die(&e);
	for (unsigned int i = 0; i < 2; i++)
		b->paced[i] = (double)b->pace[i].took_ns / (double)b->pace[i].said_ns;
	for (unsigned int i = 0; i <= n; i++)
		if (vt_tally_add(&b->live.round[i], &b->drive, b->a.qos_ns,
				 i < n ? i : UINT32_MAX) ||
		    vt_tally_add(&b->live.total[i], &b->drive, b->a.qos_ns, i < n ? i : UINT32_MAX))
			die_of_memory();
}

/* ---- simulated ----------------------------------------------------------------------------- */

static void add_samples(struct vt_bank *bank, const struct vt_model *m)
{
	size_t n = (size_t)m->n_layers * m->n_versions * VT_LEVELS * m->n_points, k = 0;
	struct vt_sampled *s = calloc(n, sizeof(*s));
	struct vt_err e = {0};

	if (!s)
		die_of_memory();
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
	struct bench *b = self;
	struct vt_tally *const to[] = {&b->sim.round[tenant], &b->sim.total[tenant],
				       &b->sim.round[b->o.n_models], &b->sim.total[b->o.n_models]};

	for (unsigned int i = 0; i < 4; i++)
		if (vt_tally_one(to[i], latency_ns, b->a.qos_ns[tenant]))
			die_of_memory();
}

static void refused(void *self, uint32_t tenant, uint64_t arrival_ns)
{
	struct bench *b = self;

	b->sim.round[tenant].refused++;
	b->sim.total[tenant].refused++;
	b->sim.round[b->o.n_models].refused++;
	b->sim.total[b->o.n_models].refused++;
}

static void run_sim(struct bench *b)
{
	struct vt_sim_tenant tenants[MAX];
	struct vt_sim_result r;
	struct vt_bank bank;
	struct vt_err e = {0};

	if (vt_bank_init(&bank, &b->machine))
		die_of_memory();
	for (unsigned int i = 0; i < b->o.n_models; i++) {
		add_samples(&bank, &b->costs[i].model);
		tenants[i] = (struct vt_sim_tenant){i, b->a.qos_ns[i], 1};
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

static void print(const char *what, const char *model, struct vt_tally *live, struct vt_tally *sim)
{
	double l50 = vt_tally_ms(live, 0.5), l95 = vt_tally_ms(live, 0.95);
	double s50 = vt_tally_ms(sim, 0.5), s95 = vt_tally_ms(sim, 0.95);

	printf("%-6s %-18s n %5zu  p50 %7.2f live %7.2f sim  ratio %.3f   p95 %7.2f live %7.2f sim "
	       " "
	       "ratio %.3f   refused %llu live %llu sim\n",
	       what, model, live->n, l50, s50, s50 / l50, l95, s95, s95 / l95,
	       (unsigned long long)live->refused, (unsigned long long)sim->refused);
}

static const char *name_of(const struct bench *b, unsigned int i)
{
	return i < b->o.n_models ? b->o.models[i] : "all";
}

static void report(struct bench *b, unsigned int round)
{
	char what[16];

	snprintf(what, sizeof(what), "%u", round);
	for (unsigned int i = 0; i <= b->o.n_models; i++) {
		print(what, name_of(b, i), &b->live.round[i], &b->sim.round[i]);
		vt_tally_fini(&b->live.round[i]);
		vt_tally_fini(&b->sim.round[i]);
	}
	printf("%-6s a busy neighbour costs %.1f %%; pace of blocks on one core %.3f, on more "
	       "%.3f\n",
	       what, b->machine.beside_ppm / 1e4, b->paced[0], b->paced[1]);
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

static void play_round(struct bench *b, unsigned int round)
{
	double before, after;
	struct vt_err e = {0};

	again(b);
	if (beside_ppm(&b->a, b->policy, &before, &e))
		die(&e);
	run_live(b, round);
	if (beside_ppm(&b->a, b->policy, &after, &e))
		die(&e);
	average(b);
	b->machine.beside_ppm = (before + after) / 2;
	run_sim(b);
	report(b, round);
	if (b->o.out && round == b->o.rounds)
		write_arrivals(b);
	free(b->drive.shots);
}

static void usage(void)
{
	fprintf(stderr, "bench_validity: say MACHINE ZOO_DIR [-m MODELS] [-p POLICY] [-l LOAD] [-q "
			"QOS] [-s SECONDS] [-r ROUNDS] [-o FILE] [-R]\n");
	exit(2);
}

static void parse(struct opts *o, int argc, char **argv)
{
	static char models[] = "resnet-50,googlenet";
	int c;

	*o = (struct opts){
		.policy = "veltair-full", .load = 0.5, .qos = 3, .secs = 10, .rounds = 3};
	o->n_models = asked_list(models, o->models);
	while ((c = getopt(argc, argv, "m:p:l:q:s:r:o:R")) != -1)
		if (c == 'm')
			o->n_models = asked_list(optarg, o->models);
		else if (c == 'p')
			o->policy = optarg;
		else if (c == 'l')
			o->load = strtod(optarg, NULL);
		else if (c == 'q')
			o->qos = strtod(optarg, NULL);
		else if (c == 's')
			o->secs = strtod(optarg, NULL);
		else if (c == 'r')
			o->rounds = (unsigned int)strtoul(optarg, NULL, 10);
		else if (c == 'o')
			o->out = optarg;
		else if (c == 'R')
			o->real_time = true;
		else
			usage();
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
	static struct bench b;
	struct vt_runtime_opts ro = {.record_fd = -1, .block = told, .arg = &b};
	struct vt_err e = {0};

	parse(&b.o, argc, argv);
	b.a.n_models = b.o.n_models;
	b.policy = ro.policy = vt_policy_find(b.o.policy);
	if (!b.policy)
		usage();
	if (b.o.real_time)
		real_time(1);
	if (vt_machine_load(b.o.machine, &b.machine, &e) || vt_runtime_open(&b.a.rt, &ro, &e))
		die(&e);
	for (unsigned int i = 0; i < b.o.n_models; i++)
		add_model(&b, i);
	vt_drive_prepare();
	if (b.o.real_time)
		real_time(2);
	for (unsigned int r = 1; r <= b.o.rounds; r++)
		play_round(&b, r);
	for (unsigned int i = 0; i <= b.o.n_models; i++) {
		print("total", name_of(&b, i), &b.live.total[i], &b.sim.total[i]);
		vt_tally_fini(&b.live.total[i]);
		vt_tally_fini(&b.sim.total[i]);
	}
	vt_runtime_close(b.a.rt);
	for (unsigned int i = 0; i < b.o.n_models; i++)
		vt_costs_fini(&b.costs[i]);
	return 0;
}
