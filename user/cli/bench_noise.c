// SPDX-License-Identifier: Apache-2.0
/* bench_noise.c - trouble beside the models: a command with its own process group, stopped and continued. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/bench_cli.h"

#define BUBBLE_MS 30000

struct bench_noise {
	const char *option; /* that asked for it */
	pid_t pid;	    /* leads its group; 0: there is none */
	int in;		    /* what the bubble prints */
	uint64_t period_ns, next_ns;
	bool on, reaped; /* reaped: what was started has ended, others of its group may not have */
};

static void child(const struct bench_opts *o, int out, pid_t parent)
{
	char level[8];

	setpgid(0, 0);
	/* Whatever ends the bench, SIGKILL too; stopped, it would stay for ever. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	/* It must not write between our lines. */
	dup2(o->aggressor ? STDERR_FILENO : out, STDOUT_FILENO);
	if (o->aggressor) {
		execl("/bin/sh", "sh", "-c", o->aggressor, (char *)NULL);
	} else {
		snprintf(level, sizeof(level), "%u", (unsigned int)o->bubble);
		execl("/proc/self/exe", "veltair", "bubble", "--secs", "0", "--level", level,
		      o->bubble_cores ? "--cores" : (char *)NULL, o->bubble_cores, (char *)NULL);
	}
	_exit(127);
}

/** The bubble finds out what its level means here, and says so in its first line. */
static int await_bubble(int in, struct vt_err *e)
{
	struct pollfd p = {in, POLLIN, 0};
	char line[256];
	int rc = poll(&p, 1, BUBBLE_MS);

	if (rc == 0)
		return vt_fail(e, -ETIMEDOUT, "--bubble: it did not begin in %d s",
			       BUBBLE_MS / 1000);
	return rc > 0 && read(in, line, sizeof(line)) > 0
		       ? 0
		       : vt_fail(e, -EINVAL, "--bubble: it cannot run here, see above");
}

static int await_start(struct bench_noise *n, const struct bench_opts *o, int in, struct vt_err *e)
{
	int status;

	if (!o->aggressor)
		return await_bubble(in, e);
	/* What cannot run has ended by now; what warms up has begun. */
	vt_sleep_until_mono_ns(vt_now_mono_ns() + VT_NS_PER_S / 2);
	if (waitpid(n->pid, &status, WNOHANG) != n->pid)
		return 0;
	n->pid = 0;
	return vt_fail(e, -EINVAL, "--aggressor: it ended at once, with status %d",
		       WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

int bench_noise_open(struct bench *b, struct vt_err *e)
{
	const struct bench_opts *o = b->o;
	struct bench_noise *n;
	const pid_t parent = getpid();
	int rc, out[2];

	if (!o->aggressor && !(o->has_bubble && o->bubble))
		return 0;
	n = calloc(1, sizeof(*n));
	if (!n || pipe2(out, O_CLOEXEC)) {
		free(n);
		return vt_fail(e, -ENOMEM, "no memory or no pipe for what runs beside");
	}
	b->noise = n;
	n->option = o->aggressor ? "--aggressor" : "--bubble";
	n->period_ns = (uint64_t)(o->aggressor_period_s * 1e9);
	n->in = out[0];
	n->pid = fork();
	if (!n->pid)
		child(o, out[1], parent);
	b->beside = n->pid;
	close(out[1]);
	if (n->pid < 0)
		return vt_fail(e, -errno, "fork: %s", strerror(errno));
	setpgid(n->pid, n->pid);
	rc = await_start(n, o, n->in, e);
	/* Times alone are taken without it. */
	if (!rc)
		kill(-n->pid, SIGSTOP);
	return rc;
}

void bench_noise_restart(struct bench_noise *n)
{
	if (!n || !n->period_ns)
		return;
	kill(-n->pid, SIGSTOP);
	n->on = false;
	n->next_ns = 0;
}

bool bench_noise_tick(struct bench_noise *n, uint64_t now_mono_ns)
{
	if (!n)
		return false;
	if (now_mono_ns < n->next_ns || (n->on && !n->period_ns))
		return n->on;
	n->on = !n->on;
	kill(-n->pid, n->on ? SIGCONT : SIGSTOP);
	n->next_ns = now_mono_ns + n->period_ns;
	return n->on;
}

int bench_noise_check(struct bench_noise *n, struct vt_err *e)
{
	if (!n)
		return 0;
	n->reaped = n->reaped || waitpid(n->pid, NULL, WNOHANG) == n->pid;
	/* A shell that left its work behind in its group has not ended yet. */
	if (!n->reaped || !kill(-n->pid, 0))
		return 0;
	n->pid = 0;
	return vt_fail(e, -EIO, "%s: it ended by itself, so nothing is beside the rest", n->option);
}

void bench_noise_close(struct bench_noise *n)
{
	if (!n)
		return;
	if (n->pid > 0)
		kill(-n->pid, SIGKILL);
	while (n->pid > 0 && !n->reaped && waitpid(n->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(n->in);
	free(n);
}
