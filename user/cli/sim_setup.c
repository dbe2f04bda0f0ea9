// SPDX-License-Identifier: Apache-2.0
/* sim_setup.c - names and files to machine, mixes and models. */
#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/sim_cli.h"
#include "cli/sim_profiles.h"
#include "load/limit.h"
#include "sim/bound.h"
#include "sim/bound_set.h"
#include "sim/net.h"

#define MAX_TEXT (256u << 20)

/* ---- machines ---------------------------------------------------------------------------- */

/** Where machines and mixes are: beside a build, and where `make install` puts them. */
static const char *const shares[] = {"../../share", "../share/veltair"};
#define SHARES (sizeof(shares) / sizeof(shares[0]))

/** A kind of file there. */
struct shared {
	const char *kind; /* also the ending of its files' names */
	const char *dir;
	const char *also; /* names that need no file, for errors */
};
static const struct shared machines = {"machine", "machines", NULL};
static const struct shared mixes = {"mix", "mixes", "light, medium, heavy, all"};

/** The @i-th folder with files of kind @k, tidied if it is there. */
static int shared_dir(const struct shared *k, size_t i, char path[PATH_MAX])
{
	char exe[PATH_MAX], raw[2 * PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return -errno;
	exe[n] = '\0';
	snprintf(raw, sizeof(raw), "%s/%s/%s", dirname(exe), shares[i], k->dir);
	if (!realpath(raw, path))
		snprintf(path, PATH_MAX, "%.*s", PATH_MAX - 1, raw);
	return 0;
}

static void list_dir(const struct shared *k, const char *dir, FILE *f)
{
	char ending[16];
	struct dirent **at;
	int n = scandir(dir, &at, NULL, alphasort);
	size_t len = (size_t)snprintf(ending, sizeof(ending), ".%s", k->kind);

	for (int i = 0; i < n; i++) {
		size_t whole = strlen(at[i]->d_name);

		if (whole > len && !strcmp(at[i]->d_name + whole - len, ending))
			fprintf(f, "%s%.*s", ftell(f) ? ", " : "", (int)(whole - len),
				at[i]->d_name);
		free(at[i]);
	}
	if (n >= 0)
		free(at);
}

/** What there is and where it was looked for: the answer to a wrong name and to a broken installation. */
static int no_shared(const struct shared *k, const char *name, struct vt_err *e)
{
	char *names = NULL, dirs[2][PATH_MAX] = {"?", "?"};
	size_t len;
	FILE *f = open_memstream(&names, &len);

	_Static_assert(SHARES == 2, "the message names two folders");
	if (!f)
		return vt_fail(e, -ENOMEM, "out of memory");
	if (k->also)
		fputs(k->also, f);
	for (size_t i = 0; i < SHARES; i++)
		if (!shared_dir(k, i, dirs[i]))
			list_dir(k, dirs[i], f);
	fclose(f);
	vt_fail(e, -ENOENT,
		"no %s is called '%.60s'; name a file, or one of: %.120s (from %.100s and %.100s)",
		k->kind, name, *names ? names : "none found", dirs[0], dirs[1]);
	free(names);
	return -ENOENT;
}

static int find_shared(const struct shared *k, const char *name, char path[PATH_MAX])
{
	char dir[PATH_MAX];

	for (size_t i = 0; i < SHARES; i++)
		if (!shared_dir(k, i, dir) &&
		    snprintf(path, PATH_MAX, "%s/%s.%s", dir, name, k->kind) < PATH_MAX &&
		    !access(path, R_OK))
			return 0;
	return -ENOENT;
}

/** Is @name a path? Of machines and mixes alike, what lies in the current folder comes before what is installed. */
static bool names_file(const char *name)
{
	struct stat st;

	return strchr(name, '/') || (!stat(name, &st) && !S_ISDIR(st.st_mode));
}

static int load_machine(const char *name, struct vt_machine *ret, struct vt_err *e)
{
	char path[PATH_MAX];

	if (names_file(name))
		return vt_machine_load(name, ret, e);
	if (strchr(name, ','))
		return vt_fail(e, -EINVAL, "--machine %.60s: several are of a fleet: say --nodes",
			       name);
	if (find_shared(&machines, name, path))
		return no_shared(&machines, name, e);
	return vt_machine_load(path, ret, e);
}

/* ---- profiles ---------------------------------------------------------------------------- */

static int add_sample(void *arg, const char *model, const struct vt_sampled *s)
{
	return vt_profile_add(arg, model, s);
}

static int load_profile(const char *path, struct vt_profile *ret, struct vt_err *e)
{
	char *text;
	int rc;

	if (sim_profiles_is_store(path)) {
		rc = sim_profiles_read(path, add_sample, ret, e);
		if (rc)
			vt_profile_fini(ret);
		return rc;
	}
	rc = vt_text_read(path, MAX_TEXT, &text, NULL, e);
	if (rc)
		return rc;
	rc = vt_profile_parse(text, path, ret, e);
	free(text);
	return rc;
}

/** The authors' measured tables, by their file names. */
static const char *const tables[][2] = {{"ResNet50", "resnet50"}, {"GoogLeNet", "googlenet"}};

static int load_tables(const char *dir, struct vt_profile *ret, struct vt_err *e)
{
	char path[PATH_MAX], *text;
	int rc = 0;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && !rc; i++) {
		snprintf(path, sizeof(path), "%s/%s.profile.csv", dir, tables[i][0]);
		rc = vt_text_read(path, MAX_TEXT, &text, NULL, e);
		if (rc)
			return rc;
		rc = vt_profile_parse_table(text, path, tables[i][1], ret, e);
		free(text);
	}
	return rc;
}

