// SPDX-License-Identifier: Apache-2.0
/* runtime.c - the families that say what is served and how. */
#include <math.h>
#include <stddef.h>

#include "metrics/metrics.h"
#include "pressure/pressure.h"

static double scaled(const struct vt_family *f, double v)
{
	return f->scale != 0 ? v * f->scale : v;
}

static void put_one(struct vt_expo *x, const struct vt_family *f, double v)
{
	vt_expo_sample(x, f, "", NULL, 0, scaled(f, v));
}

/* ---- this process ------------------------------------------------------------------------- */

static void build_info(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	const struct vt_label l[] = {
		{"version", VT_VERSION},
		{"policy", m->runtime ? m->runtime->policy : ""},
	};

	vt_expo_sample(x, f, "", l, 2, 1);
}

static void process_u64(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	uint64_t v = *(const uint64_t *)((const char *)m + f->off);

	if (v)
		put_one(x, f, (double)v);
}

static void uptime(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->runtime)
		put_one(x, f, (double)(m->runtime->now_ns - m->runtime->start_ns));
}

/* ---- models ------------------------------------------------------------------------------- */

#define MODEL_LABELS(mo)                                                                           \
	{                                                                                          \
		{"model", (mo)->name},                                                             \
		{                                                                                  \
			"version", (mo)->version                                                   \
		}                                                                                  \
	}

static void model_u64(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	for (uint32_t i = 0; m->runtime && i < m->runtime->n_models; i++) {
		const struct vt_runtime_model *mo = &m->runtime->model[i];
		const struct vt_label l[] = MODEL_LABELS(mo);
		uint64_t v = *(const uint64_t *)((const char *)mo + f->off);

		vt_expo_sample(x, f, "", l, 2, scaled(f, (double)v));
	}
}

static void model_u32(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	for (uint32_t i = 0; m->runtime && i < m->runtime->n_models; i++) {
		const struct vt_runtime_model *mo = &m->runtime->model[i];
		const struct vt_label l[] = MODEL_LABELS(mo);

		vt_expo_sample(x, f, "", l, 2, *(const uint32_t *)((const char *)mo + f->off));
	}
}

static void refused(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	static const char *const why[VT_OUTCOMES] = {
		[VT_REFUSED] = "deadline",    [VT_QUEUE_FULL] = "queue_full",
		[VT_NO_MODEL] = "no_model",   [VT_STOPPING] = "stopping",
		[VT_CANCELLED] = "cancelled", [VT_NO_MEMORY] = "memory",
	};

	for (uint32_t i = 0; m->runtime && i < m->runtime->n_models; i++)
		for (unsigned int o = 0; o < VT_OUTCOMES; o++) {
			const struct vt_runtime_model *mo = &m->runtime->model[i];
			const struct vt_label l[] = {
				{"model", mo->name}, {"version", mo->version}, {"reason", why[o]}};

			if (why[o])
				vt_expo_sample(x, f, "", l, 3, (double)mo->ended[o]);
		}
}

static void latency(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	double bound[VT_RUNTIME_BUCKETS];

	for (unsigned int i = 0; i < VT_RUNTIME_BUCKETS; i++)
		bound[i] = (double)vt_runtime_bucket_ns(i) * 1e-9;
	for (uint32_t i = 0; m->runtime && i < m->runtime->n_models; i++) {
		const struct vt_runtime_model *mo = &m->runtime->model[i];
		const struct vt_label l[] = MODEL_LABELS(mo);

		vt_expo_histogram(x, f, l, 2, mo->latency, bound, VT_RUNTIME_BUCKETS,
				  (double)mo->latency_sum_ns * 1e-9);
	}
}

static void layer_runs(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	static const char *const rank[VT_MAX_VERSIONS] = {"0", "1", "2", "3", "4"};

	for (uint32_t i = 0; m->runtime && i < m->runtime->n_models; i++)
		for (unsigned int v = 0; v < VT_MAX_VERSIONS; v++) {
			const struct vt_runtime_model *mo = &m->runtime->model[i];
			const struct vt_label l[] = {
				{"model", mo->name}, {"version", mo->version}, {"code", rank[v]}};

			if (mo->layer_runs[v])
				vt_expo_sample(x, f, "", l, 3, (double)mo->layer_runs[v]);
		}
}

static void model_ready(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	for (size_t i = 0; i < m->n_models; i++) {
		const struct vt_label l[] = MODEL_LABELS(&m->models[i]);

		if (!m->models[i].unloaded)
			vt_expo_sample(x, f, "", l, 2, m->models[i].ready);
	}
}

