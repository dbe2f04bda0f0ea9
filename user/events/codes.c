// SPDX-License-Identifier: Apache-2.0
/*
 * codes.c - how each CPU family counts each role: data only.
 *
 * A row exists for every (family, role). `pfm` is tried first and must encode to the very code
 * beside it (tests/unit/test_events.c checks both against libpfm4 and against a second copy of the
 * manuals' numbers); the code serves where the installed libpfm4 has no such name.
 *
 * Sources, by short name:
 *   perfmon   Intel's event lists (perfmon-events.intel.com) and SDM volume 3, chapter 20
 *   PPR       AMD Processor Programming Reference: 54945 (17h 00h), 55803 (17h 31h),
 *             55898 (19h 01h), 55901 (19h 11h), section "Core Performance Monitor Counters"
 *   PMC 1Ah   AMD, "Performance Monitor Counters for AMD Family 1Ah Model 00h-0Fh Processors", as also
 *             given in Linux's tools/perf/pmu-events/arch/x86/amdzen5
 *   TRM       Arm Neoverse N1 (100616) and V1 (101427) technical reference manuals, PMU events
 *
 * On AMD the L3's own counters belong to the L3, not to a core or a task, so they cannot be read at
 * a context switch. The core's "data cache fills by source" can: what came from beyond the L2 is an
 * LLC reference, what came from beyond this core complex is an LLC miss. Instruction fetches are
 * not in it, hence APPROX.
 */
#include "events/events.h"

#define ROW(f, r, name, cfg, cfg1, q, text)                                                        \
	[VT_CPU_##f][VT_ROLE_##r] = {                                                              \
		.family = VT_CPU_##f,                                                              \
		.role = VT_ROLE_##r,                                                               \
		.pfm = name,                                                                       \
		.config = cfg,                                                                     \
		.config1 = cfg1,                                                                   \
		.quality = VT_QUALITY_##q,                                                         \
		.doc = text,                                                                       \
	}

/* What no Intel server core of these generations changed: the architectural events. */
#define INTEL_COMMON(f, pmu)                                                                       \
	ROW(f, CYCLES, pmu "::UNHALTED_CORE_CYCLES", 0x3c, 0, EXACT,                               \
	    "SDM 20.2.1: architectural UnHalted Core Cycles"),                                     \
		ROW(f, INSTRUCTIONS, pmu "::INSTRUCTION_RETIRED", 0xc0, 0, EXACT,                  \
		    "SDM 20.2.1: architectural Instruction Retired"),                              \
		ROW(f, LLC_MISSES, pmu "::LONGEST_LAT_CACHE:MISS", 0x412e, 0, EXACT,               \
		    "SDM 20.2.1: architectural LLC Misses; hardware prefetches to the L3 not "     \
		    "counted")

#define INTEL_LLC_REFS(f, name)                                                                    \
	ROW(f, LLC_REFS, name, 0x4f2e, 0, EXACT,                                                   \
	    "SDM 20.2.1: architectural LLC Reference; hardware prefetches to the L3 not counted")

/* Data requests of any kind that memory answered, local or one hop away, no snoop forwarding it. */
#define SKYLAKE_DRAM(f, pmu)                                                                       \
	ROW(f, DRAM_FILLS,                                                                         \
	    pmu "::OFFCORE_RESPONSE_0:ANY_DATA:L3_MISS_LOCAL:L3_MISS_REMOTE_HOP1_DRAM:"            \
		"SNP_MISS:SNP_HIT_NO_FWD",                                                         \
	    0x1b7, 0x6140005b3, APPROX,                                                            \
	    "perfmon: OFFCORE_RESPONSE, SNOOP_MISS_OR_NO_FWD; instruction fetches not counted")

#define SKYLAKE_L2(f, pmu)                                                                         \
	ROW(f, L2_MISSES, pmu "::L2_RQSTS:MISS", 0x3f24, 0, EXACT,                                 \
	    "perfmon: L2_RQSTS.MISS, demand and prefetch")

#define L2_LINES_IN(f, name, cfg)                                                                  \
	ROW(f, L2_MISSES, name, cfg, 0, APPROX,                                                    \
	    "perfmon: L2_LINES_IN.ALL, lines that filled the L2; misses that allocate no line "    \
	    "are "                                                                                 \
	    "not counted")

