// SPDX-License-Identifier: Apache-2.0
/* monitor_out.c - the three ways `veltair monitor` shows a window: table, JSON lines, CSV. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/monitor.h"

static const char *const groups[] = {"tenant", "cgroup", "process"};

const char *vt_group_name(uint32_t group)
{
	return group < 3 ? groups[group] : "?";
}

/* ---- table ------------------------------------------------------------------------------- */

static const char *stand_in(const struct vt_mon_view *v, int role, const struct vt_slot *s)
{
	if (v->map->hw[role])
		return "";
	return strcmp(s->cls, "hw") != 0 ? ": a software stand-in" : ": a stand-in";
}

static void table_head(const struct vt_mon_view *v)
{
	const struct vt_meta *meta = vt_monitor_meta(v->m);

	printf("by %s, %u CPUs\n", vt_group_name(meta->group), meta->cpus);
	for (int r = 0; r < VT_ROLE_COUNT; r++) {
		int i = v->map->slot[r];
		const struct vt_slot *s = i >= 0 ? vt_monitor_slot(v->m, (unsigned int)i) : NULL;

		if (s)
			printf("  %-13s %s  %s (%s%s)\n", vt_role_name((enum vt_role)r), s->cls,
			       s->event, s->quality, stand_in(v, r, s));
		else
			printf("  %-13s n/a  %s\n", vt_role_name((enum vt_role)r),
			       vt_monitor_absent_brief(v->m, (enum vt_role)r));
	}
	printf("  %-13s %s\n", "bandwidth", v->bandwidth_source);
}

static const char *cell(char *buf, size_t len, double x, const char *fmt, double scale,
			const char *mark)
{
	char text[32];

	if (isnan(x))
		return "n/a";
	snprintf(text, sizeof(text), fmt, x * scale);
	snprintf(buf, len, "%s%s", text, mark);
	return buf;
}

static void table_line(const struct vt_mon_view *v, const struct vt_mon_line *l)
{
	const char *mark = v->map->hw[VT_ROLE_LLC_MISSES] ? "" : "*";
	char b[6][48];

	printf("%-40.40s %-8s %6s %6s %7s %11s %8s %6s  ", l->name, l->kind,
	       cell(b[0], 48, l->r.cpus, "%.1f", 100, ""), cell(b[1], 48, l->r.ipc, "%.2f", 1, ""),
	       cell(b[2], 48, l->r.llc_miss_ratio, "%.1f", 100, ""),
	       cell(b[3], 48, l->r.llc_misses_per_s, "%.0f", 1, mark),
	       cell(b[4], 48, l->r.dram_bytes_per_s, "%.1f", 1e-6, ""),
	       cell(b[5], 48, l->r.share_of_bandwidth, "%.0f", 100, ""));
	if (l->suffers[0])
		printf("%s x%.2f", l->suffers, l->slowdown);
	else
		printf("-");
	if (l->coverage < 1)
		printf("  (estimated from %.0f %% of the time)", 100 * l->coverage);
	putchar('\n');
}

static void losses(const struct vt_losses *l)
{
	if (l->chain_miss + l->read_errors + l->backwards + l->rows_full + l->ring_full +
		    l->recursion ==
	    0)
		return;
	printf("lost: %lu switches not reported, %lu reads, %lu backwards, %lu tenants without a "
	       "row, %lu "
	       "events, %lu runs refused\n",
	       (unsigned long)l->chain_miss, (unsigned long)l->read_errors,
	       (unsigned long)l->backwards, (unsigned long)l->rows_full,
	       (unsigned long)l->ring_full, (unsigned long)l->recursion);
}

static void table_window(const struct vt_mon_view *v)
{
	bool tty = isatty(STDOUT_FILENO);

	if (tty) {
		fputs("\033[H\033[J", stdout);
		table_head(v);
	}
	printf("\n%-40s %-8s %6s %6s %7s %11s %8s %6s  %s\n", "TENANT", "KIND", "CPU%", "IPC",
	       "LLCMISS%", v->map->hw[VT_ROLE_LLC_MISSES] ? "MISSES/S" : "STAND-IN/S*", "MB/S",
	       "BW%", "SUFFERS FROM");
	for (unsigned int i = 0; i < v->lines; i++)
		table_line(v, &v->line[i]);
	if (v->left_out)
		printf("(%u more)\n", v->left_out);
	losses(&v->w->loss);
	fflush(stdout);
}

const struct vt_mon_format vt_mon_table = {table_head, table_window};