static void profiled(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	for (uint32_t i = 0; m->runtime && i < m->runtime->n_models; i++) {
		const struct vt_runtime_model *mo = &m->runtime->model[i];
		const struct vt_label l[] = MODEL_LABELS(mo);

		vt_expo_sample(x, f, "", l, 2, mo->costs_source == VT_COSTS_PROFILE);
	}
}

/* ---- pressure, cores, decisions ----------------------------------------------------------- */

static void domain_u32(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	char name[16];
	const struct vt_label l[] = {{"domain", name}};

	for (uint32_t d = 0; m->runtime && d < m->runtime->n_domains; d++) {
		const struct vt_runtime_domain *dom = &m->runtime->domain[d];
		uint32_t v = *(const uint32_t *)((const char *)dom + f->off);

		snprintf(name, sizeof(name), "%u", d);
		vt_expo_sample(x, f, "", l, 1, scaled(f, v));
	}
}

static void pressure_source(struct vt_expo *x, const struct vt_metrics *m,
			    const struct vt_family *f)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} sources[] = {{VT_PRESSURE_COUNTERS, "counters"}, {VT_PRESSURE_SLOWDOWN, "slowdown"}};
	char name[16];

	for (uint32_t d = 0; m->runtime && d < m->runtime->n_domains; d++)
		for (unsigned int s = 0; s < 2; s++) {
			const struct vt_label l[] = {{"domain", name}, {"source", sources[s].name}};

			snprintf(name, sizeof(name), "%u", d);
			vt_expo_sample(x, f, "", l, 2,
				       (m->runtime->domain[d].sources & sources[s].bit) != 0);
		}
}

static void core_busy(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	char name[16];
	const struct vt_label l[] = {{"cpu", name}};

	for (uint32_t c = 0; m->runtime && c < m->runtime->n_cores; c++) {
		snprintf(name, sizeof(name), "%u", m->runtime->core[c].cpu);
		vt_expo_sample(x, f, "", l, 1, scaled(f, (double)m->runtime->core[c].busy_ns));
	}
}

static void core_available(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	char name[16];
	const struct vt_label l[] = {{"cpu", name}};

	for (uint32_t c = 0; m->runtime && !m->runtime->avail_err && c < m->runtime->n_cores; c++) {
		snprintf(name, sizeof(name), "%u", m->runtime->core[c].cpu);
		vt_expo_sample(x, f, "", l, 1, scaled(f, m->runtime->core[c].available_ppm));
	}
}

static void core_taken(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	char name[16];
	const struct vt_label l[] = {{"cpu", name}};

	for (uint32_t c = 0; m->runtime && !m->runtime->avail_err && c < m->runtime->n_cores; c++) {
		snprintf(name, sizeof(name), "%u", m->runtime->core[c].cpu);
		vt_expo_sample(x, f, "", l, 1, m->runtime->core[c].taken != 0);
	}
}

static void runtime_u64(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->runtime)
		put_one(x, f, (double)*(const uint64_t *)((const char *)m->runtime + f->off));
}

static void runtime_u32(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->runtime)
		put_one(x, f, *(const uint32_t *)((const char *)m->runtime + f->off));
}

static void actions(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	static const struct {
		const char *name;
		size_t off;
	} kinds[] = {{"start", offsetof(struct vt_loop_stats, starts)},
		     {"grow", offsetof(struct vt_loop_stats, grows)},
		     {"shrink", offsetof(struct vt_loop_stats, shrinks)},
		     {"preempt", offsetof(struct vt_loop_stats, preempts)},
		     {"shed", offsetof(struct vt_loop_stats, sheds)}};

	for (unsigned int k = 0; m->runtime && k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		const struct vt_label l[] = {{"action", kinds[k].name}};
		const char *at = (const char *)&m->runtime->loop + kinds[k].off;

		vt_expo_sample(x, f, "", l, 1, (double)*(const uint64_t *)at);
	}
}

/* A scrape has one bucket of each doubling: four of the runtime's. */
static void turns(struct vt_expo *x, const struct vt_family *f, const uint64_t *count,
		  uint64_t sum_ns)
{
	double bound[VT_TURN_OCTAVES + 2];
	uint64_t n[VT_TURN_OCTAVES + 2] = {0};

	for (unsigned int i = 0; i < VT_TURN_OCTAVES + 2; i++)
		bound[i] = ldexp(250e-9, (int)i);
	for (unsigned int i = 0; i < VT_TURN_BUCKETS; i++)
		n[(i + 3) / 4] += count[i];
	vt_expo_histogram(x, f, NULL, 0, n, bound, VT_TURN_OCTAVES + 2, (double)sum_ns * 1e-9);
}

