// SPDX-License-Identifier: Apache-2.0
/* Numbers and JSON of the server: as exact as the C library, within the text, within bounds. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "server/json.h"
#include "server/number.h"

static void test_grammar(void **state)
{
	static const struct {
		const char *text;
		int taken; /* characters; -1: no number */
	} t[] = {
		{"0", 1},     {"-0", 2},   {"12,", 2},	 {"1.5e+3]", 6}, {"1E-2", 4},
		{"", -1},     {"-", -1},   {"01", -1},	 {"1.", -1},	 {".5", -1},
		{"1e", -1},   {"1e+", -1}, {"+1", -1},	 {"abc", -1},	 {"0x10", 1},
		{"1.0.0", 3}, {"-01", -1}, {"0.0e0", 5}, {"NaN", -1},	 {"1e99999999999", 13},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_number n;
		size_t len = strlen(t[i].text);
		char *copy = malloc(len ? len : 1); /* so that a sanitizer sees a read past it */
		const char *end;

		memcpy(copy, t[i].text, len);
		end = vt_number_scan(copy, copy + len, &n);
		assert_int_equal(end ? end - copy : -1, t[i].taken);
		free(copy);
	}
}

static void both_ways(const char *text)
{
	struct vt_number n;
	float f = 0, want = strtof(text, NULL);
	double d = 0, want_d = strtod(text, NULL);

	assert_non_null(vt_number_scan(text, text + strlen(text), &n));
	assert_int_equal(vt_number_f32(&n, &f), isfinite(want) != 0);
	if (isfinite(want))
		assert_memory_equal(&f, &want, sizeof(f));
	assert_int_equal(vt_number_f64(&n, &d), isfinite(want_d) != 0);
	if (isfinite(want_d))
		assert_memory_equal(&d, &want_d, sizeof(d));
}

static void test_reads_as_the_c_library_does(void **state)
{
	static const char *const hard[] = {
		"0.1",
		"-0.0",
		"1e-45",
		"7e-46",
		"7.006492321624086e-46",
		"1.17549435e-38",
		"1.1754942e-38",
		"3.4028234663852886e38",
		"3.4028235677973366e38",
		"3.5e38",
		"1e39",
		/* the middle between two floats, a hair above, a hair below */
		"1.00000005960464477539062500",
		"1.00000005960464477539062501",
		"1.00000005960464477539062499",
		"16777217",
		"16777217.0000000001",
		"0.50000002980232238769531250",
		"9007199254740993",
		"9007199254740992.5",
		"123456789012345678901234567890",
		"0.000000000000000000000000000000000000000000001",
		"1e308",
		"1.8e308",
		"5e-324",
		"2e-324",
		"179769313486231570000000000000000000e273",
	};
	struct vt_rng r = {7};
	char text[64];

	for (size_t i = 0; i < VT_COUNT(hard); i++)
		both_ways(hard[i]);
	for (int i = 0; i < 200000; i++) {
		uint64_t bits = vt_rng_u64(&r);
		float f;
		double d;

		memcpy(&f, &bits, sizeof(f));
		memcpy(&d, &bits, sizeof(d));
		if (!isfinite(f) || !isfinite(d))
			continue;
		snprintf(text, sizeof(text), "%.*g", 1 + (int)(bits >> 60), f);
		both_ways(text);
		snprintf(text, sizeof(text), "%.17g", (double)f); /* as Python and JavaScript do */
		both_ways(text);
		snprintf(text, sizeof(text), "%.17g", d);
		both_ways(text);
		/* near the middle: half a unit above a float, cut to as many digits */
		snprintf(text, sizeof(text), "%.*g", 8 + (int)(bits >> 60),
			 ((double)f + (double)nextafterf(f, INFINITY)) / 2);
		both_ways(text);
	}
}

