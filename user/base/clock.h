/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the one clock. Every `_mono_ns` in this project is CLOCK_MONOTONIC. */
#ifndef VT_BASE_CLOCK_H
#define VT_BASE_CLOCK_H

#include <stdint.h>

#define VT_NS_PER_MS 1000000ull
#define VT_NS_PER_S  1000000000ull

/** vt_now_mono_ns - nanoseconds of CLOCK_MONOTONIC */
uint64_t vt_now_mono_ns(void);

/** vt_sleep_until_mono_ns - sleep to an absolute time; returns at once if it is past */
void vt_sleep_until_mono_ns(uint64_t t_mono_ns);

#endif
