// SPDX-License-Identifier: Apache-2.0
/* The simulated machine: its file, its laws, its bookkeeping. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/text.h"
#include "sched/plan.h"
#include "sim/bank_int.h"
#include "sim/bound.h"
#include "sim/csv.h"
#include "sim/heap.h"
#include "sim/law.h"
#include "sim/mix.h"
#include "sim/net.h"
#include "sim/sim.h"

static const char *const machines[] = {"3990x", "epyc-2x64", "vm-2"};

static struct vt_machine machine(const char *name)
{
	struct vt_machine m;
	struct vt_err e = {0};
	char path[128];

	snprintf(path, sizeof(path), "share/machines/%s.machine", name);
	if (vt_machine_load(path, &m, &e))
		fail_msg("%s", e.msg);
	return m;
}

/* ---- machine files ------------------------------------------------------------------------ */

static char *replaced(const char *text, const char *line, const char *with)
{
	const char *at = strstr(text, line);
	char *out;

	assert_non_null(at);
	if (asprintf(&out, "%.*s%s%s", (int)(at - text), text, with, at + strcspn(at, "\n")) < 0)
		fail();
	return out;
}

static void machine_files_are_checked(void **state)
{
	static const struct {
		const char *line, *with, *error;
	} cases[] = {
		{"cores =", "cores = 0", "cores = 0 is out of range 1..256"},
		{"cores =", "cores = 1e9", "cores = 1e9 is out of range"},
		{"cores =", "cores = 3.5", "cores must be a whole number, not '3.5'"},
		{"cores =", "cores = many", "cores must be a whole number, not 'many'"},
		{"cores =", "# none", "cores is missing"},
		{"cores =", "cores = 64\ncores = 64", "cores is given twice"},
		{"cores =", "cores = 63", "63 cores do not divide into 16 llc_domains"},
		{"gflops =", "gflops = -1", "gflops = -1 is out of range"},
		{"gflops =", "gflops = nan", "gflops must be a number, not 'nan'"},
		{"gflops =", "glops = 1", "unknown key 'glops'"},
		{"gflops =", "gflops 1", "expected 'key = value', not 'gflops 1'"},
		{"name =", "name =", "name must have 1 to 63 characters"},
		{"name =", "name = a\nname = b", "name is given twice"},
		{"memory_nodes =", "memory_nodes = 5", "16 llc_domains do not divide"},
	};
	struct vt_err e = {0};
	char *text;

	assert_int_equal(vt_text_read("share/machines/3990x.machine", 1 << 16, &text, NULL, &e), 0);
	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		char *bad = replaced(text, cases[i].line, cases[i].with);
		struct vt_machine m;
		struct vt_err f = {0};

		assert_int_equal(vt_machine_parse(bad, "m", &m, &f), -EINVAL);
		if (!strstr(f.msg, cases[i].error))
			fail_msg("'%s' should say '%s'", f.msg, cases[i].error);
		free(bad);
	}
	free(text);
}

static void shipped_machines_load(void **state)
{
	for (size_t i = 0; i < VT_COUNT(machines); i++)
		assert_string_equal(machine(machines[i]).name, machines[i]);
}

/* ---- profiles and mixes ------------------------------------------------------------------- */

static void profiles_are_checked(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"layer,cores,ns\n", "the header names no column 'model'"},
		{"model,layer,cores,ns,x\n", "unknown column 'x'"},
		{"model,layer,cores,ns,ns\n", "second column 'ns'"},
		{"model,layer,cores,ns\n", "no times"},
		{"model,layer,cores,ns\na,0,1,0\n", "p:2: ns must not be 0"},
		{"model,layer,cores,ns\na,0,0,5\n", "p:2: cores must not be 0"},
		{"model,layer,cores,ns\na,0,1,-5\n", "p:2: ns '-5' is no whole number"},
		{"model,layer,cores,ns\na,0,1,1e3\n", "p:2: ns '1e3' is no whole number"},
		{"model,layer,cores,ns\na,0,1\n", "p:2: expected 4 fields"},
		{"model,layer,cores,ns\n,0,1,5\n", "a model name has 1 to 31 characters"},
		{"model,layer,cores,ns,level\na,0,1,5,5\n", "level '5' is no whole number in 0..4"},
	};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_profile p = {NULL, 0};
		struct vt_err e = {0};

		assert_int_equal(vt_profile_parse(cases[i].text, "p", &p, &e), -EINVAL);
		if (!strstr(e.msg, cases[i].error))
			fail_msg("'%s' should say '%s'", e.msg, cases[i].error);
	}
}

