// SPDX-License-Identifier: Apache-2.0
/* parse.c - an event's text to its encoding: sysfs, raw, perf's own names, libpfm4. Opens nothing. */
#include "events/events.h"
#include "events/sysfs_pmu.h"

#include <perfmon/pfmlib.h>
#include <perfmon/pfmlib_perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HW(c)	       PERF_TYPE_HARDWARE, PERF_COUNT_HW_##c, VT_CLASS_HW
#define SW(c)	       PERF_TYPE_SOFTWARE, PERF_COUNT_SW_##c, VT_CLASS_SW
#define CACHE(id, res) PERF_TYPE_HW_CACHE, (PERF_COUNT_HW_CACHE_##id | (res) << 16), VT_CLASS_HW
#define ACCESS	       PERF_COUNT_HW_CACHE_RESULT_ACCESS
#define MISS	       PERF_COUNT_HW_CACHE_RESULT_MISS

/* Names that perf defines for every machine. The cache rows are reads (operation 0). */
static const struct perf_name {
	const char *name;
	uint32_t type;
	uint64_t config;
	enum vt_event_class cls;
} perf_names[] = {
	{"cycles", HW(CPU_CYCLES)},
	{"cpu-cycles", HW(CPU_CYCLES)},
	{"ref-cycles", HW(REF_CPU_CYCLES)},
	{"instructions", HW(INSTRUCTIONS)},
	{"cache-references", HW(CACHE_REFERENCES)},
	{"cache-misses", HW(CACHE_MISSES)},
	{"branch-instructions", HW(BRANCH_INSTRUCTIONS)},
	{"branch-misses", HW(BRANCH_MISSES)},
	{"bus-cycles", HW(BUS_CYCLES)},
	{"stalled-cycles-frontend", HW(STALLED_CYCLES_FRONTEND)},
	{"stalled-cycles-backend", HW(STALLED_CYCLES_BACKEND)},
	{"L1-dcache-loads", CACHE(L1D, ACCESS)},
	{"L1-dcache-load-misses", CACHE(L1D, MISS)},
	{"LLC-loads", CACHE(LL, ACCESS)},
	{"LLC-load-misses", CACHE(LL, MISS)},
	{"node-loads", CACHE(NODE, ACCESS)},
	{"node-load-misses", CACHE(NODE, MISS)},
	{"cpu-clock", SW(CPU_CLOCK)},
	{"task-clock", SW(TASK_CLOCK)},
	{"page-faults", SW(PAGE_FAULTS)},
	{"minor-faults", SW(PAGE_FAULTS_MIN)},
	{"major-faults", SW(PAGE_FAULTS_MAJ)},
	{"context-switches", SW(CONTEXT_SWITCHES)},
	{"cpu-migrations", SW(CPU_MIGRATIONS)},
	{"alignment-faults", SW(ALIGNMENT_FAULTS)},
	{"emulation-faults", SW(EMULATION_FAULTS)},
};

/* "NAME:uk" on names that are not libpfm4's. Cuts the modifiers off @name. */
static int cut_modifiers(char *name, struct vt_event *ev)
{
	char *colon = strchr(name, ':');

	if (!colon)
		return 0;
	if (!colon[1] || colon[1 + strspn(colon + 1, "uk")])
		return -EINVAL;
	ev->exclude_kernel = !strchr(colon, 'k');
	ev->exclude_user = !strchr(colon, 'u');
	*colon = '\0';
	return 0;
}

static bool parse_raw(const char *name, struct vt_event *ev)
{
	size_t digits = strspn(name + (*name == 'r'), "0123456789abcdefABCDEF");

	if (*name != 'r' || digits < 1 || digits > 16 || name[1 + digits])
		return false;
	ev->type = PERF_TYPE_RAW;
	ev->config = strtoull(name + 1, NULL, 16);
	ev->cls = VT_CLASS_HW;
	ev->source = VT_EVSRC_RAW;
	return true;
}

static bool parse_perf_name(const char *name, struct vt_event *ev)
{
	for (size_t i = 0; i < sizeof(perf_names) / sizeof(perf_names[0]); i++) {
		const struct perf_name *p = &perf_names[i];

		if (strcmp(name, p->name))
			continue;
		ev->type = p->type;
		ev->config = p->config;
		ev->cls = p->cls;
		ev->source = p->cls == VT_CLASS_SW ? VT_EVSRC_SOFTWARE : VT_EVSRC_GENERIC;
		return true;
	}
	return false;
}

