// SPDX-License-Identifier: Apache-2.0
/*
 * pins.c - one owner per pin directory, whatever happens to it.
 *
 * The owner holds flock(2) on the directory itself: the kernel drops it with the process, so a lock
 * that can be had proves that whatever is pinned belongs to the dead. Links are never pinned: the
 * programs of a killed owner stop with it, and only maps wait for the next start.
 */
#include "monitor/impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/clock.h"

#define BPFFS "/sys/fs/bpf"

/* bpftool mounts it when it is missing, so does systemd; containers and small images have neither. */
static int need_bpffs(const char *top, struct vt_err *e)
{
	char parent[480];
	struct statfs fs;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", top);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return vt_fail(e, -EINVAL,
			       "pin directory '%s' must be a path inside a BPF file system", top);
	*slash = '\0';
	if (!statfs(parent, &fs) && fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (!strcmp(parent, BPFFS) && !mount("bpf", BPFFS, "bpf", 0, "mode=0700"))
		return 0;
	return vt_fail(e, -ENOTSUP, "%s is no BPF file system; run 'mount -t bpf bpf %s'", parent,
		       BPFFS);
}

/* Not through links: whom the directory was given to may have put some there. */
static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void remove_all(int at, const char *name)
{
	int fd = open_dir(at, name);
	DIR *all = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!all) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((d = readdir(all)))
		if (d->d_name[0] != '.')
			unlinkat(fd, d->d_name, 0);
	closedir(all);
}

/* Older or newer ABIs of ours left theirs under other names: v1, v2, ... */
static void remove_versions(const char *top)
{
	struct dirent *d;
	DIR *all = opendir(top);

	if (!all)
		return;
	while ((d = readdir(all))) {
		if (d->d_name[0] != 'v' || d->d_name[1] < '0' || d->d_name[1] > '9')
			continue;
		remove_all(dirfd(all), d->d_name);
		unlinkat(dirfd(all), d->d_name, AT_REMOVEDIR);
	}
	closedir(all);
}

static int read_meta(const char *dir, struct vt_meta *ret)
{
	char path[560];
	uint32_t zero = 0;
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/meta", dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fd;
	if (bpf_map_lookup_elem(fd, &zero, ret))
		err = -errno;
	close(fd);
	return err;
}

static int busy(const struct vt_pins *p, struct vt_err *e)
{
	struct vt_meta meta = {0};

	if (read_meta(p->dir, &meta))
		return vt_fail(e, -EBUSY, "%s: another process is starting there; try again",
			       p->top);
	return vt_fail(e, -EBUSY, "%s belongs to the living process %u; stop it", p->top,
		       meta.owner_pid);
}

static int set_paths(struct vt_pins *p, const char *top, struct vt_err *e)
{
	*p = VT_PINS_NONE;
	if (strlen(top) >= sizeof(p->top) - 8 || top[0] != '/')
		return vt_fail(e, -EINVAL,
			       "pin directory '%.60s' must be an absolute path below 470 bytes",
			       top);
	strcpy(p->top, top);
	snprintf(p->dir, sizeof(p->dir), "%s/" VT_ABI_DIR, p->top);
	return 0;
}

/* Refused here, before the kernel could say what else is missed. */
static int no_dir(const char *what, const char *path, struct vt_err *e)
{
	const int err = errno;

	return vt_fail(e, -err, "cannot %s %s: %s%s", what, path, strerror(err),
		       err == EACCES || err == EPERM
			       ? "; needs root, or CAP_BPF and CAP_PERFMON and a pin directory "
				 "that may be written to"
			       : "");
}

