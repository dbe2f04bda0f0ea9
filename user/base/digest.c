// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define P1 0x9e3779b185ebca87ull
#define P2 0xc2b2ae3d27d4eb4full
#define P3 0x165667b19e3779f9ull
#define P4 0x85ebca77c2b2ae63ull
#define P5 0x27d4eb2f165667c5ull

#define STRIPE	  32u
#define BUF_BYTES ((size_t)1 << 20) /* a multiple of a stripe */

/* Four sums side by side over whole stripes. */
struct sums {
	uint64_t v[4], len;
};

static uint64_t rotl(uint64_t x, int r)
{
	return x << r | x >> (64 - r);
}

static uint64_t le64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}

static uint64_t le32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap32(v);
}

static uint64_t round64(uint64_t acc, uint64_t in)
{
	return rotl(acc + in * P2, 31) * P1;
}

static void start(struct sums *s)
{
	*s = (struct sums){{P1 + P2, P2, 0, 0ull - P1}, 0};
}

/* Returns where the last whole stripe ends. */
static const unsigned char *add_stripes(struct sums *s, const unsigned char *p, size_t len)
{
	for (size_t n = len / STRIPE; n; n--, p += STRIPE)
		for (int i = 0; i < 4; i++)
			s->v[i] = round64(s->v[i], le64(p + 8 * i));
	s->len += len;
	return p;
}

/* @p: the last bytes, less than a stripe. */
static uint64_t finish(const struct sums *s, const unsigned char *p, const unsigned char *end)
{
	uint64_t h = P5;

	if (s->len >= STRIPE) {
		h = rotl(s->v[0], 1) + rotl(s->v[1], 7) + rotl(s->v[2], 12) + rotl(s->v[3], 18);
		for (int i = 0; i < 4; i++)
			h = (h ^ round64(0, s->v[i])) * P1 + P4;
	}
	h += s->len;
	for (; end - p >= 8; p += 8)
		h = rotl(h ^ round64(0, le64(p)), 27) * P1 + P4;
	for (; end - p >= 4; p += 4)
		h = rotl(h ^ (le32(p) * P1), 23) * P2 + P3;
	for (; p < end; p++)
		h = rotl(h ^ (*p * P5), 11) * P1;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

uint64_t vt_digest(const void *data, size_t len)
{
	const unsigned char *p = data;
	struct sums s;

	start(&s);
	return finish(&s, add_stripes(&s, p, len), p + len);
}

/* As much as the buffer takes; less only at the end of the file. */
static ssize_t fill(int fd, unsigned char *buf)
{
	size_t done = 0;

	while (done < BUF_BYTES) {
		ssize_t n = read(fd, buf + done, BUF_BYTES - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int digest_fd(int fd, uint64_t *ret)
{
	unsigned char *buf = malloc(BUF_BYTES);
	const unsigned char *rest;
	struct sums s;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	start(&s);
	do {
		n = fill(fd, buf);
		rest = n > 0 ? add_stripes(&s, buf, (size_t)n) : buf;
	} while (n == (ssize_t)BUF_BYTES);
	if (n >= 0)
		*ret = finish(&s, rest, buf + n);
	free(buf);
	return n < 0 ? (int)n : 0;
}

int vt_file_digest(const char *path, char ret[static VT_DIGEST_TEXT], struct vt_err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct stat st;
	uint64_t h = 0;

	if (fd < 0)
		return vt_fail(e, -errno, "%s: cannot open: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		err = vt_fail(e, -EINVAL, "%s: not a regular file", path);
	else
		err = digest_fd(fd, &h);
	close(fd);
	if (err)
		return vt_fail(e, err, "%s: cannot read: %s", path, strerror(-err));
	snprintf(ret, VT_DIGEST_TEXT, "%016llx", (unsigned long long)h);
	return 0;
}
