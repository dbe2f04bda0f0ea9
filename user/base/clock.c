// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <errno.h>
#include <time.h>

uint64_t vt_now_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * VT_NS_PER_S + (uint64_t)t.tv_nsec;
}

void vt_sleep_until_mono_ns(uint64_t t_mono_ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(t_mono_ns / VT_NS_PER_S),
		.tv_nsec = (long)(t_mono_ns % VT_NS_PER_S),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}
