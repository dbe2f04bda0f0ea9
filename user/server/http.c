// SPDX-License-Identifier: Apache-2.0
/* http.c - the server's life, and that of connections. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/http_int.h"

/* Of a connection: header fields, and the part of a body between socket and its own memory. */
#define CONN_BYTES    65536u
#define SCAN_EVERY_NS VT_NS_PER_S

void conn_state(struct conn *c, enum conn_state s)
{
	pthread_mutex_lock(&c->io->http->lock);
	c->state = s;
	c->since_ns = vt_now_mono_ns();
	pthread_mutex_unlock(&c->io->http->lock);
}

/* ---- connections come and go ------------------------------------------------------------------- */

static void conn_open(struct io *io, struct MHD_Connection *mhd, void **ret)
{
	struct vt_http *h = io->http;
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct conn *c = calloc(1, sizeof(*c));

	*ret = c;
	if (!c)
		return;
	c->io = io;
	c->fd = i ? i->connect_fd : -1;
	c->since_ns = vt_now_mono_ns();
	pthread_mutex_lock(&h->lock);
	c->serial = ++h->next_serial;
	c->next = h->conns;
	if (c->next)
		c->next->prev = c;
	h->conns = c;
	pthread_mutex_unlock(&h->lock);
	__atomic_fetch_add(&h->count->connections, 1, __ATOMIC_RELAXED);
}

static void conn_close(struct vt_http *h, struct conn *c)
{
	pthread_mutex_lock(&h->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		h->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&h->lock);
	__atomic_fetch_sub(&h->count->connections, 1, __ATOMIC_RELAXED);
	free(c);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **own,
			  enum MHD_ConnectionNotificationCode what)
{
	struct io *io = arg;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		conn_open(io, mhd, own);
	else if (*own)
		conn_close(io->http, *own);
}

bool vt_http_local(const struct vt_http_req *r)
{
	const struct conn *c = ((const struct req *)r)->conn;
	int domain = 0;
	socklen_t len = sizeof(domain);

	return !getsockopt(c->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX;
}

/* What libmicrohttpd has to say of single connections is for the curious. */
static void on_log(void *arg, const char *fmt, va_list ap)
{
	const struct vt_http *h = arg;
	char text[256];

	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	vt_log(h->log, VT_LOG_DEBUG, "%s", text);
}

/* ---- the server -------------------------------------------------------------------------------- */

/* One event loop, and the thread that runs it. */
static struct MHD_Daemon *start_loop(struct io *io, const struct vt_config *c, int fd)
{
	struct vt_http *h = io->http;
	/* Over the threads of an address these add up to the whole. */
	uint64_t limit = (c->max_connections + h->n_io % c->io_threads) / c->io_threads;

	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
				NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, h,
				MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
				on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, io,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned int)(limit ? limit : 1),
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_BYTES,
				MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)CONN_BYTES,
				MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

/*
 * On its own thread: only it may touch its epoll set. Called beside MHD_run() both take the listening socket out of
 * it, and the second to do so finds it gone and aborts the process.
 */
static void io_quiesce(struct io *io)
{
	MHD_socket fd = MHD_quiesce_daemon(io->daemon);

	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	io->quiet = true;
	sem_post(&io->http->quiet);
}

/*
 * libmicrohttpd's own thread takes 128 events at a time and, having got exactly 128, waits for more
 * before it looks at one of them (0.9.75, MHD_epoll()): for ever, if as many clients wait for their
 * answers. Ours does the waiting, and has it take what is there.
 */
static void *io_main(void *arg)
{
	struct io *io = arg;

	while (!io->http->stopping) {
		MHD_UNSIGNED_LONG_LONG ms;
		int wait;

		if (io->http->closing && !io->quiet)
			io_quiesce(io);
		wait = MHD_get_timeout(io->daemon, &ms) != MHD_YES ? -1
		       : ms < INT_MAX				   ? (int)ms
								   : INT_MAX;
		if (wait) /* it may have left some of the last events */
			epoll_wait(io->epoll, (struct epoll_event[2]){0}, 2, wait);
		MHD_run(io->daemon);
	}
	return NULL;
}

void io_wake(struct io *io)
{
	eventfd_write(io->wake, 1);
}

static void io_fini(struct io *io)
{
	if (io->daemon)
		MHD_stop_daemon(io->daemon);
	if (io->epoll >= 0)
		close(io->epoll);
	if (io->wake >= 0)
		close(io->wake);
}

