// SPDX-License-Identifier: Apache-2.0
#include "base/cache.h"

#include <unistd.h>

#define L2_BYTES_UNKNOWN ((size_t)512 << 10)

#define LEAF_VENDOR   0u
#define LEAF_INTEL    4u
#define LEAF_AMD_MAX  0x80000000u
#define LEAF_AMD_L1   0x80000005u
#define LEAF_AMD_L2   0x80000006u
#define LEAF_AMD_LIST 0x8000001du

/* One entry of a list: type in bits 0-4 (1 data, 2 instructions, 3 both, 0 end), level in bits 5-7. */
static void decode_list(struct vt_caches *ret, vt_cpuid_fn cpuid, const void *cpu, uint32_t leaf)
{
	for (uint32_t i = 0; i < 8; i++) {
		const struct vt_cpuid_regs r = cpuid(cpu, leaf, i);
		const uint32_t type = r.a & 31, level = r.a >> 5 & 7;
		const size_t bytes = ((size_t)(r.b >> 22) + 1) * ((r.b >> 12 & 1023) + 1) *
				     ((r.b & 4095) + 1) * ((size_t)r.c + 1);

		if (!type)
			return;
		if (type == 2)
			continue;
		if (level == 1)
			ret->l1d_bytes = bytes;
		else if (level == 2)
			ret->l2_bytes = bytes;
		else if (level == 3)
			ret->l3_bytes = bytes;
	}
}

struct vt_caches vt_caches_decode(vt_cpuid_fn cpuid, const void *cpu)
{
	struct vt_caches c = {.source = ""};
	const uint32_t max = cpuid(cpu, LEAF_VENDOR, 0).a, max_amd = cpuid(cpu, LEAF_AMD_MAX, 0).a;

	if (max >= LEAF_INTEL)
		decode_list(&c, cpuid, cpu, LEAF_INTEL);
	if (!c.l2_bytes && max_amd >= LEAF_AMD_LIST)
		decode_list(&c, cpuid, cpu, LEAF_AMD_LIST);
	/* KiB in the upper bits of ecx. Leaf 6 also has an L3, but that of all domains together. */
	if (!c.l1d_bytes && max_amd >= LEAF_AMD_L1)
		c.l1d_bytes = (size_t)(cpuid(cpu, LEAF_AMD_L1, 0).c >> 24) << 10;
	if (!c.l2_bytes && max_amd >= LEAF_AMD_L2)
		c.l2_bytes = (size_t)(cpuid(cpu, LEAF_AMD_L2, 0).c >> 16) << 10;
	if (c.l1d_bytes || c.l2_bytes)
		c.source = "cpuid";
	return c;
}

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static struct vt_cpuid_regs this_cpu(const void *cpu, uint32_t leaf, uint32_t subleaf)
{
	struct vt_cpuid_regs r = {0};

	/* Beyond its last leaf Intel's CPUID answers with that of the last one. */
	if (leaf <= (uint32_t)__get_cpuid_max(leaf & 0x80000000u, NULL))
		__cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
	return r;
}
#else
static struct vt_cpuid_regs this_cpu(const void *cpu, uint32_t leaf, uint32_t subleaf)
{
	return (struct vt_cpuid_regs){0};
}
#endif

static size_t ask_libc(int name)
{
	long n = sysconf(name);

	return n > 0 ? (size_t)n : 0;
}

struct vt_caches vt_caches(void)
{
	struct vt_caches c = vt_caches_decode(this_cpu, NULL);

	if (c.l2_bytes)
		return c;
	c.l1d_bytes = ask_libc(_SC_LEVEL1_DCACHE_SIZE);
	c.l2_bytes = ask_libc(_SC_LEVEL2_CACHE_SIZE);
	c.l3_bytes = ask_libc(_SC_LEVEL3_CACHE_SIZE);
	if (c.l1d_bytes || c.l2_bytes)
		c.source = "sysconf";
	return c;
}

size_t vt_l2_bytes(void)
{
	const size_t n = vt_caches().l2_bytes;

	return n ? n : L2_BYTES_UNKNOWN;
}
