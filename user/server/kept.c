// SPDX-License-Identifier: Apache-2.0
#include "server/kept.h"

#include <stdlib.h>
#include <string.h>

#include "base/fresh.h"

void vt_kept_init(struct vt_kept *k, size_t max_bytes)
{
	*k = (struct vt_kept){.max_bytes = max_bytes};
	pthread_mutex_init(&k->lock, NULL);
}

void vt_kept_fini(struct vt_kept *k)
{
	vt_kept_trim(k, UINT64_MAX);
	pthread_mutex_destroy(&k->lock);
}

static void *remove_at(struct vt_kept *k, size_t i, size_t *ret_bytes)
{
	void *p = k->block[i].p;

	*ret_bytes = k->block[i].bytes;
	k->bytes -= k->block[i].bytes;
	k->n--;
	memmove(&k->block[i], &k->block[i + 1], (k->n - i) * sizeof(k->block[0]));
	return p;
}

/* The latest that fits: its lines are the likeliest to be in a cache. Half of it may be wasted, no more. */
static void *find(struct vt_kept *k, size_t len, size_t *ret_bytes)
{
	void *p = NULL;

	pthread_mutex_lock(&k->lock);
	for (size_t i = k->n; i-- && !p;)
		if (k->block[i].bytes >= len && k->block[i].bytes / 2 <= len)
			p = remove_at(k, i, ret_bytes);
	pthread_mutex_unlock(&k->lock);
	return p;
}

void *vt_kept_take(struct vt_kept *k, size_t len, size_t *ret_bytes)
{
	void *p = len < VT_KEPT_SMALL ? NULL : find(k, len, ret_bytes);

	if (p)
		return p;
	*ret_bytes = len;
	p = malloc(len ? len : 1);
	if (p)
		vt_fresh_populate(p, len);
	return p;
}

void vt_kept_give(struct vt_kept *k, void *p, size_t bytes, uint64_t now_ns)
{
	if (bytes >= VT_KEPT_SMALL && p) {
		pthread_mutex_lock(&k->lock);
		if (k->n < VT_KEPT_BLOCKS && bytes <= k->max_bytes - k->bytes) {
			k->block[k->n++] = (struct vt_kept_block){p, bytes, now_ns};
			k->bytes += bytes;
			p = NULL;
		}
		pthread_mutex_unlock(&k->lock);
	}
	free(p);
}

void vt_kept_trim(struct vt_kept *k, uint64_t now_ns)
{
	size_t bytes;

	pthread_mutex_lock(&k->lock);
	while (k->n && now_ns >= k->block[0].since_ns &&
	       now_ns - k->block[0].since_ns >= VT_KEPT_NS)
		free(remove_at(k, 0, &bytes));
	pthread_mutex_unlock(&k->lock);
}