/* The three roles whose events AMD kept through all generations; names where libpfm4 has them. */
#define AMD_CORE(f, cycles, instructions, l2, ppr)                                                 \
	ROW(f, CYCLES, cycles, 0x76, 0, EXACT, ppr " PMCx076"),                                    \
		ROW(f, INSTRUCTIONS, instructions, 0xc0, 0, EXACT, ppr " PMCx0C0"),                \
		ROW(f, L2_MISSES, l2, 0x964, 0, APPROX,                                            \
		    ppr " PMCx064; the L2's own prefetcher not counted")

#define AMD_COMMON(f, pmu, ppr)                                                                    \
	AMD_CORE(f, pmu "::CYCLES_NOT_IN_HALT", pmu "::RETIRED_INSTRUCTIONS",                      \
		 pmu "::CORE_TO_L2_CACHEABLE_REQUEST_ACCESS_STATUS:LS_RD_BLK_C:IC_FILL_MISS", ppr)

/* The three "fills by source" roles: one event, three unit masks. */
#define AMD_FILLS(f, refs, c_refs, misses, c_misses, dram, c_dram, text)                           \
	ROW(f, LLC_REFS, refs, c_refs, 0, APPROX, text),                                           \
		ROW(f, LLC_MISSES, misses, c_misses, 0, APPROX, text),                             \
		ROW(f, DRAM_FILLS, dram, c_dram, 0, APPROX, text)

#define Z2 "amd64_fam17h_zen2::DATA_CACHE_REFILLS_FROM_SYSTEM"
#define Z3 "amd64_fam19h_zen3::ANY_DATA_CACHE_FILLS_FROM_SYSTEM"
#define Z4 "amd64_fam19h_zen4::ANY_DATA_CACHE_FILLS_FROM_SYSTEM"

/* PMUv3 event numbers are architectural (Arm ARM D13); the TRM says which of them a core has. */
#define NEOVERSE(f, pmu, trm)                                                                      \
	ROW(f, CYCLES, pmu "::CPU_CYCLES", 0x11, 0, EXACT, trm " 0x0011 CPU_CYCLES"),              \
		ROW(f, INSTRUCTIONS, pmu "::INST_RETIRED", 0x08, 0, EXACT,                         \
		    trm " 0x0008 INST_RETIRED"),                                                   \
		ROW(f, LLC_REFS, pmu "::LL_CACHE_RD", 0x36, 0, APPROX,                             \
		    trm " 0x0036 LL_CACHE_RD; reads only, counts while CPUECTLR.EXTLLC is set"),   \
		ROW(f, LLC_MISSES, pmu "::LL_CACHE_MISS_RD", 0x37, 0, APPROX,                      \
		    trm                                                                            \
		    " 0x0037 LL_CACHE_MISS_RD; reads only, counts while CPUECTLR.EXTLLC is set"),  \
		ROW(f, L2_MISSES, pmu "::L2D_CACHE_REFILL", 0x17, 0, EXACT,                        \
		    trm " 0x0017 L2D_CACHE_REFILL"),                                               \
		ROW(f, DRAM_FILLS, pmu "::LL_CACHE_MISS_RD", 0x37, 0, APPROX,                      \
		    trm " 0x0037 LL_CACHE_MISS_RD; a line from another socket counts too")