static void decide(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->runtime)
		turns(x, f, m->runtime->decide, m->runtime->decide_ns);
}

static void turn(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->runtime)
		turns(x, f, m->runtime->turn, m->runtime->turn_ns);
}

/* ---- HTTP --------------------------------------------------------------------------------- */

static void http_requests(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	static const char *const cls[] = {NULL, NULL, "2xx", "3xx", "4xx", "5xx"};

	for (unsigned int i = 2; m->http && i < 6; i++) {
		const struct vt_label l[] = {{"code", cls[i]}};

		vt_expo_sample(x, f, "", l, 1,
			       (double)__atomic_load_n(&m->http->requests[i], __ATOMIC_RELAXED));
	}
}

static void http_u64(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->http)
		put_one(x, f,
			(double)__atomic_load_n((const uint64_t *)((const char *)m->http + f->off),
						__ATOMIC_RELAXED));
}

static void http_u32(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->http)
		put_one(x, f,
			__atomic_load_n((const uint32_t *)((const char *)m->http + f->off),
					__ATOMIC_RELAXED));
}

/* ---- the table ---------------------------------------------------------------------------- */

#define NS	  1e-9
#define PPM	  1e-6
#define SELF(x)	  offsetof(struct vt_metrics, x)
#define MODEL(x)  offsetof(struct vt_runtime_model, x)
#define DOMAIN(x) offsetof(struct vt_runtime_domain, x)
#define STATS(x)  offsetof(struct vt_runtime_stats, x)
#define HTTP(x)	  offsetof(struct vt_metrics_http, x)