/* ---- mixes ------------------------------------------------------------------------------- */

/** @name NULL: the models of the recording */
static int load_mix(const struct sim_setup *s, const char *name, struct vt_mix *ret,
		    struct vt_err *e)
{
	char *text, path[PATH_MAX];
	int rc;

	if (!name)
		return sim_recorded_mix(&s->recorded, ret, e);
	if (!names_file(name)) {
		if (!vt_mix_builtin(name, ret, NULL))
			return 0;
		if (find_shared(&mixes, name, path))
			return no_shared(&mixes, name, e);
		name = path;
	}
	rc = vt_text_read(name, MAX_TEXT, &text, NULL, e);
	if (rc)
		return rc;
	rc = vt_mix_parse(text, name, ret, e);
	free(text);
	return rc;
}

static bool same_name(const char *a, const char *b)
{
	return !strcmp(a, b);
}

/** The first model that is measured, else has shapes, and is called @name; NULL: none. */
static const char *first_called(const struct vt_profile *p, const char *name,
				bool (*same)(const char *a, const char *b))
{
	for (uint32_t i = 0; i < p->n_models; i++)
		if (same(p->models[i].name, name))
			return p->models[i].name;
	for (unsigned int i = 0; vt_net_name(i); i++)
		if (same(vt_net_name(i), name))
			return vt_net_name(i);
	return NULL;
}

/** Files and the zoo write mobilenet-v2 and resnet-50 where the shapes are mobilenet_v2 and resnet50. */
static const char *model_called(const struct vt_profile *p, const char *name)
{
	const char *exact = first_called(p, name, same_name);

	return exact ? exact : first_called(p, name, sim_names_alike);
}

void sim_list_add(struct sim_list *l, const char *name)
{
	const size_t at = strlen(l->text);

	snprintf(l->text + at, sizeof(l->text) - at, "%s%s", at ? ", " : "", name);
	l->first = l->first ? l->first : name;
}

static int no_model(const struct vt_profile *p, const char *name, struct vt_err *e)
{
	struct sim_list there = {.first = NULL};

	for (uint32_t i = 0; i < p->n_models; i++)
		sim_list_add(&there, p->models[i].name);
	for (unsigned int i = 0; vt_net_name(i); i++)
		if (!vt_profile_find(p, vt_net_name(i)))
			sim_list_add(&there, vt_net_name(i));
	return vt_fail(e, -ENOENT,
		       "no model is called '%.40s', but: %.240s%s; --profiles DB adds those of DB, "
		       "each called as its file without .onnx",
		       name, there.text, strlen(there.text) > 240 ? "..." : "");
}

