// SPDX-License-Identifier: Apache-2.0
#include "load/peer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define START_NS       (120 * VT_NS_PER_S)
#define LINE_MAX_BYTES 256

/** The process of one tenant. */
struct tenant {
	pid_t pid;
	int in, out; /* its stdin and stdout; -1: closed */
	char *unsent;
	size_t n_unsent, cap_unsent;
	char line[LINE_MAX_BYTES];
	size_t n_line;
};

struct vt_peer {
	int epoll;
	uint32_t n;
	const uint64_t *qos_ns;
	struct vt_shot *shots;
	size_t n_shots;
	uint32_t dead; /* processes */
	char why[128]; /* the first of them */
	struct tenant tenant[];
};

/* ---- processes ---------------------------------------------------------------------------- */

static void child(const char *command, const char *model, const int *to, const int *from)
{
	char script[4096];

	setpgid(0, 0);
	dup2(to[0], STDIN_FILENO);
	dup2(from[1], STDOUT_FILENO);
	snprintf(script, sizeof(script), "exec %s \"$0\"", command);
	execl("/bin/sh", "sh", "-c", script, model, (char *)NULL);
	_exit(127);
}

static int spawn(struct vt_peer *p, struct tenant *t, const char *command, const char *model,
		 struct vt_err *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = t};
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC))
		return vt_fail(e, -errno, "pipe: %s", strerror(errno));
	if (pipe2(from, O_CLOEXEC)) {
		close(to[0]);
		close(to[1]);
		return vt_fail(e, -errno, "pipe: %s", strerror(errno));
	}
	t->pid = fork();
	if (!t->pid)
		child(command, model, to, from);
	close(to[0]);
	close(from[1]);
	t->in = to[1];
	t->out = from[0];
	fcntl(t->in, F_SETFL, O_NONBLOCK);
	fcntl(t->out, F_SETFL, O_NONBLOCK);
	if (t->pid < 0)
		return vt_fail(e, -errno, "fork: %s", strerror(errno));
	if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, t->out, &ev))
		return vt_fail(e, -errno, "epoll: %s", strerror(errno));
	return 0;
}

static void died(struct vt_peer *p, struct tenant *t, const char *why)
{
	uint32_t who = (uint32_t)(t - p->tenant);

	if (!p->dead)
		snprintf(p->why, sizeof(p->why), "%s", why);
	close(t->in);
	close(t->out); /* leaves the epoll set with it */
	t->in = t->out = -1;
	p->dead++;
	for (size_t i = 0; i < p->n_shots; i++) {
		struct vt_shot *s = &p->shots[i];

		if (s->tenant == who && s->sent_mono_ns && !s->how)
			vt_shot_end(s, VT_SHOT_FAILED, vt_now_mono_ns());
	}
}

/* ---- lines -------------------------------------------------------------------------------- */

/** An answer: "ID" or "ID drop". Anything else ends the peer, for its answers mean nothing. */
static void answered(struct vt_peer *p, struct tenant *t, const char *line, uint64_t now)
{
	char *end;
	unsigned long long id = strtoull(line, &end, 10);
	bool drop = !strcmp(end, " drop");

	if (end == line || (*end && !drop) || id >= p->n_shots || p->shots[id].how ||
	    &p->tenant[p->shots[id].tenant] != t) {
		char said[40], why[128];

		vt_utf8_put(said, sizeof(said), line);
		snprintf(why, sizeof(why), "answered '%s', which is no open request of its", said);
		died(p, t, why);
		return;
	}
	vt_shot_end(&p->shots[id], drop ? VT_SHOT_REFUSED : VT_SHOT_DONE, now);
}

/** Take the bytes in t->line apart; what is left is the beginning of a line. */
static void take_lines(struct vt_peer *p, struct tenant *t, uint64_t now)
{
	size_t from = 0;

	for (size_t i = 0; i < t->n_line; i++) {
		if (t->line[i] != '\n')
			continue;
		t->line[i] = '\0';
		answered(p, t, t->line + from, now);
		if (t->out < 0)
			return;
		from = i + 1;
	}
	t->n_line -= from;
	memmove(t->line, t->line + from, t->n_line);
}

static void read_some(struct vt_peer *p, struct tenant *t)
{
	while (t->out >= 0) {
		uint64_t now;
		ssize_t n = read(t->out, t->line + t->n_line, sizeof(t->line) - t->n_line);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			died(p, t,
			     t->n_line == sizeof(t->line) ? "answered a line longer than any can be"
							  : "has ended");
			return;
		}
		now = vt_now_mono_ns();
		t->n_line += (size_t)n;
		take_lines(p, t, now);
	}
}

static void write_some(struct vt_peer *p, struct tenant *t)
{
	struct epoll_event ev = {.events = EPOLLOUT, .data.u64 = (uint64_t)(uintptr_t)t | 1};
	ssize_t n;

	if (t->in < 0 || !t->n_unsent)
		return;
	n = write(t->in, t->unsent, t->n_unsent);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		died(p, t, errno == EPIPE ? "has ended" : strerror(errno));
		return;
	}
	if (n > 0) {
		t->n_unsent -= (size_t)n;
		memmove(t->unsent, t->unsent + n, t->n_unsent);
	}
	/* Added at most once: a second attempt fails with EEXIST and changes nothing. */
	epoll_ctl(p->epoll, t->n_unsent ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, t->in, &ev);
}