const struct vt_family vt_runtime_families[] = {
	{"build", VT_INFO, "", "version, policy", "What runs here.", build_info, 0, 0},
	{"uptime_seconds", VT_GAUGE, "seconds", "", "Since the runtime started.", uptime, 0, NS},
	{"resident_memory_bytes", VT_GAUGE, "bytes", "", "Resident set of this process.",
	 process_u64, SELF(rss_bytes), 0},
	{"process_cpu_seconds", VT_COUNTER, "seconds", "",
	 "CPU time of this process, user and system.", process_u64, SELF(cpu_ns), NS},

	{"requests", VT_COUNTER, "", "model, version",
	 "Requests submitted: those in time, late, refused, waiting and running.", model_u64,
	 MODEL(requests), 0},
	{"requests_in_time", VT_COUNTER, "", "model, version",
	 "Requests answered at or before their deadline.", model_u64, MODEL(in_time), 0},
	{"requests_late", VT_COUNTER, "", "model, version",
	 "Requests answered after their deadline.", model_u64, MODEL(late), 0},
	{"requests_refused", VT_COUNTER, "", "model, version, reason",
	 "Requests not computed. deadline: it could not be met; queue_full: of the model or the "
	 "server; "
	 "memory: none for body or answer; stopping: the server ends; no_model: it was being "
	 "unloaded; cancelled: the client left, or its input in shared memory could not be read.",
	 refused, 0, 0},
	{"request_duration_seconds", VT_HISTOGRAM, "seconds", "model, version",
	 "Arrival to end of the requests computed.", latency, 0, 0},
	{"request_queue_seconds", VT_COUNTER, "seconds", "model, version",
	 "Time that computed requests waited for their first cores.", model_u64,
	 MODEL(queue_sum_ns), NS},
	{"request_core_seconds", VT_COUNTER, "seconds", "model, version",
	 "Core time granted to requests.", model_u64, MODEL(core_sum_ns), NS},
	{"requests_waiting", VT_GAUGE, "", "model, version", "Requests without cores now.",
	 model_u32, MODEL(waiting), 0},
	{"requests_running", VT_GAUGE, "", "model, version", "Requests with cores now.", model_u32,
	 MODEL(running), 0},
	{"model_queue_limit", VT_GAUGE, "", "model, version",
	 "Requests that may wait for the model; what comes on top is refused.", model_u32,
	 MODEL(max_queue), 0},
	{"qos_target_seconds", VT_GAUGE, "seconds", "model, version", "The model's latency target.",
	 model_u64, MODEL(qos_ns), NS},
	{"model_ready", VT_GAUGE, "", "model, version",
	 "1: it is served; 0: loading or failed; absent: a request unloaded it.", model_ready, 0,
	 0},
	{"model_profiled", VT_GAUGE, "", "model, version",
	 "1: layer times from the profile store; 0: from a few whole runs.", profiled, 0, 0},
	{"blocks", VT_COUNTER, "", "model, version", "Layer blocks run.", model_u64, MODEL(blocks),
	 0},
	{"block_conflicts", VT_COUNTER, "", "model, version",
	 "Of them, those granted fewer cores than they demanded.", model_u64, MODEL(conflicts), 0},
	{"block_cores_wanted", VT_COUNTER, "", "model, version",
	 "Cores demanded, summed over blocks.", model_u64, MODEL(wanted_cores), 0},
	{"block_cores_granted", VT_COUNTER, "", "model, version",
	 "Cores granted, summed over blocks.", model_u64, MODEL(granted_cores), 0},
	{"layer_runs", VT_COUNTER, "", "model, version, code",
	 "Layers run, by version of their code: 0, the fastest alone, to 4.", layer_runs, 0, 0},

	{"pressure_ratio", VT_GAUGE, "ratio", "domain",
	 "Contention that a newcomer would feel: 0 none, 1 the heaviest calibrated.", domain_u32,
	 DOMAIN(pressure_ppm), PPM},
	{"pressure_confidence_ratio", VT_GAUGE, "ratio", "domain",
	 "How far that estimate can be trusted: 0 a guess, 1 just checked.", domain_u32,
	 DOMAIN(confidence_ppm), PPM},
	{"pressure_source", VT_GAUGE, "", "domain, source",
	 "1 if it rests on this source: counters (of the hardware), slowdown (measured).",
	 pressure_source, 0, 0},
	{"core_busy_seconds", VT_COUNTER, "seconds", "cpu", "Time that a worker computed.",
	 core_busy, 0, NS},
	{"core_available_ratio", VT_GAUGE, "ratio", "cpu",
	 "Of the time that a worker wanted its core, what other threads left it, waits below 0.5 "
	 "ms aside; absent if the kernel does not tell.",
	 core_available, 0, PPM},
	{"core_taken", VT_GAUGE, "", "cpu",
	 "1: so much of the core is others' that nothing is led from it and no plan counts on it.",
	 core_taken, 0, 0},
	{"waiting", VT_GAUGE, "", "", "Requests without cores now, all models.", runtime_u32,
	 STATS(waiting), 0},
	{"request_limit", VT_GAUGE, "", "", "Requests held at one time at most.", runtime_u32,
	 STATS(max_requests), 0},
	{"decisions", VT_COUNTER, "", "", "Turns of the scheduling loop.", runtime_u64,
	 STATS(loop.steps), 0},
	{"decision_seconds", VT_HISTOGRAM, "seconds", "",
	 "From an event to what is decided: a turn of the scheduling loop without its end.", decide,
	 0, 0},
	{"turn_seconds", VT_HISTOGRAM, "seconds", "",
	 "A turn to its end, but for the system calls that then wake sleeping workers.", turn, 0,
	 0},
	{"actions", VT_COUNTER, "", "action",
	 "What was decided: start, grow, shrink, preempt, shed.", actions, 0, 0},
	{"actions_late", VT_COUNTER, "", "", "Actions whose block had just ended: dropped.",
	 runtime_u64, STATS(late_actions), 0},
	{"blocks_learned", VT_COUNTER, "", "", "Finished blocks that corrected the pressure.",
	 runtime_u64, STATS(loop.learned), 0},

	{"http_requests", VT_COUNTER, "", "code",
	 "HTTP requests answered, by class of status: 2xx, 3xx, 4xx, 5xx.", http_requests, 0, 0},
	{"http_received_bytes", VT_COUNTER, "bytes", "", "Bodies received.", http_u64,
	 HTTP(bytes_in), 0},
	{"http_sent_bytes", VT_COUNTER, "bytes", "", "Bodies sent.", http_u64, HTTP(bytes_out), 0},
	{"http_body_bytes", VT_GAUGE, "bytes", "", "Bodies held in memory now.", http_u64,
	 HTTP(body_bytes), 0},
	{"http_connections", VT_GAUGE, "", "", "Connections open now.", http_u32, HTTP(connections),
	 0},
	{"http_in_flight", VT_GAUGE, "", "", "HTTP requests being answered now.", http_u32,
	 HTTP(in_flight), 0},
	{0},
};