/** All models of a recording that nothing is known of, where no_model() would tell of the first. */
static int check_known(const struct sim_setup *s, const struct vt_mix *mix, struct vt_err *e)
{
	struct sim_list unknown = {.first = NULL};

	for (uint32_t i = 0; i < mix->n; i++)
		if (!model_called(&s->profile, mix->at[i].model))
			sim_list_add(&unknown, mix->at[i].model);
	if (!unknown.first)
		return 0;
	return vt_fail(e, -ENOENT,
		       "%.120s: of its models no times are known: %.160s; give them with "
		       "--profiles DB, or say whose times they have by lines 'MODEL=%s,-,1' of a "
		       "mix file",
		       s->opts->arrivals, unknown.text, unknown.first);
}

/** A model by name: from the profile if it is there, else from its shapes. Its index. */
static int add_model(struct sim_setup *s, struct sim_mix *m, const struct vt_mix_entry *x,
		     struct vt_err *e)
{
	const char *name = model_called(&s->profile, x->model);
	const struct vt_profile_model *p;
	struct vt_net net = {.name = NULL};
	uint64_t qos_ns;
	int at, known;

	if (!name)
		return no_model(&s->profile, x->model, e);
	at = vt_bank_find(&m->bank, name);
	if (at >= 0)
		return at;
	p = vt_profile_find(&s->profile, name);
	known = vt_net_make(name, &net, p ? NULL : e);
	if (!p && known)
		return known;
	/* 1: has its target from qos_times, in add_tenants() */
	qos_ns = x->qos_ns ? x->qos_ns : known ? 1 : net.qos_ns;
	if (p && !x->qos_ns && !(x->qos_times > 0) && known)
		at = vt_fail(e, -EINVAL,
			     "model '%s' has no target of its own: say qos_ms in the mix",
			     x->model);
	else if (p)
		at = vt_bank_add_samples(&m->bank, name, qos_ns, p->at, p->n, e);
	else
		at = vt_bank_add_net(&m->bank, &net, qos_ns, e);
	vt_net_fini(&net);
	return at;
}

/** As vt_mix_parse() sees to it for lines that write the name alike. */
static int check_target(const struct sim_mix *m, uint32_t at, struct vt_err *e)
{
	const struct vt_mix_entry *x = &m->mix.at[at];

	for (uint32_t i = 0; i < at; i++)
		if (m->tenants[i].model == m->tenants[at].model &&
		    (m->mix.at[i].qos_ns != x->qos_ns || m->mix.at[i].qos_times != x->qos_times))
			return vt_fail(
				e, -EINVAL,
				"mix %s: '%.40s' and '%.40s' are one model, with two targets",
				m->mix.name, m->mix.at[i].model, x->model);
	return 0;
}

/** The rate at which the cheapest requests that make up the share fill the ideal machine. */
static int most_rate(const struct sim_opts *o, struct sim_mix *m, struct vt_err *e)
{
	struct vt_limit_class *classes = calloc(m->mix.n, sizeof(*classes));
	struct vt_limit_cfg cfg = {.classes = classes, .n_classes = m->mix.n, .target = o->share};

	for (uint32_t i = 0; classes && i < m->mix.n; i++)
		classes[i] = (struct vt_limit_class){.service_ns = m->ideal_ns[i],
						     .weight = m->mix.at[i].weight};
	m->most_hz = classes ? vt_limit_most(&cfg) : NAN;
	free(classes);
	return isnan(m->most_hz) ? vt_fail(e, -ENOMEM, "out of memory") : 0;
}