static int pfm_state = PFM_ERR_NOINIT;

static void pfm_start(void)
{
	pfm_state = pfm_initialize();
}

static int parse_pfm(const char *text, struct vt_event *ev, struct vt_err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct perf_event_attr attr = {.size = sizeof(attr)};
	pfm_perf_encode_arg_t arg = {.attr = &attr, .size = sizeof(arg)};
	int err;

	pthread_once(&once, pfm_start);
	err = pfm_state;
	if (err == PFM_SUCCESS)
		err = pfm_get_os_event_encoding(text, PFM_PLM0 | PFM_PLM3, PFM_OS_PERF_EVENT, &arg);
	if (err != PFM_SUCCESS)
		return vt_fail(
			e, err == PFM_ERR_NOTFOUND || err == PFM_ERR_NOTSUPP ? -ENOENT : -EINVAL,
			"libpfm4 on '%.100s': %s", text, pfm_strerror(err));
	ev->type = attr.type;
	ev->config = attr.config;
	ev->config1 = attr.config1;
	ev->config2 = attr.config2;
	ev->exclude_user = attr.exclude_user;
	ev->exclude_kernel = attr.exclude_kernel;
	ev->cls = attr.type == PERF_TYPE_SOFTWARE ? VT_CLASS_SW : VT_CLASS_HW;
	ev->source = VT_EVSRC_PFM;
	return 0;
}

/* A PMU in sysfs can be the clock: msr/tsc/ ticks whether anybody works or not. */
static int parse_sysfs(const char *sysfs, const char *text, struct vt_event *ev, struct vt_err *e)
{
	int err = vt_sysfs_pmu_encode(sysfs, text, ev, e);
	bool clock = !strncmp(text, "msr/", 4);

	if (err)
		return err;
	ev->cls = clock || ev->type == PERF_TYPE_SOFTWARE ? VT_CLASS_SW : VT_CLASS_HW;
	ev->source = clock ? VT_EVSRC_TSC : VT_EVSRC_SYSFS;
	return 0;
}

int vt_event_parse(const struct vt_event_env *env, const char *text, struct vt_event *ret,
		   struct vt_err *e)
{
	struct vt_event ev = {.doc = "", .scale = 1, .quality = VT_QUALITY_USER};
	char name[sizeof(ev.name)];
	int err = 0;

	if (!*text)
		return vt_fail(e, -EINVAL, "empty event name");
	if ((size_t)snprintf(name, sizeof(name), "%s", text) >= sizeof(name))
		return vt_fail(e, -EINVAL, "event name too long: '%.60s...'", text);
	memcpy(ev.name, name, sizeof(name));
	if (strchr(text, '/')) {
		err = parse_sysfs(env->sysfs ? env->sysfs : "/sys", text, &ev, e);
		ev.quality = VT_QUALITY_USER;
	} else if (cut_modifiers(name, &ev) ||
		   (!parse_raw(name, &ev) && !parse_perf_name(name, &ev))) {
		ev.exclude_user = ev.exclude_kernel = false;
		err = parse_pfm(text, &ev, e);
	}
	if (!err)
		*ret = ev;
	return err;
}

int vt_event_override(struct vt_event_overrides *set, const char *arg, struct vt_err *e)
{
	const char *eq = strchr(arg, '=');
	enum vt_role role;
	char name[32];
	int err;

	if (!eq || eq == arg || !eq[1])
		return vt_fail(e, -EINVAL,
			       "'%.80s': write ROLE=EVENT, for example llc_misses=r412e", arg);
	snprintf(name, sizeof(name), "%.*s", (int)(eq - arg), arg);
	err = vt_role_parse(name, &role, e);
	if (err)
		return err;
	if (set->text[role][0])
		return vt_fail(e, -EINVAL, "the event of %s is given twice: '%.60s' and '%.60s'",
			       vt_role_name(role), set->text[role], eq + 1);
	if (strlen(eq + 1) >= sizeof(set->text[role]))
		return vt_fail(e, -EINVAL, "event name too long: '%.60s...'", eq + 1);
	snprintf(set->text[role], sizeof(set->text[role]), "%s", eq + 1);
	return 0;
}
