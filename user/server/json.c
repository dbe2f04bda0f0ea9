// SPDX-License-Identifier: Apache-2.0
#include "server/json.h"

#include <stdio.h>
#include <string.h>

void vt_json_init(struct vt_json *j, const void *text, size_t len, struct vt_err *e)
{
	*j = (struct vt_json){.begin = text, .at = text, .end = (const char *)text + len, .e = e};
}

int vt_json_fail(struct vt_json *j, const char *what)
{
	if (!j->err)
		j->err = vt_fail(j->e, -EBADMSG, "JSON, byte %zu: %s", (size_t)(j->at - j->begin),
				 what);
	return j->err;
}

static void blanks(struct vt_json *j)
{
	while (j->at < j->end &&
	       (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
		j->at++;
}

char vt_json_peek(struct vt_json *j)
{
	blanks(j);
	if (j->err || j->at == j->end)
		return 0;
	if (*j->at == '-' || (unsigned char)(*j->at - '0') < 10)
		return '0';
	return *j->at;
}

static int open_with(struct vt_json *j, char c, const char *what)
{
	if (vt_json_peek(j) != c)
		return vt_json_fail(j, what);
	if (j->depth == VT_JSON_DEPTH)
		return vt_json_fail(j, "nested too deeply");
	j->depth++;
	j->at++;
	j->first = true;
	return 0;
}

int vt_json_object(struct vt_json *j)
{
	return open_with(j, '{', "an object, {...}, was expected");
}

int vt_json_array(struct vt_json *j)
{
	return open_with(j, '[', "an array, [...], was expected");
}

/* Comma or end. 1: an item follows. */
static int next_in(struct vt_json *j, char close, const char *what)
{
	bool first = j->first;
	char c = vt_json_peek(j);

	if (j->err)
		return j->err;
	j->first = false;
	if (c == close) {
		j->at++;
		j->depth--;
		return 0;
	}
	if (first)
		return c ? 1 : vt_json_fail(j, "the text ends too early");
	if (c != ',')
		return vt_json_fail(j, c ? what : "the text ends too early");
	j->at++;
	c = vt_json_peek(j);
	if (c == close || !c)
		return vt_json_fail(j, "a value was expected after ','");
	return 1;
}

int vt_json_key(struct vt_json *j, struct vt_json_str *ret)
{
	int more = next_in(j, '}', "',' or '}' was expected");

	if (more <= 0)
		return more;
	if (vt_json_string(j, ret))
		return j->err;
	if (vt_json_peek(j) != ':')
		return vt_json_fail(j, "':' was expected");
	j->at++;
	return 1;
}

int vt_json_item(struct vt_json *j)
{
	return next_in(j, ']', "',' or ']' was expected");
}

int vt_json_end(struct vt_json *j)
{
	if (j->err)
		return j->err;
	blanks(j);
	return j->at == j->end ? 0 : vt_json_fail(j, "the value is over, but text follows");
}

/* Bytes of the UTF-8 sequence at @s, 0 if it is none. Overlong forms and surrogates are none. */
static size_t utf8_len(const unsigned char *s, const unsigned char *end)
{
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (s[0] < 0xc2 || s[0] > 0xf4 || (size_t)(end - s) < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static int hex4(const char *s, const char *end)
{
	int v = 0;

	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = s[i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

/* The escape at @s, which points behind the backslash: its length, 0 if it is none. */
static size_t escape_len(const char *s, const char *end)
{
	if (s == end)
		return 0;
	if (*s == 'u')
		return hex4(s + 1, end) < 0 ? 0 : 5;
	return memchr("\"\\/bfnrt", *s, 8) ? 1 : 0;
}

int vt_json_string(struct vt_json *j, struct vt_json_str *ret)
{
	const char *s;
	bool escaped = false;

	if (vt_json_peek(j) != '"')
		return vt_json_fail(j, "a string was expected");
	s = ++j->at;
	while (j->at < j->end && *j->at != '"') {
		unsigned char c = (unsigned char)*j->at;
		size_t n = 1;

		if (c == '\\') {
			escaped = true;
			n = escape_len(j->at + 1, j->end);
			if (!n)
				return vt_json_fail(j, "an escape that does not exist");
			n++;
		} else if (c < 0x20) {
			return vt_json_fail(j, "a control character in a string");
		} else if (c >= 0x80) {
			n = utf8_len((const unsigned char *)j->at, (const unsigned char *)j->end);
			if (!n)
				return vt_json_fail(j, "a string that is not UTF-8");
		}
		j->at += n;
	}
	if (j->at == j->end)
		return vt_json_fail(j, "a string without its end");
	*ret = (struct vt_json_str){s, (size_t)(j->at - s), escaped};
	j->at++;
	return 0;
}

int vt_json_number(struct vt_json *j, struct vt_number *ret)
{
	const char *next;

	if (vt_json_peek(j) != '0')
		return vt_json_fail(j, "a number was expected");
	next = vt_number_scan(j->at, j->end, ret);
	if (!next)
		return vt_json_fail(j, "not a number as JSON writes them");
	j->at = next;
	return 0;
}

static bool word(struct vt_json *j, const char *w)
{
	size_t n = strlen(w);

	if ((size_t)(j->end - j->at) < n || memcmp(j->at, w, n) != 0)
		return false;
	j->at += n;
	return true;
}

int vt_json_bool(struct vt_json *j, bool *ret)
{
	blanks(j);
	if (j->err)
		return j->err;
	if (word(j, "true"))
		*ret = true;
	else if (word(j, "false"))
		*ret = false;
	else
		return vt_json_fail(j, "true or false was expected");
	return 0;
}

static int skip_scalar(struct vt_json *j, char c)
{
	struct vt_json_str s;
	struct vt_number n;
	bool b;

	switch (c) {
	case '"':
		return vt_json_string(j, &s);
	case '0':
		return vt_json_number(j, &n);
	case 't':
	case 'f':
		return vt_json_bool(j, &b);
	case 'n':
		if (word(j, "null"))
			return 0;
		/* fallthrough */
	default:
		return vt_json_fail(j, c ? "a value was expected" : "the text ends too early");
	}
}

/* Not recursive: a bit for each open container says whether it is an object. */
int vt_json_skip(struct vt_json *j)
{
	unsigned int base = j->depth;
	uint64_t object = 0;
	struct vt_json_str key;

	_Static_assert(VT_JSON_DEPTH < 64, "a bit for each level");
	for (;;) {
		char c = vt_json_peek(j);
		int more = 1;

		if (c == '{' || c == '[') {
			if (c == '{' ? vt_json_object(j) : vt_json_array(j))
				return j->err;
			object =
				c == '{' ? object | 1ull << j->depth : object & ~(1ull << j->depth);
		} else if (skip_scalar(j, c)) {
			return j->err;
		}
		for (; j->depth > base;) {
			more = object >> j->depth & 1 ? vt_json_key(j, &key) : vt_json_item(j);
			if (more)
				break;
		}
		if (more < 0)
			return more;
		if (j->depth == base)
			return 0;
	}
}

/* ---- strings ------------------------------------------------------------------------------ */

static size_t put_utf8(uint32_t c, char *ret)
{
	if (c < 0x80) {
		ret[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		ret[0] = (char)(0xc0 | c >> 6);
		ret[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		ret[0] = (char)(0xe0 | c >> 12);
		ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
		ret[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	ret[0] = (char)(0xf0 | c >> 18);
	ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
	ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
	ret[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* One character of a checked string: its UTF-8 in @ret, *@s moved on. A lone surrogate is '?'. */
static size_t one_char(const char **s, const char *end, char *ret)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *p = *s, *hit;
	int hi, lo;

	if (*p != '\\') {
		ret[0] = *p;
		*s = p + 1;
		return 1;
	}
	if (p[1] != 'u') {
		hit = strchr(from, p[1]);
		ret[0] = hit ? to[hit - from] : p[1];
		*s = p + 2;
		return 1;
	}
	hi = hex4(p + 2, end);
	*s = p + 6;
	if (hi < 0xd800 || hi > 0xdfff)
		return put_utf8((uint32_t)hi, ret);
	if (hi < 0xdc00 && end - *s >= 6 && (*s)[0] == '\\' && (*s)[1] == 'u') {
		lo = hex4(*s + 2, end);
		if (lo >= 0xdc00 && lo <= 0xdfff) {
			*s += 6;
			return put_utf8(0x10000u + ((uint32_t)(hi - 0xd800) << 10) +
						(uint32_t)(lo - 0xdc00),
					ret);
		}
	}
	ret[0] = '?';
	return 1;
}

bool vt_json_is(const struct vt_json_str *s, const char *text)
{
	size_t want = strlen(text);
	const char *at = s->at, *end = s->at + s->len;
	char c[4];

	if (!s->escaped)
		return s->len == want && !memcmp(s->at, text, want);
	while (at < end) {
		size_t n = one_char(&at, end, c);

		if (n > want || memcmp(c, text, n) != 0)
			return false;
		text += n;
		want -= n;
	}
	return want == 0;
}

const char *vt_json_text(const struct vt_json_str *s, char *buf, size_t len)
{
	const char *at = s->at, *end = s->at + s->len;
	size_t used = 0;
	char c[4];

	while (at < end) {
		size_t n = one_char(&at, end, c);

		if (used + n >= len)
			break;
		memcpy(buf + used, c, n);
		used += n;
	}
	buf[used] = '\0';
	return buf;
}

size_t vt_json_escape(const char *text, char *buf, size_t len)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + strlen(text);
	size_t used = 0;

	while (s < end) {
		char piece[8];
		size_t n = 1, take = 1;

		piece[0] = (char)*s;
		if (*s == '"' || *s == '\\') {
			piece[0] = '\\';
			piece[1] = (char)*s;
			n = 2;
		} else if (*s < 0x20) {
			n = (size_t)snprintf(piece, sizeof(piece), "\\u%04x", *s);
		} else if (*s >= 0x80) {
			take = n = utf8_len(s, end);
			if (n)
				memcpy(piece, s, n);
			else
				piece[0] = '?', take = n = 1;
		}
		if (used + n < len)
			memcpy(buf + used, piece, n);
		else if (used < len)
			buf[used] = '\0', len = used; /* never half a character */
		used += n;
		s += take;
	}
	if (used < len)
		buf[used] = '\0';
	return used;
}
