// SPDX-License-Identifier: Apache-2.0
/* fuzz_sim.c - hostile machine files, profiles, mixes and arrival traces. The first byte chooses.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "load/arrivals.h"
#include "sim/bank.h"
#include "sim/csv.h"
#include "sim/machine.h"
#include "sim/mix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct vt_machine plain = {.name = "fuzz",
					.cores = 64,
					.llc_domains = 16,
					.memory_nodes = 1,
					.gflops = 50,
					.depthwise_share = 0.4,
					.tile_rows = 6,
					.tile_cols = 16,
					.l2_bytes = 5e5,
					.llc_bytes = 1e7,
					.llc_gbps = 60,
					.core_dram_gbps = 20,
					.domain_dram_gbps = 25,
					.node_dram_gbps = 80,
					.queue_slope = 0.277,
					.queue_knee = 0.846,
					.overlap = 2};

static void check(int ok)
{
	if (!ok)
		abort();
}

static void told(int rc, const struct vt_err *e)
{
	check(rc < 0 && e->code == rc && e->msg[0] && !strchr(e->msg, '\n'));
}

static void machine(const char *text)
{
	struct vt_machine m;
	struct vt_err e = {0};
	int rc = vt_machine_parse(text, "fuzz", &m, &e);

	if (rc) {
		told(rc, &e);
		return;
	}
	check(m.cores && m.cores % m.llc_domains == 0 && m.gflops > 0);
	check(vt_machine_stretch(&m, 1) >= 1 && isfinite(vt_machine_stretch(&m, 1)));
}

/** A profile that a bank takes must make a plan: policies rely on it. */
static void profile(const char *text, int table)
{
	struct vt_profile p = {NULL, 0};
	struct vt_err e = {0};
	struct vt_bank b;
	int rc = table ? vt_profile_parse_table(text, "fuzz", "model", &p, &e)
		       : vt_profile_parse(text, "fuzz", &p, &e);

	if (rc)
		told(rc, &e);
	check(!vt_bank_init(&b, &plain));
	for (uint32_t i = 0; i < p.n_models && !rc && i < 8; i++) {
		struct vt_err why = {0};
		int at = vt_bank_add_samples(&b, p.models[i].name, 1000000, p.models[i].at,
					     p.models[i].n, &why);

		if (at < 0)
			told(at, &why);
		else
			check(b.models[at].least_core_ns > 0);
	}
	vt_bank_fini(&b);
	vt_profile_fini(&p);
}

static void mix(const char *text)
{
	struct vt_mix m;
	struct vt_err e = {0};
	int rc = vt_mix_parse(text, "fuzz", &m, &e);

	if (rc) {
		told(rc, &e);
		return;
	}
	for (uint32_t i = 0; i < m.n; i++)
		check(m.at[i].weight > 0 && m.at[i].model[0] && m.at[i].name[0] &&
		      m.at[i].priority);
	free(m.at);
}

static void arrivals(const char *text)
{
	static const char *const names[] = {"a", "resnet50", ""};
	struct vt_arrivals a;
	struct vt_err e = {0};
	int rc = vt_arrivals_parse(text, "fuzz", names, 3, &a, &e);

	if (rc) {
		told(rc, &e);
		return;
	}
	for (size_t i = 0; i < a.n; i++)
		check(a.at[i].tenant < 3 && (!i || a.at[i].at_ns >= a.at[i - 1].at_ns));
	free(a.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = calloc(size, 1); /* one byte less of text, and its end */
	check(text != NULL);
	memcpy(text, data + 1, size - 1);
	switch (data[0] % 5) {
	case 0:
		machine(text);
		break;
	case 1:
		profile(text, 0);
		break;
	case 2:
		profile(text, 1);
		break;
	case 3:
		mix(text);
		break;
	default:
		arrivals(text);
	}
	free(text);
	return 0;
}
