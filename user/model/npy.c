// SPDX-License-Identifier: Apache-2.0
#include "model/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define MAGIC	    "\x93NUMPY"
#define MAGIC_BYTES 6
#define HEADER_MAX  65536 /* of a plain array some hundred; records are not read anyway */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "descr below says '<'");

static const struct {
	enum vt_dtype dtype;
	char kind;
	unsigned int size;
} descrs[] = {
	{VT_F16, 'f', 2}, {VT_F32, 'f', 4}, {VT_F64, 'f', 8}, {VT_I8, 'i', 1},
	{VT_I16, 'i', 2}, {VT_I32, 'i', 4}, {VT_I64, 'i', 8}, {VT_U8, 'u', 1},
	{VT_U16, 'u', 2}, {VT_U32, 'u', 4}, {VT_U64, 'u', 8}, {VT_BOOL, 'b', 1},
};

struct header {
	enum vt_dtype dtype;
	bool big_endian, fortran;
	struct vt_shape shape;
};

/* ---- the header: a Python dict of three known keys ------------------------------------------- */

struct cursor {
	const char *p, *end;
};

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

/* Consume @ch if it comes next. */
static bool take(struct cursor *c, char ch)
{
	skip_space(c);
	if (c->p == c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static bool take_word(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	skip_space(c);
	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return false;
	c->p += n;
	return true;
}

/* A quoted string without escapes, as NumPy writes them. */
static bool take_string(struct cursor *c, char *ret, size_t size)
{
	size_t n = 0;
	char quote;

	skip_space(c);
	if (c->p == c->end || (*c->p != '\'' && *c->p != '"'))
		return false;
	for (quote = *c->p++; c->p < c->end && *c->p != quote; c->p++) {
		if (*c->p == '\\' || n + 1 >= size)
			return false;
		ret[n++] = *c->p;
	}
	if (c->p == c->end)
		return false;
	c->p++;
	ret[n] = '\0';
	return true;
}

static bool take_number(struct cursor *c, int64_t *ret)
{
	int64_t v = 0;

	skip_space(c);
	if (c->p == c->end || *c->p < '0' || *c->p > '9')
		return false;
	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->p - '0', &v))
			return false;
	if (c->p < c->end && *c->p == 'L') /* Python 2 wrote its long integers so */
		c->p++;
	*ret = v;
	return true;
}

static int read_descr(struct cursor *c, struct header *h, struct vt_err *e)
{
	char s[32] = "", *digits = s + 2;

	skip_space(c);
	if (c->p < c->end && *c->p == '[')
		return vt_fail(e, -EINVAL, "holds records, a plain array is needed");
	if (!take_string(c, s, sizeof(s)) || !s[0] || !strchr("<>|=", s[0]) || !s[1])
		return vt_fail(e, -EBADMSG, "not a sound .npy: bad 'descr'");
	h->big_endian = s[0] == '>';
	for (size_t i = 0; i < sizeof(descrs) / sizeof(descrs[0]); i++) {
		char want[4];

		snprintf(want, sizeof(want), "%u", descrs[i].size);
		if (s[1] == descrs[i].kind && !strcmp(digits, want)) {
			h->dtype = descrs[i].dtype;
			return 0;
		}
	}
	return vt_fail(e, -EINVAL, "holds elements of type '%s', which is not supported", s);
}

static int read_order(struct cursor *c, struct header *h, struct vt_err *e)
{
	h->fortran = take_word(c, "True");
	if (!h->fortran && !take_word(c, "False"))
		return vt_fail(e, -EBADMSG, "not a sound .npy: bad 'fortran_order'");
	return 0;
}

static int read_shape(struct cursor *c, struct header *h, struct vt_err *e)
{
	struct vt_shape s = {0};

	if (!take(c, '('))
		goto bad;
	while (!take(c, ')')) {
		if (s.rank == VT_MAX_RANK)
			return vt_fail(e, -EINVAL, "has more than %d dimensions", VT_MAX_RANK);
		if (!take_number(c, &s.dim[s.rank]))
			goto bad;
		s.rank++;
		if (take(c, ','))
			continue;
		if (s.rank == 1 || !take(c, ')')) /* (3) is a number, (3,) a tuple */
			goto bad;
		break;
	}
	h->shape = s;
	return 0;
bad:
	return vt_fail(e, -EBADMSG, "not a sound .npy: bad 'shape'");
}

