// SPDX-License-Identifier: Apache-2.0
/*
 * gemm_avx2.c - tiles of 12x32 in parts of up to 6x16: 12 accumulators, 2 weights and 1 broadcast of the 16 registers
 * that AVX2 has. Compiled with AVX2 and FMA; called only where the CPU has both.
 */
#define VT_TIER 3
#include "kernels/gemm.h"
#include "kernels/vec.h"

#define MR		6
#define ROWS		(2 * MR) /* of a tile, and of a part of 8 columns */
#define NR		16
#define PREFETCH_FLOATS 512 /* 32 k ahead: the first pass finds its weights in no cache */
/* A single row leaves no time for that: its weights come as fast as memory gives them, if asked for early. */
#define PREFETCH_FLOATS_ONE 1024
#define BRIEF		    64 /* products: nothing is worth being fetched meanwhile */
#define PREFETCH_C_K	    64 /* so many k before the end of a part; a shorter one is over too soon */

/* Rows of the left operand lie lda apart: three odd multiples reach six of them, see gemm_avx512.c. */
#define ROW(r)                                                                                     \
	((r) == 0 ? 0 : (r) == 1 ? l1 : (r) == 2 ? 2 * l1 : (r) == 3 ? l3 : (r) == 4 ? 4 * l1 : l5)

/** What the parts of a tile have in common. */
struct tile {
	size_t kc, lda, ldc; /* lda, ldc: bytes */
	const struct vt_gemm_out *o;
	bool first, last;
};

/** Where a part is. */
struct at {
	const float *a, *b, *bias;
	char *c;
	const char *residual; /* NULL: none, or not yet */
	const float *next;    /* what o->next says, or NULL */
	size_t cols;	      /* up to NR */
};

static inline __attribute__((always_inline)) __m256 load(const char *p, bool whole, __m256i mask)
{
	return whole ? _mm256_loadu_ps((const float *)p)
		     : _mm256_maskload_ps((const float *)p, mask);
}

static inline __attribute__((always_inline)) void store(char *p, __m256 v, bool whole, __m256i mask)
{
	if (whole)
		_mm256_storeu_ps((float *)p, v);
	else /* slow on some CPUs: only where columns end */
		_mm256_maskstore_ps((float *)p, mask, v);
}

/* From row to row; the empty asm keeps the compiler from computing all addresses beforehand, and spilling them. */
#define NEXT_ROW(p, step)                                                                          \
	do {                                                                                       \
		(p) += (step);                                                                     \
		__asm__("" : "+r"(p));                                                             \
	} while (0)

#define MIDDLE 2 /* of four products: the distances to the others' weights fit into a byte */

/* Where products are: rows of the left operand, from MR on at @second, and weights, MIDDLE products further on. */
struct walk {
	const float *a, *second, *b, *next;
	size_t l1, l3, l5, next_step;
};

/* x += a * b, in its place: left to itself the compiler puts sums off and moves them about, and runs out of registers. */
static inline __attribute__((always_inline)) void add_product(__m256 *x, __m256 a, __m256 b)
{
	__asm__("vfmadd231ps %2, %1, %0" : "+x"(*x) : "x"(a), "x"(b));
}

/*
 * @n (a constant) products more of each sum, at fixed distances from pointers: 20 instructions for 12 multiply-adds, as a core that
 * shares its front end with a sibling has none to spare. @fetch: bring in the weights that follow, and what @next says.
 */
static inline __attribute__((always_inline)) void
advance(size_t n, size_t mr, bool wide, bool fetch, struct walk *w, __m256 *x0, __m256 *x1)
{
	const size_t ahead = mr == 1 ? PREFETCH_FLOATS_ONE : PREFETCH_FLOATS;

#pragma GCC unroll 4
	for (size_t k = 0; k < n; k++) {
		const size_t l1 = w->l1, l3 = w->l3, l5 = w->l5;
		const float *b = w->b + ((ptrdiff_t)k - MIDDLE) * NR;
		const __m256 b0 = _mm256_load_ps(b), b1 = wide ? _mm256_load_ps(b + 8) : b0;

		if (fetch) {
			_mm_prefetch((const char *)(b + ahead), _MM_HINT_T0);
			_mm_prefetch((const char *)w->next, _MM_HINT_T1);
			w->next += w->next_step;
		}
#pragma GCC unroll 12
		for (size_t r = 0; r < mr; r++) {
			const float *row = (r < MR ? w->a : w->second) + k;
			const __m256 v = _mm256_broadcast_ss(
				(const float *)((const char *)row + ROW(r % MR)));

			add_product(&x0[r], v, b0);
			if (wide)
				add_product(&x1[r], v, b1);
		}
		/* Addresses stay what they are: the compiler would compute all of them beforehand, and spill them. */
		__asm__("" : "+r"(w->a), "+r"(w->b), "+r"(w->l1), "+r"(w->l3), "+r"(w->l5));
		if (mr > MR)
			__asm__("" : "+r"(w->second));
	}
	w->a += n;
	w->second += n;
	w->b += n * NR;
}

