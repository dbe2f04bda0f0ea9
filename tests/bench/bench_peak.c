// SPDX-License-Identifier: Apache-2.0
/*
 * bench_peak.c - the peak of N cores, as an engine that takes its turn in scripts/bench-ort.js.
 *
 *	bench_peak N
 *
 * Speaks the language of `veltair run --interactive`: says {"ready":true,"gflop":G}, then answers
 * "run K" with {"ms":[...]}, K times G floating-point operations on N cores at once, until "quit".
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpuset.h"
#include "tests/bench/peak.h"

#define MAX_THREADS 256

struct gang {
	int n;
	bool quit;
	pthread_barrier_t start, end;
};

struct member {
	struct gang *gang;
	int core;
};

static void *work(void *arg)
{
	struct member *m = arg;

	vt_cpuset_pin_self((unsigned int)m->core);
	for (;;) {
		pthread_barrier_wait(&m->gang->start);
		if (m->gang->quit)
			return NULL;
		vt_peak_flops();
		pthread_barrier_wait(&m->gang->end);
	}
}

static void run(struct gang *g, unsigned long times)
{
	for (unsigned long i = 0; i < times; i++) {
		uint64_t t0 = vt_now_mono_ns();

		pthread_barrier_wait(&g->start);
		pthread_barrier_wait(&g->end);
		printf("%s%.6f", i ? ", " : "{\"ms\": [", (double)(vt_now_mono_ns() - t0) / 1e6);
	}
	printf("%s]}\n", times ? "" : "{\"ms\": [");
	fflush(stdout);
}

static bool start_threads(struct gang *g, struct member *m, pthread_t *t)
{
	struct vt_cpuset cores;
	int core = -1;

	if (vt_cpuset_allowed(&cores) || vt_cpuset_count(&cores) < (unsigned int)g->n)
		return false;
	pthread_barrier_init(&g->start, NULL, (unsigned int)g->n + 1);
	pthread_barrier_init(&g->end, NULL, (unsigned int)g->n + 1);
	for (int i = 0; i < g->n; i++) {
		core = vt_cpuset_next(&cores, (unsigned int)(core + 1));
		m[i] = (struct member){g, core};
		if (pthread_create(&t[i], NULL, work, &m[i]))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct member members[MAX_THREADS];
	static pthread_t threads[MAX_THREADS];
	struct gang g = {.n = argc > 1 ? atoi(argv[1]) : 1};
	double flops = vt_peak_flops();
	char line[64];

	if (g.n < 1 || g.n > MAX_THREADS || !start_threads(&g, members, threads)) {
		fprintf(stderr, "bench_peak: give 1 to as many threads as there are cores\n");
		return 2;
	}
	printf("{\"ready\": true, \"gflop\": %.6f}\n", flops * g.n / 1e9);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && !strncmp(line, "run ", 4))
		run(&g, strtoul(line + 4, NULL, 10));
	g.quit = true;
	pthread_barrier_wait(&g.start);
	for (int i = 0; i < g.n; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
