// SPDX-License-Identifier: Apache-2.0
/* A fleet of simulated nodes: placement, routers, and that no request is lost between them. */
#include "harness.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sched/policy.h"
#include "sim/fleet.h"
#include "sim/mix.h"
#include "sim/sim.h"

static void placements(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint32_t n, first, last;
		const char *what;
	} t[] = {
		{"", 0, 20, 0, 19, NULL},
		{"*", 0, 20, 0, 19, NULL},
		{"7", 0, 1, 7, 7, NULL},
		{"0-9 12  15-16", 0, 13, 0, 16, NULL},
		{"16 0-1", 0, 3, 0, 16, NULL},
		{"0%-100%", 0, 20, 0, 19, NULL},
		{"50%-60%", 0, 2, 10, 11, NULL},
		{"51%-54%", 0, 1, 10, 10, NULL}, /* less than a node: the one it is in */
		{"51%-56%", 0, 2, 10, 11, NULL},
		{"90%-100% 0%-12.5%", 0, 5, 0, 19, NULL},
		{"99.9%-100%", 0, 1, 19, 19, NULL},
		{"0%-6% 4%-8%", 0, 2, 0, 1, NULL}, /* the same node twice */
		{"60%-50%", -EINVAL, 0, 0, 0, "is no part of a fleet"},
		{"50%-50%", -EINVAL, 0, 0, 0, "is no part of a fleet"},
		{"50%-101%", -EINVAL, 0, 0, 0, "is no part of a fleet"},
		{"50%-60", -EINVAL, 0, 0, 0, "is no part of a fleet"},
		{"%-60%", -EINVAL, 0, 0, 0, "is no part of a fleet"},
		{"50%", -EINVAL, 0, 0, 0, "is no node or range"},
		{"0-20", -EINVAL, 0, 0, 0, "is past the last node"},
		{"3 2-4", -EINVAL, 0, 0, 0, "names a node twice"},
		{"5-4", -EINVAL, 0, 0, 0, "is no node or range"},
		{"1-", -EINVAL, 0, 0, 0, "is no node or range"},
		{"a", -EINVAL, 0, 0, 0, "is no node or range"},
		{" ", -EINVAL, 0, 0, 0, "is on no node"},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_backend b = {.n = 0};
		struct vt_err e = {0};

		assert_int_equal(vt_backend_parse(t[i].text, 20, "m", &b, &e), t[i].rc);
		if (t[i].rc) {
			assert_non_null(strstr(e.msg, t[i].what));
			continue;
		}
		assert_int_equal(b.n, t[i].n);
		assert_int_equal(b.nodes[0], t[i].first);
		assert_int_equal(b.nodes[b.n - 1], t[i].last);
		for (uint32_t k = 1; k < b.n; k++)
			assert_true(b.nodes[k] > b.nodes[k - 1]);
		free(b.nodes);
	}
}

static void routers_have_names(void **state)
{
	for (int r = 0; r < VT_ROUTERS; r++)
		assert_int_equal(vt_router_find(vt_router_name((enum vt_router)r)), r);
	assert_int_equal(vt_router_find("random"), -ENOENT);
}

/* ---- runs --------------------------------------------------------------------------------- */

#define TENANTS 3u

struct stream {
	struct vt_rng r;
	double at_ns, gap_ns;
	uint64_t left;
};

static bool next(void *self, struct vt_sim_arrival *ret)
{
	struct stream *s = self;

	if (!s->left)
		return false;
	s->left--;
	s->at_ns -= log(1 - vt_rng_unit(&s->r)) * s->gap_ns;
	*ret = (struct vt_sim_arrival){.at_ns = (uint64_t)s->at_ns,
				       .tenant = (uint32_t)vt_rng_below(&s->r, TENANTS)};
	return true;
}

/* A model of one layer: 8 ms on one core, 4.4 on two; @times as slow on a slow kind of node. */
static void make_bank(struct vt_bank *b, uint64_t times)
{
	struct vt_machine m;
	struct vt_sampled s[] = {
		{.layer = 0, .cores = 1, .ns = 8000000 * times, .dram_bytes = 1000},
		{.layer = 0, .cores = 2, .ns = 4400000 * times, .dram_bytes = 1000},
	};
	struct vt_err e = {0};

	assert_int_equal(vt_machine_load("share/machines/vm-2.machine", &m, NULL), 0);
	assert_int_equal(vt_bank_init(b, &m), 0);
	assert_int_equal(vt_bank_add_samples(b, "m", 30000000, s, VT_COUNT(s), &e), 0);
	assert_int_equal(vt_bank_plan(b, vt_policy_find("veltair-full")->plan_needs, &e), 0);
}

