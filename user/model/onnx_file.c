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

int vt_onnx_map(const char *path, struct vt_onnx_bytes *ret, struct vt_err *e)
{
	struct stat st;
	void *data;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return vt_fail(e, -errno, "cannot open: %s", strerror(errno));
	if (fstat(fd, &st) < 0) {
		err = vt_fail(e, -errno, "cannot stat: %s", strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		err = vt_fail(e, -EISDIR, "is a directory; name the .onnx file in it");
	} else if (!S_ISREG(st.st_mode)) {
		err = vt_fail(e, -EINVAL, "is not a regular file");
	} else if (!st.st_size) {
		err = vt_fail(e, -EBADMSG, "is empty");
	} else {
		data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		err = data == MAP_FAILED ? vt_fail(e, -errno, "cannot map: %s", strerror(errno))
					 : 0;
		if (!err)
			*ret = (struct vt_onnx_bytes){data, (size_t)st.st_size, true};
	}
	close(fd);
	return err;
}

void vt_onnx_unmap(struct vt_onnx_bytes *b)
{
	if (b->mapped)
		munmap((void *)b->data, b->len);
	*b = (struct vt_onnx_bytes){0};
}

/* ---- the walk before the parse ------------------------------------------------------------ */

struct walk {
	const uint8_t *base;
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

	for (size_t i = 0; i < 10 && p + i < end; i++) {
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

static int walk(struct walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *p,
		const uint8_t *end, int depth)
{
	if (depth > MAX_DEPTH)
		return vt_fail(w->e, -EBADMSG, "nests messages deeper than %d", MAX_DEPTH);
	w->cost += type->sizeof_message;
	while (p < end) {
		const ProtobufCFieldDescriptor *f;
		const uint8_t *body = NULL, *at = p;
		uint64_t tag;
		size_t n = varint(p, end, &tag);

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
		f = protobuf_c_message_descriptor_get_field(type, (unsigned int)(tag >> 3));
		if (f && body && f->type == PROTOBUF_C_TYPE_MESSAGE) {
			int err = walk(w, f->descriptor, body, p + n, depth + 1);

			if (err)
				return err;
		}
		p += n;
	}
	return 0;
}

/* ---- protobuf-c on our allocator ----------------------------------------------------------- */

static void *parse_alloc(void *arg, size_t bytes)
{
	struct vt_onnx_bytes *b = arg;

	/*
	 * What was parsed so far will not be read again: give its pages back before the next large
	 * copy, so that the file and its copy are never both resident. What is still needed comes
	 * back from the page cache.
	 */
	if (b && b->mapped && bytes >= VT_BLOCK_BIG)
		madvise((void *)b->data, b->len, MADV_DONTNEED);
	return vt_block_alloc(bytes);
}

static void parse_free(void *arg, void *p)
{
	vt_block_free(p);
}

ProtobufCMessage *vt_onnx_unpack(const ProtobufCMessageDescriptor *type,
				 const struct vt_onnx_bytes *b, struct vt_err *e)
{
	struct vt_onnx_bytes bytes = *b;
	ProtobufCAllocator alloc = {parse_alloc, parse_free, &bytes};
	struct walk w = {.base = b->data, .limit = FREE_EXPANSION, .e = e};
	ProtobufCMessage *msg;

	if (b->len > SIZE_MAX / (2 * MAX_EXPANSION)) {
		vt_fail(e, -EOVERFLOW, "is too large");
		return NULL;
	}
	w.limit += b->len * MAX_EXPANSION;
	if (walk(&w, type, w.base, w.base + b->len, 0))
		return NULL;
	msg = protobuf_c_message_unpack(type, &alloc, b->len, b->data);
	if (!msg)
		vt_fail(e, -EBADMSG, "is not ONNX: a field has the wrong type");
	return msg;
}

void vt_onnx_free(ProtobufCMessage *msg)
{
	static ProtobufCAllocator alloc = {parse_alloc, parse_free, NULL};

	if (msg)
		protobuf_c_message_free_unpacked(msg, &alloc);
}