static const struct vt_event_code codes[VT_CPU_COUNT][VT_ROLE_COUNT] = {
	INTEL_COMMON(SKX, "skx"),
	INTEL_LLC_REFS(SKX, "skx::LONGEST_LAT_CACHE:REFERENCE"),
	SKYLAKE_L2(SKX, "skx"),
	SKYLAKE_DRAM(SKX, "skx"),

	INTEL_COMMON(CLX, "clx"),
	INTEL_LLC_REFS(CLX, "clx::LONGEST_LAT_CACHE:REFERENCE"),
	SKYLAKE_L2(CLX, "clx"),
	SKYLAKE_DRAM(CLX, "clx"),

	INTEL_COMMON(ICX, "icx"),
	INTEL_LLC_REFS(ICX, NULL), /* libpfm4 4.13 leaves this umask out for icx */
	L2_LINES_IN(ICX, "icx::L2_LINES_IN:ALL", 0x1ff1),
	ROW(ICX, DRAM_FILLS, "icx::OCR:READS_TO_CORE_DRAM", 0x1b7, 0x73c000477, EXACT,
	    "perfmon: OCR.READS_TO_CORE.DRAM"),

	INTEL_COMMON(SPR, "spr"),
	INTEL_LLC_REFS(SPR, "spr::LONGEST_LAT_CACHE:REFERENCE"),
	L2_LINES_IN(SPR, "spr::L2_LINES_IN:ALL", 0x1f25),
	ROW(SPR, DRAM_FILLS, "spr::OCR:READS_TO_CORE_DRAM", 0x12a, 0x73c004477, EXACT,
	    "perfmon: OCR.READS_TO_CORE.DRAM"),

	AMD_COMMON(ZEN1, "amd64_fam17h_zen1", "PPR 54945"),
	/* Not in libpfm4's zen1 table. */
	AMD_FILLS(ZEN1, NULL, 0x5a43, NULL, 0x5843, NULL, 0x4843,
		  "PPR 54945 PMCx043: demand data fills by source; prefetches, instruction fetches "
		  "and "
		  "other local complexes' caches in the misses not told apart"),

	AMD_COMMON(ZEN2, "amd64_fam17h_zen2", "PPR 55803"),
	AMD_FILLS(ZEN2,
		  Z2 ":LS_MABRESP_LCL_CACHE:LS_MABRESP_LCL_DRAM:LS_MABRESP_RMT_CACHE:"
		     "LS_MABRESP_RMT_DRAM",
		  0x5a43, Z2 ":LS_MABRESP_LCL_DRAM:LS_MABRESP_RMT_CACHE:LS_MABRESP_RMT_DRAM",
		  0x5843, Z2 ":LS_MABRESP_LCL_DRAM:LS_MABRESP_RMT_DRAM", 0x4843,
		  "PPR 55803 PMCx043: demand data fills by source; prefetches, instruction fetches "
		  "and "
		  "other local complexes' caches in the misses not told apart"),

	AMD_COMMON(ZEN3, "amd64_fam19h_zen3", "PPR 55898"),
	AMD_FILLS(
		ZEN3, Z3 ":INT_CACHE:EXT_CACHE_LCL:MEM_IO_LCL:EXT_CACHE_RMT:MEM_IO_RMT", 0x5e44,
		Z3 ":EXT_CACHE_LCL:MEM_IO_LCL:EXT_CACHE_RMT:MEM_IO_RMT", 0x5c44,
		Z3 ":MEM_IO_LCL:MEM_IO_RMT", 0x4844,
		"PPR 55898 PMCx044: data fills by source, prefetches included; instruction fetches "
		"not counted"),

	AMD_COMMON(ZEN4, "amd64_fam19h_zen4", "PPR 55901"),
	AMD_FILLS(
		ZEN4,
		Z4 ":LOCAL_CCX:NEAR_CACHE_NEAR_FAR:DRAM_IO_NEAR:FAR_CACHE_NEAR_FAR:DRAM_IO_FAR:"
		   "ALT_MEM_NEAR_FAR",
		0xde44,
		Z4 ":NEAR_CACHE_NEAR_FAR:DRAM_IO_NEAR:FAR_CACHE_NEAR_FAR:DRAM_IO_FAR:"
		   "ALT_MEM_NEAR_FAR",
		0xdc44, Z4 ":DRAM_IO_NEAR:DRAM_IO_FAR:ALT_MEM_NEAR_FAR", 0xc844,
		"PPR 55901 PMCx044: data fills by source, prefetches included; instruction fetches "
		"not counted"),

	/* libpfm4 4.13 has no table for family 1Ah. */
	AMD_CORE(ZEN5, NULL, NULL, NULL, "PMC 1Ah"),
	AMD_FILLS(ZEN5, NULL, 0xde44, NULL, 0xdc44, NULL, 0xc844,
		  "PMC 1Ah PMCx044: data fills by source, prefetches included; instruction fetches "
		  "not counted"),

	NEOVERSE(NEOVERSE_N1, "arm_n1", "TRM 100616"),
	NEOVERSE(NEOVERSE_V1, "arm_v1", "TRM 101427"),
};

const struct vt_event_code *vt_event_code(enum vt_cpu_family family, enum vt_role role)
{
	if ((unsigned int)family >= VT_CPU_COUNT || (unsigned int)role >= VT_ROLE_COUNT ||
	    !codes[family][role].doc)
		return NULL;
	return &codes[family][role];
}