/* ---- JSON: one object a line ------------------------------------------------------------- */

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static void put(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

static json_t *slot_json(const struct vt_mon_view *v, enum vt_role role)
{
	int i = v->map->slot[role];
	const struct vt_slot *s = i >= 0 ? vt_monitor_slot(v->m, (unsigned int)i) : NULL;

	if (!s)
		return json_pack("{s:n, s:s}", "event", "absent", vt_monitor_absent(v->m, role));
	return json_pack("{s:s, s:s, s:s, s:s}", "event", s->event, "class", s->cls, "quality",
			 s->quality, "source", s->source);
}

static void json_head(const struct vt_mon_view *v)
{
	const struct vt_meta *meta = vt_monitor_meta(v->m);
	json_t *slots = json_object();

	for (int r = 0; r < VT_ROLE_COUNT; r++)
		json_object_set_new(slots, vt_role_name((enum vt_role)r),
				    slot_json(v, (enum vt_role)r));
	put(json_pack("{s:s, s:s, s:i, s:o, s:s}", "type", "start", "by",
		      vt_group_name(meta->group), "cpus", (int)meta->cpus, "counts", slots,
		      "bandwidth", v->bandwidth_source));
}

static json_t *line_json(const struct vt_mon_view *v, const struct vt_mon_line *l)
{
	json_t *o = json_pack("{s:s, s:s, s:I}", "name", l->name, "kind", l->kind, "id",
			      (json_int_t)l->id);
	bool hw = v->map->hw[VT_ROLE_LLC_MISSES];
	const struct {
		const char *name;
		double value;
	} f[] = {
		{"cpus", l->r.cpus},
		{"ipc", l->r.ipc},
		{"llc_miss_ratio", l->r.llc_miss_ratio},
		{"llc_misses_per_second", hw ? l->r.llc_misses_per_s : NAN},
		{"stand_in_per_second", hw ? NAN : l->r.llc_misses_per_s},
		{"memory_bytes_per_second", l->r.dram_bytes_per_s},
		{"share_of_bandwidth", l->r.share_of_bandwidth},
		{"coverage", l->coverage},
		{"slowdown", l->suffers[0] ? l->slowdown : NAN},
	};

	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++)
		json_object_set_new(o, f[i].name, number(f[i].value));
	json_object_set_new(o, "suffers_from",
			    l->suffers[0] ? json_string(l->suffers) : json_null());
	return o;
}

static void json_window(const struct vt_mon_view *v)
{
	const struct vt_losses *l = &v->w->loss;
	json_t *lines = json_array();

	for (unsigned int i = 0; i < v->lines; i++)
		json_array_append_new(lines, line_json(v, &v->line[i]));
	put(json_pack("{s:s, s:I, s:I, s:o, s:i, s:{s:I, s:I, s:I, s:I, s:I, s:I}}", "type",
		      "window", "end_mono_ns", (json_int_t)v->w->end_mono_ns, "window_ns",
		      (json_int_t)v->w->len_ns, "tenants", lines, "left_out", (int)v->left_out,
		      "lost", "chain_miss", (json_int_t)l->chain_miss, "read_errors",
		      (json_int_t)l->read_errors, "backwards", (json_int_t)l->backwards,
		      "rows_full", (json_int_t)l->rows_full, "ring_full", (json_int_t)l->ring_full,
		      "recursion", (json_int_t)l->recursion));
}

const struct vt_mon_format vt_mon_json = {json_head, json_window};

/* ---- CSV --------------------------------------------------------------------------------- */

static void csv_head(const struct vt_mon_view *v)
{
	puts("end_mono_ns,window_ns,kind,id,name,cpus,ipc,llc_miss_ratio,llc_misses_per_second,llc_"
	     "misses_class,"
	     "memory_bytes_per_second,share_of_bandwidth,coverage,suffers_from,slowdown");
}

/* RFC 4180: quotes doubled, the field quoted. Names come from outside. */
static void csv_text(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"')
			putchar('"');
		putchar(*s);
	}
	putchar('"');
}

static void csv_number(double x)
{
	putchar(',');
	if (isfinite(x))
		printf("%.9g", x);
}

static void csv_window(const struct vt_mon_view *v)
{
	int slot = v->map->slot[VT_ROLE_LLC_MISSES];

	for (unsigned int i = 0; i < v->lines; i++) {
		const struct vt_mon_line *l = &v->line[i];

		printf("%lu,%lu,%s,%lu,", (unsigned long)v->w->end_mono_ns,
		       (unsigned long)v->w->len_ns, l->kind, (unsigned long)l->id);
		csv_text(l->name);
		csv_number(l->r.cpus);
		csv_number(l->r.ipc);
		csv_number(l->r.llc_miss_ratio);
		csv_number(l->r.llc_misses_per_s);
		printf(",%s", slot >= 0 ? vt_monitor_slot(v->m, (unsigned int)slot)->cls : "");
		csv_number(l->r.dram_bytes_per_s);
		csv_number(l->r.share_of_bandwidth);
		csv_number(l->coverage);
		putchar(',');
		if (l->suffers[0])
			csv_text(l->suffers);
		csv_number(l->suffers[0] ? l->slowdown : NAN);
		putchar('\n');
	}
	fflush(stdout);
}

const struct vt_mon_format vt_mon_csv = {csv_head, csv_window};
