// SPDX-License-Identifier: GPL-2.0-only
/*
 * veltair_pmu - a perf PMU whose counts are scripted. For tests and demos, never for production.
 *
 * Machines without a PMU must still prove the hardware path of the monitor, and a test needs counts
 * that are known before they are counted. Each CPU has one free-running 64-bit counter per event,
 * as hardware has; what moves it is a script:
 *
 *   add      the task that writes "add llc_misses 7" to debugfs has just missed 7 times, on the CPU
 *            it runs on: exact, also for a task that migrates
 *   rate     while a process runs, its CPU's counter moves by so much per millisecond: for
 *            multiplexing, where a count is an estimate anyway
 *   cpurate  the same for a CPU, whoever runs there (the idle task too)
 *
 * A limited number of slots forces the kernel to multiplex. Sampling events overflow on "add", once
 * per period, before the write returns; a rate never overflows, so a read has no side effects.
 *
 * Two faces:
 *   as_cpu=1  takes the place of the machine's own PMU ("cpu", PERF_TYPE_RAW). On a machine that
 *             has none, PERF_TYPE_HARDWARE, PERF_TYPE_HW_CACHE and raw events all land here, so
 *             production code runs unmodified.
 *   as_cpu=0  a PMU named "veltair" of a dynamic type, with aliases in sysfs (veltair/llc_misses/).
 *
 * Locking: a CPU's counters and slots are touched on that CPU with interrupts off only. The rate
 * table is written under vp_lock and read without.
 */
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>

#define VP_MAX_SLOTS 8
#define VP_PROCESSES 16
#define VP_CODES     4

static bool as_cpu;
module_param(as_cpu, bool, 0444);
MODULE_PARM_DESC(as_cpu, "be the machine's own PMU instead of one named veltair");
static unsigned int slots = VP_MAX_SLOTS;
module_param(slots, uint, 0444);
MODULE_PARM_DESC(slots, "counters per CPU (0-8); `slots N` in debugfs changes it");

/* ---- events ------------------------------------------------------------------------------ */

#define LL_READ(result)	  (PERF_COUNT_HW_CACHE_LL | PERF_COUNT_HW_CACHE_RESULT_##result << 16)
#define NODE_READ(result) (PERF_COUNT_HW_CACHE_NODE | PERF_COUNT_HW_CACHE_RESULT_##result << 16)
#define HW(config)                                                                                 \
	{                                                                                          \
		PERF_TYPE_HARDWARE, config                                                         \
	}
#define CACHE(config)                                                                              \
	{                                                                                          \
		PERF_TYPE_HW_CACHE, config                                                         \
	}
#define RAW(config)                                                                                \
	{                                                                                          \
		PERF_TYPE_RAW, config                                                              \
	}

enum { VP_CYCLES, VP_INSTRUCTIONS, VP_LLC_REFS, VP_LLC_MISSES, VP_L2_MISSES, VP_DRAM, VP_EVENTS };

/* As the machine's PMU: the generic names, and the raw codes of Intel's server cores. */
static const struct vp_event {
	const char *name;
	struct {
		u32 type;
		u64 config;
	} code[VP_CODES];
	unsigned int codes;
} vp_events[VP_EVENTS] = {
	[VP_CYCLES] = {"cycles", {HW(PERF_COUNT_HW_CPU_CYCLES), RAW(0x3c)}, 2},
	[VP_INSTRUCTIONS] = {"instructions", {HW(PERF_COUNT_HW_INSTRUCTIONS), RAW(0xc0)}, 2},
	[VP_LLC_REFS] = {"llc_refs",
			 {HW(PERF_COUNT_HW_CACHE_REFERENCES), CACHE(LL_READ(ACCESS)), RAW(0x4f2e)},
			 3},
	[VP_LLC_MISSES] = {"llc_misses",
			   {HW(PERF_COUNT_HW_CACHE_MISSES), CACHE(LL_READ(MISS)), RAW(0x412e)},
			   3},
	[VP_L2_MISSES] = {"l2_misses", {RAW(0x3f24), RAW(0x1ff1), RAW(0x1f25)}, 3},
	[VP_DRAM] = {"dram_fills", {CACHE(NODE_READ(ACCESS)), RAW(0x1b7), RAW(0x12a)}, 3},
};

