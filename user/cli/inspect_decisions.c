// SPDX-License-Identifier: Apache-2.0
#include "cli/inspect_decisions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/replay.h"
#include "loop/explain.h"
#include "metrics/expo.h"
#include "pressure/pressure.h"

#define AT_ONCE 64 /* actions explained */

/** The last ones of something long. */
struct ring {
	struct vt_decided *at; /* [room] */
	uint64_t room, n;      /* n: put in so far */
	bool counted;	       /* hardware counted in this trace so far */
};

/* ---- from a recording ----------------------------------------------------------------------- */

static bool counts(const struct vt_sample *s)
{
	for (uint32_t d = 0; s->counts && d < s->view.n_domains; d++)
		if (s->counts[d].window_ns)
			return true;
	return false;
}

static void on_step(void *arg, const struct vt_sample *s, const struct vt_decision *d,
		    const struct vt_model *models, bool learned)
{
	struct vt_reason why[AT_ONCE];
	struct ring *r = arg;
	size_t from = 0, n;
	const char *name;

	r->counted |= counts(s);
	do {
		n = vt_explain(s, d, from, why, AT_ONCE);
		for (size_t i = 0; i < n; i++) {
			why[i].sources = (uint8_t)((learned ? VT_PRESSURE_SLOWDOWN : 0) |
						   (r->counted ? VT_PRESSURE_COUNTERS : 0));
			/* A file may name a target that is not there: of no model then. */
			name = why[i].model < s->view.n_models ? models[why[i].model].name : "?";
			vt_decided_of(&r->at[r->n % r->room], r->n + 1, &why[i], name);
			r->n++;
		}
		from += n;
	} while (n == AT_ONCE);
}

/* The oldest first, as they are printed. */
static int unroll(struct ring *r, struct vt_err *e)
{
	uint64_t n = r->n < r->room ? r->n : r->room, first = r->n - n;
	struct vt_decided *in_order = calloc(n ? n : 1, sizeof(*in_order));

	if (!in_order)
		return vt_fail(e, -ENOMEM, "out of memory");
	for (uint64_t i = 0; i < n; i++)
		in_order[i] = r->at[(first + i) % r->room];
	free(r->at);
	r->at = in_order;
	r->n = n;
	return 0;
}

static int from_recording(const struct vt_decisions_view *v, struct ring *r, char *what, size_t len,
			  struct vt_err *e)
{
	struct vt_replay_user u = {.step = on_step, .arg = r};
	struct vt_replay_sum sum;
	int rc = vt_replay_file(v->path, &u, &sum, e);

	/* Of a server that was killed, its last decisions are the ones to look at. */
	if (rc && !sum.steps)
		return rc;
	snprintf(what, len, "%.200s: policy %.31s, %llu steps, %llu decisions", v->path, sum.policy,
		 (unsigned long long)sum.steps, (unsigned long long)r->n);
	return unroll(r, e) ? e->code : 0;
}

/* ---- from a live server --------------------------------------------------------------------- */

static int from_live(const struct vt_decisions_view *v, struct ring *r, char *what, size_t len,
		     struct vt_err *e)
{
	struct vt_monitor *m = NULL;
	int rc = vt_monitor_attach(v->pin_dir, &m, e);

	if (rc == -ENOENT) {
		vt_fail_at(e, "no server to look at (a veltair serve with its monitor pins its "
			      "decisions; --pin-dir says where)");
		e->code = -ESRCH; /* not a wrong name: it may come */
	}
	if (rc)
		return e->code;
	r->n = vt_monitor_decisions(m, r->at, r->room);
	snprintf(what, len, "process %u, last decision %llu", vt_monitor_meta(m)->owner_pid,
		 r->n ? (unsigned long long)r->at[r->n - 1].seq : 0ull);
	vt_monitor_close(m);
	return 0;
}

/* ---- printing ------------------------------------------------------------------------------- */