/** Requests of a recording have targets of their own: what the longest allows is a bound for all. */
static void longest_targets(const struct sim_mix *m, uint64_t *longest_ns)
{
	for (uint32_t i = 0; i < m->mix.n; i++)
		longest_ns[i] = m->tenants[i].qos_ns;
	for (size_t i = 0; i < m->trace.n; i++)
		if (m->trace.at[i].qos_ns > longest_ns[m->trace.at[i].tenant])
			longest_ns[m->trace.at[i].tenant] = m->trace.at[i].qos_ns;
}

static int add_bounds(const struct sim_opts *o, struct sim_mix *m, struct vt_err *e)
{
	uint64_t *longest_ns = calloc(m->mix.n, sizeof(*longest_ns));
	double work = 0;

	if (!longest_ns)
		return vt_fail(e, -ENOMEM, "out of memory");
	longest_targets(m, longest_ns);
	for (uint32_t i = 0; i < m->mix.n; i++) {
		const uint32_t at = m->tenants[i].model;

		m->ideal_ns[i] = vt_bound_work_ns(&m->bank, at);
		m->real_ns[i] = vt_bound_real_work_ns(&m->bank, at, longest_ns[i]);
		work += m->mix.at[i].weight * m->ideal_ns[i];
		if (o->bound && vt_bound_ways_init(&m->ways[i], &m->bank, at)) {
			free(longest_ns);
			return vt_fail(e, -ENOMEM, "out of memory");
		}
	}
	free(longest_ns);
	m->capacity_hz = 1e9 / (work / m->upto[m->mix.n - 1]);
	return most_rate(o, m, e);
}

static int add_tenants(struct sim_setup *s, struct sim_mix *m, struct vt_err *e)
{

	m->tenants = calloc(m->mix.n, sizeof(*m->tenants));
	m->upto = calloc(m->mix.n, sizeof(*m->upto));
	m->ideal_ns = calloc(m->mix.n, sizeof(*m->ideal_ns));
	m->real_ns = calloc(m->mix.n, sizeof(*m->real_ns));
	m->ways = calloc(m->mix.n, sizeof(*m->ways));
	if (!m->tenants || !m->upto || !m->ideal_ns || !m->real_ns || !m->ways)
		return vt_fail(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < m->mix.n; i++) {
		const struct vt_mix_entry *x = &m->mix.at[i];
		int at = add_model(s, m, x, e);

		if (at < 0)
			return at;
		if (x->qos_times > 0)
			m->bank.sched[at].qos_ns =
				(uint64_t)(x->qos_times *
					   (double)vt_bank_fastest_ns(&m->bank, (uint32_t)at));
		m->tenants[i] = (struct vt_sim_tenant){
			.model = (uint32_t)at,
			.qos_ns = x->qos_ns ? x->qos_ns : m->bank.sched[at].qos_ns,
			.priority = x->priority,
		};
		if (check_target(m, i, e))
			return -EINVAL;
		m->upto[i] = (i ? m->upto[i - 1] : 0) + x->weight;
	}
	return add_bounds(s->opts, m, e);
}

static int load_arrivals(const char *path, struct sim_mix *m, struct vt_err *e)
{
	const char *names[VT_MIX_MAX];
	char *text;
	int rc = vt_text_read(path, MAX_TEXT, &text, NULL, e);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < m->mix.n; i++)
		names[i] = m->mix.at[i].name;
	rc = vt_arrivals_parse(text, path, names, m->mix.n, &m->trace, e);
	free(text);
	return rc;
}

static int init_mix(struct sim_setup *s, const char *name, uint32_t needs, struct vt_err *e)
{
	struct sim_mix *m = &s->mixes[s->n_mixes++];
	int rc = vt_bank_init(&m->bank, &s->machine);

	if (!rc)
		rc = load_mix(s, name, &m->mix, e);
	if (!rc && !name)
		rc = check_known(s, &m->mix, e);
	if (!rc && s->recorded.path)
		rc = sim_recorded_arrivals(&s->recorded, &m->mix, &m->trace, e);
	if (!rc)
		rc = add_tenants(s, m, e);
	if (!rc)
		rc = vt_bank_plan(&m->bank, needs, e);
	if (!rc && s->opts->arrivals && !s->recorded.path)
		rc = load_arrivals(s->opts->arrivals, m, e);
	return rc;
}