static int vp_event_by_name(const char *name)
{
	int id;

	for (id = 0; id < VP_EVENTS; id++)
		if (!strcmp(vp_events[id].name, name))
			return id;
	return -ENOENT;
}

static int vp_event_by_code(u32 type, u64 config)
{
	unsigned int i;
	int id;

	for (id = 0; id < VP_EVENTS; id++)
		for (i = 0; i < vp_events[id].codes; i++)
			if (vp_events[id].code[i].type == type &&
			    vp_events[id].code[i].config == config)
				return id;
	return -ENOENT;
}

/* ---- counters ---------------------------------------------------------------------------- */

struct vp_cpu {
	u64 total[VP_EVENTS];	/* the free-running counters */
	u64 rest[VP_EVENTS];	/* of rate x time, below one count: ns x counts per ms */
	u64 cpurate[VP_EVENTS]; /* counts per ms */
	u64 synced_ns;
	struct perf_event *slot[VP_MAX_SLOTS];
	unsigned int used;
};

struct vp_rate {
	pid_t tgid; /* 0: free */
	u64 per_ms[VP_EVENTS];
};

static DEFINE_PER_CPU(struct vp_cpu, vp_cpus);
static struct vp_rate vp_rates[VP_PROCESSES];
static DEFINE_MUTEX(vp_lock);

/* Bring this CPU's counters to now. Whoever is current has been so since the last sync. */
static void vp_sync(struct vp_cpu *c)
{
	u64 now = ktime_get_mono_fast_ns(), dt = now - c->synced_ns;
	const struct vp_rate *r = NULL;
	pid_t tgid = current->tgid;
	int i;

	c->synced_ns = now;
	for (i = 0; i < VP_PROCESSES && tgid; i++)
		if (READ_ONCE(vp_rates[i].tgid) == tgid)
			r = &vp_rates[i];
	for (i = 0; i < VP_EVENTS; i++) {
		u64 per_ms = READ_ONCE(c->cpurate[i]) + (r ? READ_ONCE(r->per_ms[i]) : 0);

		if (!per_ms)
			continue;
		c->rest[i] += dt * per_ms;
		c->total[i] += c->rest[i] / NSEC_PER_MSEC;
		c->rest[i] %= NSEC_PER_MSEC;
	}
}

/* Called with prev still current, whether before or after others that listen to the switch. */
static void vp_sched_switch(void *data, bool preempt, struct task_struct *prev,
			    struct task_struct *next, unsigned int prev_state)
{
	vp_sync(this_cpu_ptr(&vp_cpus));
}

static int vp_id(const struct perf_event *event)
{
	return (int)(unsigned long)event->pmu_private;
}

static void vp_update(struct vp_cpu *c, struct perf_event *event)
{
	u64 now = c->total[vp_id(event)];

	local64_add(now - local64_read(&event->hw.prev_count), &event->count);
	local64_set(&event->hw.prev_count, now);
}

/* ---- overflow ---------------------------------------------------------------------------- */

typedef int (*vp_overflow_fn)(struct perf_event *, struct perf_sample_data *, struct pt_regs *);
static vp_overflow_fn vp_perf_event_overflow;

