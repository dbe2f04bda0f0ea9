/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - what of a block's slowness is not contention. Pure.
 *
 * A profile is off by some per cent where it is used: caches are colder between other models, a
 * request's first layers wait for helpers, the clock is another. A block whose heaviest slowdown is
 * 9 % would turn 5 % of that into half of all pressure. So two things are kept beside the pressure:
 *
 * - the *pace* of each kind of block (layers of a model on so many cores): time measured over time
 *   profiled. As much of it is believed as is likelier a profile that is off than contention that
 *   stays. A profile is off by TABLE, contention is PRESSED of the scale, both standard deviations
 *   around nothing, so the part is TABLE^2 / (TABLE^2 + (reaction * PRESSED)^2), the mean of the
 *   posterior of two normal priors. It is a mean of all blocks at first, and then follows within a
 *   minute, so that what comes and goes stays pressure;
 * - the *noise* of blocks: mean distance of a block from the one before it of its kind, as a share of
 *   its time (von Neumann 1941: what changes slowly is not in it).
 *
 * Where a block begins and ends some microseconds go that no profile of layers holds, and that differ. So a short
 * block is further off, and strays by more, in both: by a share 1 + 20 us / time. Single layers of 4 us take 2 us
 * more on a Zen 4, those of 34 us 6.
 *
 * One writer, one thread; no libm, so every compiler gives the same.
 */
#ifndef VT_PRESSURE_PACE_H
#define VT_PRESSURE_PACE_H

#include <stdint.h>

#include "pressure/level.h"

#define VT_PACE_SLOTS 512u /* who finds its slot taken begins anew */

struct vt_pace_slot {
	uint64_t key; /* 0: empty */
	uint64_t seen_ns;
	float off;  /* believed: time measured over time profiled, minus 1 */
	float last; /* that of the last block, whole */
	uint32_t blocks;
	uint32_t pad;
};

/** Caller's memory; zeroed is empty. Treat as opaque. */
struct vt_pace {
	double noise;	    /* of blocks, as a share of their time */
	uint32_t distances; /* that it was made of, saturating */
	struct vt_pace_slot slot[VT_PACE_SLOTS];
};

/**
 * vt_pace_take - a block took @measured_ns
 * @key: of what ran on how many cores, see vt_pace_key()
 * @alone_ns: profiled at level 0, not 0
 * @reaction_ppm: its time at the top level over that, minus 1
 * Returns the time that it would have taken, had the profile been right: what is left to explain.
 */
uint64_t vt_pace_take(struct vt_pace *p, uint64_t key, uint64_t alone_ns, uint32_t reaction_ppm,
		      uint64_t measured_ns, uint64_t now_ns);

/**
 * vt_pace_key - of layers [begin, end) of model @index on @cores cores; an index may go from one model
 * to the next, so @times_ns tells them apart: a time of its profile
 */
static inline uint64_t vt_pace_key(uint32_t index, uint32_t begin, uint32_t end, uint32_t cores,
				   uint64_t times_ns)
{
	const uint64_t range = (uint64_t)index << 36 | (uint64_t)begin << 24 | (uint64_t)end << 12;

	return (range ^ cores ^ times_ns * 0x9e3779b97f4a7c15u) | 1ull << 63;
}

/** vt_pace_slot_of - where @key is, or would be */
static inline uint32_t vt_pace_slot_of(uint64_t key)
{
	/* Fibonacci hashing (Knuth, vol. 3, 6.4): the upper bits of a product with 2^64 / phi. */
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) % VT_PACE_SLOTS;
}

/** vt_pace_fetch - ask for the memory that vt_pace_take() will want */
static inline void vt_pace_fetch(const struct vt_pace *p, uint64_t key)
{
	__builtin_prefetch(&p->slot[vt_pace_slot_of(key)], 1);
	__builtin_prefetch(&p->noise, 1);
}

/** vt_pace_noise_ppm - noise of a block that takes @alone_ns, as a share of that; VT_PPM: not known yet */
uint32_t vt_pace_noise_ppm(const struct vt_pace *p, uint64_t alone_ns);

#endif