/* What its thread waits for: the daemon's own set, and being woken, which by its edge needs no read. */
static int io_watch(struct io *io)
{
	struct epoll_event ready = {.events = EPOLLIN}, woken = {.events = EPOLLIN | EPOLLET};
	int of_daemon = MHD_get_daemon_info(io->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

	io->epoll = epoll_create1(EPOLL_CLOEXEC);
	io->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (io->epoll < 0 || io->wake < 0 ||
	    epoll_ctl(io->epoll, EPOLL_CTL_ADD, of_daemon, &ready) ||
	    epoll_ctl(io->epoll, EPOLL_CTL_ADD, io->wake, &woken))
		return -errno;
	return 0;
}

/* Takes @fd over. */
static int start_io(struct vt_http *h, const struct vt_config *c, int fd, struct vt_err *e)
{
	struct io *io = &h->io[h->n_io];
	char name[16];
	int rc;

	*io = (struct io){.http = h, .epoll = -1, .wake = -1};
	io->daemon = fd < 0 ? NULL : start_loop(io, c, fd);
	if (!io->daemon) {
		if (fd >= 0)
			close(fd);
		return vt_fail(e, -EIO, "libmicrohttpd does not start");
	}
	rc = io_watch(io);
	if (!rc)
		rc = -pthread_create(&io->thread, NULL, io_main, io);
	if (rc) {
		io_fini(io);
		return vt_fail(e, rc, "no event loop: %s", strerror(-rc));
	}
	snprintf(name, sizeof(name), "vt-io-%zu", h->n_io++);
	pthread_setname_np(io->thread, name);
	return 0;
}

/* The threads of one address. Each has the listening socket, under a number of its own. */
static int start_listener(struct vt_http *h, const struct vt_config *c, struct vt_listener *l,
			  struct vt_err *e)
{
	const int nice = getpriority(PRIO_PROCESS, 0);
	struct vt_err why = {0};
	int rc = 0;

	/* Threads inherit it from who starts them. */
	if (setpriority(PRIO_PROCESS, 0, nice + VT_HTTP_NICE))
		h->nice_err = errno;
	for (uint64_t i = 0; i < c->io_threads && !rc; i++) {
		bool last = i + 1 == c->io_threads;
		int fd = last ? l->fd : fcntl(l->fd, F_DUPFD_CLOEXEC, 0);

		if (last)
			l->fd = -1;
		rc = start_io(h, c, fd, &why);
	}
	setpriority(PRIO_PROCESS, 0, nice);
	return rc ? vt_fail(e, rc, "cannot serve on %s: %s", l->text, why.msg) : 0;
}

static int start_all(struct vt_http *h, const struct vt_http_opts *o, struct vt_err *e)
{
	int rc = 0;

	h->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->watch_fd < 0)
		return vt_fail(e, -errno, "cannot watch connections: %s", strerror(errno));
	h->io = calloc(o->n_listeners * o->config->io_threads, sizeof(*h->io));
	if (!h->io)
		return vt_fail(e, -ENOMEM, "no memory for the server");
	for (size_t i = 0; i < o->n_listeners && !rc; i++)
		rc = start_listener(h, o->config, &o->listener[i], e);
	if (!rc && h->nice_err)
		vt_log(h->log, VT_LOG_INFO,
		       "I/O threads wait behind busy workers (nice %d: %s), so under overload "
		       "refusals take "
		       "longer; LimitNICE=%d in a systemd unit or CAP_SYS_NICE lets them come "
		       "first",
		       VT_HTTP_NICE, strerror(h->nice_err), VT_HTTP_NICE);
	return rc;
}

int vt_http_start(struct vt_http **ret, const struct vt_http_opts *o, struct vt_err *e)
{
	struct vt_http *h = calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return vt_fail(e, -ENOMEM, "no memory for the server");
	h->routes = o->routes;
	h->log = o->log;
	h->count = o->count;
	h->max_body_bytes = o->config->max_body_bytes;
	h->max_memory_bytes = o->config->max_memory_bytes;
	h->idle_ns = o->config->idle_ms * VT_NS_PER_MS;
	h->transfer_ns = o->config->transfer_ms * VT_NS_PER_MS;
	h->watch_fd = -1;
	pthread_mutex_init(&h->lock, NULL);
	sem_init(&h->quiet, 0, 0);
	rc = start_all(h, o, e);
	if (rc)
		vt_http_stop(h);
	else
		*ret = h;
	return rc;
}

void vt_http_quiesce(struct vt_http *h)
{
	if (h->closing)
		return;
	h->closing = true;
	for (size_t i = 0; i < h->n_io; i++)
		io_wake(&h->io[i]);
	for (size_t i = 0; i < h->n_io; i++)
		while (sem_wait(&h->quiet)) /* a signal */
			;
}

