// SPDX-License-Identifier: Apache-2.0
/* bench_check.c - which options exclude each other, and what no report could hold: before anything is run. */
#include "base/utf8.h"
#include "cli/bench_cli.h"

/** Are options given that only the runtime in this process heeds? */
static bool of_runtime(const struct bench_opts *o)
{
	return o->instances || o->no_shed || o->monitor || o->profiles || o->fixed ||
	       vt_cpuset_count(&o->cores);
}

/** Are options given that only say something where something is run? */
static bool runs_something(const struct bench_opts *o)
{
	return of_runtime(o) || o->policies || o->url || o->n_peers || o->shared_memory ||
	       o->peer_deadlines || o->rate_hz > 0 || o->secs > 0 || o->rounds || o->csv ||
	       o->plot_dir || o->html || o->has_bubble || o->aggressor || o->aggressor_period_s > 0;
}

static const char *excluded(const struct bench_opts *o)
{
	bool live = o->policies || (!o->url && !o->n_peers);

	if (!o->n_models)
		return "which models? give --model PATH, once for each tenant";
	if (o->limit && !o->alone)
		return "--limit needs --alone MS,MS..., each model's time alone";
	if (o->limit && runs_something(o))
		return "--limit runs nothing: beside --model and --alone it takes --qos, "
		       "--qos-share, --seed and --json";
	if (o->limit)
		return NULL;
	if (o->alone)
		return "--alone is for --limit; otherwise times alone are measured";
	if (!live && of_runtime(o))
		return "--cores, --instances, --no-shed, --monitor, --profiles and --fixed are of "
		       "the runtime in this process: say --policy too";
	if (o->shared_memory && !o->url)
		return "--shared-memory is between this process and a server: say --url too";
	if (o->peer_deadlines && !o->n_peers)
		return "--peer-deadlines without --peer";
	if (o->has_bubble && o->aggressor)
		return "--bubble and --aggressor exclude each other";
	if (o->aggressor_period_s > 0 && !o->aggressor && !o->has_bubble)
		return "--aggressor-period without --aggressor or --bubble";
	if (o->json && o->csv)
		return "--json and --csv exclude each other";
	return NULL;
}

static bool is_utf8(const char *text)
{
	size_t n = 1;

	for (; text && *text && n; text += n)
		n = vt_utf8_len(text);
	return n;
}

/** What JSON and the page could not say would be found out after the measuring. */
static int check_texts(const struct bench_opts *o, struct vt_err *e)
{
	for (uint32_t m = 0; m < o->n_models; m++) {
		if (!is_utf8(o->model[m].name))
			return vt_fail(e, -EINVAL,
				       "--model '%.80s': its name is not UTF-8; give one with "
				       "=NAME",
				       o->model[m].name);
		if (o->json && !is_utf8(o->model[m].path))
			return vt_fail(e, -EINVAL,
				       "--model '%.80s': JSON cannot hold a path that is not UTF-8",
				       o->model[m].path);
	}
	if (!is_utf8(o->url))
		return vt_fail(e, -EINVAL, "--url '%.80s' is not UTF-8", o->url);
	return 0;
}

int bench_check(const struct bench_opts *o, struct vt_err *e)
{
	const char *wrong = excluded(o);

	return wrong ? vt_fail(e, -EINVAL, "%s", wrong) : check_texts(o, e);
}