static inline __attribute__((always_inline)) void multiply(size_t mr, bool wide, bool fetch,
							   size_t n, size_t lda, const float *a,
							   const float *b, const float *next,
							   size_t next_step, __m256 *x0, __m256 *x1)
{
	struct walk w = {.a = a,
			 .second = mr > MR ? a + MR * lda / sizeof(*a) : a,
			 .b = b + MIDDLE * NR,
			 .next = next,
			 .l1 = lda,
			 .l3 = 3 * lda,
			 .l5 = 5 * lda,
			 .next_step = next_step};

	for (; n >= 4; n -= 4)
		advance(4, mr, wide, fetch, &w, x0, x1);
	for (; n; n--)
		advance(1, mr, wide, fetch, &w, x0, x1);
}

/* All products of the tile; with @fetch, meanwhile one line a product of what its caller wants next. */
static inline __attribute__((always_inline)) void products(size_t mr, bool wide, bool fetch,
							   const struct tile *t, const struct at *p,
							   __m256 *x0, __m256 *x1)
{
	const struct vt_gemm_out *o = t->o;
	const float *a = p->a, *b = p->b, *next = p->next ? p->next : b; /* b: costs nothing */
	const size_t step = p->next ? o->next_step : 0;
	size_t run = fetch && o->next_run ? o->next_run : SIZE_MAX;

	for (size_t left = t->kc, n; left; left -= n) {
		n = run < left ? run : left;
		if (left > PREFETCH_C_K && n > left - PREFETCH_C_K) {
			n = left - PREFETCH_C_K;
		} else if (left <= PREFETCH_C_K && t->kc >= PREFETCH_C_K) {
			const char *c = p->c;
#pragma GCC unroll 12
			for (size_t r = 0; r < mr; r++) {
				__builtin_prefetch(c, 1);
				NEXT_ROW(c, t->ldc);
			}
		}
		multiply(mr, wide, fetch, n, t->lda, a, b, next, step, x0, x1);
		a += n;
		b += n * NR;
		if (!fetch)
			continue;
		next += n * step;
		run -= n;
		if (!run) {
			next += o->next_jump;
			run = o->next_run;
		}
	}
}

/* Columns of a part; of 16 with what is fetched meanwhile, without, or for few products and all of them. */
enum how { UP_TO_7, JUST_8, UP_TO_15, FETCHING_16, WHOLE_16, BRIEF_16, HOWS };

/*
 * One part. @mr and @how are constants in every caller, so that the loops over rows unroll and the accumulators live in
 * registers. wide: two vectors; whole: the last of them is.
 */
static inline __attribute__((always_inline)) void part(size_t mr, enum how how,
						       const struct tile *t, const struct at *p)
{
	const bool wide = how >= UP_TO_15, whole = how != UP_TO_7 && how != UP_TO_15;
	const bool fetch = how <= FETCHING_16, brief = how == BRIEF_16;
	const __m256i mask = v_first(wide ? p->cols - 8 : p->cols); /* of the last vector */
	__m256 x0[ROWS], x1[MR];
	char *c = p->c;

	if (brief || t->first) {
		const __m256 i0 = _mm256_loadu_ps(p->bias), i1 = _mm256_loadu_ps(p->bias + 8);
#pragma GCC unroll 12
		for (size_t r = 0; r < mr; r++) {
			x0[r] = i0;
			if (wide)
				x1[r] = i1;
		}
	} else {
#pragma GCC unroll 12
		for (size_t r = 0; r < mr; r++) {
			x0[r] = load(c, wide || whole, mask);
			if (wide)
				x1[r] = load(c + 32, whole, mask);
			NEXT_ROW(c, t->ldc);
		}
	}
	if (brief)
		multiply(mr, wide, false, t->kc, t->lda, p->a, p->b, NULL, 0, x0, x1);
	else
		products(mr, wide, fetch, t, p, x0, x1);
	if (p->residual) {
		const char *res = p->residual;
#pragma GCC unroll 12
		for (size_t r = 0; r < mr; r++) {
			x0[r] = _mm256_add_ps(x0[r], load(res, wide || whole, mask));
			if (wide)
				x1[r] = _mm256_add_ps(x1[r], load(res + 32, whole, mask));
			NEXT_ROW(res, t->ldc);
		}
	}
	if ((brief || t->last) && t->o->clamp) {
		const __m256 lo = _mm256_set1_ps(t->o->lo), hi = _mm256_set1_ps(t->o->hi);
#pragma GCC unroll 12
		for (size_t r = 0; r < mr;
		     r++) { /* the bound first: a NaN passes as the second operand */
			x0[r] = _mm256_min_ps(hi, _mm256_max_ps(lo, x0[r]));
			if (wide)
				x1[r] = _mm256_min_ps(hi, _mm256_max_ps(lo, x1[r]));
		}
	}
	c = p->c;
#pragma GCC unroll 12
	for (size_t r = 0; r < mr; r++) {
		store(c, x0[r], wide || whole, mask);
		if (wide)
			store(c + 32, x1[r], whole, mask);
		NEXT_ROW(c, t->ldc);
	}
}