uint32_t vt_http_busy(const struct vt_http *h)
{
	return h->busy;
}

void vt_http_stop(struct vt_http *h)
{
	if (!h)
		return;
	h->stopping = true;
	for (size_t i = 0; i < h->n_io; i++) {
		io_wake(&h->io[i]);
		pthread_join(h->io[i].thread, NULL);
		io_fini(&h->io[i]);
	}
	if (h->watch_fd >= 0)
		close(h->watch_fd);
	free(h->io);
	sem_destroy(&h->quiet);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- tending ----------------------------------------------------------------------------------- */

int vt_http_tend_fd(const struct vt_http *h)
{
	return h->watch_fd;
}

static struct conn *find_serial(struct vt_http *h, uint64_t serial)
{
	struct conn *c = h->conns;

	while (c && c->serial != serial)
		c = c->next;
	return c;
}

static void client_left(struct vt_http *h, uint64_t serial)
{
	void (*gone)(void *arg, uint64_t id) = NULL;
	void *arg = NULL;
	uint64_t id = 0;
	struct conn *c;

	pthread_mutex_lock(&h->lock);
	c = find_serial(h, serial);
	if (c && c->state == CONN_HELD && c->gone) {
		gone = c->gone;
		arg = c->gone_arg;
		id = c->gone_id;
	}
	pthread_mutex_unlock(&h->lock);
	if (gone) /* not under the lock: it may release the request */
		gone(arg, id);
}

static bool slow(const struct vt_http *h, const struct conn *c, uint64_t now_ns)
{
	uint64_t limit = c->state == CONN_IDLE ? h->idle_ns : h->transfer_ns;

	return c->state != CONN_HELD && now_ns > c->since_ns && now_ns - c->since_ns > limit;
}

/* Up to @max connections that take too long and have not been found before. */
static size_t find_slow(struct vt_http *h, uint64_t now_ns, uint64_t *serial, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&h->lock);
	for (struct conn *c = h->conns; c && n < max; c = c->next)
		if (!c->cut && slow(h, c, now_ns)) {
			c->cut = true;
			serial[n++] = c->serial;
		}
	pthread_mutex_unlock(&h->lock);
	return n;
}

/* As long as it is in the list, its descriptor is its own. */
static void cut(struct vt_http *h, uint64_t now_ns, uint64_t serial)
{
	struct conn *c;

	pthread_mutex_lock(&h->lock);
	c = find_serial(h, serial);
	if (c && slow(h, c, now_ns))
		shutdown(c->fd, SHUT_RDWR);
	else if (c)
		c->cut = false;
	pthread_mutex_unlock(&h->lock);
}

/*
 * Shut down what takes too long: libmicrohttpd then sees an ended connection. A trickle of bytes
 * keeps its own timeout from ever passing. One by one: workers that answer take the lock too.
 */
static void cut_slow(struct vt_http *h, uint64_t now_ns)
{
	uint64_t serial[64];
	size_t n;

	while ((n = find_slow(h, now_ns, serial, sizeof(serial) / sizeof(serial[0]))) > 0)
		for (size_t i = 0; i < n; i++)
			cut(h, now_ns, serial[i]);
}

void vt_http_tend(struct vt_http *h, uint64_t now_ns)
{
	struct epoll_event ev[64];
	int n = epoll_wait(h->watch_fd, ev, 64, 0);

	for (int i = 0; i < n; i++)
		client_left(h, ev[i].data.u64);
	if (now_ns - h->scanned_ns >= SCAN_EVERY_NS) {
		h->scanned_ns = now_ns;
		cut_slow(h, now_ns);
	}
}

/* ---- the memory of requests -------------------------------------------------------------------- */

/* The count that is exported is the one that is kept: a copy of it, written after, could end with an older value. */
bool vt_http_take(struct vt_http *h, uint64_t bytes)
{
	uint64_t was = __atomic_fetch_add(&h->count->body_bytes, bytes, __ATOMIC_RELAXED);

	if (bytes <= h->max_memory_bytes && was <= h->max_memory_bytes - bytes)
		return true;
	vt_http_give(h, bytes);
	return false;
}

void vt_http_give(struct vt_http *h, uint64_t bytes)
{
	__atomic_fetch_sub(&h->count->body_bytes, bytes, __ATOMIC_RELAXED);
}

uint64_t vt_http_room(const struct vt_http *h)
{
	uint64_t used = __atomic_load_n(&h->count->body_bytes, __ATOMIC_RELAXED);

	return used < h->max_memory_bytes ? h->max_memory_bytes - used : 0;
}