/* ---- target ------------------------------------------------------------------------------- */

int vt_peer_check(const struct vt_peer *p, struct vt_err *e)
{
	if (!p->dead)
		return 0;
	return vt_fail(e, -EIO, "the process of %u of its %u tenants %s", p->dead, p->n, p->why);
}

static int begin(void *self, struct vt_shot *shots, size_t n, struct vt_err *e)
{
	struct vt_peer *p = self;
	int rc = vt_peer_check(p, e);

	if (rc)
		return rc;
	p->shots = shots;
	p->n_shots = n;
	return 0;
}

static void send_line(void *self, struct vt_shot *s)
{
	struct vt_peer *p = self;
	struct tenant *t = &p->tenant[s->tenant];
	char line[64];
	int len = snprintf(line, sizeof(line), "%zu %" PRIu64 "\n", (size_t)(s - p->shots),
			   p->qos_ns ? s->at_mono_ns + p->qos_ns[s->tenant] : 0);

	if (t->in < 0) {
		vt_shot_end(s, VT_SHOT_FAILED, vt_now_mono_ns());
		return;
	}
	if (t->n_unsent + (size_t)len > t->cap_unsent) {
		size_t cap = 2 * t->cap_unsent + 4096;
		char *more = realloc(t->unsent, cap);

		if (!more) {
			vt_shot_end(s, VT_SHOT_FAILED, vt_now_mono_ns());
			return;
		}
		t->unsent = more;
		t->cap_unsent = cap;
	}
	memcpy(t->unsent + t->n_unsent, line, (size_t)len);
	t->n_unsent += (size_t)len;
	write_some(p, t);
}

static void poll_peer(void *self)
{
	struct vt_peer *p = self;
	struct epoll_event ev[16];
	int n = epoll_wait(p->epoll, ev, 16, 0);

	for (int i = 0; i < n; i++) {
		struct tenant *t = (struct tenant *)(uintptr_t)(ev[i].data.u64 & ~1ull);

		if (ev[i].data.u64 & 1)
			write_some(p, t);
		else
			read_some(p, t);
	}
}

static int peer_fd(void *self)
{
	return ((struct vt_peer *)self)->epoll;
}

static void end(void *self)
{
	struct vt_peer *p = self;

	p->shots = NULL;
	p->n_shots = 0;
}

struct vt_target vt_peer_target(struct vt_peer *p)
{
	return (struct vt_target){begin, send_line, poll_peer, peer_fd, end, p};
}

void vt_peer_deadlines(struct vt_peer *p, const uint64_t *qos_ns)
{
	p->qos_ns = qos_ns;
}

/* ---- open and close ----------------------------------------------------------------------- */

/** Its first line must be "ready". */
static int await_ready(struct tenant *t, uint64_t until, const char *command, struct vt_err *e)
{
	while (!memchr(t->line, '\n', t->n_line)) {
		struct pollfd f = {t->out, POLLIN, 0};
		uint64_t now = vt_now_mono_ns();
		ssize_t n;

		if (now >= until)
			return vt_fail(e, -ETIMEDOUT, "'%.80s' did not say 'ready' in time",
				       command);
		poll(&f, 1, 100);
		n = read(t->out, t->line + t->n_line, sizeof(t->line) - t->n_line);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return vt_fail(e, -EINVAL, "'%.80s' ended before it said 'ready'", command);
		t->n_line += (size_t)n;
	}
	if (t->n_line != 6 || memcmp(t->line, "ready\n", 6) != 0)
		return vt_fail(e, -EINVAL, "'%.80s' said '%.*s', not 'ready'", command,
			       (int)strcspn(t->line, "\n"), t->line);
	t->n_line = 0;
	return 0;
}

int vt_peer_open(struct vt_peer **ret, const struct vt_peer_opts *o, struct vt_err *e)
{
	struct vt_peer *p = calloc(1, sizeof(*p) + o->n * sizeof(p->tenant[0]));
	int rc = 0;

	if (!p)
		return vt_fail(e, -ENOMEM, "no memory");
	p->n = o->n;
	for (uint32_t i = 0; i < o->n; i++)
		p->tenant[i].in = p->tenant[i].out = -1;
	signal(SIGPIPE, SIG_IGN);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll < 0)
		rc = vt_fail(e, -errno, "epoll: %s", strerror(errno));
	for (uint32_t i = 0; i < o->n && !rc; i++) {
		uint64_t until = vt_now_mono_ns() + (o->start_ns ? o->start_ns : START_NS);

		rc = spawn(p, &p->tenant[i], o->command, o->models[i], e);
		if (!rc)
			rc = await_ready(&p->tenant[i], until, o->command, e);
	}
	if (rc)
		vt_peer_close(p);
	else
		*ret = p;
	return rc;
}

void vt_peer_close(struct vt_peer *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->n; i++) {
		struct tenant *t = &p->tenant[i];

		if (t->in >= 0)
			close(t->in);
		if (t->out >= 0)
			close(t->out);
		if (t->pid > 0) {
			kill(-t->pid, SIGKILL);
			kill(t->pid, SIGKILL); /* its group may not exist yet */
			while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
				;
		}
		free(t->unsent);
	}
	if (p->epoll >= 0)
		close(p->epoll);
	free(p);
}
