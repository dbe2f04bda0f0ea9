// SPDX-License-Identifier: Apache-2.0
#include "monitor/resctrl.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "events/sysfs_pmu.h"

#define GROUP_PREFIX "veltair."

/*
 * A counter is a 64-bit sum. From close below 2^64 it may step over zero; any other step back is a
 * counter that started anew. No window sees this many bytes.
 */
#define WRAP_MAX_BYTES (1ull << 44)

static const struct {
	const char *file, *feature;
	bool sum; /* counts up; else a level */
} whats[VT_RESCTRL_WHATS] = {
	[VT_RESCTRL_OCCUPANCY] = {"llc_occupancy", "llc_occupancy", false},
	[VT_RESCTRL_TOTAL] = {"mbm_total_bytes", "mbm_total_bytes", true},
	[VT_RESCTRL_LOCAL] = {"mbm_local_bytes", "mbm_local_bytes", true},
};

struct vt_resctrl {
	char *root, *procfs;
	bool can[VT_RESCTRL_WHATS];
	uint32_t rmids, reclaimed;
	unsigned long long start; /* of this process, field 22 of its stat */
	struct vt_resctrl_group *groups;
};

/* One counter of one L3 domain. */
struct counter {
	uint64_t prev, sum;
	bool based; /* prev is an answer of this counter's present life */
};

struct domain {
	char name[32]; /* mon_L3_00 */
	struct counter c[VT_RESCTRL_WHATS];
	bool seen;
};

struct vt_resctrl_group {
	struct vt_resctrl *r;
	struct vt_resctrl_group *next;
	uint64_t id;
	char name[80];
	int lock; /* descriptor of its directory */
	struct domain *domains;
	size_t count;
};

/* ---- owners ------------------------------------------------------------------------------ */

/* When a process started, in clock ticks since boot: pid and this name it for good. 0: no process. */
static unsigned long long start_of(const char *procfs, long pid)
{
	unsigned long long start = 0;
	char text[1024], *p;
	int n = vt_sysfs_read(text, sizeof(text), "%s/%ld/stat", procfs, pid);

	/* The command may hold anything but ends at the last parenthesis; then come fields 3... */
	p = n > 0 ? strrchr(text, ')') : NULL;
	if (p && sscanf(p + 1,
			" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
			"%*d %*d %*d %llu",
			&start) != 1)
		start = 0;
	return start;
}

/*
 * A pid that is not here may live in another PID namespace, so the owner also holds flock(2) on each
 * of its groups, which the kernel drops with it.
 */
static bool is_orphan(const struct vt_resctrl *r, int groups, const char *name)
{
	unsigned long long start;
	bool orphan;
	long pid;
	int fd;

	if (sscanf(name, GROUP_PREFIX "%ld.%llu.", &pid, &start) != 2 ||
	    start_of(r->procfs, pid) == start)
		return false;
	fd = openat(groups, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	orphan = !flock(fd, LOCK_EX | LOCK_NB);
	close(fd);
	return orphan;
}

static void reclaim(struct vt_resctrl *r)
{
	char path[VT_SYSFS_PATH];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/mon_groups", r->root);
	dir = opendir(path);
	if (dir)
		flock(dirfd(dir), LOCK_EX); /* no group is between its birth and its lock */
	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, GROUP_PREFIX, strlen(GROUP_PREFIX)) ||
		    !is_orphan(r, dirfd(dir), d->d_name))
			continue;
		if (!unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR))
			r->reclaimed++;
	}
	if (dir)
		closedir(dir);
}

/* ---- open -------------------------------------------------------------------------------- */

static int find_features(struct vt_resctrl *r, struct vt_err *e)
{
	char text[512], *save = NULL;
	bool any = false;
	int n;

	n = vt_sysfs_read(text, sizeof(text), "%s/info/L3_MON/mon_features", r->root);
	if (n < 0 && access(r->root, F_OK))
		return vt_fail(e, -ENOENT,
			       "%s does not exist: this kernel or CPU has no resource monitoring",
			       r->root);
	if (n == -EACCES)
		return vt_fail(e, n, "%s: permission denied: run as root", r->root);
	if (n < 0) {
		n = vt_sysfs_read(text, sizeof(text), "%s/schemata", r->root);
		return n == -ENOENT
			       ? vt_fail(e, -ENOENT,
					 "resctrl is not mounted: mount -t resctrl resctrl %s",
					 r->root)
			       : vt_fail(e, -ENOTSUP,
					 "this CPU has no L3 monitoring (%s/info/L3_MON)", r->root);
	}
	for (char *f = strtok_r(text, "\n", &save); f; f = strtok_r(NULL, "\n", &save))
		for (int w = 0; w < VT_RESCTRL_WHATS; w++)
			if (!strcmp(f, whats[w].feature))
				any = r->can[w] = true;
	if (!any)
		return vt_fail(e, -ENOTSUP, "this CPU monitors neither L3 occupancy nor bandwidth");
	n = vt_sysfs_read(text, sizeof(text), "%s/info/L3_MON/num_rmids", r->root);
	r->rmids = n > 0 ? (uint32_t)strtoul(text, NULL, 10) : 0;
	return 0;
}

