/* SPDX-License-Identifier: Apache-2.0 */
/* fit.h - a number as an integer where C leaves the conversion undefined: the nearest there is, and 0 for no number. */
#ifndef VT_KERNELS_FIT_H
#define VT_KERNELS_FIT_H

#include <stdint.h>

/* the largest T */
#define VT_TOP_OF(T) ((T)((T)-1 < (T)1 ? ~((uint64_t)1 << (sizeof(T) * 8 - 1)) : ~(uint64_t)0))
/* T from lo to hi - 1; evaluates x more than once */
#define VT_FIT(T, lo, hi, x)                                                                       \
	((x) >= (hi) ? VT_TOP_OF(T) : (x) > (lo)-1 ? (T)(x) : (x) == (x) ? (T)(lo) : 0)

static inline int64_t vt_fit_i64(double x)
{
	return VT_FIT(int64_t, -0x1p63, 0x1p63, x);
}

static inline uint64_t vt_fit_u64(double x)
{
	return VT_FIT(uint64_t, 0, 0x1p64, x);
}

#endif
