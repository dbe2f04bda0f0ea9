// SPDX-License-Identifier: Apache-2.0
/* bench_region.c - inputs for a server in shared memory, by Triton's system shared memory extension. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bench_cli.h"

#define REGIONS "/systemsharedmemory"
#define PREFIX	"veltair-bench-" /* then the process and a number, of regions as of objects */

/* ---- the server's list ---------------------------------------------------------------------- */

static void unregister(const struct vt_http_url *u, const char *name)
{
	struct vt_err e = {0};
	char path[192];
	json_t *j;

	snprintf(path, sizeof(path), REGIONS "/region/%s/unregister", name);
	bench_url_call(u, path, "", &j, &e);
	json_decref(j);
}

/* Regions of benches that were killed: the server keeps them until somebody says so. */
void bench_region_sweep(const struct vt_http_url *u)
{
	struct vt_err e = {0};
	json_t *list, *region;
	size_t i;

	bench_url_call(u, REGIONS "/status", NULL, &list, &e);
	json_array_foreach(list, i, region)
	{
		const char *name = json_string_value(json_object_get(region, "name"));
		int pid = 0, k = 0, end = 0;

		if (name && sscanf(name, PREFIX "%d-%d%n", &pid, &k, &end) == 2 && !name[end] &&
		    pid > 0 && kill(pid, 0) && errno == ESRCH)
			unregister(u, name);
	}
	json_decref(list);
}

/* ---- interrupted ---------------------------------------------------------------------------- */

/* One for the process, as its handler of signals is. */
static struct {
	pthread_mutex_t
		lock; /* held by who adds or removes one, and for ever by who ends the process */
	struct bench *bench;		 /* lock; NULL: nothing is watched */
	const struct vt_http_url *where; /* lock */
	struct bench_region *region;	 /* lock; [BENCH_MODELS] */
	bool begun;
	sem_t leave;
} watched = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *wait_to_leave(void *arg)
{
	for (;;) {
		if (sem_wait(&watched.leave)) /* a signal */
			continue;
		pthread_mutex_lock(&watched.lock);
		if (watched.bench)
			break;
		pthread_mutex_unlock(&watched.lock); /* set-up has failed meanwhile */
	}
	for (uint32_t i = 0; i < BENCH_MODELS; i++)
		if (watched.region[i].name[0])
			unregister(watched.where, watched.region[i].name);
	kill(getpid(), watched.bench->stop);
	for (;;)
		pause();
	return NULL;
}

static int begin_to_watch(struct vt_err *e)
{
	pthread_t t;
	int rc = 0;

	if (watched.begun)
		return 0;
	sem_init(&watched.leave, 0, 0);
	rc = pthread_create(&t, NULL, wait_to_leave, NULL);
	if (rc)
		return vt_fail(e, -rc, "cannot start a thread: %s", strerror(rc));
	pthread_detach(t);
	watched.begun = true;
	return 0;
}

static void watch(struct bench *b, const struct vt_http_url *u, struct bench_region *all)
{
	pthread_mutex_lock(&watched.lock);
	watched.bench = b;
	watched.where = u;
	watched.region = all;
	pthread_mutex_unlock(&watched.lock);
}

int bench_region_watch(struct bench *b, const struct vt_http_url *u, struct bench_region *all,
		       struct vt_err *e)
{
	int rc = begin_to_watch(e);

	if (rc)
		return rc;
	watch(b, u, all);
	b->leave = &watched.leave;
	return 0;
}

void bench_region_unwatch(void)
{
	if (watched.bench)
		watched.bench->leave = NULL;
	watch(NULL, NULL, NULL);
}

/* ---- a region ------------------------------------------------------------------------------- */

static int put(int fd, const char *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)done);

		if (n <= 0)
			return n ? -errno : -ENOSPC;
		done += (size_t)n;
	}
	return 0;
}

static int registered(const struct vt_http_url *u, const char *name, size_t len, struct vt_err *e)
{
	char path[192], body[320];
	json_t *j;
	int status;

	snprintf(path, sizeof(path), REGIONS "/region/%s/register", name);
	snprintf(body, sizeof(body), "{\"key\":\"/%s\",\"offset\":0,\"byte_size\":%zu}", name, len);
	status = bench_url_call(u, path, body, &j, e);
	if (status >= 0 && status != 200) {
		const char *why = json_string_value(json_object_get(j, "error"));

		vt_fail(e, -ENOTSUP, "the server takes no shared memory (status %d%s%s)", status,
			why ? ": " : "", why ? why : "");
	}
	json_decref(j);
	return status == 200 ? 0 : e->code;
}

int bench_region_add(struct bench_region *ret, const struct vt_http_url *u, uint32_t k,
		     const char *bytes, size_t len, struct vt_err *e)
{
	char key[sizeof(ret->name) + 1];
	int fd, rc;

	pthread_mutex_lock(&watched.lock);
	snprintf(ret->name, sizeof(ret->name), PREFIX "%d-%u", getpid(), k);
	snprintf(key, sizeof(key), "/%s", ret->name);
	/* The server may be another user. What lies there is made up. */
	fd = shm_open(key, O_RDWR | O_CREAT | O_EXCL, 0644);
	rc = fd < 0 ? -errno : fchmod(fd, 0644) ? -errno : put(fd, bytes, len);
	if (rc)
		vt_fail(e, rc, "shared memory %s of %zu bytes: %s", key, len, strerror(-rc));
	else
		rc = registered(u, ret->name, len, e);
	if (fd >= 0) { /* the server has it open, or never will */
		close(fd);
		shm_unlink(key);
	}
	if (rc)
		ret->name[0] = '\0';
	pthread_mutex_unlock(&watched.lock);
	return rc;
}

void bench_region_remove(struct bench_region *r, const struct vt_http_url *u)
{
	pthread_mutex_lock(&watched.lock);
	if (r->name[0])
		unregister(u, r->name);
	r->name[0] = '\0';
	pthread_mutex_unlock(&watched.lock);
}