static void holes_in_a_profile_are_named(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"model,layer,cores,ns\na,0,1,5\na,2,1,5\n", "layer 1"},
		{"model,layer,cores,ns\na,0,1,5\na,0,2,4\na,1,1,5\n", "layer 1"},
		{"model,layer,cores,ns\na,0,1,5\na,0,1,6\n", "is given twice"},
		{"model,layer,cores,level,ns\na,0,1,1,5\n", "no times at level 0"},
		{"model,layer,cores,ns\na,0,300,5\n", "cores 300 is above 256"},
	};
	struct vt_machine m = machine("3990x");

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_profile p = {NULL, 0};
		struct vt_err e = {0};
		struct vt_bank b;

		vt_bank_init(&b, &m);
		assert_int_equal(vt_profile_parse(cases[i].text, "p", &p, &e), 0);
		assert_true(vt_bank_add_samples(&b, "a", 1000, p.models->at, p.models->n, &e) < 0);
		if (!strstr(e.msg, cases[i].error))
			fail_msg("'%s' should say '%s'", e.msg, cases[i].error);
		vt_profile_fini(&p);
		vt_bank_fini(&b);
	}
}

static void mixes_are_checked(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"resnet50,0,1\n", "qos_ms must be in"},
		{"resnet50,-5,1\n", "qos_ms must be in"},
		{"resnet50,nan,1\n", "qos_ms must be in"},
		{"resnet50,5,0\n", "weight must be above 0"},
		{"resnet50,5,1,0\n", "priority must be in 1..1000"},
		{"resnet50\n", "expected 'model[=name],qos_ms,weight[,priority[,nodes]]'"},
		{"=a,5,1\n", "a model name has 1 to 31 characters"},
		{"a=,5,1\n", "a model name has 1 to 31 characters"},
		{"a=0123456789012345678901234567890123,5,1\n",
		 "a model name has 1 to 31 characters"},
		{"# nothing\n", "no models"},
		{"a,5,1\nb,-,1\na,6,1\n", "m:3: model 'a' has another target in a line above"},
		{"a,-,1\na,3x,1\n", "m:2: model 'a' has another target in a line above"},
		{"a,5,1\na,-,1\n", "m:2: model 'a' has another target in a line above"},
	};
	static const char twice[] = "a,3x,1\nb,-,1\na=x,3x,2,1\nb,-,1,1,0-3\n";
	struct vt_mix same;

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_mix x;
		struct vt_err e = {0};

		assert_int_equal(vt_mix_parse(cases[i].text, "m", &x, &e), -EINVAL);
		if (!strstr(e.msg, cases[i].error))
			fail_msg("'%s' should say '%s'", e.msg, cases[i].error);
	}
	assert_int_equal(vt_mix_parse(twice, "m", &same, NULL), 0);
	assert_int_equal(same.n, 4);
	assert_string_equal(same.at[0].name, "a");
	assert_string_equal(same.at[2].model, "a");
	assert_string_equal(same.at[2].name, "x");
	assert_false(same.at[0].ranked);
	assert_true(same.at[2].ranked);
	free(same.at);
}

/* ---- shapes and laws ---------------------------------------------------------------------- */

