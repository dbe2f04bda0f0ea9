// SPDX-License-Identifier: Apache-2.0
#include "model/onnx_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/onnx_block.h"

#define MAX_DEPTH      32 /* of nested messages; a model with three nested graphs has 15 */
#define MAX_EXPANSION  48 /* bytes of parsed structs per byte of file; real graphs reach 12 */
#define FREE_EXPANSION (1 << 20)
#define MAX_VARINT     10
#define AHEAD	       16384u /* bytes read at least */
#define RAW_DATA       9      /* field of a TensorProto */

_Static_assert(AHEAD < VT_BLOCK_BIG, "what is left out is not read by accident");

/* Room for the whole file. What is not written takes no memory: it must not come as huge pages. */
static int reserve(struct vt_onnx_bytes *b, struct vt_err *e)
{
	void *data = mmap(NULL, b->len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (data == MAP_FAILED)
		return vt_fail(e, -errno, "no room for its %zu bytes: %s", b->len, strerror(errno));
	madvise(data, b->len, MADV_NOHUGEPAGE);
	b->data = data;
	return 0;
}

int vt_onnx_open(const char *path, struct vt_onnx_bytes *ret, struct vt_err *e)
{
	struct vt_onnx_bytes b = {.of_file = true};
	struct stat st;
	int err;

	b.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (b.fd < 0)
		return vt_fail(e, -errno, "cannot open: %s", strerror(errno));
	if (fstat(b.fd, &st) < 0) {
		err = vt_fail(e, -errno, "cannot stat: %s", strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		err = vt_fail(e, -EISDIR, "is a directory; name the .onnx file in it");
	} else if (!S_ISREG(st.st_mode)) {
		err = vt_fail(e, -EINVAL, "is not a regular file");
	} else if (!st.st_size) {
		err = vt_fail(e, -EBADMSG, "is empty");
	} else {
		b.len = (size_t)st.st_size;
		err = reserve(&b, e);
	}
	if (err)
		close(b.fd);
	else
		*ret = b;
	return err;
}

void vt_onnx_close(struct vt_onnx_bytes *b)
{
	if (b->of_file) {
		munmap((void *)b->data, b->len);
		close(b->fd);
	}
	*b = (struct vt_onnx_bytes){0};
}

static int read_at(int fd, char *to, size_t len, size_t off, struct vt_err *e)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, to + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vt_fail(e, n ? -errno : -EIO, "cannot read: %s",
				       n ? strerror(errno) : "the file shrank");
		done += (size_t)n;
	}
	return 0;
}

/* ---- the walk before the parse ------------------------------------------------------------ */

struct walk {
	const struct vt_onnx_bytes *b;
	const uint8_t *base;
	size_t have; /* bytes that are there, or will be read later */
	size_t cost; /* bytes of structs that protobuf-c will make */
	size_t limit;
	struct vt_err *e;
};

static int truncated(struct walk *w, const uint8_t *at)
{
	return vt_fail(w->e, -EBADMSG, "is truncated or not ONNX: byte %zu makes no sense",
		       (size_t)(at - w->base));
}

/* Returns the bytes read, 0 if there is no whole varint. */
static size_t varint(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < MAX_VARINT && p + i < end; i++) {
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80)) {
			*ret = v;
			return i + 1;
		}
	}
	return 0;
}

/* Bytes of the value behind a tag; *body says where a length-delimited one starts. */
static size_t value_bytes(int wire, const uint8_t *p, const uint8_t *end, const uint8_t **body)
{
	size_t left = (size_t)(end - p), n;
	uint64_t v;

	switch (wire) {
	case 0:
		return varint(p, end, &v);
	case 1:
		return left >= 8 ? 8 : 0;
	case 2:
		n = varint(p, end, &v);
		*body = p + n;
		return n && v <= left - n ? n + (size_t)v : 0;
	case 5:
		return left >= 4 ? 4 : 0;
	default: /* groups are not in the schema */
		return 0;
	}
}

/* Bytes up to @end must be there, or all if that lies behind the last. */
static int need(struct walk *w, const uint8_t *end)
{
	size_t upto = (size_t)(end - w->base), from = w->have;

	if (upto <= from || from == w->b->len)
		return 0;
	upto = upto < from + AHEAD ? from + AHEAD : upto;
	w->have = upto < w->b->len ? upto : w->b->len;
	return read_at(w->b->fd, (char *)w->base + from, w->have - from, from, w->e);
}

static bool is_large(const ProtobufCMessageDescriptor *type, uint64_t tag, size_t len)
{
	return type == &onnx__tensor_proto__descriptor && tag == (RAW_DATA << 3 | 2) &&
	       len >= VT_BLOCK_BIG;
}

/* In place of the data: where it is. */
static void put_off(struct walk *w, const uint8_t *body, size_t len)
{
	const uint64_t off = (uint64_t)(body - w->base);

	memcpy((char *)w->base + off, &off, sizeof(off));
	if (w->have < off + len)
		w->have = off + len;
}

