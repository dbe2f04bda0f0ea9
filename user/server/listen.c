// SPDX-License-Identifier: Apache-2.0
#include "server/listen.h"

#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"

#define BACKLOG	     1024
#define LOCK_TRIES   200
#define LOCK_WAIT_US 5000

static int cannot(const struct vt_listener *l, int err, struct vt_err *e)
{
	const char *todo = err == -EADDRINUSE	   ? "; another process has it"
			   : err == -EACCES	   ? "; ports below 1024 need CAP_NET_BIND_SERVICE"
			   : err == -EADDRNOTAVAIL ? "; this machine has no such address"
						   : "";

	return vt_fail(e, err, "cannot listen on %s: %s%s", l->text, strerror(-err), todo);
}

/* ---- Unix -------------------------------------------------------------------------------------- */

/*
 * Is a socket bound there? One that still loads its models does not listen yet, and refuses as the path of a dead one
 * does. To a socket of another kind the kernel says that it is the wrong one (EPROTOTYPE) of all that are alive.
 */
static bool bound(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return true;
	rc = connect(fd, (const struct sockaddr *)a, sizeof(*a)) ? -errno : 0;
	close(fd);
	return rc != -ECONNREFUSED && rc != -ENOENT;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISSOCK(st.st_mode);
}

bool vt_listener_left(const struct vt_config_listen *l)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (!l->path || !is_socket(l->path))
		return false;
	memcpy(a.sun_path, l->path, strlen(l->path) + 1);
	return !bound(&a);
}

/*
 * Two that start at a time may both find what was left: the second would remove what the first has made of it. Whoever
 * else holds such a lock, for whatever reason, does not keep a server from starting.
 */
static int lock_folder(const char *path)
{
	char dir[PATH_MAX];
	int fd;

	vt_folder_of(path, dir, sizeof(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < LOCK_TRIES && fd >= 0 && flock(fd, LOCK_EX | LOCK_NB); i++)
		usleep(LOCK_WAIT_US);
	return fd;
}

static int bind_path(int fd, const struct vt_config_listen *c, uint32_t mode)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int folder = vt_listener_left(c) ? lock_folder(c->path) : -1, rc;
	mode_t old;

	memcpy(a.sun_path, c->path, strlen(c->path) + 1);
	if (vt_listener_left(c))
		unlink(c->path);
	/* The mask keeps others out between bind() and chmod(). */
	old = umask(0777 & ~mode);
	rc = bind(fd, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
	umask(old);
	if (folder >= 0)
		close(folder);
	return rc;
}

static int bind_unix(struct vt_listener *l, const struct vt_config_listen *c, uint32_t mode,
		     struct vt_err *e)
{
	const char *path = c->path;
	struct stat st;
	int rc;

	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return cannot(l, -errno, e);
	rc = bind_path(l->fd, c, mode);
	if (rc)
		return cannot(l, rc, e);
	if (lstat(path, &st))
		return 0; /* whoever removed it already has the path */
	l->unlink = path;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

/* ---- TCP --------------------------------------------------------------------------------------- */

static void reuse(int fd, int on)
{
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

/*
 * What ended connections leave is no reason not to bind, but SO_REUSEADDR gives a port to several as long as none of
 * them listens, and loading models takes its time: so it is off until vt_listener_start() but for the call that needs it.
 */
static int bind_port(int fd, const struct addrinfo *a)
{
	int rc = bind(fd, a->ai_addr, a->ai_addrlen) ? -errno : 0;

	if (rc != -EADDRINUSE)
		return rc;
	reuse(fd, 1);
	rc = bind(fd, a->ai_addr, a->ai_addrlen) ? -errno : 0;
	reuse(fd, 0);
	return rc;
}

static int bind_address(struct vt_listener *l, const struct addrinfo *a)
{
	int on = 1, rc;
	struct sockaddr_storage got;
	socklen_t len = sizeof(got);

	l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return -errno;
	if (a->ai_family == AF_INET6)
		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	rc = bind_port(l->fd, a);
	if (rc)
		return rc;
	if (getsockname(l->fd, (struct sockaddr *)&got, &len))
		return -errno;
	l->port = ntohs(got.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&got)->sin6_port
						  : ((struct sockaddr_in *)&got)->sin_port);
	return 0;
}

static int bind_tcp(struct vt_listener *l, const char *host, uint16_t port, struct vt_err *e)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *all;
	char service[8];
	int rc;

	snprintf(service, sizeof(service), "%u", port);
	if (!*host)
		hints.ai_family = AF_INET; /* ":8000" */
	rc = getaddrinfo(*host ? host : NULL, service, &hints, &all);
	if (rc)
		return vt_fail(e, rc == EAI_AGAIN ? -EAGAIN : -EINVAL, "cannot listen on %s: %s",
			       l->text, gai_strerror(rc));
	rc = bind_address(l, all);
	freeaddrinfo(all);
	return rc ? cannot(l, rc, e) : 0;
}

/* ---- both -------------------------------------------------------------------------------------- */

int vt_listener_open(struct vt_listener *ret, const struct vt_config_listen *c, uint32_t mode,
		     struct vt_err *e)
{
	struct vt_listener l = {.fd = -1};
	int err;

	if (c->path)
		snprintf(l.text, sizeof(l.text), "unix:%s", c->path);
	else
		snprintf(l.text, sizeof(l.text), strchr(c->host, ':') ? "[%.120s]:%u" : "%.120s:%u",
			 *c->host ? c->host : "0.0.0.0", c->port);
	err = c->path ? bind_unix(&l, c, mode, e) : bind_tcp(&l, c->host, c->port, e);
	if (err) {
		if (l.fd >= 0)
			close(l.fd);
		return err;
	}
	if (!c->path && !c->port)
		snprintf(strrchr(l.text, ':'), 8, ":%u", l.port);
	*ret = l;
	return 0;
}

int vt_listener_start(struct vt_listener *l, struct vt_err *e)
{
	/* Connections inherit it: the next server may bind while they end. */
	if (!l->unlink)
		reuse(l->fd, 1);
	return listen(l->fd, BACKLOG) ? cannot(l, -errno, e) : 0;
}

void vt_listener_unlink(struct vt_listener *l)
{
	struct stat st;

	/* As long as the socket is open, nothing else is given its number. */
	if (l->unlink && !lstat(l->unlink, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->unlink);
	l->unlink = NULL;
}

void vt_listener_close(struct vt_listener *l)
{
	vt_listener_unlink(l);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}