/* The kernel does not export it; a kprobe knows where it is. */
static int vp_find_overflow(void)
{
	struct kprobe kp = {.symbol_name = "perf_event_overflow"};
	int err = register_kprobe(&kp);
	u8 *addr = (u8 *)kp.addr;

	if (err)
		return err;
	unregister_kprobe(&kp);
#ifdef CONFIG_X86_KERNEL_IBT
	/* kprobes step over the landing pad (endbr64); an indirect call has to hit it. */
	if (!memcmp(addr - 4, "\xf3\x0f\x1e\xfa", 4))
		addr -= 4;
#endif
	vp_perf_event_overflow = (vp_overflow_fn)addr;
	return 0;
}

static void vp_stop(struct perf_event *event, int flags);

static void vp_overflow(struct vp_cpu *c, struct perf_event *event, u64 n)
{
	struct hw_perf_event *hwc = &event->hw;
	s64 left = local64_read(&hwc->period_left) - (s64)n;
	struct perf_sample_data data;
	struct pt_regs regs = {};

	perf_fetch_caller_regs(&regs);
	while (left <= 0) {
		left += hwc->sample_period;
		local64_set(&hwc->period_left, left);
		vp_update(c, event);
		perf_sample_data_init(&data, 0, hwc->sample_period);
		if (vp_perf_event_overflow(event, &data, &regs)) {
			vp_stop(event, 0); /* the kernel throttles */
			return;
		}
	}
	local64_set(&hwc->period_left, left);
}

/* The script: @n more of event @id on this CPU, now. Interrupts are off. */
static void vp_add_counts(struct vp_cpu *c, int id, u64 n)
{
	int i;

	c->total[id] += n;
	for (i = 0; i < VP_MAX_SLOTS; i++) {
		struct perf_event *event = c->slot[i];

		if (event && vp_id(event) == id && is_sampling_event(event) &&
		    !(event->hw.state & PERF_HES_STOPPED))
			vp_overflow(c, event, n);
	}
}

/* ---- struct pmu -------------------------------------------------------------------------- */

static struct pmu vp_pmu;

static int vp_event_init(struct perf_event *event)
{
	const struct perf_event_attr *attr = &event->attr;
	bool ours = attr->type == vp_pmu.type;
	int id;

	if (as_cpu && (attr->type == PERF_TYPE_HARDWARE || attr->type == PERF_TYPE_HW_CACHE))
		ours = true;
	if (!ours || event->cpu >= (int)nr_cpu_ids)
		return -ENOENT;
	id = as_cpu			? vp_event_by_code(attr->type, attr->config)
	     : attr->config < VP_EVENTS ? (int)attr->config
					: -ENOENT;
	if (id < 0)
		return id;
	if (has_branch_stack(event) || (is_sampling_event(event) && attr->freq))
		return -EOPNOTSUPP;
	event->pmu_private = (void *)(unsigned long)id;
	return 0;
}

static void vp_start(struct perf_event *event, int flags)
{
	struct vp_cpu *c = this_cpu_ptr(&vp_cpus);
	unsigned long irq;

	local_irq_save(irq);
	vp_sync(c);
	local64_set(&event->hw.prev_count, c->total[vp_id(event)]);
	event->hw.state = 0;
	local_irq_restore(irq);
}

static void vp_stop(struct perf_event *event, int flags)
{
	struct vp_cpu *c = this_cpu_ptr(&vp_cpus);
	unsigned long irq;

	local_irq_save(irq);
	if (!(event->hw.state & PERF_HES_STOPPED)) {
		vp_sync(c);
		vp_update(c, event);
		event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
	}
	local_irq_restore(irq);
}

static int vp_add(struct perf_event *event, int flags)
{
	struct vp_cpu *c = this_cpu_ptr(&vp_cpus);
	int i;

	if (c->used >= READ_ONCE(slots))
		return -EAGAIN;
	for (i = 0; c->slot[i]; i++)
		;
	c->slot[i] = event;
	c->used++;
	event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
	if (flags & PERF_EF_START)
		vp_start(event, PERF_EF_RELOAD);
	return 0;
}

