/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trip.h - how far two cores are from each other, by what a word takes from one to the other and back.
 *
 * Cores of one last-level cache: about 50 ns (Zen 4). Of two: 300 ns and more, and then what one core wrote and the other reads
 * costs several times as much. A virtual machine's CPUs may be moved from the first to the second and back
 * while it runs, whatever cache topology it shows.
 */
#ifndef VT_BASE_TRIP_H
#define VT_BASE_TRIP_H

#include <stdint.h>

/* From here on two cores share no last-level cache: between the two figures above. */
#define VT_TRIP_FAR_NS 150

/**
 * vt_trip_ns - a word's way from CPU @a to CPU @b and back, the least mean of a hundred
 * Two threads of its own spin there for a third of a millisecond, or up to @most_ns where others use the CPUs.
 * Returns 0 if it is not known: a CPU that may not be used, no thread, never both at once within @most_ns.
 */
uint64_t vt_trip_ns(unsigned int a, unsigned int b, uint64_t most_ns);

#endif
