// SPDX-License-Identifier: Apache-2.0
/* load.c - bring the programs into the kernel, and say in one line why that failed. */
#include "monitor/load.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
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

static bool lockdown_forbids(void)
{
	char text[96] = "";
	FILE *f = fopen("/sys/kernel/security/lockdown", "re");

	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strstr(text, "[confidentiality]");
}

static bool too_old(char release[65])
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return false;
	snprintf(release, 65, "%s", u.release);
	return major < 6 || (major == 6 && minor < 1);
}

/* Most telling cause first: a kernel without BTF also reports plain EINVAL. */
static int explain(int err, const char *what, struct vt_err *e)
{
	char release[65];

	if (lockdown_forbids())
		return vt_fail(e, -ENOTSUP,
			       "kernel lockdown is 'confidentiality', which keeps BPF from reading "
			       "kernel memory; boot with lockdown=integrity");
	if (err == -EPERM || err == -EACCES)
		return vt_fail(e, err, "cannot %s: needs root, or CAP_BPF and CAP_PERFMON", what);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return vt_fail(e, -ENOTSUP,
			       "the kernel offers no BTF at /sys/kernel/btf/vmlinux; use a kernel "
			       "built with "
			       "CONFIG_DEBUG_INFO_BTF=y");
	if (too_old(release))
		return vt_fail(
			e, -ENOTSUP,
			"kernel %s is older than 6.1, the oldest the programs are tested on: %s",
			release, last_line);
	return vt_fail(e, err, "cannot %s: %s (%s)", what, strerror(-err), last_line);
}

static void configure(struct vt_bpf *b, const struct vt_load *l)
{
	b->rodata->vt_max_rows = l->max_rows;
	b->rodata->vt_depth = l->depth;
	bpf_map__set_max_entries(b->maps.vt_rows, l->cpus * l->max_rows);
	bpf_map__set_max_entries(b->maps.vt_cpus, l->cpus);
	bpf_map__set_max_entries(b->maps.vt_tenants, l->max_rows);
	bpf_map__set_max_entries(b->maps.vt_free_rows, l->max_rows);
	bpf_map__set_max_entries(b->maps.vt_perf, l->cpus * VT_SLOTS);
	bpf_program__set_autoload(b->progs.vt_exit, l->group == VT_BY_PROCESS);
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
		err = explain(-errno, "open the BPF object", e);
		goto out;
	}
	configure(b, l);
	err = vt_bpf__load(b);
	if (err) {
		err = explain(err, "load the BPF programs", e);
		vt_bpf__destroy(b);
		goto out;
	}
	*ret = b;
out:
	libbpf_set_print(before);
	return err;
}

int vt_load_attach(struct bpf_program *p, struct bpf_link **ret, struct vt_err *e)
{
	libbpf_print_fn_t before = libbpf_set_print(keep_last);
	int err;

	last_line[0] = '\0';
	*ret = bpf_program__attach(p);
	err = *ret ? 0 : -errno;
	libbpf_set_print(before);
	return err ? explain(err, "attach the BPF programs", e) : 0;
}
