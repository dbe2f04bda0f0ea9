// SPDX-License-Identifier: Apache-2.0
/* bubble.c - press on the caches and the memory of this machine, at one of five levels. */
#include "cli/cli.h"
#include "cli/cmds.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "exec/bubble.h"

#define NAME	  "bubble"
#define POLL_NS	  (20 * VT_NS_PER_MS)
#define DEFAULT_S 10
#define NO_LEVEL  UINT64_MAX

static volatile sig_atomic_t stopped;

struct args {
	uint64_t level, secs;
	struct vt_cpuset cores;
	bool json;
};

enum { OPT_JSON = 256 };

static const struct argp_option options[] = {
	{"level", 'l', "L", 0,
	 "Press at this level, 0 (silence) to 4 (the heaviest there is room for)", 0},
	{"cores", 'c', "LIST", 0,
	 "On these cores, for example 1 or 4-7 (default: the upper half of those allowed)", 0},
	{"secs", 's', "N", 0, "For so long (default 10; 0: until SIGINT or SIGTERM)", 0},
	{"json", OPT_JSON, NULL, 0, "Machine-readable result on standard output", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct args *a = st->input;

	switch (key) {
	case 'l':
		if (vt_parse_u64(arg, 0, VT_LEVELS - 1, &a->level))
			argp_error(st, "--level '%s': give a whole number from 0 to %u", arg,
				   VT_LEVELS - 1);
		return 0;
	case 's':
		if (vt_parse_u64(arg, 0, 86400, &a->secs))
			argp_error(st, "--secs '%s': give a whole number from 0 to 86400", arg);
		return 0;
	case 'c':
		if (vt_cpuset_parse(arg, &a->cores))
			argp_error(st, "--cores '%s': give a list such as 0-3,8", arg);
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(st, "'%s': nothing is expected here", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void on_signal(int sig)
{
	stopped = 1;
}

/* The first allowed core that the bubble leaves alone; -1: none. */
static int probe_core(const struct vt_cpuset *bubble)
{
	struct vt_cpuset allowed;

	if (vt_cpuset_allowed(&allowed))
		return -1;
	for (int c = vt_cpuset_next(&allowed, 0); c >= 0;
	     c = vt_cpuset_next(&allowed, (unsigned int)c + 1))
		if (!vt_cpuset_has(bubble, (unsigned int)c))
			return c;
	return -1;
}

static json_t *level_json(const struct vt_bubble_scale *s, uint32_t l)
{
	return json_pack("{s:i s:I s:f s:f s:o}", "level", (int)l, "footprint_bytes",
			 (json_int_t)s->level[l].footprint_bytes, "duty",
			 (double)s->level[l].duty_ppm / VT_PPM, "gb_per_s",
			 (double)s->bytes_per_s[l] / 1e9, "probe_slowdown",
			 s->probed ? json_real((double)s->slowdown_ppm[l] / VT_PPM) : json_null());
}

static void print_level(const struct vt_bubble_scale *s, uint32_t l)
{
	printf("level %u: %4zu MiB, %5.1f %% of the time, %6.1f GB/s", l,
	       s->level[l].footprint_bytes >> 20, (double)s->level[l].duty_ppm / VT_PPM * 100,
	       (double)s->bytes_per_s[l] / 1e9);
	if (s->probed)
		printf("; slows the probe by a factor of %.2f",
		       (double)s->slowdown_ppm[l] / VT_PPM);
	putchar('\n');
}

static void print_scale(const struct vt_bubble_scale *s, int probe, bool json)
{
	json_t *levels = json_array(), *j;

	for (uint32_t l = 0; l < VT_LEVELS; l++) {
		json_array_append_new(levels, level_json(s, l));
		if (!json)
			print_level(s, l);
	}
	j = json_pack("{s:b s:o s:o}", "by_bandwidth", s->by_bandwidth, "probe_core",
		      probe >= 0 ? json_integer(probe) : json_null(), "levels", levels);
	if (json) {
		json_dumpf(j, stdout, JSON_REAL_PRECISION(6));
		putchar('\n');
	} else if (!s->probed) {
		puts("no core is left for the probe: levels are steps of bandwidth");
	} else if (s->by_bandwidth) {
		puts("the heaviest bubble does next to nothing to the probe: these cores share no "
		     "cache "
		     "and no tight path to memory; levels are steps of bandwidth");
	}
	json_decref(j);
}

static void press(struct vt_bubble *b, const struct args *a, const struct vt_bubble_scale *s)
{
	const uint32_t l = (uint32_t)a->level;
	const uint64_t t0 = vt_now_mono_ns(), bytes0 = vt_bubble_bytes(b);
	const uint64_t end = a->secs ? t0 + a->secs * VT_NS_PER_S : UINT64_MAX;
	double secs, gbps;

	if (!a->json) {
		print_level(s, l);
		fflush(stdout);
	}
	vt_bubble_set(b, s->level[l]);
	while (!stopped && vt_now_mono_ns() < end)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + POLL_NS);
	vt_bubble_set(b, (struct vt_bubble_setting){0});
	secs = (double)(vt_now_mono_ns() - t0) / 1e9;
	gbps = (double)(vt_bubble_bytes(b) - bytes0) / secs / 1e9;
	if (a->json) {
		json_t *j = level_json(s, l);

		json_object_set_new(j, "secs", json_real(secs));
		json_object_set_new(j, "gb_per_s", json_real(gbps));
		json_dumpf(j, stdout, JSON_REAL_PRECISION(6));
		putchar('\n');
		json_decref(j);
	} else {
		printf("%.1f s, %.1f GB/s\n", secs, gbps);
	}
}

/* Cores not given: the upper half of those allowed, so that a probe and a layer have the lower. */
static void default_cores(struct vt_cpuset *cores)
{
	struct vt_cpuset allowed;
	unsigned int skip;
	int c = -1;

	if (vt_cpuset_count(cores) ||
	    vt_cpuset_allowed(&allowed)) /* vt_bubble_open() says why not */
		return;
	skip = vt_cpuset_count(&allowed) / 2;
	for (c = vt_cpuset_next(&allowed, 0); c >= 0;
	     c = vt_cpuset_next(&allowed, (unsigned int)c + 1))
		if (skip)
			skip--;
		else
			vt_cpuset_add(cores, (unsigned int)c);
}

static int check_memory(struct vt_err *e)
{
	uint64_t need, have;

	if (vt_bubble_fits(NULL, &need, &have))
		return 0;
	return vt_fail(e, -ENOMEM,
		       "the bubble and its probe need %" PRIu64 " MiB and as much again, and there "
		       "are %" PRIu64 " MiB of memory left",
		       need >> 20, have >> 20);
}

int vt_cmd_bubble(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Press on caches and memory: an aggressor that reads and writes through a "
		       "footprint. Without --level: find the five levels and print them."
		       "\vA level is what the bubble does to a reference probe on another core: 4 "
		       "is the heaviest there is room for, L slows the probe by L/4 of that. "
		       "Finding the levels takes one or two seconds, before --secs begin.",
	};
	struct args a = {.level = NO_LEVEL, .secs = DEFAULT_S};
	struct sigaction act = {.sa_handler = on_signal};
	struct vt_bubble_scale scale;
	struct vt_bubble *b = NULL;
	struct vt_err e = {0};
	int err, probe;

	vt_cmd_parse(&argp, argc, argv, &a);
	default_cores(&a.cores);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	probe = probe_core(&a.cores);
	err = check_memory(&e);
	if (!err)
		err = vt_bubble_open(&b, &a.cores, &e);
	if (!err)
		err = vt_bubble_calibrate(b, probe, &scale, &e);
	if (!err && a.level == NO_LEVEL)
		print_scale(&scale, probe, a.json);
	else if (!err)
		press(b, &a, &scale);
	vt_bubble_close(b);
	return err ? vt_cmd_fail(NAME, &e) : VT_EXIT_OK;
}