/** Multiply-adds of the nets as their papers and model zoos give them. */
static void nets_have_their_known_size(void **state)
{
	static const struct {
		const char *name;
		double gmacs, mparams; /* 0: not checked */
	} want[] = {
		{"mobilenet_v2", 0.30, 3.5}, {"efficientnet_b0", 0.39, 5.3},
		{"resnet50", 4.1, 25.5},     {"googlenet", 1.58, 7.0},
		{"tiny_yolo_v2", 3.5, 15.8}, {"ssd_resnet34", 216, 0},
		{"bert_large", 123, 0},
	};

	for (size_t i = 0; i < VT_COUNT(want); i++) {
		double macs = 0, params = 0;
		struct vt_net n;

		assert_int_equal(vt_net_make(want[i].name, &n, NULL), 0);
		for (uint32_t l = 0; l < n.n_layers; l++) {
			if (n.layers[l].kind != VT_SHAPE_STREAM)
				macs += vt_shape_flops(&n.layers[l]) / 2;
			params += n.layers[l].weight_bytes / 4;
		}
		if (fabs(macs * 1e-9 / want[i].gmacs - 1) > 0.05)
			fail_msg("%s: %.3f GMAC, not %.3f", n.name, macs * 1e-9, want[i].gmacs);
		if (want[i].mparams > 0 && fabs(params * 1e-6 / want[i].mparams - 1) > 0.05)
			fail_msg("%s: %.2f M weights, not %.2f", n.name, params * 1e-6,
				 want[i].mparams);
		vt_net_fini(&n);
	}
}

/** Whatever the layer, code and place: no time below the hardware's limits, pressure only hurts. */
static void laws_keep_to_the_limits(void **state)
{
	for (size_t k = 0; k < VT_COUNT(machines); k++) {
		struct vt_machine m = machine(machines[k]);
		struct vt_code codes[VT_CODES_MAX];
		struct vt_net net;

		assert_int_equal(vt_net_make("efficientnet_b0", &net, NULL), 0);
		for (uint32_t l = 0; l < net.n_layers; l++) {
			const struct vt_layer_shape *s = &net.layers[l];
			uint32_t n = vt_law_codes(&m, s, codes, VT_CODES_MAX);

			assert_in_range(n, 1, VT_CODES_MAX);
			for (uint32_t c = 0; c < n; c++) {
				uint32_t cores = 1 + (l * 7 + c) % m.cores;
				struct vt_place p = vt_place_compact(&m, cores, 1);
				struct vt_place q = vt_place_compact(&m, cores, 0.25);
				struct vt_need a = vt_law_need(&m, s, &codes[c], &p);
				struct vt_need b = vt_law_need(&m, s, &codes[c], &q);

				assert_true(a.compute_ns * m.gflops * cores >=
					    vt_shape_flops(s) * 0.999);
				assert_true(a.dram_bytes >= s->weight_bytes * 0.999);
				assert_true(a.dram_bytes <= b.dram_bytes);
				assert_true(vt_law_ns(&m, &a, 1) <= vt_law_ns(&m, &a, 3));
				assert_true(vt_law_ns(&m, &a, 1) <= vt_law_ns(&m, &b, 1));
			}
		}
		vt_net_fini(&net);
	}
}

/** With overlap as far as it goes the time is that of the longest part. */
static void times_stay_finite(void **state)
{
	static const double overlaps[] = {10, 50, 100};

	for (size_t i = 0; i < VT_COUNT(overlaps); i++)
		for (int digits = 0; digits < 13; digits++) {
			struct vt_machine m = machine("3990x");
			double ns = pow(10, digits);
			struct vt_need n = {
				.compute_ns = ns, .llc_ns = ns / 2, .dram_ns = ns / 3, .slow = 1};

			m.overlap = overlaps[i];
			assert_float_equal(vt_law_ns(&m, &n, 1) / ns, 1, 1e-3);
		}
}