static int read_dict(struct cursor *c, struct header *h, struct vt_err *e)
{
	static const struct {
		const char *key;
		int (*read)(struct cursor *c, struct header *h, struct vt_err *e);
	} keys[] = {{"descr", read_descr}, {"fortran_order", read_order}, {"shape", read_shape}};
	unsigned int seen = 0;
	char key[32];

	if (!take(c, '{'))
		goto bad;
	while (!take(c, '}')) {
		size_t i = 0;
		int err;

		if (!take_string(c, key, sizeof(key)) || !take(c, ':'))
			goto bad;
		while (i < 3 && strcmp(key, keys[i].key) != 0)
			i++;
		if (i == 3 || seen >> i & 1)
			goto bad;
		seen |= 1u << i;
		err = keys[i].read(c, h, e);
		if (err)
			return err;
		if (take(c, ','))
			continue;
		if (!take(c, '}'))
			goto bad;
		break;
	}
	skip_space(c);
	if (seen == 7 && c->p == c->end)
		return 0;
bad:
	return vt_fail(e, -EBADMSG, "not a sound .npy: bad header");
}

/* Returns the offset of the data, or -errno. */
static int64_t parse_header(const unsigned char *buf, size_t len, struct header *h,
			    struct vt_err *e)
{
	size_t start, n;
	struct cursor c;
	int err;

	if (len < MAGIC_BYTES + 4 || memcmp(buf, MAGIC, MAGIC_BYTES) != 0)
		return vt_fail(e, -EBADMSG, "not a .npy file");
	if (buf[6] < 1 || buf[6] > 3)
		return vt_fail(e, -EBADMSG, "is .npy version %u, 1 to 3 are known", buf[6]);
	start = buf[6] == 1 ? 10 : 12;
	if (len < start)
		return vt_fail(e, -EBADMSG, "ends inside its header");
	n = buf[8] | (size_t)buf[9] << 8;
	if (start == 12)
		n |= (size_t)buf[10] << 16 | (size_t)buf[11] << 24;
	if (n > HEADER_MAX)
		return vt_fail(e, -EBADMSG, "not a sound .npy: a header of %zu bytes", n);
	if (n > len - start)
		return vt_fail(e, -EBADMSG, "ends inside its header");
	c = (struct cursor){(const char *)buf + start, (const char *)buf + start + n};
	err = read_dict(&c, h, e);
	return err ? err : (int64_t)(start + n);
}

/* ---- the data -------------------------------------------------------------------------------- */

static void free_data(void *data, size_t bytes)
{
	free(data);
}

static void swap_bytes(unsigned char *p, size_t n, size_t size)
{
	for (size_t i = 0; i < n; i++, p += size)
		for (size_t k = 0; k < size / 2; k++) {
			unsigned char t = p[k];

			p[k] = p[size - 1 - k];
			p[size - 1 - k] = t;
		}
}

/* Fortran order to C order: walk the destination, keep the source's place along. */
static void copy_fortran(unsigned char *dst, const unsigned char *src, const struct vt_shape *s,
			 size_t n, size_t size)
{
	size_t stride[VT_MAX_RANK], at[VT_MAX_RANK] = {0}, from = 0, step = 1;

	for (int d = 0; d < s->rank; d++) {
		stride[d] = step;
		step *= (size_t)s->dim[d];
	}
	for (size_t i = 0; i < n; i++) {
		memcpy(dst + i * size, src + from * size, size);
		for (int d = s->rank - 1; d >= 0; d--) {
			from += stride[d];
			if (++at[d] < (size_t)s->dim[d])
				break;
			from -= stride[d] * at[d];
			at[d] = 0;
		}
	}
}

