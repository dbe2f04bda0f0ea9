// SPDX-License-Identifier: Apache-2.0
#include "server/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exact: every power of ten up to 22 is a double. */
static const double pow10_exact[23] = {1e0,  1e1,  1e2,	 1e3,  1e4,  1e5,  1e6,	 1e7,
				       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_digit(const char *at, const char *end)
{
	return at < end && (unsigned char)(*at - '0') < 10;
}

/* Digits from @at on into @n; those past the nineteenth count as places only. */
static const char *take_digits(const char *at, const char *end, struct vt_number *n,
			       unsigned int *digits, int places)
{
	for (; is_digit(at, end); at++) {
		unsigned int d = (unsigned int)(*at - '0');

		if (*digits < 19) {
			n->mant = n->mant * 10 + d;
			*digits += n->mant != 0; /* leading zeros are no digits */
			n->exp10 -= places;
		} else {
			n->exact &= d == 0;
			n->exp10 += 1 - places;
		}
	}
	return at;
}

static const char *take_exponent(const char *at, const char *end, struct vt_number *n)
{
	bool neg = false;
	int e = 0;

	at++;
	if (at < end && (*at == '+' || *at == '-'))
		neg = *at++ == '-';
	if (!is_digit(at, end))
		return NULL;
	for (; is_digit(at, end); at++)
		if (e < 100000) /* past any double; keeps the sum below an int */
			e = e * 10 + (*at - '0');
	n->exp10 += neg ? -e : e;
	return at;
}

const char *vt_number_scan(const char *at, const char *end, struct vt_number *ret)
{
	struct vt_number n = {.exact = true, .at = at};
	unsigned int digits = 0;

	if (end - at > (ptrdiff_t)VT_NUMBER_CHARS + 1)
		end = at + VT_NUMBER_CHARS + 1;
	if (at < end && *at == '-') {
		n.neg = true;
		at++;
	}
	if (!is_digit(at, end))
		return NULL;
	if (*at == '0' && is_digit(at + 1, end))
		return NULL; /* 01 is no JSON */
	at = take_digits(at, end, &n, &digits, 0);
	if (at < end && *at == '.') {
		if (!is_digit(at + 1, end))
			return NULL;
		at = take_digits(at + 1, end, &n, &digits, 1);
	}
	if (at < end && (*at == 'e' || *at == 'E')) {
		at = take_exponent(at, end, &n);
		if (!at)
			return NULL;
	}
	n.chars = (unsigned int)(at - n.at);
	if (n.chars > VT_NUMBER_CHARS)
		return NULL;
	*ret = n;
	return at;
}

/* The text, with a NUL, for the C library. */
static void copy_text(const struct vt_number *n, char *buf)
{
	memcpy(buf, n->at, n->chars);
	buf[n->chars] = '\0';
}

/*
 * mant and 10^exp10 each within half a unit of the last place of a double, so is their product or
 * quotient after one more rounding: within 2 units. False outside the table.
 */
static bool near_double(const struct vt_number *n, double *ret)
{
	double m = (double)n->mant;

	if (!n->exact || n->exp10 < -22 || n->exp10 > 22)
		return false;
	m = n->exp10 < 0 ? m / pow10_exact[-n->exp10] : m * pow10_exact[n->exp10];
	*ret = n->neg ? -m : m;
	return true;
}

/* Distance, in units of a double's last place, from the middle between two floats. */
static uint64_t from_tie(double d)
{
	uint64_t bits, low;

	memcpy(&bits, &d, sizeof(bits));
	low = bits & 0x1fffffffu;
	return low > 0x10000000u ? low - 0x10000000u : 0x10000000u - low;
}

bool vt_number_f32(const struct vt_number *n, float *ret)
{
	char text[VT_NUMBER_CHARS + 1];
	double d;
	float f;

	if (n->mant == 0) {
		*ret = n->neg ? -0.0f : 0.0f;
		return true;
	}
	/* Below the smallest normal float its last place lies elsewhere. */
	if (near_double(n, &d) && fabs(d) > 1.2e-38 && fabs(d) < 3.4e38 && from_tie(d) > 8) {
		*ret = (float)d;
		return true;
	}
	copy_text(n, text);
	f = strtof(text, NULL);
	if (!isfinite(f))
		return false;
	*ret = f;
	return true;
}

bool vt_number_f64(const struct vt_number *n, double *ret)
{
	char text[VT_NUMBER_CHARS + 1];
	double d;

	/* Both factors exact, one rounding: Clinger's fast case. */
	if (n->mant <= 1ull << 53 && near_double(n, &d)) {
		*ret = d;
		return true;
	}
	copy_text(n, text);
	d = strtod(text, NULL);
	if (!isfinite(d))
		return false;
	*ret = d;
	return true;
}

/* The magnitude, if it is whole and fits 64 bits. */
static bool whole(const struct vt_number *n, uint64_t *ret)
{
	uint64_t m = n->mant;
	int e = n->exp10;

	if (m == 0) {
		*ret = 0;
		return true;
	}
	if (!n->exact)
		return false;
	for (; e > 0; e--)
		if (__builtin_mul_overflow(m, 10ull, &m))
			return false;
	for (; e < 0; e++) {
		if (m % 10)
			return false;
		m /= 10;
	}
	*ret = m;
	return true;
}

/* Twenty digits have no room in mant: 18446744073709551615 is such. */
static bool whole_text(const struct vt_number *n, uint64_t *ret)
{
	uint64_t m = 0;

	for (unsigned int i = n->neg; i < n->chars; i++) {
		unsigned int d = (unsigned int)(n->at[i] - '0');

		if (d > 9 || __builtin_mul_overflow(m, 10ull, &m) ||
		    __builtin_add_overflow(m, (uint64_t)d, &m))
			return false;
	}
	*ret = m;
	return true;
}

bool vt_number_u64(const struct vt_number *n, uint64_t *ret)
{
	uint64_t m;

	if (!(n->exact ? whole(n, &m) : whole_text(n, &m)) || (n->neg && m))
		return false;
	*ret = m;
	return true;
}

bool vt_number_i64(const struct vt_number *n, int64_t *ret)
{
	uint64_t m;

	if (!(n->exact ? whole(n, &m) : whole_text(n, &m)) ||
	    m > (uint64_t)INT64_MAX + (n->neg ? 1 : 0))
		return false;
	*ret = (int64_t)(n->neg ? 0 - m : m);
	return true;
}

/* ---- writing ------------------------------------------------------------------------------ */

size_t vt_number_put_u64(char *buf, uint64_t v)
{
	char tmp[20];
	size_t n = 0;

	do
		tmp[n++] = (char)('0' + v % 10);
	while (v /= 10);
	for (size_t i = 0; i < n; i++)
		buf[i] = tmp[n - 1 - i];
	return n;
}

size_t vt_number_put_i64(char *buf, int64_t v)
{
	if (v >= 0)
		return vt_number_put_u64(buf, (uint64_t)v);
	buf[0] = '-';
	return 1 + vt_number_put_u64(buf + 1, 0 - (uint64_t)v);
}

/* 10^e for -64 <= e <= 64, within two units of the last place. */
static double pow10_near(int e)
{
	double p = 1;
	int k = e < 0 ? -e : e;

	for (; k > 22; k -= 22)
		p *= 1e22;
	p *= pow10_exact[k];
	return e < 0 ? 1 / p : p;
}

/* @digits is the number's digits, @point how many of them stand before the point. */
static size_t place_point(char *buf, uint64_t digits, int n, int point)
{
	char d[20];
	size_t at = 0;

	for (; n > 1 && digits % 10 == 0; n--)
		digits /= 10;
	vt_number_put_u64(d, digits);
	if (point > 9 || point < -3) { /* d.ddde-05 */
		buf[at++] = d[0];
		if (n > 1) {
			buf[at++] = '.';
			memcpy(buf + at, d + 1, (size_t)n - 1);
			at += (size_t)n - 1;
		}
		buf[at++] = 'e';
		return at + vt_number_put_i64(buf + at, point - 1);
	}
	if (point <= 0) {
		buf[at++] = '0';
		buf[at++] = '.';
		for (; point < 0; point++)
			buf[at++] = '0';
		memcpy(buf + at, d, (size_t)n);
		return at + (size_t)n;
	}
	for (int i = 0; i < n || i < point; i++) {
		if (i == point)
			buf[at++] = '.';
		buf[at++] = i < n ? d[i] : '0';
	}
	return at;
}

/*
 * Six to nine digits: the first that lie surely nearer to @v than to any other float. Nine always
 * do: their step is at most 1e-8 of @v, a float's at least 5.9e-8. Doubles are exact enough for
 * that by a factor of 10^5, and "surely" leaves out the last percent before the middle.
 */
size_t vt_number_put_f32(char *buf, float v)
{
	size_t at = 0;
	double a = fabs((double)v), gap, scale;
	int e, n;
	uint64_t m = 0;

	if (signbit(v))
		buf[at++] = '-';
	if (a == 0) {
		buf[at++] = '0';
		return at;
	}
	/* The distance down is the smaller one at a power of two. */
	gap = a - (double)nextafterf((float)a, 0.0f);
	e = (int)floor(log10(a)) + 1; /* digits before the point, or one off */
	for (n = 6; n <= 9; n++) {
		scale = pow10_near(n - e);
		m = (uint64_t)(a * scale + 0.5);
		if (fabs((double)m / scale - a) < 0.49 * gap)
			break;
	}
	if (n > 9)
		n = 9;
	at += place_point(buf + at, m, m >= (uint64_t)pow10_exact[n] ? n + 1 : n,
			  m >= (uint64_t)pow10_exact[n] ? e + 1 : e);
	return at;
}

size_t vt_number_put_f64(char *buf, double v)
{
	char tmp[40];
	int n;

	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(tmp, sizeof(tmp), "%.*g", digits, v);
		if (strtod(tmp, NULL) == v)
			break;
	}
	memcpy(buf, tmp, (size_t)n);
	return (size_t)n;
}