/** The paper's promise: at most 5 versions, one within 10 % of the best at every level. */
static void kept_versions_are_close_to_the_best(void **state)
{
	struct vt_machine m = machine("3990x");
	struct vt_code codes[VT_CODES_MAX];
	uint32_t losers = 0, far = 0, seen = 0;
	struct vt_net net;
	struct vt_bank b;

	vt_bank_init(&b, &m);
	assert_int_equal(vt_net_make("resnet50", &net, NULL), 0);
	assert_int_equal(vt_bank_add_net(&b, &net, 15000000, NULL), 0);
	for (uint32_t l = 0; l < net.n_layers; l++) {
		uint32_t n = vt_law_codes(&m, &net.layers[l], codes, VT_CODES_MAX);

		for (uint32_t i = 0; i < VT_LEVELS * 4; i++) {
			uint32_t level = i / 4, cores = 8u << (i % 4);
			double best = INFINITY, kept = INFINITY, solo;

			for (uint32_t c = 0; c < n; c++)
				best = fmin(best, vt_bank_level_ns(&b, &net.layers[l], &codes[c],
								   cores, level));
			for (uint32_t v = 0; v < b.sched[0].n_versions; v++) {
				double ns =
					(double)vt_model_ns(&b.sched[0], l, v, level, cores - 1);

				kept = ns > 0 ? fmin(kept, ns) : kept;
			}
			solo = (double)vt_model_ns(&b.sched[0], l, 0, level, cores - 1);
			seen++;
			far += kept > best * 1.15;
			losers += solo > kept * 1.10;
		}
	}
	assert_true(b.sched[0].n_versions <= VT_MAX_VERSIONS);
	print_message("# %u of %u (layer, level, cores) beyond 1.15 x the best; %u where the solo "
		      "version loses > 10 %%\n",
		      far, seen, losers);
	/* Candidates are compared at 8 core counts; between them a few may be a little off. */
	assert_true(far <= seen / 50);
	assert_true(losers > 0);
	vt_net_fini(&net);
	vt_bank_fini(&b);
}

/* ---- heap --------------------------------------------------------------------------------- */

#define SLOTS 97u

static void heap_keeps_the_minimum(void **state)
{
	uint64_t key[SLOTS];
	uint32_t slot[SLOTS], at[SLOTS];
	struct vt_heap h = {0, key, slot, at};
	struct vt_rng r = {42};
	bool in[SLOTS] = {false};

	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t s = (uint32_t)vt_rng_below(&r, SLOTS);
		uint64_t k = vt_rng_below(&r, 1000), min = UINT64_MAX;

		if (!in[s]) {
			vt_heap_add(&h, s, k);
			in[s] = true;
		} else if (vt_rng_below(&r, 2)) {
			vt_heap_move(&h, s, k);
		} else {
			vt_heap_del(&h, s);
			in[s] = false;
		}
		for (uint32_t j = 0; j < SLOTS; j++)
			if (in[j] && key[j] < min)
				min = key[j];
		assert_true(vt_heap_min_key(&h) == min);
	}
}

/* ---- the simulation as a whole ------------------------------------------------------------- */

struct stream {
	struct vt_rng r;
	double at, gap_ns;
	uint32_t n_tenants;
	uint64_t left, seen;
	const struct vt_bank *bank; /* whose tenants are its models, or NULL */
	double least_bytes;	    /* that what was served has moved */
};

static bool next(void *self, struct vt_sim_arrival *ret)
{
	struct stream *s = self;

	if (!s->left)
		return false;
	s->left--;
	s->at += -log(1 - vt_rng_unit(&s->r)) * s->gap_ns;
	*ret = (struct vt_sim_arrival){.at_ns = (uint64_t)s->at,
				       .tenant = (uint32_t)vt_rng_below(&s->r, s->n_tenants)};
	return true;
}

static void count_served(void *self, uint32_t tenant, uint64_t latency_ns, bool on_time)
{
	struct stream *s = self;

	s->seen++;
	if (s->bank)
		s->least_bytes += s->bank->models[tenant].least_dram_bytes;
}

static int stepped(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	uint64_t *hash = self;

	for (uint32_t i = 0; i < d->n_actions; i++)
		for (size_t k = 0; k < sizeof(*d->actions); k++)
			*hash = (*hash ^ ((const uint8_t *)&d->actions[i])[k]) * 1099511628211ull;
	return 0;
}