static void vp_del(struct perf_event *event, int flags)
{
	struct vp_cpu *c = this_cpu_ptr(&vp_cpus);
	int i;

	vp_stop(event, PERF_EF_UPDATE);
	for (i = 0; i < VP_MAX_SLOTS; i++) {
		if (c->slot[i] == event) {
			c->slot[i] = NULL;
			c->used--;
		}
	}
}

static void vp_read(struct perf_event *event)
{
	struct vp_cpu *c = this_cpu_ptr(&vp_cpus);
	unsigned long irq;

	local_irq_save(irq);
	if (!(event->hw.state & PERF_HES_STOPPED)) {
		vp_sync(c);
		vp_update(c, event);
	}
	local_irq_restore(irq);
}

/* ---- sysfs ------------------------------------------------------------------------------- */

PMU_FORMAT_ATTR(event, "config:0-7");
PMU_FORMAT_ATTR(umask, "config:8-15");

static struct attribute *vp_format_attrs[] = {&format_attr_event.attr, &format_attr_umask.attr,
					      NULL};
static const struct attribute_group vp_format = {.name = "format", .attrs = vp_format_attrs};

/* Under its own name: an event is its number in vp_events. */
PMU_EVENT_ATTR_STRING(cycles, vp_cycles, "event=0x00");
PMU_EVENT_ATTR_STRING(instructions, vp_instructions, "event=0x01");
PMU_EVENT_ATTR_STRING(llc_refs, vp_llc_refs, "event=0x02");
PMU_EVENT_ATTR_STRING(llc_misses, vp_llc_misses, "event=0x03");
PMU_EVENT_ATTR_STRING(l2_misses, vp_l2_misses, "event=0x04");
PMU_EVENT_ATTR_STRING(dram_fills, vp_dram_fills, "event=0x05");

static struct attribute *vp_own_attrs[] = {
	&vp_cycles.attr.attr,
	&vp_instructions.attr.attr,
	&vp_llc_refs.attr.attr,
	&vp_llc_misses.attr.attr,
	&vp_l2_misses.attr.attr,
	&vp_dram_fills.attr.attr,
	NULL,
};
static const struct attribute_group vp_own = {.name = "events", .attrs = vp_own_attrs};
static const struct attribute_group *vp_own_groups[] = {&vp_format, &vp_own, NULL};

/* As the machine's PMU: the aliases that an Intel core has. Names with a dash, not differences. */
/* clang-format off */
PMU_EVENT_ATTR_STRING(cpu-cycles, vp_cpu_cycles, "event=0x3c");
PMU_EVENT_ATTR_STRING(instructions, vp_cpu_instructions, "event=0xc0");
PMU_EVENT_ATTR_STRING(cache-references, vp_cpu_references, "event=0x2e,umask=0x4f");
PMU_EVENT_ATTR_STRING(cache-misses, vp_cpu_misses, "event=0x2e,umask=0x41");
/* clang-format on */

static struct attribute *vp_cpu_attrs[] = {
	&vp_cpu_cycles.attr.attr,
	&vp_cpu_instructions.attr.attr,
	&vp_cpu_references.attr.attr,
	&vp_cpu_misses.attr.attr,
	NULL,
};
static const struct attribute_group vp_cpu_aliases = {.name = "events", .attrs = vp_cpu_attrs};
static const struct attribute_group *vp_cpu_groups[] = {&vp_format, &vp_cpu_aliases, NULL};

static struct pmu vp_pmu = {
	.module = THIS_MODULE,
	.task_ctx_nr = perf_hw_context, /* perf_sw_context would never multiplex */
#ifdef PERF_PMU_CAP_HETEROGENEOUS_CPUS
	/* Up to 6.1 the second PMU with this context in the life of a kernel is warned about, and
	 * refused tasks: the module could be loaded once only. */
	.capabilities = PERF_PMU_CAP_HETEROGENEOUS_CPUS,
#endif
	.event_init = vp_event_init,
	.add = vp_add,
	.del = vp_del,
	.start = vp_start,
	.stop = vp_stop,
	.read = vp_read,
};

