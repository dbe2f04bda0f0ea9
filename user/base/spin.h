/* SPDX-License-Identifier: Apache-2.0 */
/* spin.h - between two looks of a loop that waits for another thread. */
#ifndef VT_BASE_SPIN_H
#define VT_BASE_SPIN_H

/** vt_relax - leave the core's other hardware thread its share for a moment; no system call */
static inline void vt_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
