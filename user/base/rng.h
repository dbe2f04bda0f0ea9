/* SPDX-License-Identifier: Apache-2.0 */
/* rng.h - seeded random numbers. Pure; the state is the caller's, so a run can be repeated. */
#ifndef VT_BASE_RNG_H
#define VT_BASE_RNG_H

#include <stdint.h>

/** State of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
struct vt_rng {
	uint64_t s;
};

static inline uint64_t vt_rng_u64(struct vt_rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/** vt_rng_unit - uniform in [0, 1) */
static inline double vt_rng_unit(struct vt_rng *r)
{
	return (double)(vt_rng_u64(r) >> 11) * 0x1p-53;
}

/** vt_rng_below - uniform in [0, n), n > 0 (bias below 2^-32 for n < 2^32) */
static inline uint64_t vt_rng_below(struct vt_rng *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)vt_rng_u64(r) * n) >> 64);
}

#endif
