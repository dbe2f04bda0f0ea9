/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.h - numbers as JSON writes them, to and from binary, fast and exact. Pure.
 *
 * Reading rounds as strtod() and strtof() do, in every case; the short way is taken only where it
 * provably gives the same. Writing a float gives the fewest digits, at most nine, that read back as
 * the same float.
 */
#ifndef VT_SERVER_NUMBER_H
#define VT_SERVER_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A JSON number, taken apart: (-1)^neg x mant x 10^exp10. */
struct vt_number {
	uint64_t mant; /* the first 19 significant digits */
	int exp10;
	bool neg;
	bool exact;	    /* mant holds every digit that is not zero */
	const char *at;	    /* the text, not NUL-terminated */
	unsigned int chars; /* its length */
};

#define VT_NUMBER_CHARS 512u /* longer texts of numbers are refused */

/**
 * vt_number_scan - read the number at @at by JSON's grammar; what follows it is not looked at
 * Returns where it ends; NULL if there is none, or it is longer than VT_NUMBER_CHARS.
 */
const char *vt_number_scan(const char *at, const char *end, struct vt_number *ret);

/* Conversions: false if the value does not fit the type (integers: or is not whole). */
bool vt_number_f32(const struct vt_number *n, float *ret);
bool vt_number_f64(const struct vt_number *n, double *ret);
bool vt_number_i64(const struct vt_number *n, int64_t *ret);
bool vt_number_u64(const struct vt_number *n, uint64_t *ret);

#define VT_NUMBER_F32_MAX 16u /* characters of a float at most: -1.17549435e-38 has 15 */
#define VT_NUMBER_F64_MAX 26u
#define VT_NUMBER_INT_MAX 21u

/* Writers return the characters written, no NUL. @v is finite; @buf has room for the most. */
size_t vt_number_put_f32(char *buf, float v);
size_t vt_number_put_f64(char *buf, double v);
size_t vt_number_put_i64(char *buf, int64_t v);
size_t vt_number_put_u64(char *buf, uint64_t v);

#endif
