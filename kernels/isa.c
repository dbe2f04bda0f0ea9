// SPDX-License-Identifier: Apache-2.0
#include "kernels/isa.h"

#include <cpuinfo.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const struct vt_vec vt_vec_v1;
#ifdef __x86_64__
extern const struct vt_vec vt_vec_v3, vt_vec_v4;
#endif

static const struct vt_vec *const tiers[VT_TIER_COUNT] = {
	[VT_TIER_V1] = &vt_vec_v1,
#ifdef __x86_64__
	[VT_TIER_V3] = &vt_vec_v3,
	[VT_TIER_V4] = &vt_vec_v4,
#endif
};

/* As VELTAIR_ISA has them, and struct vt_vec. */
static const char *const names[VT_TIER_COUNT] = {"baseline", "avx2", "avx512"};

static bool have(enum vt_tier tier)
{
	bool v3;

	if (!tiers[tier])
		return false;
	if (tier == VT_TIER_V1)
		return true;
	if (!cpuinfo_initialize())
		return false;
	v3 = cpuinfo_has_x86_avx2() && cpuinfo_has_x86_fma3() && cpuinfo_has_x86_f16c() &&
	     cpuinfo_has_x86_bmi() && cpuinfo_has_x86_bmi2() && cpuinfo_has_x86_lzcnt() &&
	     cpuinfo_has_x86_movbe();
	if (tier == VT_TIER_V3)
		return v3;
	return v3 && cpuinfo_has_x86_avx512f() && cpuinfo_has_x86_avx512bw() &&
	       cpuinfo_has_x86_avx512cd() && cpuinfo_has_x86_avx512dq() &&
	       cpuinfo_has_x86_avx512vl();
}

/* The tier that VELTAIR_ISA names; VT_TIER_COUNT if it names none, -1 if it is not set. */
static int asked(void)
{
	const char *name = getenv("VELTAIR_ISA");
	int t = 0;

	if (!name)
		return -1;
	while (t < VT_TIER_COUNT && strcmp(name, names[t]) != 0)
		t++;
	return t;
}

int vt_tier_check(void)
{
	int t = asked();

	if (t == VT_TIER_COUNT)
		return -EINVAL;
	return t < 0 || have((enum vt_tier)t) ? 0 : -ENOTSUP;
}

enum vt_tier vt_tier_best(void)
{
	/* Racing first calls store the same value. */
	static atomic_int best = -1;
	int t = atomic_load_explicit(&best, memory_order_relaxed);

	if (t < 0) {
		t = asked();
		if (t < 0 || t == VT_TIER_COUNT)
			t = VT_TIER_COUNT - 1;
		for (; t > VT_TIER_V1 && !have((enum vt_tier)t); t--)
			;
		atomic_store_explicit(&best, t, memory_order_relaxed);
	}
	return (enum vt_tier)t;
}

const struct vt_vec *vt_vec(void)
{
	return tiers[vt_tier_best()];
}

const struct vt_vec *vt_vec_tier(enum vt_tier tier)
{
	return have(tier) ? tiers[tier] : NULL;
}
