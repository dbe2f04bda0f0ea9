/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region.h - parts of POSIX shared memory that clients have registered, by name. Any thread.
 *
 * Never mapped: whoever made an object may cut it at any moment, and what is mapped then ends the process. By pread()
 * and pwrite() a tensor takes one copy, and an object that has become shorter is an error like another. Objects are
 * opened only: never made, resized or removed.
 */
#ifndef VT_SERVER_REGION_H
#define VT_SERVER_REGION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/json.h"

#define VT_REGIONS     256u /* open at one time: registered, or not any more and still in use */
#define VT_REGION_NAME 128u
#define VT_REGION_KEY  256u
#define VT_REGION_DIR  "/dev/shm"

/** What a client registers: @bytes at @offset of the object that shm_open() knows as @key. */
struct vt_region_at {
	char name[VT_REGION_NAME], key[VT_REGION_KEY];
	uint64_t offset, bytes;
};

struct vt_region;

/** Caller's memory. */
struct vt_regions {
	const char *dir; /* where objects are; kept */
	pthread_mutex_t lock;
	struct vt_region *of[VT_REGIONS]; /* [n]; lock */
	uint32_t n, open;		  /* lock; open: with those that only requests still hold */
};

void vt_regions_init(struct vt_regions *t, const char *dir);
/** vt_regions_fini - unregister all; nobody may use one any more */
void vt_regions_fini(struct vt_regions *t);

/**
 * vt_regions_add - open the object and register it
 * -EINVAL: a name or key that is none, no shared memory, or shorter than offset and bytes need; -EEXIST: the name
 * is taken; -ENOSPC: too many regions or open files; or what open() says
 */
int vt_regions_add(struct vt_regions *t, const struct vt_region_at *at, struct vt_err *e);
/** vt_regions_del - unregister @name, NULL: all; requests that use it go on with it. No error if there is none */
void vt_regions_del(struct vt_regions *t, const char *name);
/** vt_regions_each - those registered, until @fn returns false; under the lock, so it is short and calls nothing here */
void vt_regions_each(struct vt_regions *t, bool (*fn)(void *arg, const struct vt_region_at *at),
		     void *arg);

/**
 * vt_regions_use - the region @name, to be read, or written too, until vt_region_put()
 * @offset, @bytes: of it, what will be used. -ENOENT: none of that name; -EINVAL: it does not hold them; -EACCES: it can only be read
 */
int vt_regions_use(struct vt_regions *t, const struct vt_json_str *name, uint64_t offset,
		   uint64_t bytes, bool write, struct vt_region **ret, struct vt_err *e);
void vt_region_put(struct vt_region *r); /* accepts NULL */

/**
 * vt_region_read - @bytes at @offset of it
 * vt_region_write - likewise; never makes the object longer than it was when it looked
 * -ENODATA: the object is shorter than when it was registered; or what pread() and pwrite() say
 */
int vt_region_read(const struct vt_region *r, uint64_t offset, void *to, size_t bytes);
int vt_region_write(const struct vt_region *r, uint64_t offset, const void *from, size_t bytes);

/* ---- private to region*.c ----------------------------------------------------------------------- */

/** region_open - the object's descriptor, as vt_regions_add() has it; or its errors */
int region_open(const char *dir, const struct vt_region_at *at, bool *read_only, struct vt_err *e);

#endif