static void test_integers(void **state)
{
	static const struct {
		const char *text;
		bool is_i, is_u;
		int64_t i;
		uint64_t u;
	} t[] = {
		{"0", true, true, 0, 0},
		{"-0", true, true, 0, 0},
		{"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
		{"9223372036854775808", false, true, 0, 9223372036854775808ull},
		{"-9223372036854775808", true, false, INT64_MIN, 0},
		{"-9223372036854775809", false, false, 0, 0},
		{"18446744073709551615", false, true, 0, UINT64_MAX},
		{"18446744073709551616", false, false, 0, 0},
		{"1e3", true, true, 1000, 1000},
		{"1.5e1", true, true, 15, 15},
		{"2.0", true, true, 2, 2},
		{"1.5", false, false, 0, 0},
		{"1e-1", false, false, 0, 0},
		{"1e400", false, false, 0, 0},
		{"-1", true, false, -1, 0},
		{"0e9999", true, true, 0, 0},
	};

	for (size_t k = 0; k < VT_COUNT(t); k++) {
		struct vt_number n;
		int64_t i = 0;
		uint64_t u = 0;

		assert_non_null(vt_number_scan(t[k].text, t[k].text + strlen(t[k].text), &n));
		assert_int_equal(vt_number_i64(&n, &i), t[k].is_i);
		assert_int_equal(vt_number_u64(&n, &u), t[k].is_u);
		assert_true(i == t[k].i && u == t[k].u);
	}
}

/* Written, then read: the same float; never longer than nine digits need. */
static void round_trip(float f)
{
	char text[VT_NUMBER_F32_MAX + 1];
	size_t n = vt_number_put_f32(text, f);
	struct vt_number num;
	float back;

	assert_true(n <= VT_NUMBER_F32_MAX);
	text[n] = '\0';
	back = strtof(text, NULL);
	assert_memory_equal(&back, &f, sizeof(f));
	assert_ptr_equal(vt_number_scan(text, text + n, &num), text + n); /* it is JSON */
}

static void test_floats_survive(void **state)
{
	static const struct {
		float f;
		const char *text;
	} t[] = {
		{0, "0"},	 {-0.0f, "-0"},		 {1, "1"},
		{0.1f, "0.1"},	 {-2.5f, "-2.5"},	 {1e-3f, "0.001"},
		{1e-5f, "1e-5"}, {100000, "100000"},	 {1e9f, "1e9"},
		{1e10f, "1e10"}, {16777216, "16777216"}, {0.3333333433f, "0.33333334"},
	};
	struct vt_rng r = {11};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		char text[VT_NUMBER_F32_MAX + 1];

		text[vt_number_put_f32(text, t[i].f)] = '\0';
		assert_string_equal(text, t[i].text);
	}
	round_trip(FLT_MAX);
	round_trip(-FLT_MAX);
	round_trip(FLT_MIN);
	round_trip(FLT_TRUE_MIN);
	for (int i = 0; i < 1000000; i++) {
		uint32_t bits = (uint32_t)vt_rng_u64(&r);
		float f;

		memcpy(&f, &bits, sizeof(f));
		if (isfinite(f))
			round_trip(f);
	}
	for (int e = -149; e < 128; e++) { /* the gap below a power of two is the narrow one */
		round_trip(ldexpf(1, e));
		round_trip(nextafterf(ldexpf(1, e), 0));
		round_trip(nextafterf(ldexpf(1, e), INFINITY));
	}
}

