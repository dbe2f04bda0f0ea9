// SPDX-License-Identifier: Apache-2.0
/*
 * Golden table: (type, config, config1) of every role on every CPU family, typed in here a second
 * time from the vendors' manuals. user/events/codes.c must agree with it, and so must libpfm4 for
 * every row that names a libpfm4 event this build of libpfm4 knows.
 */
#include "harness.h"

#include <perfmon/pfmlib.h>
#include <perfmon/pfmlib_perf_event.h>
#include <stdlib.h>
#include <string.h>

#include "events/events.h"

#define ROWS(f, cyc, ins, ref, miss, l2, dram, dram1)                                              \
	{VT_CPU_##f, VT_ROLE_CYCLES, cyc, 0}, {VT_CPU_##f, VT_ROLE_INSTRUCTIONS, ins, 0},          \
		{VT_CPU_##f, VT_ROLE_LLC_REFS, ref, 0}, {VT_CPU_##f, VT_ROLE_LLC_MISSES, miss, 0}, \
		{VT_CPU_##f, VT_ROLE_L2_MISSES, l2, 0},                                            \
	{                                                                                          \
		VT_CPU_##f, VT_ROLE_DRAM_FILLS, dram, dram1                                        \
	}

/* umask << 8 | event select; on Arm the event number */
static const struct golden {
	enum vt_cpu_family family;
	enum vt_role role;
	uint64_t config, config1;
} golden[] = {
	/*    family       cycles instr LLC ref LLC miss L2 miss DRAM    request and response */
	ROWS(SKX, 0x003c, 0x00c0, 0x4f2e, 0x412e, 0x3f24, 0x01b7, 0x6140005b3),
	ROWS(CLX, 0x003c, 0x00c0, 0x4f2e, 0x412e, 0x3f24, 0x01b7, 0x6140005b3),
	ROWS(ICX, 0x003c, 0x00c0, 0x4f2e, 0x412e, 0x1ff1, 0x01b7, 0x73c000477),
	ROWS(SPR, 0x003c, 0x00c0, 0x4f2e, 0x412e, 0x1f25, 0x012a, 0x73c004477),
	ROWS(ZEN1, 0x0076, 0x00c0, 0x5a43, 0x5843, 0x0964, 0x4843, 0),
	ROWS(ZEN2, 0x0076, 0x00c0, 0x5a43, 0x5843, 0x0964, 0x4843, 0),
	ROWS(ZEN3, 0x0076, 0x00c0, 0x5e44, 0x5c44, 0x0964, 0x4844, 0),
	ROWS(ZEN4, 0x0076, 0x00c0, 0xde44, 0xdc44, 0x0964, 0xc844, 0),
	ROWS(ZEN5, 0x0076, 0x00c0, 0xde44, 0xdc44, 0x0964, 0xc844, 0),
	ROWS(NEOVERSE_N1, 0x0011, 0x0008, 0x0036, 0x0037, 0x0017, 0x0037, 0),
	ROWS(NEOVERSE_V1, 0x0011, 0x0008, 0x0036, 0x0037, 0x0017, 0x0037, 0),
};

static void codes_match_the_manuals(void **state)
{
	assert_int_equal(VT_COUNT(golden), (VT_CPU_COUNT - 1) * VT_ROLE_COUNT);
	for (size_t i = 0; i < VT_COUNT(golden); i++) {
		const struct golden *g = &golden[i];
		const struct vt_event_code *c = vt_event_code(g->family, g->role);

		if (!c || c->family != g->family || c->role != g->role || c->config != g->config ||
		    c->config1 != g->config1)
			fail_msg("%s %s: table %#llx/%#llx, manual %#llx/%#llx",
				 vt_cpu_family_name(g->family), vt_role_name(g->role),
				 c ? (unsigned long long)c->config : 0ull,
				 c ? (unsigned long long)c->config1 : 0ull,
				 (unsigned long long)g->config, (unsigned long long)g->config1);
		assert_true(strlen(c->doc) > 10); /* every code says where it stands */
		assert_true(c->quality == VT_QUALITY_APPROX || c->quality == VT_QUALITY_EXACT);
	}
	assert_null(vt_event_code(VT_CPU_UNKNOWN, VT_ROLE_CYCLES));
	assert_null(vt_event_code(VT_CPU_COUNT, VT_ROLE_CYCLES));
	assert_null(vt_event_code(VT_CPU_SKX, VT_ROLE_COUNT));
}

/* "skx::EVENT:UMASK": does this build of libpfm4 have the skx table at all? */
static bool pfm_has_pmu(const char *event)
{
	size_t len = (size_t)(strstr(event, "::") - event);

	for (int i = 0; i < PFM_PMU_MAX; i++) {
		pfm_pmu_info_t info = {.size = sizeof(info)};

		if (pfm_get_pmu_info(i, &info) == PFM_SUCCESS && strlen(info.name) == len &&
		    !memcmp(info.name, event, len))
			return true;
	}
	return false;
}

static void codes_match_libpfm4(void **state)
{
	struct vt_event_env env = {0};
	unsigned int checked = 0, raw = 0, foreign = 0;

	assert_int_equal(pfm_initialize(), PFM_SUCCESS);
	for (size_t i = 0; i < VT_COUNT(golden); i++) {
		const struct golden *g = &golden[i];
		const struct vt_event_code *c = vt_event_code(g->family, g->role);
		struct vt_err e = {0};
		struct vt_event ev;

		if (!c->pfm) {
			raw++;
			continue;
		}
		if (!pfm_has_pmu(c->pfm)) {
			foreign++;
			continue;
		}
		if (vt_event_parse(&env, c->pfm, &ev, &e))
			fail_msg("%s", e.msg);
		if (ev.type != PERF_TYPE_RAW || ev.config != g->config ||
		    ev.config1 != g->config1 || ev.exclude_user || ev.exclude_kernel)
			fail_msg("%s: libpfm4 %u %#llx/%#llx, table %#llx/%#llx", c->pfm, ev.type,
				 (unsigned long long)ev.config, (unsigned long long)ev.config1,
				 (unsigned long long)g->config, (unsigned long long)g->config1);
		assert_int_equal(ev.source, VT_EVSRC_PFM);
		assert_int_equal(ev.cls, VT_CLASS_HW);
		checked++;
	}
	fprintf(stderr,
		"# %u rows checked against libpfm4, %u have no libpfm4 name, %u are of CPUs that "
		"this "
		"build of libpfm4 leaves out\n",
		checked, raw, foreign);
#if defined(__x86_64__)
	assert_int_equal(
		checked,
		44); /* 8 families x 6 roles, less icx LLC_REFS and zen1 fills; libpfm4 4.13 has no zen5 */
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_match_the_manuals),
		cmocka_unit_test(codes_match_libpfm4),
	};

	/* Encode events of CPUs other than this one. Read once, when libpfm4 starts. */
	setenv("LIBPFM_ENCODE_INACTIVE", "1", 1);
	return cmocka_run_group_tests_name("events_golden", tests, NULL, NULL);
}
