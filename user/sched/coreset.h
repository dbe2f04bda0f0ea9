/* SPDX-License-Identifier: Apache-2.0 */
/* coreset.h - sets of scheduled cores, as values of 32 bytes. Pure.
 *
 * Cores are numbered 0 .. n_cores-1 by the plant so that each LLC domain is one contiguous range;
 * the plant keeps the map to CPU numbers. (base/cpuset.h, by contrast, holds kernel CPU numbers.)
 */
#ifndef VT_SCHED_CORESET_H
#define VT_SCHED_CORESET_H

#include <stdbool.h>
#include <stdint.h>

#define VT_SCHED_MAX_CORES 256u
#define VT_CORESET_WORDS   (VT_SCHED_MAX_CORES / 64)

struct vt_coreset {
	uint64_t w[VT_CORESET_WORDS];
};

static inline void vt_coreset_add(struct vt_coreset *s, unsigned int core)
{
	s->w[core / 64] |= 1ull << (core % 64);
}

static inline void vt_coreset_del(struct vt_coreset *s, unsigned int core)
{
	s->w[core / 64] &= ~(1ull << (core % 64));
}

static inline bool vt_coreset_has(const struct vt_coreset *s, unsigned int core)
{
	return core < VT_SCHED_MAX_CORES && (s->w[core / 64] >> (core % 64) & 1);
}

/* Not __builtin_popcountll: without -mpopcnt that is a call into the compiler's library. */
static inline unsigned int vt_popcount64(uint64_t x)
{
	x -= (x >> 1) & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (unsigned int)(x * 0x0101010101010101ull >> 56);
}

static inline unsigned int vt_coreset_count(const struct vt_coreset *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++)
		n += vt_popcount64(s->w[i]);
	return n;
}

/** Cores of a set within every four and every eight, in fields of as many bits. */
struct vt_coreset_parts {
	uint64_t four[VT_CORESET_WORDS], eight[VT_CORESET_WORDS];
};

/** vt_coreset_parts - for many vt_coreset_count_part() of one set */
static inline void vt_coreset_parts(const struct vt_coreset *s, struct vt_coreset_parts *ret)
{
	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++) {
		uint64_t x = s->w[i] - ((s->w[i] >> 1) & 0x5555555555555555ull);

		x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
		ret->four[i] = x;
		ret->eight[i] = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	}
}

/** vt_coreset_count_range - cores of @s in [first, first + n): one or two words for any domain */
static inline unsigned int vt_coreset_count_range(const struct vt_coreset *s, unsigned int first,
						  unsigned int n)
{
	unsigned int end = first + n, sum = 0;

	if (first % 64 + n < 64 && first < VT_SCHED_MAX_CORES) /* nearly always */
		return vt_popcount64(s->w[first / 64] >> (first % 64) & ((1ull << n) - 1));
	if (end > VT_SCHED_MAX_CORES)
		end = VT_SCHED_MAX_CORES;
	while (first < end) {
		unsigned int stop = (first / 64 + 1) * 64 < end ? (first / 64 + 1) * 64 : end;
		uint64_t w = s->w[first / 64] >> (first % 64);

		if (stop - first < 64)
			w &= (1ull << (stop - first)) - 1;
		sum += vt_popcount64(w);
		first = stop;
	}
	return sum;
}

/** vt_coreset_count_part - vt_coreset_count_range() of @s; domains of four and eight are read off */
static inline unsigned int vt_coreset_count_part(const struct vt_coreset *s,
						 const struct vt_coreset_parts *p,
						 unsigned int first, unsigned int n)
{
	if (n == 4 && first % 4 == 0 && first < VT_SCHED_MAX_CORES)
		return p->four[first / 64] >> (first % 64) & 0xf;
	if (n == 8 && first % 8 == 0 && first < VT_SCHED_MAX_CORES)
		return p->eight[first / 64] >> (first % 64) & 0xff;
	return vt_coreset_count_range(s, first, n);
}

static inline bool vt_coreset_empty(const struct vt_coreset *s)
{
	return !(s->w[0] | s->w[1] | s->w[2] | s->w[3]);
}

static inline bool vt_coreset_meets(const struct vt_coreset *a, const struct vt_coreset *b)
{
	return (a->w[0] & b->w[0]) | (a->w[1] & b->w[1]) | (a->w[2] & b->w[2]) |
	       (a->w[3] & b->w[3]);
}

static inline bool vt_coreset_within(const struct vt_coreset *a, const struct vt_coreset *b)
{
	return !((a->w[0] & ~b->w[0]) | (a->w[1] & ~b->w[1]) | (a->w[2] & ~b->w[2]) |
		 (a->w[3] & ~b->w[3]));
}

static inline void vt_coreset_or(struct vt_coreset *a, const struct vt_coreset *b)
{
	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++)
		a->w[i] |= b->w[i];
}

static inline void vt_coreset_sub(struct vt_coreset *a, const struct vt_coreset *b)
{
	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++)
		a->w[i] &= ~b->w[i];
}

/** vt_coreset_range - the set {first, ..., first + n - 1} */
static inline struct vt_coreset vt_coreset_range(unsigned int first, unsigned int n)
{
	struct vt_coreset s = {{0}};

	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++) {
		unsigned int lo = i * 64, hi = lo + 64;
		unsigned int a = first > lo ? first : lo;
		unsigned int b = first + n < hi ? first + n : hi;

		if (a < b)
			s.w[i] = (b - a == 64 ? ~0ull : (1ull << (b - a)) - 1) << (a - lo);
	}
	return s;
}

/** vt_coreset_next - the first core >= @from, or -1 */
static inline int vt_coreset_next(const struct vt_coreset *s, unsigned int from)
{
	while (from < VT_SCHED_MAX_CORES) {
		uint64_t w = s->w[from / 64] >> (from % 64);

		if (w)
			return (int)(from + (unsigned int)__builtin_ctzll(w));
		from = (from / 64 + 1) * 64;
	}
	return -1;
}

#endif
