// SPDX-License-Identifier: Apache-2.0
/* load.c - bring the programs into the kernel, and say in one line why that failed. */
#include "monitor/load.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* libbpf tells the cause only through its print hook, which has no argument: keep the last line. */
static __thread char last_line[256];

static int keep_last(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[256];
	size_t n;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	n = strcspn(line, "\n");
	line[n] = '\0';
	if (n && !strstr(line, "BEGIN PROG LOAD LOG") && !strstr(line, "END PROG LOAD LOG"))
		memcpy(last_line, line, sizeof(last_line));
	return 0;
}

static void configure(struct vt_bpf *b, const struct vt_load *l)
{
	b->rodata->vt_max_rows = l->max_rows;
	b->rodata->vt_depth = l->depth;
	b->rodata->vt_faults_slot = l->faults_slot;
	bpf_map__set_max_entries(b->maps.vt_rows, l->cpus * l->max_rows);
	bpf_map__set_max_entries(b->maps.vt_cpus, l->cpus);
	bpf_map__set_max_entries(b->maps.vt_tenants, l->max_rows);
	bpf_map__set_max_entries(b->maps.vt_free_rows, l->max_rows);
	bpf_map__set_max_entries(b->maps.vt_perf, l->cpus * VT_SLOTS);
	bpf_program__set_autoload(b->progs.vt_free, l->group == VT_BY_PROCESS);
	bpf_program__set_autoload(b->progs.vt_exec, l->group == VT_BY_PROCESS);
	bpf_program__set_autoload(b->progs.vt_attach, l->group != VT_BY_PROCESS);
	bpf_program__set_autoload(b->progs.vt_rmdir, l->group != VT_BY_PROCESS);
	bpf_program__set_autoload(b->progs.vt_sample, l->sample);
}

int vt_load(const struct vt_load *l, struct vt_bpf **ret, struct vt_err *e)
{
	libbpf_print_fn_t before;
	struct vt_bpf *b;
	int err = 0;

	last_line[0] = '\0';
	before = libbpf_set_print(keep_last);
	b = vt_bpf__open();
	if (!b) {
		err = vt_load_cause(l->sysfs, NULL, -errno, "open the BPF object", last_line, e);
		goto out;
	}
	configure(b, l);
	err = vt_bpf__load(b);
	if (err) {
		err = vt_load_cause(l->sysfs, NULL, err, "load the BPF programs", last_line, e);
		vt_bpf__destroy(b);
		goto out;
	}
	*ret = b;
out:
	libbpf_set_print(before);
	return err;
}

int vt_load_attach(const char *sysfs, struct bpf_program *p, struct bpf_link **ret,
		   struct vt_err *e)
{
	libbpf_print_fn_t before = libbpf_set_print(keep_last);
	int err;

	last_line[0] = '\0';
	*ret = bpf_program__attach(p);
	err = *ret ? 0 : -errno;
	libbpf_set_print(before);
	return err ? vt_load_cause(sysfs, NULL, err, "attach the BPF programs", last_line, e) : 0;
}
