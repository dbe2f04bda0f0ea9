/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h - for kernels/isa.c, with CONFIG=asan run-avx512: this CPU has what avx512.h stands in for. */
#ifndef VT_TESTS_EMULATE_CPU_H
#define VT_TESTS_EMULATE_CPU_H

#include <cpuinfo.h>

#define cpuinfo_has_x86_avx512f()  true
#define cpuinfo_has_x86_avx512bw() true
#define cpuinfo_has_x86_avx512cd() true
#define cpuinfo_has_x86_avx512dq() true
#define cpuinfo_has_x86_avx512vl() true

#endif