static void make_bank_of(struct vt_bank *b, const struct vt_machine *m, uint32_t needs)
{
	static const char *const names[] = {"mobilenet_v2", "googlenet", "tiny_yolo_v2"};
	struct vt_err e = {0};

	vt_bank_init(b, m);
	for (uint32_t i = 0; i < 3; i++) {
		struct vt_net n;

		assert_int_equal(vt_net_make(names[i], &n, &e), 0);
		assert_int_equal(vt_bank_add_net(b, &n, n.qos_ns * 10, &e), i);
		vt_net_fini(&n);
	}
	assert_int_equal(vt_bank_plan(b, needs, &e), 0);
}

static void make_bank(struct vt_bank *b, const char *machine_name, uint32_t needs)
{
	struct vt_machine m = machine(machine_name);

	make_bank_of(b, &m, needs);
}

/*
 * Every policy on one machine, a request each @gap of the time that its least work takes all of it: nothing lost,
 * nothing doubled, never more than the hardware. Returns the largest part of its memory's bandwidth that was surely used.
 */
static double serve_all(const struct vt_machine *m, double gap, bool blind)
{
	struct vt_sim_tenant tenants[3];
	struct vt_bank b;
	double work = 0, most = 0;

	make_bank_of(&b, m, VT_PLAN_ALL);
	for (uint32_t i = 0; i < 3; i++) {
		tenants[i] = (struct vt_sim_tenant){i, b.sched[i].qos_ns, 1};
		work += vt_bound_work_ns(&b, i) / 3;
	}
	for (unsigned int p = 0; vt_policy_at(p); p++) {
		struct stream s = {{p + 1}, 0, work * gap, 3, 600, 0, &b, 0};
		struct vt_sim_cfg cfg = {.bank = &b,
					 .tenants = tenants,
					 .n_tenants = 3,
					 .policy = vt_policy_at(p),
					 .no_shed = p % 2,
					 .blind = blind,
					 .next = next,
					 .next_self = &s,
					 .served = count_served,
					 .served_self = &s};
		struct vt_sim_result r;
		struct vt_err e = {0};
		double used;

		if (vt_sim_run(&cfg, &r, &e))
			fail_msg("%s: %s", m->name, e.msg);
		assert_int_equal(r.offered, 600);
		assert_int_equal(r.served + r.shed + r.refused, 600);
		assert_int_equal(s.seen, r.served);
		assert_true(r.on_time <= r.served);
		assert_true(r.blocks >= r.served);
		assert_true(r.busy_core_ns <= r.whole_ns * (1 + 1e-9));
		assert_true(r.least_core_ns <= r.busy_core_ns);
		assert_true(r.conflicts <= r.blocks && r.lost_ns <= r.block_ns);
		used = s.least_bytes /
		       (m->memory_nodes * m->node_dram_gbps * r.whole_ns / m->cores);
		if (!(used <= 1 + 1e-9))
			fail_msg("%s, %s: %.3f of what memory delivers", m->name,
				 vt_policy_at(p)->name, used);
		most = used > most ? used : most;
	}
	vt_bank_fini(&b);
	return most;
}

static void nothing_is_lost_and_no_time_is_won(void **state)
{
	for (size_t k = 0; k < VT_COUNT(machines); k++) {
		struct vt_machine m = machine(machines[k]);

		serve_all(&m, 1.6, k == 1);
	}
}

/* Where memory is what there is too little of, twice what it can do: it is nearly used up, and no byte is won. */
static void no_byte_is_won(void **state)
{
	for (size_t k = 0; k < VT_COUNT(machines); k++) {
		struct vt_machine m = machine(machines[k]);

		m.core_dram_gbps /= 16;
		m.domain_dram_gbps /= 16;
		m.node_dram_gbps /= 16;
		assert_true(serve_all(&m, 0.5, false) > 0.5);
	}
}