/* ---- lists ------------------------------------------------------------------------------- */

static bool listed(const struct sim_setup *s, const struct vt_policy *p)
{
	for (uint32_t i = 0; i < s->n_policies; i++)
		if (s->policies[i] == p)
			return true;
	return false;
}

static int add_policy(struct sim_setup *s, const char *name, struct vt_err *e)
{
	const struct vt_policy *p = vt_policy_find(name);

	if (!strcmp(name, "all")) {
		for (unsigned int i = 0; vt_policy_at(i); i++)
			if (!listed(s, vt_policy_at(i)) && s->n_policies < VT_SIM_LIST_MAX)
				s->policies[s->n_policies++] = vt_policy_at(i);
		return 0;
	}
	if (!p)
		return vt_fail(e, -EINVAL, "no policy is called '%.40s'; --help lists them", name);
	if (!listed(s, p) && s->n_policies < VT_SIM_LIST_MAX)
		s->policies[s->n_policies++] = p;
	return 0;
}

/** Call @fn for each name of a comma-separated list. */
static int each(const char *list,
		int (*fn)(struct sim_setup *s, const char *name, struct vt_err *e),
		struct sim_setup *s, struct vt_err *e)
{
	char *copy = strdup(list), *rest = copy;
	int rc = copy ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	for (char *name; !rc && (name = strsep(&rest, ","));)
		rc = fn(s, vt_text_trim(name), e);
	free(copy);
	return rc;
}

static int add_mix(struct sim_setup *s, const char *name, struct vt_err *e)
{
	uint32_t needs = 0;

	if (s->n_mixes == VT_SIM_LIST_MAX)
		return vt_fail(e, -EINVAL, "more than %u mixes", VT_SIM_LIST_MAX);
	for (uint32_t i = 0; i < s->n_policies; i++)
		needs |= s->policies[i]->plan_needs;
	return init_mix(s, name, needs, e);
}

int sim_setup_init(struct sim_setup *s, const struct sim_opts *o, struct vt_err *e)
{
	int rc = load_machine(o->machine, &s->machine, e);

	s->opts = o;
	if (!rc && o->profiles)
		rc = load_profile(o->profiles, &s->profile, e);
	if (!rc && o->arrivals && sim_is_recording(o->arrivals))
		rc = sim_recorded_read(o->arrivals, &s->recorded, e);
	if (!rc && o->tables)
		rc = load_tables(o->tables, &s->profile, e);
	if (!rc)
		rc = each(o->policies, add_policy, s, e);
	if (!rc && !o->mixes && s->recorded.path)
		rc = add_mix(s, NULL, e);
	else if (!rc)
		rc = each(o->mixes ? o->mixes : "light", add_mix, s, e);
	if (!rc && o->bound && s->n_policies + 1 < VT_SIM_LIST_MAX) {
		s->policies[s->n_policies++] = &sim_bound_real;
		s->policies[s->n_policies++] = &sim_bound_ideal;
	}
	return rc;
}

void sim_setup_fini(struct sim_setup *s)
{
	for (uint32_t i = 0; i < s->n_mixes; i++) {
		free(s->mixes[i].mix.at);
		free(s->mixes[i].tenants);
		free(s->mixes[i].upto);
		free(s->mixes[i].ideal_ns);
		free(s->mixes[i].real_ns);
		for (uint32_t t = 0; s->mixes[i].ways && t < s->mixes[i].mix.n; t++)
			vt_bound_ways_fini(&s->mixes[i].ways[t]);
		free(s->mixes[i].ways);
		free(s->mixes[i].trace.at);
		vt_bank_fini(&s->mixes[i].bank);
	}
	sim_recorded_fini(&s->recorded);
	vt_profile_fini(&s->profile);
}