int vt_resctrl_open(const char *root, const char *procfs, struct vt_resctrl **ret, struct vt_err *e)
{
	struct vt_resctrl *r = calloc(1, sizeof(*r));
	int err = 0;

	if (r) {
		r->root = strdup(root ? root : VT_RESCTRL_ROOT);
		r->procfs = strdup(procfs ? procfs : "/proc");
	}
	if (!r || !r->root || !r->procfs)
		err = vt_fail(e, -ENOMEM, "out of memory");
	if (!err)
		err = find_features(r, e);
	if (err) {
		vt_resctrl_close(r);
		return err;
	}
	r->start = start_of(r->procfs, getpid());
	reclaim(r);
	*ret = r;
	return 0;
}

void vt_resctrl_close(struct vt_resctrl *r)
{
	if (!r)
		return;
	while (r->groups)
		vt_resctrl_group_del(r->groups);
	free(r->root);
	free(r->procfs);
	free(r);
}

bool vt_resctrl_can(const struct vt_resctrl *r, enum vt_resctrl_what what)
{
	return (unsigned int)what < VT_RESCTRL_WHATS && r->can[what];
}

uint32_t vt_resctrl_rmids(const struct vt_resctrl *r)
{
	return r->rmids;
}

uint32_t vt_resctrl_reclaimed(const struct vt_resctrl *r)
{
	return r->reclaimed;
}

/* ---- groups ------------------------------------------------------------------------------ */

static void group_path(const struct vt_resctrl_group *g, char *buf, size_t len)
{
	snprintf(buf, len, "%s/mon_groups/%s", g->r->root, g->name);
}

/* Make the group's directory and lock it, out of sight of reclaim(). Returns a descriptor or -errno. */
static int make_locked(const struct vt_resctrl *r, const char *path)
{
	char parent[VT_SYSFS_PATH];
	int all, fd = -1, err = 0;

	snprintf(parent, sizeof(parent), "%s/mon_groups", r->root);
	all = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (all < 0)
		return -errno;
	flock(all, LOCK_SH);
	if (mkdir(path, 0755))
		err = -errno;
	else if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
		 flock(fd, LOCK_EX | LOCK_NB)) {
		err = -errno;
		rmdir(path);
		if (fd >= 0)
			close(fd);
	}
	close(all);
	return err ? err : fd;
}

int vt_resctrl_group_add(struct vt_resctrl *r, uint64_t id, struct vt_resctrl_group **ret,
			 struct vt_err *e)
{
	struct vt_resctrl_group *g = calloc(1, sizeof(*g));
	char path[VT_SYSFS_PATH];
	int err;

	if (!g)
		return vt_fail(e, -ENOMEM, "out of memory");
	g->r = r;
	g->id = id;
	snprintf(g->name, sizeof(g->name), GROUP_PREFIX "%ld.%llu.%llu", (long)getpid(), r->start,
		 (unsigned long long)id);
	group_path(g, path, sizeof(path));
	g->lock = make_locked(r, path);
	if (g->lock < 0) {
		err = g->lock;
		free(g);
		if (err == -ENOSPC)
			return vt_fail(e, err,
				       "all %u monitoring ids (RMIDs) of this machine are in use: "
				       "this tenant's bandwidth cannot be told apart",
				       r->rmids);
		return vt_fail(e, err, "cannot make %s: %s", path, strerror(-err));
	}
	g->next = r->groups;
	r->groups = g;
	*ret = g;
	return 0;
}

void vt_resctrl_group_del(struct vt_resctrl_group *g)
{
	struct vt_resctrl_group **at;
	char path[VT_SYSFS_PATH];

	if (!g)
		return;
	for (at = &g->r->groups; *at && *at != g; at = &(*at)->next)
		;
	if (*at)
		*at = g->next;
	group_path(g, path, sizeof(path));
	rmdir(path); /* gone already if somebody unmounted resctrl */
	close(g->lock);
	free(g->domains);
	free(g);
}