/* Only what is started or refused has waited; of the others it is not known, which is not 0. */
static bool has_waited(const struct vt_decided *d)
{
	return !strcmp(d->action, "start") || !strcmp(d->action, "shed");
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void print_table(const char *what, const struct vt_decided *d, size_t n)
{
	char waited[24], layers[16], cores[16];

	printf("%s\n", what);
	printf("%10s %14s  %-8s%-18s%10s %9s %7s %4s %5s %7s %9s %9s %9s %3s %5s %5s  %-17s "
	       "%5s\n",
	       "DECISION", "AT S", "ACTION", "MODEL", "REQUEST", "LAYERS", "CORES", "FREE", "TAKEN",
	       "WAITING", "SLACK MS", "NEEDS MS", "WAITED MS", "LVL", "PRESS", "TRUST", "FROM",
	       "OTHER");
	for (size_t i = 0; i < n; i++, d++) {
		snprintf(waited, sizeof(waited), has_waited(d) ? "%.3f" : "-", ms(d->waited_ns));
		snprintf(layers, sizeof(layers), d->layer_end > d->layer_begin ? "%u-%u" : "-",
			 d->layer_begin, d->layer_end - 1u);
		snprintf(cores, sizeof(cores), "%u/%u", d->granted, d->wanted);
		printf("%10llu %14.6f  %-8s%-18.17s%10llu %9s %7s %4u %5u %7u %9.3f %9.3f %9s %3u "
		       "%5.2f %5.2f  %-17s %5u\n",
		       (unsigned long long)d->seq, (double)d->mono_ns / 1e9, d->action, d->model,
		       (unsigned long long)d->request, layers, cores, d->free, d->taken, d->waiting,
		       (double)d->slack_ns / 1e6, ms(d->rest_ns), waited, d->level,
		       d->pressure_ppm / 1e6, d->confidence_ppm / 1e6, d->source,
		       d->other_versions);
	}
}

static void put_decision(struct vt_expo *x, const struct vt_decided *d)
{
	vt_expo_put(x, "{\"decision\":%llu,\"mono_ns\":%llu,\"action\":\"%s\",\"model\":",
		    (unsigned long long)d->seq, (unsigned long long)d->mono_ns, d->action);
	vt_expo_json(x, d->model);
	vt_expo_put(x, ",\"model_id\":%u,\"tenant\":%u,\"request\":%llu,\"layers\":[%u,%u]",
		    d->model_id, d->tenant, (unsigned long long)d->request, d->layer_begin,
		    d->layer_end);
	vt_expo_put(x, ",\"wanted\":%u,\"granted\":%u,\"free\":%u,\"waiting\":%u", d->wanted,
		    d->granted, d->free, d->waiting);
	vt_expo_put(x, ",\"taken\":%u,\"usable\":%u", d->taken, d->usable);
	vt_expo_put(x, ",\"slack_ns\":%lld,\"rest_ns\":%llu,\"waited_ns\":", (long long)d->slack_ns,
		    (unsigned long long)d->rest_ns);
	vt_expo_put(x, has_waited(d) ? "%llu" : "null", (unsigned long long)d->waited_ns);
	vt_expo_put(x,
		    ",\"level\":%u,\"pressure_ppm\":%u,\"confidence_ppm\":%u,\"source\":", d->level,
		    d->pressure_ppm, d->confidence_ppm);
	vt_expo_json(x, d->source);
	vt_expo_put(x, ",\"other_versions\":%u}", d->other_versions);
}

static int print_json(const char *what, const struct vt_decided *d, size_t n, struct vt_err *e)
{
	struct vt_expo x = {0};

	vt_expo_put(&x, "{\"of\":");
	vt_expo_json(&x, what);
	vt_expo_put(&x, ",\"decisions\":[");
	for (size_t i = 0; i < n; i++) {
		vt_expo_put(&x, i ? ",\n" : "\n");
		put_decision(&x, &d[i]);
	}
	vt_expo_put(&x, "]}\n");
	if (!x.failed)
		fwrite(x.buf, 1, x.len, stdout);
	free(x.buf);
	return x.failed ? vt_fail(e, -ENOMEM, "out of memory") : 0;
}

int vt_inspect_decisions(const struct vt_decisions_view *v, struct vt_err *e)
{
	struct ring r = {.room = v->last, .at = calloc(v->last, sizeof(*r.at))};
	char what[384] = "";
	int rc;

	if (!r.at)
		return vt_fail(e, -ENOMEM, "out of memory");
	rc = v->path ? from_recording(v, &r, what, sizeof(what), e)
		     : from_live(v, &r, what, sizeof(what), e);
	if (!rc && v->json)
		rc = print_json(what, r.at, r.n, e);
	else if (!rc)
		print_table(what, r.at, r.n);
	free(r.at);
	return rc ? rc : e->code; /* a recording that is not whole */
}
