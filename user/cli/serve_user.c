// SPDX-License-Identifier: Apache-2.0
/* serve_user.c - from root to a user who may do nothing more than count. */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/serve.h"
#include "monitor/priv.h"

static const struct passwd *find(const char *user, struct vt_err *e)
{
	const struct passwd *p = getpwnam(user);

	if (!p)
		vt_fail(e, -ENOENT, "there is no user '%s'; make one: useradd -r %s", user, user);
	return p;
}

int vt_serve_give(const char *user, const char *path, struct vt_err *e)
{
	const struct passwd *p = find(user, e);

	if (!p)
		return -ENOENT;
	if (getuid() == p->pw_uid || !lchown(path, p->pw_uid, p->pw_gid))
		return 0;
	return vt_fail(e, -errno, "cannot give unix:%s to user '%s': %s", path, user,
		       strerror(errno));
}

int vt_serve_user(const char *user, struct vt_err *e)
{
	return find(user, e) ? 0 : -ENOENT;
}

bool vt_serve_is(const char *user)
{
	const struct passwd *p = find(user, NULL);

	return p && getuid() == p->pw_uid;
}

/* Where the user may write already, a link could stand for somebody else's file. */
static void give_file(const struct passwd *p, const char *path)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	    fchown(fd, p->pw_uid, p->pw_gid))
		errno = 0; /* vt_serve_try_store() sees what comes of it */
	close(fd);
}

/* $STATE_DIRECTORY: absolute paths with colons between them. */
static void give_state(const struct passwd *p, const char *path)
{
	const char *all = getenv("STATE_DIRECTORY");
	char dir[512];

	for (; all && *all; all += *all == ':') {
		size_t len = strcspn(all, ":");

		if (len && len < sizeof(dir) && !strncmp(path, all, len) && path[len] == '/') {
			memcpy(dir, all, len);
			dir[len] = '\0';
			if (lchown(dir, p->pw_uid, p->pw_gid))
				errno = 0; /* likewise */
		}
		all += len;
	}
}

void vt_serve_give_store(const char *user, const char *path)
{
	static const char *const parts[] = {"", "-wal", "-shm", "-journal"};
	const struct passwd *p = find(user, NULL);
	char name[1024];

	if (!p || getuid() == p->pw_uid)
		return;
	give_state(p, path);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if ((size_t)snprintf(name, sizeof(name), "%s%s", path, parts[i]) < sizeof(name))
			give_file(p, name);
}

int vt_serve_try_store(const char *user, const char *path, struct vt_err *e)
{
	const bool there = !access(path, F_OK);
	char dir[1024];
	const char *why;
	struct stat st;

	vt_folder_of(path, dir, sizeof(dir));
	why = stat(dir, &st) ? strerror(errno) : S_ISDIR(st.st_mode) ? NULL : strerror(ENOTDIR);
	if (why)
		return vt_fail(e, -EINVAL, "%s: no store can be made in %s: %s; name another store",
			       path, dir, why);
	if (!access(dir, W_OK | X_OK) && (!there || !access(path, R_OK | W_OK)))
		return 0;
	if (!user) /* as in a container without its volume: what serves is worth more than a profile */
		return vt_fail(e, -EACCES,
			       "%s: it or its folder cannot be written: %s; name another store",
			       path, strerror(errno));
	return vt_fail(e, there ? -EACCES : -EINVAL,
		       "user '%s' cannot write %s: chown %s it and its folder, or name another "
		       "store",
		       user, path, user);
}

int vt_serve_become(const char *user, struct vt_monitor *m, struct vt_err *e)
{
	const struct passwd *p = find(user, e);
	int err;

	if (!p)
		return -ENOENT;
	if (getuid() == p->pw_uid && getuid() != 0)
		return 0; /* already there, with nothing to give up */
	err = m ? vt_monitor_give(m, p->pw_uid, p->pw_gid, e) : 0;
	if (err)
		return err;
	/* Capabilities outlive the change, so that the next step can choose among them. */
	if (m && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
		return vt_fail(e, -errno, "cannot keep capabilities: %s", strerror(errno));
	if (initgroups(user, p->pw_gid) || setgid(p->pw_gid) || setuid(p->pw_uid))
		return vt_fail(e, -errno, "cannot become user '%s': %s", user, strerror(errno));
	err = m ? vt_priv_drop(e) : 0;
	if (!err && setuid(0) == 0)
		return vt_fail(e, -EPERM, "user '%s' can become root again", user);
	return err;
}
