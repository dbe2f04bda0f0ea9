/* SPDX-License-Identifier: Apache-2.0 */
/* peak.h - what one core can do at most: fused multiply-adds on registers, nothing else. */
#ifndef VT_TESTS_BENCH_PEAK_H
#define VT_TESTS_BENCH_PEAK_H

#include <cpuinfo.h>

#include "base/clock.h"

#define VT_PEAK_LOOPS 400000 /* about 3 ms */

#if defined(__x86_64__)
/* Independent sums, more than latency x ports of any core so far. The registers hold zeros. */
#define VT_FMA4(r, x, y, a, b, c, d)                                                               \
	"vfmadd231ps %%" r x ", %%" r y ", %%" r a "\n\tvfmadd231ps %%" r x ", %%" r y ", %%" r b  \
	"\n\tvfmadd231ps %%" r x ", %%" r y ", %%" r c "\n\tvfmadd231ps %%" r x ", %%" r y         \
	", %%" r d "\n\t"

__attribute__((target("avx512f"))) static inline double vt_peak_avx512(void)
{
	long n = VT_PEAK_LOOPS;

	__asm__ volatile("vpxord %%zmm30, %%zmm30, %%zmm30\n\tvpxord %%zmm31, %%zmm31, "
			 "%%zmm31\n\t1:\n\t" VT_FMA4("zmm", "30", "31", "0", "1", "2", "3")
				 VT_FMA4("zmm", "30", "31", "4", "5", "6",
					 "7") VT_FMA4("zmm", "30", "31", "8", "9", "10", "11")
					 VT_FMA4("zmm", "30", "31", "12", "13", "14", "15")
						 VT_FMA4("zmm", "30", "31", "16", "17", "18", "19")
							 VT_FMA4("zmm", "30", "31", "20", "21",
								 "22", "23") "dec %0\n\tjnz 1b"
			 : "+r"(n)
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16",
			   "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30",
			   "xmm31", "cc");
	return (double)VT_PEAK_LOOPS * 24 * 32;
}

__attribute__((target("avx2,fma"))) static inline double vt_peak_avx2(void)
{
	long n = 2L * VT_PEAK_LOOPS;

	__asm__ volatile("vxorps %%ymm14, %%ymm14, %%ymm14\n\tvxorps %%ymm15, %%ymm15, "
			 "%%ymm15\n\t1:\n\t" VT_FMA4("ymm", "14", "15", "0", "1", "2", "3")
				 VT_FMA4("ymm", "14", "15", "4", "5", "6", "7") VT_FMA4(
					 "ymm", "14", "15", "8", "9", "10", "11") "dec %0\n\tjnz 1b"
			 : "+r"(n)
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm14", "xmm15", "cc");
	return 2.0 * VT_PEAK_LOOPS * 12 * 16;
}
#endif

/** vt_peak_flops - do so many floating-point operations; 0 if this CPU is not known here */
static inline double vt_peak_flops(void)
{
#if defined(__x86_64__)
	if (cpuinfo_initialize() && cpuinfo_has_x86_avx512f())
		return vt_peak_avx512();
	if (cpuinfo_initialize() && cpuinfo_has_x86_avx2() && cpuinfo_has_x86_fma3())
		return vt_peak_avx2();
#endif
	return 0;
}

static inline double vt_peak_gflops(void)
{
	uint64_t t0 = vt_now_mono_ns();
	double flops = vt_peak_flops();

	return flops / (double)(vt_now_mono_ns() - t0);
}

#endif
