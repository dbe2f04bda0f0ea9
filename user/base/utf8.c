// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Lead bytes, and the code points that so many bytes may hold. */
static const struct {
	unsigned char from, to, bits;
	uint32_t least, most;
} forms[] = {
	{0x00, 0x7f, 0x7f, 0, 0x7f},
	{0xc2, 0xdf, 0x1f, 0x80, 0x7ff},
	{0xe0, 0xef, 0x0f, 0x800, 0xffff},
	{0xf0, 0xf4, 0x07, 0x10000, 0x10ffff},
};

size_t vt_utf8_len(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t n = 0; n < 4; n++) {
		uint32_t c = s[0] & forms[n].bits;

		if (s[0] < forms[n].from || s[0] > forms[n].to)
			continue;
		for (size_t i = 1; i <= n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		if (c < forms[n].least || c > forms[n].most || (c >= 0xd800 && c < 0xe000))
			return 0;
		return n + 1;
	}
	return 0;
}

static bool steers(const char *s)
{
	const unsigned char *c = (const unsigned char *)s;

	return c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0);
}

size_t vt_utf8_put(char *to, size_t len, const char *from)
{
	size_t n = 0;

	while (*from) {
		size_t one = vt_utf8_len(from);
		bool keep = one && !steers(from);
		size_t put = keep ? one : 1;

		if (n + put >= len)
			break;
		memmove(to + n, keep ? from : "?", put);
		n += put;
		from += one ? one : 1;
	}
	to[n] = '\0';
	return n;
}