/* ---- debugfs: veltair_pmu/ctl ------------------------------------------------------------ */

static int vp_cmd_add(int argc, char **argv)
{
	struct vp_cpu *c;
	unsigned long irq;
	int i, id;
	u64 n;

	if (argc < 3 || argc % 2 == 0)
		return -EINVAL;
	for (i = 1; i < argc; i += 2) /* all or nothing */
		if (vp_event_by_name(argv[i]) < 0 || kstrtou64(argv[i + 1], 0, &n))
			return -EINVAL;
	local_irq_save(irq);
	c = this_cpu_ptr(&vp_cpus);
	vp_sync(c);
	for (i = 1; i < argc; i += 2) {
		id = vp_event_by_name(argv[i]);
		if (!kstrtou64(argv[i + 1], 0, &n))
			vp_add_counts(c, id, n);
	}
	local_irq_restore(irq);
	return 0;
}

static int vp_cmd_rate(int argc, char **argv)
{
	struct vp_rate *r = NULL;
	int i, id, tgid;
	u64 per_ms;

	if (argc != 4 || kstrtoint(argv[1], 0, &tgid) || tgid <= 0 ||
	    kstrtou64(argv[3], 0, &per_ms) || per_ms > U32_MAX)
		return -EINVAL;
	id = vp_event_by_name(argv[2]);
	if (id < 0)
		return id;
	for (i = 0; i < VP_PROCESSES; i++)
		if (vp_rates[i].tgid == tgid || (!r && !vp_rates[i].tgid))
			r = &vp_rates[i];
	if (!r)
		return -ENOSPC;
	if (r->tgid != tgid)
		memset(r->per_ms, 0, sizeof(r->per_ms));
	WRITE_ONCE(r->per_ms[id], per_ms);
	WRITE_ONCE(r->tgid, tgid);
	return 0;
}

static int vp_cmd_cpurate(int argc, char **argv)
{
	unsigned int cpu;
	u64 per_ms;
	int id;

	if (argc != 4 || kstrtouint(argv[1], 0, &cpu) || cpu >= nr_cpu_ids || !cpu_possible(cpu) ||
	    kstrtou64(argv[3], 0, &per_ms) || per_ms > U32_MAX)
		return -EINVAL;
	id = vp_event_by_name(argv[2]);
	if (id < 0)
		return id;
	WRITE_ONCE(per_cpu(vp_cpus, cpu).cpurate[id], per_ms);
	return 0;
}

static int vp_cmd_slots(int argc, char **argv)
{
	unsigned int n;

	if (argc != 2 || kstrtouint(argv[1], 0, &n) || n > VP_MAX_SLOTS)
		return -EINVAL;
	WRITE_ONCE(slots, n);
	return 0;
}

static int vp_cmd_reset(int argc, char **argv)
{
	int cpu;

	memset(vp_rates, 0, sizeof(vp_rates));
	for_each_possible_cpu(cpu)
		memset(per_cpu(vp_cpus, cpu).cpurate, 0, sizeof(per_cpu(vp_cpus, cpu).cpurate));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} vp_cmds[] = {
	{"add", vp_cmd_add},	     /* add EVENT N [EVENT N]... */
	{"rate", vp_cmd_rate},	     /* rate TGID EVENT PER_MS */
	{"cpurate", vp_cmd_cpurate}, /* cpurate CPU EVENT PER_MS */
	{"slots", vp_cmd_slots},     /* slots N: for events that are scheduled in from now on */
	{"reset", vp_cmd_reset},     /* no rates */
};

