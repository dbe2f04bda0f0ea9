// SPDX-License-Identifier: Apache-2.0
#include "monitor/window.h"

#include <stdlib.h>
#include <string.h>

void vt_slot_map_init(struct vt_slot_map *map, const struct vt_monitor *m)
{
	map->slots = vt_monitor_meta(m)->slots;
	for (int r = 0; r < VT_ROLE_COUNT; r++) {
		map->slot[r] = vt_monitor_slot_of(m, (enum vt_role)r);
		map->hw[r] =
			map->slot[r] >= 0 && vt_monitor_slot_is_hw(m, (unsigned int)map->slot[r]);
	}
}

/* ---- deltas ------------------------------------------------------------------------------ */

static const struct vt_total *before(const struct vt_snapshot *a, uint32_t row,
				     const struct vt_total *b)
{
	static const struct vt_total zero;

	if (row >= a->rows || a->total[row].tenant != b->tenant || a->total[row].run_ns > b->run_ns)
		return &zero;
	return &a->total[row];
}

/* What was counted, blown up to the time that was not. A slot that never counted says nothing. */
static double scaled(uint64_t count, uint64_t run_ns, uint64_t lost_ns, double *coverage)
{
	double share;

	if (!lost_ns)
		return (double)count;
	share = lost_ns < run_ns ? (double)(run_ns - lost_ns) / (double)run_ns : 0;
	if (share < *coverage)
		*coverage = share;
	return share > 0 ? (double)count / share : NAN;
}

static struct vt_window_row delta(const struct vt_total *a, const struct vt_total *b, uint32_t row,
				  unsigned int slots)
{
	struct vt_window_row r = {
		.tenant = b->tenant,
		.row = row,
		.run_ns = b->run_ns - a->run_ns,
		.slices = b->slices - a->slices,
		.coverage = 1,
	};

	for (unsigned int i = 0; i < slots; i++)
		r.count[i] = scaled(b->count[i] - a->count[i], r.run_ns,
				    b->lost_ns[i] - a->lost_ns[i], &r.coverage);
	return r;
}

#define LOSS(f) ret.f = b->f - a->f

static struct vt_losses losses(const struct vt_losses *a, const struct vt_losses *b)
{
	struct vt_losses ret;

	LOSS(switches);
	LOSS(merged);
	LOSS(cuts);
	LOSS(samples);
	LOSS(flushes);
	LOSS(chain_miss);
	LOSS(read_errors);
	LOSS(first_dropped);
	LOSS(backwards);
	LOSS(nested);
	LOSS(rows_full);
	LOSS(ring_full);
	LOSS(recursion);
	return ret;
}

int vt_window_close(const struct vt_snapshot *a, const struct vt_snapshot *b, unsigned int slots,
		    struct vt_window *w)
{
	struct vt_window_row *row;

	if (b->mono_ns <= a->mono_ns)
		return -EINVAL;
	if (b->rows > w->room) {
		row = realloc(w->row, sizeof(*row) * b->rows);
		if (!row)
			return -ENOMEM;
		w->row = row;
		w->room = b->rows;
	}
	w->end_mono_ns = b->mono_ns;
	w->len_ns = b->mono_ns - a->mono_ns;
	w->cpus = b->cpus_online;
	w->loss = losses(&a->loss, &b->loss);
	w->n = 0;
	for (uint32_t i = 0; i < b->rows; i++) {
		const struct vt_total *t = &b->total[i], *was = before(a, i, t);
		enum vt_tenant_kind kind = vt_key_kind(t->tenant);

		if (t->slices == was->slices || kind == VT_KIND_IDLE || kind == VT_KIND_GONE)
			continue;
		w->row[w->n++] = delta(was, t, i, slots);
	}
	return 0;
}

static int by_run_time(const void *a, const void *b)
{
	uint64_t x = ((const struct vt_window_row *)a)->run_ns,
		 y = ((const struct vt_window_row *)b)->run_ns;

	return (x < y) - (x > y);
}

void vt_window_sort(struct vt_window *w)
{
	if (w->n)
		qsort(w->row, w->n, sizeof(*w->row), by_run_time);
}

void vt_window_fini(struct vt_window *w)
{
	free(w->row);
	*w = (struct vt_window){0};
}

/* ---- rates ------------------------------------------------------------------------------- */

static double count_of(const struct vt_window_row *r, const struct vt_slot_map *map,
		       enum vt_role role, bool hw_only)
{
	if (map->slot[role] < 0 || (hw_only && !map->hw[role]))
		return NAN;
	return r->count[map->slot[role]];
}

/* Lines that came from memory, best source first. Stand-ins are no bytes. */
static double lines(const struct vt_window_row *r, const struct vt_slot_map *map)
{
	double n = count_of(r, map, VT_ROLE_DRAM_FILLS, true);

	return isnan(n) ? count_of(r, map, VT_ROLE_LLC_MISSES, true) : n;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : NAN;
}

static double all_lines(const struct vt_window *w, const struct vt_slot_map *map)
{
	double sum = 0, n;

	for (uint32_t i = 0; i < w->n; i++) {
		n = lines(&w->row[i], map);
		if (!isnan(n))
			sum += n;
	}
	return sum;
}

struct vt_rates vt_window_rates(const struct vt_window *w, const struct vt_window_row *r,
				const struct vt_slot_map *map, unsigned int line_bytes)
{
	double s = (double)w->len_ns / 1e9;

	return (struct vt_rates){
		.cpus = (double)r->run_ns / (double)w->len_ns,
		.ipc = ratio(count_of(r, map, VT_ROLE_INSTRUCTIONS, true),
			     count_of(r, map, VT_ROLE_CYCLES, true)),
		.llc_miss_ratio = ratio(count_of(r, map, VT_ROLE_LLC_MISSES, true),
					count_of(r, map, VT_ROLE_LLC_REFS, true)),
		.llc_misses_per_s = count_of(r, map, VT_ROLE_LLC_MISSES, false) / s,
		.dram_bytes_per_s = lines(r, map) * line_bytes / s,
		.share_of_bandwidth = ratio(lines(r, map), all_lines(w, map)),
	};
}