/* @given: nodes, router, policy, warm-up, and capacity of the two kinds; the second is @times as slow. */
static int run_two_kinds(const struct vt_fleet_cfg *given, double rate_hz, uint64_t times,
			 struct vt_fleet_result *ret, struct vt_err *e)
{
	struct vt_bank fast, slow;
	const struct vt_bank *banks[2] = {&fast, &slow};
	struct vt_sim_tenant tenants[TENANTS];
	struct vt_backend backends[TENANTS];
	struct stream s = {{5}, 0, 1e9 / rate_hz, 6000};
	struct vt_fleet_cfg cfg = *given;
	int rc;

	cfg.n_kinds = 2;
	cfg.banks = banks;
	cfg.tenants = tenants;
	cfg.n_tenants = TENANTS;
	cfg.backends = backends;
	cfg.next = next;
	cfg.next_self = &s;
	make_bank(&fast, 1);
	make_bank(&slow, times);
	for (uint32_t t = 0; t < TENANTS; t++) {
		tenants[t] = (struct vt_sim_tenant){0, 30000000, 1};
		assert_int_equal(
			vt_backend_parse(t ? "*" : "0-1", cfg.n_nodes, "m", &backends[t], e), 0);
	}
	rc = vt_fleet_run(&cfg, ret, e);
	for (uint32_t t = 0; t < TENANTS; t++)
		free(backends[t].nodes);
	vt_bank_fini(&fast);
	vt_bank_fini(&slow);
	return rc;
}