/* Returns 1 when the directory was removed under us by a closing owner: then try again. */
static int lock_dir(struct vt_pins *p, struct vt_err *e)
{
	struct stat ours, theirs;
	int err;

	if (mkdir(p->top, 0700) && errno != EEXIST)
		return no_dir("make", p->top, e);
	p->lock = open(p->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->lock < 0)
		return errno == ENOENT ? 1 : no_dir("open", p->top, e);
	/* A reader that asks whether the owner lives holds the lock for an instant. */
	for (int i = 0; (err = flock(p->lock, LOCK_EX | LOCK_NB)) && i < 5; i++)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 10 * VT_NS_PER_MS);
	if (err) {
		close(p->lock);
		p->lock = -1;
		return busy(p, e);
	}
	if (!fstat(p->lock, &ours) && !stat(p->top, &theirs) && ours.st_ino == theirs.st_ino)
		return 0;
	close(p->lock);
	p->lock = -1;
	return 1;
}

int vt_pins_own(struct vt_pins *p, const char *top, struct vt_err *e)
{
	int err = set_paths(p, top, e);

	if (err || (err = need_bpffs(top, e)))
		return err;
	do
		err = lock_dir(p, e);
	while (err == 1);
	if (err)
		return err;
	remove_versions(p->top);
	if (mkdir(p->dir, 0700))
		return no_dir("make", p->dir, e);
	p->at = open_dir(p->lock, VT_ABI_DIR);
	if (p->at < 0)
		return no_dir("open", p->dir, e);
	return 0;
}

/* Does somebody hold it? */
static bool locked(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB))
		return true;
	flock(fd, LOCK_UN);
	return false;
}

int vt_pins_find(struct vt_pins *p, const char *top, struct vt_err *e)
{
	struct vt_meta meta;
	int err = set_paths(p, top, e);

	if (err)
		return err;
	if (access(p->top, F_OK) && errno == EACCES)
		return vt_fail(e, -EACCES, "%s: permission denied; run as root", p->top);
	p->watch = open(p->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->watch < 0)
		return vt_fail(e, -ENOENT, "no instance is pinned under %s", p->top);
	if (!locked(p->watch))
		return vt_fail(e, -ENOENT,
			       "what is pinned under %s belongs to a dead process; the next start "
			       "removes it",
			       p->top);
	p->at = open_dir(p->watch, VT_ABI_DIR); /* before any pin is looked up in it */
	err = p->at < 0 ? -errno : read_meta(p->dir, &meta);
	if (err)
		return vt_fail(e, err, "cannot read %s/meta: %s", p->dir, strerror(-err));
	if (meta.abi != VT_ABI_VERSION)
		return vt_fail(e, -ENOTSUP, "%s: ABI %u, this program knows %d", p->dir, meta.abi,
			       VT_ABI_VERSION);
	return 0;
}

bool vt_pins_alive(const struct vt_pins *p)
{
	struct stat st;

	return locked(p->watch) && !fstat(p->at, &st) && st.st_nlink;
}

int vt_pins_add(struct vt_pins *p, int fd, const char *name, struct vt_err *e)
{
	char path[560];

	if (!p->dir[0])
		return 0;
	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	if (bpf_obj_pin(fd, path))
		return vt_fail(e, -errno, "cannot pin %s: %s", path, strerror(errno));
	return 0;
}

int vt_pins_give(const struct vt_pins *p, uid_t uid, gid_t gid, struct vt_err *e)
{
	if (p->at < 0 || !fchown(p->at, uid, gid))
		return 0;
	return vt_fail(e, -errno, "cannot give %s to user %u: %s", p->dir, (unsigned int)uid,
		       strerror(errno));
}

int vt_pins_get(const struct vt_pins *p, const char *name, struct vt_err *e)
{
	char path[560];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return vt_fail(e, -errno, "cannot open %s: %s", path, strerror(errno));
	return fd;
}

void vt_pins_drop(struct vt_pins *p)
{
	if (p->dir[0] && p->lock >= 0) {
		if (p->at >= 0)
			remove_all(p->at, ".");
		unlinkat(p->lock, VT_ABI_DIR, AT_REMOVEDIR);
		rmdir(p->top); /* fails while another ABI's pins are there */
	}
	for (int i = 0; i < 3; i++) {
		int fd = (const int[]){p->at, p->watch, p->lock}[i];

		if (fd >= 0)
			close(fd);
	}
	*p = VT_PINS_NONE;
}