typedef void part_fn(const struct tile *t, const struct at *p);

#define PART(mr, how)                                                                              \
	static __attribute__((noinline)) void how##_##mr(const struct tile *t, const struct at *p) \
	{                                                                                          \
		part(mr, how, t, p);                                                               \
	}
#define SIX_PARTS(how) PART(1, how) PART(2, how) PART(3, how) PART(4, how) PART(5, how) PART(6, how)
#define SIX(how)       how##_1, how##_2, how##_3, how##_4, how##_5, how##_6

/* clang-format off */
SIX_PARTS(UP_TO_7)
SIX_PARTS(JUST_8) /* and, of 8 columns, all rows of a tile at once */
PART(7, JUST_8) PART(8, JUST_8) PART(9, JUST_8) PART(10, JUST_8) PART(11, JUST_8) PART(12, JUST_8)
SIX_PARTS(UP_TO_15)
SIX_PARTS(FETCHING_16)
SIX_PARTS(WHOLE_16)
SIX_PARTS(BRIEF_16)

static part_fn *const parts[HOWS][ROWS] = {
	[UP_TO_7] = {SIX(UP_TO_7)},
	[JUST_8] = {SIX(JUST_8), JUST_8_7, JUST_8_8, JUST_8_9, JUST_8_10, JUST_8_11, JUST_8_12},
	[UP_TO_15] = {SIX(UP_TO_15)},
	[FETCHING_16] = {SIX(FETCHING_16)},
	[WHOLE_16] = {SIX(WHOLE_16)},
	[BRIEF_16] = {SIX(BRIEF_16)},
};
/* clang-format on */

/* The first part of a tile fetches for all of them. */
static enum how how_of(size_t cols, bool begins, bool brief)
{
	if (cols == NR)
		return brief ? BRIEF_16 : begins ? FETCHING_16 : WHOLE_16;
	return cols < 8 ? UP_TO_7 : cols == 8 ? JUST_8 : UP_TO_15;
}

/* Rows in parts of about one size, for every half of the panel: its weights stay close meanwhile. */
static void tile(size_t rows, size_t cols, size_t kc, const float *a, size_t lda, const float *b,
		 const struct vt_gemm_out *o, bool first, bool last)
{
	const struct tile t = {kc, lda * sizeof(float), o->ldc * sizeof(float), o, first, last};
	const bool brief = kc <= BRIEF && first && last;

	for (size_t j = 0, n; j < cols; j += NR) {
		struct at p = {
			.a = a, .b = b + j * kc, .bias = o->bias + j, .c = (char *)(o->c + j)};

		p.residual = last && o->residual ? (const char *)(o->residual + j) : NULL;
		p.cols = cols - j < NR ? cols - j : NR;
		n = p.cols == 8 ? 1 : (rows + MR - 1) / MR;
		p.next = j ? NULL : o->next;
		for (size_t i = n, left = rows, mr; i; i--, left -= mr) {
			mr = (left + i - 1) / i;
			parts[how_of(p.cols, i == n, brief)][mr - 1](&t, &p);
			p.a += mr * lda;
			p.c += mr * t.ldc;
			if (p.residual)
				p.residual += mr * t.ldc;
		}
	}
}

const struct vt_gemm_isa vt_gemm_avx2 = {
	.name = "AVX2", .mr = ROWS, .nr = NR, .kc = 512, .tile = tile, .gather = vt_gemm_gather_v3};
