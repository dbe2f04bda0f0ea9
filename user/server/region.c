// SPDX-License-Identifier: Apache-2.0
#include "server/region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct vt_region {
	struct vt_region_at at;
	struct vt_regions *table;
	int fd;
	bool read_only;
	uint32_t users; /* table's lock; the table itself is one */
};

void vt_regions_init(struct vt_regions *t, const char *dir)
{
	*t = (struct vt_regions){.dir = dir};
	pthread_mutex_init(&t->lock, NULL);
}

void vt_regions_fini(struct vt_regions *t)
{
	vt_regions_del(t, NULL);
	pthread_mutex_destroy(&t->lock);
}

static void drop(struct vt_region *r)
{
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

/* ---- the table: all under its lock -------------------------------------------------------------- */

static struct vt_region **find(struct vt_regions *t, const char *name)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!strcmp(t->of[i]->at.name, name))
			return &t->of[i];
	return NULL;
}

static int enter(struct vt_regions *t, struct vt_region *r, struct vt_err *e)
{
	if (find(t, r->at.name))
		return vt_fail(e, -EEXIST,
			       "region '%s' is registered already: unregister it first, or take "
			       "another name",
			       r->at.name);
	if (t->open == VT_REGIONS)
		return vt_fail(e, -ENOSPC,
			       "%u regions are registered or in use, which is all: unregister one",
			       VT_REGIONS);
	r->table = t;
	r->users = 1;
	t->of[t->n++] = r;
	t->open++;
	return 0;
}

int vt_regions_add(struct vt_regions *t, const struct vt_region_at *at, struct vt_err *e)
{
	struct vt_region *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return vt_fail(e, -ENOMEM, "no memory for a region");
	r->at = *at;
	r->fd = region_open(t->dir, at, &r->read_only, e);
	err = r->fd < 0 ? r->fd : 0;
	if (!err) {
		pthread_mutex_lock(&t->lock);
		err = enter(t, r, e);
		pthread_mutex_unlock(&t->lock);
	}
	if (err)
		drop(r);
	return err;
}

/* One registration, which is let go outside the lock: with the last user of an object its memory goes. */
static struct vt_region *take_out(struct vt_regions *t, const char *name)
{
	struct vt_region *r = NULL, **at;

	pthread_mutex_lock(&t->lock);
	at = name ? find(t, name) : t->n ? &t->of[0] : NULL;
	if (at) {
		r = *at;
		*at = t->of[--t->n];
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

void vt_regions_del(struct vt_regions *t, const char *name)
{
	struct vt_region *r;

	while ((r = take_out(t, name)) != NULL)
		vt_region_put(r);
}

void vt_regions_each(struct vt_regions *t, bool (*fn)(void *arg, const struct vt_region_at *at),
		     void *arg)
{
	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < t->n && fn(arg, &t->of[i]->at); i++)
		;
	pthread_mutex_unlock(&t->lock);
}

/* ---- use ---------------------------------------------------------------------------------------- */

static struct vt_region *hold(struct vt_regions *t, const struct vt_json_str *name)
{
	struct vt_region *r = NULL;

	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < t->n && !r; i++)
		if (vt_json_is(name, t->of[i]->at.name))
			r = t->of[i];
	if (r)
		r->users++;
	pthread_mutex_unlock(&t->lock);
	return r;
}

void vt_region_put(struct vt_region *r)
{
	struct vt_regions *t = r ? r->table : NULL;
	bool last;

	if (!r)
		return;
	pthread_mutex_lock(&t->lock);
	last = !--r->users;
	t->open -= last;
	pthread_mutex_unlock(&t->lock);
	if (last)
		drop(r);
}

int vt_regions_use(struct vt_regions *t, const struct vt_json_str *name, uint64_t offset,
		   uint64_t bytes, bool write, struct vt_region **ret, struct vt_err *e)
{
	struct vt_region *r = hold(t, name);
	char text[VT_REGION_NAME];
	int err = 0;

	if (!r)
		return vt_fail(e, -ENOENT, "no region '%s' is registered",
			       vt_json_text(name, text, sizeof(text)));
	if (offset > r->at.bytes || bytes > r->at.bytes - offset)
		err = vt_fail(e, -EINVAL,
			      "region '%s' has %llu bytes, not %llu at shared_memory_offset %llu",
			      r->at.name, (unsigned long long)r->at.bytes,
			      (unsigned long long)bytes, (unsigned long long)offset);
	else if (write && r->read_only)
		err = vt_fail(e, -EACCES,
			      "region '%s' can only be read: let the server's user write '%.80s', "
			      "then register it again",
			      r->at.name, r->at.key);
	if (err)
		vt_region_put(r);
	else
		*ret = r;
	return err;
}

/* 0: go on, if not all of it is done */
static int moved(ssize_t n, size_t *done)
{
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	*done += (size_t)n;
	return n ? 0 : -ENODATA;
}

int vt_region_read(const struct vt_region *r, uint64_t offset, void *to, size_t bytes)
{
	const uint64_t at = r->at.offset + offset;
	int err = 0;

	for (size_t got = 0; got < bytes && !err;)
		err = moved(pread(r->fd, (char *)to + got, bytes - got, (off_t)(at + got)), &got);
	return err;
}

int vt_region_write(const struct vt_region *r, uint64_t offset, const void *from, size_t bytes)
{
	const uint64_t at = r->at.offset + offset;
	struct stat st;
	int err = 0;

	if (fstat(r->fd, &st))
		return -errno;
	if (at + bytes > (uint64_t)st.st_size)
		return -ENODATA;
	for (size_t put = 0; put < bytes && !err;)
		err = moved(pwrite(r->fd, (const char *)from + put, bytes - put, (off_t)(at + put)),
			    &put);
	return err;
}
