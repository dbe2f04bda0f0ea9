/* SPDX-License-Identifier: Apache-2.0 */
/* order.h - what qsort() is told of numbers. */
#ifndef VT_BASE_ORDER_H
#define VT_BASE_ORDER_H

#include <stdint.h>

/** vt_order_u64 - ascending uint64_t, for qsort() */
static inline int vt_order_u64(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/** vt_order_double - ascending double, none of them NAN, for qsort() */
static inline int vt_order_double(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

#endif