int vt_resctrl_group_task(struct vt_resctrl_group *g, pid_t tid, struct vt_err *e)
{
	char path[VT_SYSFS_PATH + 8], text[16];
	int fd, n, err = 0;

	group_path(g, path, VT_SYSFS_PATH);
	strcat(path, "/tasks");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return vt_fail(e, -errno, "cannot open %s: %s", path, strerror(errno));
	n = snprintf(text, sizeof(text), "%d\n", (int)tid);
	if (write(fd, text, (size_t)n) != n)
		err = vt_fail(e, -errno, "cannot move task %d to %s: %s", (int)tid, g->name,
			      strerror(errno));
	close(fd);
	return err;
}

/* ---- reading ----------------------------------------------------------------------------- */

static struct domain *find_domain(struct vt_resctrl_group *g, const char *name)
{
	size_t len = strlen(name);
	struct domain *more;

	if (len >= sizeof(more->name))
		return NULL;
	for (size_t i = 0; i < g->count; i++)
		if (!strcmp(g->domains[i].name, name))
			return &g->domains[i];
	more = realloc(g->domains, (g->count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	g->domains = more;
	more = &g->domains[g->count++];
	memset(more, 0, sizeof(*more));
	memcpy(more->name, name, len + 1);
	/* A domain that is there from the group's birth counts from zero. */
	for (int w = 0; w < VT_RESCTRL_WHATS; w++)
		more->c[w].based = true;
	return more;
}

/* Fold one answer into the sum. */
static void advance(struct counter *c, uint64_t now, struct vt_resctrl_sample *s)
{
	uint64_t delta = now - c->prev;

	if (!c->based)
		c->based = true;
	else if (now >= c->prev || delta <= WRAP_MAX_BYTES)
		c->sum += delta;
	else
		s->resets++;
	c->prev = now;
}

static void read_counter(const char *dir, struct counter *c, int w, struct vt_resctrl_sample *s)
{
	char text[64], *end;
	uint64_t now;
	int n = vt_sysfs_read(text, sizeof(text), "%s/%s", dir, whats[w].file);

	if (n > 0 && !strcmp(text, "Unavailable")) {
		s->unavailable++; /* still counting: the next answer contains this window */
		return;
	}
	errno = 0;
	now = n > 0 ? strtoull(text, &end, 10) : 0;
	if (n <= 0 || errno || *end || text[0] < '0' || text[0] > '9') {
		s->errors++; /* "Error", or not a number: the counter's state is unknown */
		c->based = false;
		return;
	}
	s->valid[w] = true;
	if (whats[w].sum)
		advance(c, now, s);
	else
		s->bytes[w] += now;
}

static void read_domain(const struct vt_resctrl_group *g, const char *mon_data, struct domain *d,
			struct vt_resctrl_sample *s)
{
	char dir[VT_SYSFS_PATH];

	if (snprintf(dir, sizeof(dir), "%s/%s", mon_data, d->name) >= (int)sizeof(dir))
		return;
	d->seen = true;
	s->domains++;
	for (int w = 0; w < VT_RESCTRL_WHATS; w++)
		if (g->r->can[w])
			read_counter(dir, &d->c[w], w, s);
}

int vt_resctrl_group_read(struct vt_resctrl_group *g, struct vt_resctrl_sample *ret,
			  struct vt_err *e)
{
	struct vt_resctrl_sample s = {0};
	char path[VT_SYSFS_PATH];
	struct dirent *entry;
	struct domain *d;
	DIR *dir;

	group_path(g, path, sizeof(path) - 16);
	strcat(path, "/mon_data");
	dir = opendir(path);
	if (!dir)
		return vt_fail(e, -errno, "cannot read %s: %s", path, strerror(errno));
	for (size_t i = 0; i < g->count; i++)
		g->domains[i].seen = false;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "mon_L3_", 7))
			continue;
		d = find_domain(g, entry->d_name);
		if (d)
			read_domain(g, path, d, &s);
	}
	closedir(dir);
	for (size_t i = 0; i < g->count; i++) {
		for (int w = 0; w < VT_RESCTRL_WHATS; w++) {
			/* What it moved while it was there has been moved. */
			s.bytes[w] += g->domains[i].c[w].sum;
			/* When it comes back, it has forgotten where it was. */
			if (!g->domains[i].seen)
				g->domains[i].c[w].based = false;
		}
	}
	if (!s.domains)
		return vt_fail(e, -ENODATA, "no L3 domain of %s is online", g->name);
	*ret = s;
	return 0;
}