static ssize_t vp_ctl_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	char line[256], *argv[16], *rest = line, *word;
	int argc = 0, err = -EINVAL;
	size_t i;

	if (len >= sizeof(line))
		return -E2BIG;
	if (copy_from_user(line, buf, len))
		return -EFAULT;
	line[len] = '\0';
	while (argc < (int)ARRAY_SIZE(argv) && (word = strsep(&rest, " \t\n")))
		if (*word)
			argv[argc++] = word;
	for (i = 0; argc && i < ARRAY_SIZE(vp_cmds); i++) {
		if (strcmp(argv[0], vp_cmds[i].name))
			continue;
		/* "add" is the tenants' own, on their own CPU: nothing shared to lock. */
		if (vp_cmds[i].run != vp_cmd_add)
			mutex_lock(&vp_lock);
		err = vp_cmds[i].run(argc, argv);
		if (vp_cmds[i].run != vp_cmd_add)
			mutex_unlock(&vp_lock);
	}
	return err ? err : (ssize_t)len;
}

/* What every CPU's counters stand at, and how many slots its events occupy. */
static int vp_ctl_show(struct seq_file *m, void *v)
{
	int cpu, id;

	seq_printf(m, "pmu %s type %d slots %u\n", vp_pmu.name, vp_pmu.type, READ_ONCE(slots));
	for_each_online_cpu(cpu)
	{
		const struct vp_cpu *c = per_cpu_ptr(&vp_cpus, cpu);

		seq_printf(m, "cpu %d used %u", cpu, READ_ONCE(c->used));
		for (id = 0; id < VP_EVENTS; id++)
			seq_printf(m, " %s %llu", vp_events[id].name, READ_ONCE(c->total[id]));
		seq_putc(m, '\n');
	}
	return 0;
}

static int vp_ctl_open(struct inode *inode, struct file *file)
{
	return single_open(file, vp_ctl_show, NULL);
}

static const struct file_operations vp_ctl_ops = {
	.owner = THIS_MODULE,
	.open = vp_ctl_open,
	.read = seq_read,
	.write = vp_ctl_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* ---- module ------------------------------------------------------------------------------ */

static struct tracepoint *vp_switch_tp;
static struct dentry *vp_dir;

static void vp_find_switch(struct tracepoint *tp, void *priv)
{
	if (!strcmp(tp->name, "sched_switch"))
		vp_switch_tp = tp;
}

static int __init vp_init(void)
{
	int err, cpu;

	if (slots > VP_MAX_SLOTS)
		return -EINVAL;
	err = vp_find_overflow();
	if (err)
		return err;
	for_each_possible_cpu(cpu) per_cpu(vp_cpus, cpu).synced_ns = ktime_get_mono_fast_ns();
	for_each_kernel_tracepoint(vp_find_switch, NULL);
	if (!vp_switch_tp)
		return -ENOENT;
	err = tracepoint_probe_register(vp_switch_tp, (void *)vp_sched_switch, NULL);
	if (err)
		return err;
	vp_pmu.attr_groups = as_cpu ? vp_cpu_groups : vp_own_groups;
	err = perf_pmu_register(&vp_pmu, as_cpu ? "cpu" : "veltair", as_cpu ? PERF_TYPE_RAW : -1);
	if (err) {
		tracepoint_probe_unregister(vp_switch_tp, (void *)vp_sched_switch, NULL);
		tracepoint_synchronize_unregister();
		return err;
	}
	vp_dir = debugfs_create_dir("veltair_pmu", NULL);
	debugfs_create_file("ctl", 0600, vp_dir, NULL, &vp_ctl_ops);
	return 0;
}

static void __exit vp_exit(void)
{
	debugfs_remove(vp_dir);
	perf_pmu_unregister(&vp_pmu);
	tracepoint_probe_unregister(vp_switch_tp, (void *)vp_sched_switch, NULL);
	tracepoint_synchronize_unregister();
}

module_init(vp_init);
module_exit(vp_exit);
MODULE_DESCRIPTION("A perf PMU with scripted counts, for tests");
MODULE_LICENSE("GPL");
