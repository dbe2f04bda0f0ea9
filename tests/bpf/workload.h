/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workload.h - tenants that touch exactly as many fresh pages as they are told.
 *
 * Each tenant is a process that waits for an order, touches pages and says so. Whatever it needs
 * for that is touched beforehand, so that the pages of the order are its only faults; the kernel's
 * own count (getrusage) comes back with the answer and must agree.
 */
#ifndef VT_TESTS_BPF_WORKLOAD_H
#define VT_TESTS_BPF_WORKLOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct toucher {
	pid_t pid;
	int order, answer; /* pipes, the parent's ends */
};

struct touch_reply {
	uint64_t faults; /* by getrusage, around the touching */
};

static inline uint64_t minor_faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)u.ru_minflt;
}

/* Without the sanitizer's checks, which would touch shadow pages besides. */
__attribute__((noinline, unused, no_sanitize("address"))) static void
touch(volatile char *p, uint64_t pages, long page)
{
	for (uint64_t i = 0; i < pages; i++)
		p[i * (uint64_t)page] = 1;
}

static inline _Noreturn void toucher_main(int order, int answer, uint64_t max_pages)
{
	long page = sysconf(_SC_PAGESIZE);
	char *mem = mmap(NULL, (max_pages + 1) * (size_t)page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct touch_reply reply = {0};
	uint64_t pages = 0, used = 0;

	if (mem == MAP_FAILED)
		_exit(1);
	madvise(mem, (max_pages + 1) * (size_t)page, MADV_NOHUGEPAGE);
	/* Once around with nothing to do: code, stack and the reply's page are then all there. */
	for (int warm = 0; warm < 2; warm++) {
		reply.faults = minor_faults();
		touch(mem, 0, page);
		reply.faults = minor_faults() - reply.faults;
	}
	reply.faults = 0;
	while (write(answer, &reply, sizeof(reply)) == sizeof(reply) &&
	       read(order, &pages, sizeof(pages)) == sizeof(pages) && used + pages <= max_pages) {
		reply.faults = minor_faults();
		touch(mem + used * (uint64_t)page, pages, page);
		reply.faults = minor_faults() - reply.faults;
		used += pages;
	}
	_exit(0);
}

static inline bool toucher_order(struct toucher *t, uint64_t pages)
{
	return write(t->order, &pages, sizeof(pages)) == sizeof(pages);
}

static inline bool toucher_wait(struct toucher *t, uint64_t *faults)
{
	struct touch_reply r;

	if (read(t->answer, &r, sizeof(r)) != sizeof(r))
		return false;
	*faults = r.faults;
	return true;
}

/** toucher_start - @cgroup: a cgroup.procs file to enter first, or NULL. Returns after it is warm.
 */
static inline bool toucher_start(struct toucher *t, uint64_t max_pages, const char *cgroup)
{
	int order[2], answer[2];
	uint64_t none;

	if (pipe(order))
		return false;
	if (pipe(answer)) {
		close(order[0]);
		close(order[1]);
		return false;
	}
	t->pid = fork();
	if (t->pid == 0) {
		FILE *f;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		f = cgroup ? fopen(cgroup, "we") : NULL;
		if (cgroup && (!f || fprintf(f, "0") < 0 || fclose(f)))
			_exit(1);
		close(order[1]);
		close(answer[0]);
		toucher_main(order[0], answer[1], max_pages);
	}
	close(order[0]);
	close(answer[1]);
	t->order = order[1];
	t->answer = answer[0];
	/* An order for nothing goes the whole way once: its faults are not the next order's. */
	return t->pid > 0 && toucher_wait(t, &none) && toucher_order(t, 0) &&
	       toucher_wait(t, &none);
}

static inline void toucher_stop(struct toucher *t)
{
	close(t->order);
	close(t->answer);
	if (t->pid <= 0)
		return;
	/* Closing is not enough: tenants forked later hold the same pipes. */
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	t->pid = 0;
}

#endif