static void same_seed_same_course(void **state)
{
	const struct vt_policy *full = vt_policy_find("veltair-full");
	uint64_t hash[2] = {14695981039346656037ull, 14695981039346656037ull};
	struct vt_sim_tenant tenants[3];
	struct vt_sim_result r[2];
	struct vt_bank b;

	make_bank(&b, "3990x", full->plan_needs);
	for (uint32_t i = 0; i < 3; i++)
		tenants[i] = (struct vt_sim_tenant){i, b.sched[i].qos_ns, 1};
	for (int k = 0; k < 2; k++) {
		struct stream s = {{5}, 0, 2e6, 3, 500, 0, NULL, 0};
		struct vt_sim_cfg cfg = {.bank = &b,
					 .tenants = tenants,
					 .n_tenants = 3,
					 .policy = full,
					 .time_decisions = k,
					 .next = next,
					 .next_self = &s,
					 .stepped = stepped,
					 .recorder = &hash[k]};

		assert_int_equal(vt_sim_run(&cfg, &r[k], NULL), 0);
	}
	assert_true(hash[0] == hash[1]);
	assert_true(r[0].latency_ns == r[1].latency_ns);
	vt_bank_fini(&b);
}

/** One request on an idle machine takes what the profile says, plus its wake-up. */
static void alone_it_takes_its_profiled_time(void **state)
{
	const struct vt_policy *fcfs = vt_policy_find("fcfs");
	struct stream s = {{1}, 0, 1, 1, 1, 0, NULL, 0};
	struct vt_sim_tenant tenant;
	struct vt_sim_result r;
	struct vt_bank b;
	double want;

	make_bank(&b, "3990x", fcfs->plan_needs);
	tenant = (struct vt_sim_tenant){0, b.sched[0].qos_ns, 1};
	assert_int_equal(vt_sim_run(&(struct vt_sim_cfg){.bank = &b,
							 .tenants = &tenant,
							 .n_tenants = 1,
							 .policy = fcfs,
							 .next = next,
							 .next_self = &s},
				    &r, NULL),
			 0);
	want = (double)vt_model_block_ns(&b.sched[0], 0, b.sched[0].n_layers, NULL, 64, 0) +
	       b.machine.wake_ns + 64 * b.machine.wake_core_ns;
	assert_float_equal(r.latency_ns, want, want * 1e-3);
	vt_bank_fini(&b);
}

/** Times on more cores than the machine has are no times of it: neither a target nor a bound is made of them. */
static void cores_that_are_not_there_do_not_count(void **state)
{
	static const struct vt_sampled s[] = {
		{.cores = 1, .ns = 8000000, .dram_bytes = 1000},
		{.cores = 2, .ns = 5000000, .dram_bytes = 1000},
		{.cores = 4, .ns = 1000000, .dram_bytes = 1000},
	};
	struct vt_machine m = machine("vm-2");
	struct vt_err e = {0};
	struct vt_bank b;

	vt_bank_init(&b, &m);
	assert_int_equal(vt_bank_add_samples(&b, "a", 20000000, s, VT_COUNT(s), &e), 0);
	assert_int_equal(vt_bank_fastest_ns(&b, 0), 5000000);
	assert_float_equal(b.models[0].least_core_ns, 8e6, 1);
	assert_float_equal(vt_bound_work_ns(&b, 0), 4e6, 1);
	assert_float_equal(vt_bound_real_work_ns(&b, 0, 20000000), 4e6, 1e3);
	/* On one core it would be late: two take 10 ms of core-time. */
	assert_float_equal(vt_bound_real_work_ns(&b, 0, 5000000), 5e6, 1e3);
	assert_true(isinf(vt_bound_real_work_ns(&b, 0, 4000000)));
	vt_bank_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_files_are_checked),
		cmocka_unit_test(times_stay_finite),
		cmocka_unit_test(shipped_machines_load),
		cmocka_unit_test(profiles_are_checked),
		cmocka_unit_test(holes_in_a_profile_are_named),
		cmocka_unit_test(mixes_are_checked),
		cmocka_unit_test(nets_have_their_known_size),
		cmocka_unit_test(laws_keep_to_the_limits),
		cmocka_unit_test(kept_versions_are_close_to_the_best),
		cmocka_unit_test(heap_keeps_the_minimum),
		cmocka_unit_test(nothing_is_lost_and_no_time_is_won),
		cmocka_unit_test(no_byte_is_won),
		cmocka_unit_test(same_seed_same_course),
		cmocka_unit_test(alone_it_takes_its_profiled_time),
		cmocka_unit_test(cores_that_are_not_there_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