static void test_doubles_and_integers_survive(void **state)
{
	static const double d[] = {0.1, 1e300, 5e-324, DBL_MAX, 1.0 / 3, -123456.789};
	char text[64];

	for (size_t i = 0; i < VT_COUNT(d); i++) {
		size_t n = vt_number_put_f64(text, d[i]);

		assert_true(n <= VT_NUMBER_F64_MAX);
		text[n] = '\0';
		assert_true(strtod(text, NULL) == d[i]);
	}
	text[vt_number_put_i64(text, INT64_MIN)] = '\0';
	assert_string_equal(text, "-9223372036854775808");
	text[vt_number_put_u64(text, UINT64_MAX)] = '\0';
	assert_string_equal(text, "18446744073709551615");
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static void test_accepts_json_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} t[] = {
		{"{}", true},
		{" [ ] ", true},
		{"[1,2,[3,{\"a\":[]}],\"x\",true,false,null]", true},
		{"{\"a\":1,\"b\":{\"c\":[{}]}}", true},
		{"\"\\u00e9\\n\\\"\"", true},
		{"\"\xc3\xa9\"", true},
		{"\"\xf0\x9f\x98\x80\"", true},
		{"", false},
		{"{", false},
		{"[1", false},
		{"[1,]", false},
		{"[,1]", false},
		{"{\"a\":1,}", false},
		{"{\"a\"}", false},
		{"{\"a\":}", false},
		{"{a:1}", false},
		{"[1 2]", false},
		{"[1]]", false},
		{"[1}", false},
		{"{\"a\":1]", false},
		{"tru", false},
		{"nul", false},
		{"\"abc", false},
		{"\"\\x\"", false},
		{"\"\\u12g4\"", false},
		{"\"\x01\"", false},
		{"\"\xff\"", false},
		{"\"\xc0\xaf\"", false},     /* overlong */
		{"\"\xed\xa0\x80\"", false}, /* a surrogate */
		{"\"\xc3", false},
		{"1 1", false},
		{"[1]x", false},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		size_t len = strlen(t[i].text);
		char *copy = malloc(len ? len : 1);
		struct vt_err e = {0};
		struct vt_json j;
		int err;

		memcpy(copy, t[i].text, len);
		vt_json_init(&j, copy, len, &e);
		err = vt_json_skip(&j);
		if (!err)
			err = vt_json_end(&j);
		if ((err == 0) != t[i].ok)
			fail_msg("%s: %d %s", t[i].text, err, e.msg);
		assert_int_equal(e.code, err);
		free(copy);
	}
}

static void test_depth_is_bounded(void **state)
{
	for (unsigned int depth = VT_JSON_DEPTH - 1; depth <= VT_JSON_DEPTH + 1; depth++) {
		char text[2 * (VT_JSON_DEPTH + 1)];
		struct vt_err e = {0};
		struct vt_json j;

		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		vt_json_init(&j, text, 2 * (size_t)depth, &e);
		assert_int_equal(vt_json_skip(&j), depth <= VT_JSON_DEPTH ? 0 : -EBADMSG);
	}
}

static void test_strings(void **state)
{
	static const struct {
		const char *json, *text, *again;
	} t[] = {
		{"\"a\"", "a", "a"},
		{"\"\\u00e9\\t\\/\"", "\xc3\xa9\t/", "\xc3\xa9\\u0009/"},
		{"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\"\\ud83dx\"", "?x", "?x"},
		{"\"\\\"\\\\\"", "\"\\", "\\\"\\\\"},
	};
	char buf[64];

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_json_str s;
		struct vt_json j;

		vt_json_init(&j, t[i].json, strlen(t[i].json), NULL);
		assert_int_equal(vt_json_string(&j, &s), 0);
		assert_string_equal(vt_json_text(&s, buf, sizeof(buf)), t[i].text);
		assert_true(vt_json_is(&s, t[i].text));
		assert_false(vt_json_is(&s, "a\xc3"));
		assert_int_equal(vt_json_escape(t[i].text, buf, sizeof(buf)), strlen(t[i].again));
		assert_string_equal(buf, t[i].again);
	}
	assert_int_equal(vt_json_escape("ab\xff\"", buf, 4), 5);
	assert_string_equal(buf, "ab?");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_reads_as_the_c_library_does),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_floats_survive),
		cmocka_unit_test(test_doubles_and_integers_survive),
		cmocka_unit_test(test_accepts_json_and_nothing_else),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