static void copy_data(unsigned char *dst, const unsigned char *src, const struct header *h,
		      size_t n, size_t size)
{
	if (h->fortran && h->shape.rank > 1)
		copy_fortran(dst, src, &h->shape, n, size);
	else if (n)
		memcpy(dst, src, n * size);
	if (h->big_endian && size > 1)
		swap_bytes(dst, n, size);
	vt_bools_normalise(h->dtype, dst, n);
}

int vt_npy_parse(const void *buf, size_t len, struct vt_value *ret, struct vt_err *e)
{
	struct header h = {0};
	int64_t start = parse_header(buf, len, &h, e), elems;
	size_t size, have;
	void *data;

	if (start < 0)
		return (int)start;
	size = vt_dtype_bytes(h.dtype);
	elems = vt_shape_elems(&h.shape);
	if (elems < 0)
		return vt_fail(e, -EOVERFLOW, "has a shape whose product overflows");
	have = len - (size_t)start;
	if ((uint64_t)elems > have / size || (size_t)elems * size != have)
		return vt_fail(e, -EBADMSG, "has %zu bytes of data, its header says %llu x %zu",
			       have, (unsigned long long)elems, size);
	data = malloc(have + 1);
	if (!data)
		return vt_fail(e, -ENOMEM, "no memory for %zu bytes", have);
	copy_data(data, (const unsigned char *)buf + start, &h, (size_t)elems, size);
	*ret = (struct vt_value){.dtype = h.dtype,
				 .shape = h.shape,
				 .data = data,
				 .bytes = have,
				 .release = free_data};
	return 0;
}

int vt_npy_read(const char *path, struct vt_value *ret, struct vt_err *e)
{
	void *buf;
	size_t len;
	int err = vt_file_read(path, INT64_MAX / 16, &buf, &len, e);

	if (err)
		return err;
	err = vt_npy_parse(buf, len, ret, e);
	free(buf);
	return err ? vt_fail_at(e, "%s", path) : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Magic, version, length and dict, padded so that the data starts at a multiple of 64. */
static size_t format_header(const struct vt_value *v, size_t descr, char *ret, size_t size)
{
	const char *order = descrs[descr].size == 1 ? "|" : "<";
	char shape[VT_MAX_RANK * 24 + 4] = "";
	size_t n = 0, end;

	for (int i = 0; i < v->shape.rank; i++)
		n += (size_t)snprintf(shape + n, sizeof(shape) - n, "%s%lld%s", i ? " " : "",
				      (long long)v->shape.dim[i],
				      i + 1 < v->shape.rank || !i ? "," : "");
	n = 10 + (size_t)snprintf(ret + 10, size - 10,
				  "{'descr': '%s%c%u', 'fortran_order': False, 'shape': (%s), }",
				  order, descrs[descr].kind, descrs[descr].size, shape);
	end = (n + 1 + 63) / 64 * 64;
	memset(ret + n, ' ', end - n);
	ret[end - 1] = '\n';
	memcpy(ret, MAGIC "\x01\x00", 8);
	ret[8] = (char)((end - 10) & 0xff);
	ret[9] = (char)((end - 10) >> 8);
	return end;
}

int vt_npy_write(const char *path, const struct vt_value *v, struct vt_err *e)
{
	struct vt_outfile f;
	char head[512];
	size_t n, i = 0;
	int err;

	while (i < sizeof(descrs) / sizeof(descrs[0]) && descrs[i].dtype != v->dtype)
		i++;
	if (i == sizeof(descrs) / sizeof(descrs[0]))
		return vt_fail(e, -EINVAL, "%s: NumPy has no type %s", path,
			       vt_dtype_name(v->dtype));
	n = format_header(v, i, head, sizeof(head));
	err = vt_outfile_open(&f, path, n + v->bytes, e);
	if (err)
		return err;
	err = vt_outfile_put(&f, head, n, e);
	if (!err)
		err = vt_outfile_put(&f, v->data, v->bytes, e);
	if (!err)
		return vt_outfile_commit(&f, e);
	vt_outfile_abort(&f);
	return err;
}
