// SPDX-License-Identifier: Apache-2.0
/*
 * conformance [-q] DIR [NAME...] - ONNX's own test data through the whole engine
 *
 * Each case runs in a process of its own under a time limit, so a crash is one failed case. Prints
 * a line per case, totals per category, and exits 1 if any case fails or too few pass.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"

#define LIMIT_S 30

/* What passes of libonnx-testdata 1.12, Debian 12's; newer ones have more. Fewer: an operator or a type was lost. */
static const struct category {
	const char *name;
	int need; /* cases that must pass when all of them are run */
} categories[] = {
	{"node", 697},
	{"pytorch-converted", 82},
	{"pytorch-operator", 35},
	{"simple", 7},
};

static const char *const words[] = {"pass", "SKIP", "FAIL"};

struct result {
	enum verdict verdict;
	char why[600];
};

static bool quiet;

static void in_child(const char *dir, int to)
{
	struct result r = {0};

	alarm(LIMIT_S);
	r.verdict = run_case(dir, r.why, sizeof(r.why));
	if (write(to, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(2);
	_exit(0);
}

static void run_apart(const char *dir, struct result *r)
{
	int fd[2], status = 0;
	ssize_t n;
	pid_t pid;

	*r = (struct result){FAIL, "cannot start a process"};
	if (pipe(fd))
		return;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(fd[0]);
		in_child(dir, fd[1]);
	}
	close(fd[1]);
	n = pid > 0 ? read(fd[0], r, sizeof(*r)) : -1;
	close(fd[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (n == (ssize_t)sizeof(*r))
		return;
	r->verdict = FAIL;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(r->why, sizeof(r->why), "took longer than %d s", LIMIT_S);
	else
		snprintf(r->why, sizeof(r->why), "died: %s",
			 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "no result");
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static bool chosen(const char *name, char **only, int n)
{
	for (int i = 0; i < n; i++)
		if (strstr(name, only[i]))
			return true;
	return !n;
}

static int run_category(const char *root, const struct category *c, char **only, int n_only,
			int *total)
{
	struct dirent **list;
	char dir[4096];
	struct result r;
	int count[3] = {0}, n, bad;

	snprintf(dir, sizeof(dir), "%s/%s", root, c->name);
	n = scandir(dir, &list, visible, alphasort);
	if (n < 0) {
		fprintf(stderr, "conformance: %s: no such folder (package libonnx-testdata)\n",
			dir);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		if (chosen(list[i]->d_name, only, n_only)) {
			snprintf(dir, sizeof(dir), "%s/%s/%s", root, c->name, list[i]->d_name);
			run_apart(dir, &r);
			count[r.verdict]++;
			if (!quiet || r.verdict == FAIL)
				printf("%s %s/%s%s%s\n", words[r.verdict], c->name, list[i]->d_name,
				       r.verdict == PASS ? "" : ": ",
				       r.verdict == PASS ? "" : r.why);
		}
		free(list[i]);
	}
	free(list);
	bad = count[FAIL] || (!n_only && count[PASS] < c->need);
	printf("%s: %d passed, %d failed, %d skipped\n", c->name, count[PASS], count[FAIL],
	       count[SKIP]);
	if (!n_only && count[PASS] < c->need)
		printf("TOO FEW PASSED of %s: %d must; without -q the skipped say why they are\n",
		       c->name, c->need);
	for (int i = 0; i < 3; i++)
		total[i] += count[i];
	return bad;
}

int main(int argc, char **argv)
{
	int total[3] = {0}, bad = 0, at = 1;

	if (at < argc && !strcmp(argv[at], "-q")) {
		quiet = true;
		at++;
	}
	if (at >= argc) {
		fprintf(stderr, "usage: conformance [-q] DIR [NAME...]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(categories) / sizeof(categories[0]); i++)
		bad |= run_category(argv[at], &categories[i], argv + at + 1, argc - at - 1, total);
	printf("%d passed, %d failed, %d skipped\n", total[PASS], total[FAIL], total[SKIP]);
	return bad;
}
