// SPDX-License-Identifier: Apache-2.0
#include "conformance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The defaults of onnx's own runner. Integers and booleans must be equal. */
#define RTOL 1e-3
#define ATOL 1e-7

static double half(uint16_t h)
{
	int exp = h >> 10 & 31, frac = h & 1023;
	double v = exp == 31 ? (frac ? NAN : INFINITY)
		   : exp     ? ldexp(1024 + frac, exp - 25)
			     : ldexp(frac, -24);

	return h >> 15 ? -v : v;
}

static double bfloat(uint16_t h)
{
	uint32_t bits = (uint32_t)h << 16;
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static bool is_float(enum vt_dtype t)
{
	return t == VT_F32 || t == VT_F64 || t == VT_F16 || t == VT_BF16;
}

static double element(enum vt_dtype t, const void *p, int64_t i)
{
	switch (t) {
	case VT_F32:
		return ((const float *)p)[i];
	case VT_F64:
		return ((const double *)p)[i];
	case VT_F16:
		return half(((const uint16_t *)p)[i]);
	default:
		return bfloat(((const uint16_t *)p)[i]);
	}
}

static bool close_to(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	if (isinf(a) || isinf(b))
		return a == b;
	return fabs(a - b) <= ATOL + RTOL * fabs(b);
}

bool compare(const struct vt_tensor *t, const void *got, const struct vt_value *want, char *why,
	     size_t len)
{
	int64_t n = vt_shape_elems(&want->shape);
	size_t each = vt_dtype_bytes(want->dtype);
	char a[160], b[160];

	if (t->dtype != want->dtype || !vt_shape_equal(&t->shape, &want->shape)) {
		snprintf(why, len, "%s is %s %s, not %s %s", t->name, vt_dtype_name(t->dtype),
			 vt_shape_text(&t->shape, a, sizeof(a)), vt_dtype_name(want->dtype),
			 vt_shape_text(&want->shape, b, sizeof(b)));
		return false;
	}
	for (int64_t i = 0; i < n; i++) {
		if (!is_float(t->dtype)) {
			if (!memcmp((const char *)got + i * (int64_t)each,
				    (const char *)want->data + i * (int64_t)each, each))
				continue;
			snprintf(why, len, "%s[%lld] differs", t->name, (long long)i);
			return false;
		}
		if (close_to(element(t->dtype, got, i), element(t->dtype, want->data, i)))
			continue;
		snprintf(why, len, "%s[%lld] is %.9g, not %.9g", t->name, (long long)i,
			 element(t->dtype, got, i), element(t->dtype, want->data, i));
		return false;
	}
	return true;
}