static int walk(struct walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *p,
		const uint8_t *end, int depth);

/* A field's value, up to @end; @body: where it starts if it has a length of its own, or NULL. */
static int walk_value(struct walk *w, const ProtobufCMessageDescriptor *type, uint64_t tag,
		      const uint8_t *body, const uint8_t *end, int depth)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field(type, (unsigned int)(tag >> 3));

	if (f && body && f->type == PROTOBUF_C_TYPE_MESSAGE)
		return walk(w, f->descriptor, body, end, depth + 1);
	if (!w->b->of_file || !body || !is_large(type, tag, (size_t)(end - body)))
		return need(w, end);
	put_off(w, body, (size_t)(end - body));
	return 0;
}

static int walk(struct walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *p,
		const uint8_t *end, int depth)
{
	if (depth > MAX_DEPTH)
		return vt_fail(w->e, -EBADMSG, "nests messages deeper than %d", MAX_DEPTH);
	w->cost += type->sizeof_message;
	while (p < end) {
		const uint8_t *body = NULL, *at = p;
		uint64_t tag;
		int err = need(w, p + 2 * MAX_VARINT);
		size_t n = err ? 0 : varint(p, end, &tag);

		if (err)
			return err;
		if (!n || !(tag >> 3) || tag >> 3 > INT32_MAX)
			return truncated(w, at);
		p += n;
		n = value_bytes((int)(tag & 7), p, end, &body);
		if (!n)
			return truncated(w, at);
		/* an array slot, a field that the schema lacks, or a string's allocation */
		w->cost += 48;
		if (w->cost > w->limit)
			return vt_fail(w->e, -EBADMSG, "would take more than %zu bytes to parse",
				       w->limit);
		p += n;
		err = walk_value(w, type, tag, body, p, depth);
		if (err)
			return err;
	}
	return 0;
}

/* ---- protobuf-c on our allocator ----------------------------------------------------------- */

static void *parse_alloc(void *arg, size_t bytes)
{
	return vt_block_alloc(bytes);
}

static void parse_free(void *arg, void *p)
{
	vt_block_free(p);
}

static ProtobufCAllocator allocator = {parse_alloc, parse_free, NULL};

/* ---- what was left out --------------------------------------------------------------------- */

static int fill_tensor(const struct vt_onnx_bytes *b, Onnx__TensorProto *t, struct vt_err *e)
{
	uint64_t off;

	if (t->raw_data.len < VT_BLOCK_BIG)
		return 0;
	memcpy(&off, t->raw_data.data, sizeof(off));
	return read_at(b->fd, (char *)t->raw_data.data, t->raw_data.len, off, e);
}

/* As deep as the walk went. */
static int fill(const struct vt_onnx_bytes *b, ProtobufCMessage *msg, struct vt_err *e)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	int err = 0;

	if (d == &onnx__tensor_proto__descriptor)
		return fill_tensor(b, (Onnx__TensorProto *)msg, e);
	for (unsigned int i = 0; i < d->n_fields && !err; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		void *at = (char *)msg + f->offset, *count = (char *)msg + f->quantifier_offset;
		const bool many = f->label == PROTOBUF_C_LABEL_REPEATED;
		ProtobufCMessage **sub = many ? *(ProtobufCMessage ***)at : at;
		size_t n = many ? *(size_t *)count : 1;

		if (f->type != PROTOBUF_C_TYPE_MESSAGE ||
		    (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *(uint32_t *)count != f->id))
			continue;
		for (size_t k = 0; k < n && !err; k++)
			err = sub[k] ? fill(b, sub[k], e) : 0;
	}
	return err;
}

ProtobufCMessage *vt_onnx_unpack(const ProtobufCMessageDescriptor *type,
				 const struct vt_onnx_bytes *b, struct vt_err *e)
{
	struct walk w = {.b = b,
			 .base = b->data,
			 .have = b->of_file ? 0 : b->len,
			 .limit = FREE_EXPANSION,
			 .e = e};
	ProtobufCMessage *msg;

	if (b->len > SIZE_MAX / (2 * MAX_EXPANSION)) {
		vt_fail(e, -EOVERFLOW, "is too large");
		return NULL;
	}
	w.limit += b->len * MAX_EXPANSION;
	if (walk(&w, type, w.base, w.base + b->len, 0))
		return NULL;
	msg = protobuf_c_message_unpack(type, &allocator, b->len, b->data);
	if (!msg)
		vt_fail(e, -EBADMSG, "is not ONNX: a field has the wrong type");
	if (msg && b->of_file && fill(b, msg, e)) {
		vt_onnx_free(msg);
		msg = NULL;
	}
	return msg;
}

void vt_onnx_free(ProtobufCMessage *msg)
{
	if (msg)
		protobuf_c_message_free_unpacked(msg, &allocator);
}