static struct vt_fleet_result run(enum vt_router router, double rate_hz, uint32_t nodes,
				  uint64_t warmup)
{
	static const double capacity[2] = {1, 0.25};
	struct vt_fleet_cfg cfg = {.n_nodes = nodes,
				   .capacity = capacity,
				   .policy = vt_policy_find("veltair-full"),
				   .router = router,
				   .warmup = warmup};
	struct vt_fleet_result r;
	struct vt_err e = {0};

	if (run_two_kinds(&cfg, rate_hz, 4, &r, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(r.offered, 6000 - warmup);
	assert_int_equal(r.served + r.refused, r.offered);
	assert_true(r.on_time <= r.served && r.busy <= 1 && r.least_busy <= r.most_busy);
	assert_true(r.worst_share <= (double)r.on_time / (double)r.offered);
	return r;
}

static void no_request_is_lost(void **state)
{
	for (int r = 0; r < VT_ROUTERS; r++) {
		struct vt_fleet_result a = run((enum vt_router)r, 300, 4, 0);
		struct vt_fleet_result b = run((enum vt_router)r, 300, 4, 0);

		assert_memory_equal(&a, &b, sizeof(a)); /* same seed, same course */
		assert_true(run((enum vt_router)r, 20, 4, 0).on_time > 5900);
	}
}

/* Every other node is four times slower: who looks serves more than who takes turns. */
static void looking_beats_taking_turns(void **state)
{
	uint64_t blind = run(VT_ROUTE_ROUND_ROBIN, 500, 8, 600).on_time;

	assert_true(run(VT_ROUTE_LEAST_CONN, 500, 8, 600).on_time > blind);
	assert_true(run(VT_ROUTE_WEIGHTED, 500, 8, 600).on_time > blind);
}

/* A weight's floor is a part of the node's own: one of a hundredth gets a hundredth, not what a twentieth of the other gets. */
static void a_small_node_gets_little(void **state)
{
	static const double capacity[2] = {1, 0.01};
	struct vt_fleet_cfg cfg = {.n_nodes = 2,
				   .capacity = capacity,
				   .policy = vt_policy_find("veltair-full"),
				   .router = VT_ROUTE_WEIGHTED};
	struct vt_fleet_result r;
	struct vt_err e = {0};

	if (run_two_kinds(&cfg, 50, 1, &r, &e))
		fail_msg("%s", e.msg);
	assert_true(r.least_busy > 0 && r.least_busy < r.most_busy / 50);
}

static size_t idle_size(const struct vt_policy_cfg *cfg)
{
	return 64;
}

static int idle_init(const struct vt_policy *p, void *self, const struct vt_policy_cfg *cfg)
{
	return 0;
}

static void idle_decide(void *self, const struct vt_view *view, struct vt_decision *ret)
{
	ret->n_actions = ret->n_versions = 0;
	ret->wake_ns = 0;
}

/* Requests that nobody ever starts are no result. */
static void a_policy_that_does_nothing_is_told(void **state)
{
	static const double capacity[2] = {1, 1};
	static const struct vt_policy idle = {
		.name = "idle", .state_size = idle_size, .init = idle_init, .decide = idle_decide};
	struct vt_fleet_cfg cfg = {.n_nodes = 20, .capacity = capacity, .policy = &idle};
	struct vt_fleet_result r;
	struct vt_err e = {0};

	assert_int_equal(run_two_kinds(&cfg, 100, 1, &r, &e), -EPROTO);
	assert_non_null(strstr(e.msg, "policy idle: leaves "));
	assert_non_null(strstr(e.msg, " requests waiting for ever"));
}

/* ---- targets and mixes ---------------------------------------------------------------------- */

/* Three times the fastest run is another time on every kind; a client waits as long for each. */
static void one_target_for_all_kinds(void **state)
{
	static const uint32_t orders[][2] = {{0, 1}, {1, 0}};

	for (size_t i = 0; i < VT_COUNT(orders); i++) {
		struct vt_bank kinds[2], *banks[2];
		struct vt_sim_tenant tenants[2] = {{0, 1, 1}, {0, 1, 1}};

		for (uint32_t k = 0; k < 2; k++) {
			make_bank(&kinds[k], 1 + 3 * k);
			kinds[k].sched[0].qos_ns = 3 * vt_bank_fastest_ns(&kinds[k], 0);
			banks[orders[i][k]] = &kinds[k];
		}
		assert_true(vt_fleet_targets(banks, 2, tenants, 2));
		for (uint32_t k = 0; k < 2; k++) {
			assert_int_equal(banks[k]->sched[0].qos_ns, 3 * 4 * 4400000);
			assert_int_equal(tenants[k].qos_ns, 3 * 4 * 4400000);
		}
		assert_false(vt_fleet_targets(banks, 2, tenants, 2));
		vt_bank_fini(&kinds[0]);
		vt_bank_fini(&kinds[1]);
	}
}

/* Ends of parts are written with two digits: whatever the seed, none is empty. */
static void every_generated_mix_is_read(void **state)
{
	static char text[1 << 17];

	for (unsigned int seed = 1; seed <= 200; seed++) {
		struct vt_err e = {0};
		struct vt_mix mix;
		char command[64];
		FILE *f;

		snprintf(command, sizeof(command), "share/mixes/fleet.sh 1024 %u", seed);
		f = popen(command, "r");
		assert_non_null(f);
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		assert_int_equal(pclose(f), 0);
		if (vt_mix_parse(text, "fleet.mix", &mix, &e))
			fail_msg("seed %u: %s", seed, e.msg);
		assert_int_equal(mix.n, 1024);
		for (uint32_t m = 0; m < mix.n; m++) {
			struct vt_backend b;

			if (vt_backend_parse(mix.at[m].nodes, 100, mix.at[m].model, &b, &e))
				fail_msg("seed %u: %s", seed, e.msg);
			free(b.nodes);
		}
		free(mix.at);
	}
}

/* An agent asks in the middle of a block, when its node has had no turn since the block began. */
static void a_block_under_way_counts(void **state)
{
	struct vt_sim_tenant tenant = {0, 30000000, 1};
	struct vt_bank bank;
	struct vt_sim_result r = {0};
	struct vt_sim_cfg cfg = {.bank = &bank,
				 .tenants = &tenant,
				 .n_tenants = 1,
				 .policy = vt_policy_find("veltair-full")};
	struct vt_sim_arrival a = {.at_ns = 1000000};
	struct vt_err e = {0};
	struct vt_sim *s;
	double half, whole;

	make_bank(&bank, 1);
	assert_int_equal(vt_sim_open(&s, &cfg, &r, &e), 0);
	assert_int_equal(vt_sim_push(s, &a), 0);
	assert_true(vt_sim_next_ns(s) > 4000000);
	assert_true(vt_sim_busy_ns(s, 1000000) <= r.busy_core_ns);
	half = vt_sim_busy_ns(s, 3000000) - r.busy_core_ns;
	assert_true(half > 1.9e6 && half <= 2 * 2e6); /* one core or both */
	while (vt_sim_next_ns(s) != UINT64_MAX) {
		uint64_t t = vt_sim_next_ns(s);

		whole = vt_sim_busy_ns(s, t);
		assert_int_equal(vt_sim_turn(s, t), 0);
		assert_true(fabs(vt_sim_busy_ns(s, t) - whole) < 1);
	}
	assert_int_equal(r.served, 1);
	assert_true(r.busy_core_ns > 4e6);
	vt_sim_close(s);
	vt_bank_fini(&bank);
}

static void absurd_fleets_are_refused(void **state)
{
	struct vt_fleet_cfg cfg = {.n_nodes = 0, .n_kinds = 1, .n_tenants = 1};
	struct vt_fleet_result r;
	struct vt_err e = {0};

	assert_int_equal(vt_fleet_run(&cfg, &r, &e), -EINVAL);
	cfg.n_nodes = VT_FLEET_NODES + 1;
	assert_int_equal(vt_fleet_run(&cfg, &r, &e), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(placements),
		cmocka_unit_test(routers_have_names),
		cmocka_unit_test(no_request_is_lost),
		cmocka_unit_test(looking_beats_taking_turns),
		cmocka_unit_test(a_small_node_gets_little),
		cmocka_unit_test(a_policy_that_does_nothing_is_told),
		cmocka_unit_test(one_target_for_all_kinds),
		cmocka_unit_test(every_generated_mix_is_read),
		cmocka_unit_test(a_block_under_way_counts),
		cmocka_unit_test(absurd_fleets_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
