// SPDX-License-Identifier: Apache-2.0
/* serve_user.c - from root to a user who may do nothing more than count. */
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

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
