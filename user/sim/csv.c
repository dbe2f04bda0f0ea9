// SPDX-License-Identifier: Apache-2.0
#include "sim/csv.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define TABLE_STEP 8u /* cores between the columns of an authors' table */
#define MAX_FIELDS 16u

enum column { MODEL, LAYER, VERSION, LEVEL, CORES, NS, DRAM, N_COLUMNS };

static const struct {
	const char *name;
	bool required;
} columns[N_COLUMNS] = {{"model", true}, {"layer", true}, {"version", false},	{"level", false},
			{"cores", true}, {"ns", true},	  {"dram_bytes", false}};

/** Where each column is; -1 if left out. */
struct header {
	int at[N_COLUMNS];
	size_t n;
};

static int find_column(const char *name)
{
	for (int i = 0; i < N_COLUMNS; i++)
		if (!strcmp(columns[i].name, name))
			return i;
	return -1;
}

static int parse_header(char *line, const struct vt_text *t, struct header *ret, struct vt_err *e)
{
	char *field[MAX_FIELDS];

	ret->n = vt_text_split(line, field, MAX_FIELDS);
	for (int i = 0; i < N_COLUMNS; i++)
		ret->at[i] = -1;
	for (size_t i = 0; i < ret->n && i < MAX_FIELDS; i++) {
		int c = find_column(field[i]);

		if (c < 0 || ret->at[c] >= 0)
			return vt_fail(e, -EINVAL, "%s:%u: %s column '%.40s'", t->where, t->line,
				       c < 0 ? "unknown" : "second", field[i]);
		ret->at[c] = (int)i;
	}
	for (int i = 0; i < N_COLUMNS; i++)
		if (columns[i].required && ret->at[i] < 0)
			return vt_fail(e, -EINVAL, "%s:%u: the header names no column '%s'",
				       t->where, t->line, columns[i].name);
	return 0;
}

static struct vt_profile_model *model_called(struct vt_profile *p, const char *name)
{
	struct vt_profile_model *m;

	/* Lines of one model mostly follow each other. */
	for (uint32_t i = p->n_models; i--;)
		if (!strcmp(p->models[i].name, name))
			return &p->models[i];
	m = realloc(p->models, (p->n_models + 1) * sizeof(*m));
	if (!m)
		return NULL;
	p->models = m;
	m += p->n_models++;
	*m = (struct vt_profile_model){.at = NULL};
	strcpy(m->name, name);
	return m;
}

int vt_profile_add(struct vt_profile *p, const char *name, const struct vt_sampled *s)
{
	struct vt_profile_model *m = model_called(p, name);

	if (!m)
		return -ENOMEM;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 256;
		struct vt_sampled *at = realloc(m->at, cap * sizeof(*at));

		if (!at)
			return -ENOMEM;
		m->at = at;
		m->cap = cap;
	}
	m->at[m->n++] = *s;
	return 0;
}

/** A whole number of a column, or @missing if the header leaves it out. */
static int whole(char **field, const struct header *h, enum column c, uint64_t max,
		 uint64_t missing, const struct vt_text *t, uint64_t *ret, struct vt_err *e)
{
	*ret = missing;
	if (h->at[c] < 0)
		return 0;
	if (vt_text_u64(field[h->at[c]], ret) || *ret > max)
		return vt_fail(e, -EINVAL, "%s:%u: %s '%.40s' is no whole number in 0..%llu",
			       t->where, t->line, columns[c].name, field[h->at[c]],
			       (unsigned long long)max);
	return 0;
}

static int parse_line(char *line, const struct header *h, const struct vt_text *t,
		      struct vt_profile *p, struct vt_err *e)
{
	char *field[MAX_FIELDS];
	uint64_t layer, version, level, cores, ns, dram;
	const char *name;
	struct vt_sampled s;

	if (vt_text_split(line, field, MAX_FIELDS) != h->n)
		return vt_fail(e, -EINVAL, "%s:%u: expected %zu fields", t->where, t->line, h->n);
	name = field[h->at[MODEL]];
	if (!*name || strlen(name) >= VT_MODEL_NAME_MAX)
		return vt_fail(e, -EINVAL, "%s:%u: a model name has 1 to %u characters", t->where,
			       t->line, VT_MODEL_NAME_MAX - 1);
	if (whole(field, h, LAYER, VT_MAX_LAYERS - 1, 0, t, &layer, e) ||
	    whole(field, h, VERSION, VT_MAX_VERSIONS - 1, 0, t, &version, e) ||
	    whole(field, h, LEVEL, VT_LEVELS - 1, 0, t, &level, e) ||
	    whole(field, h, CORES, UINT16_MAX, 0, t, &cores, e) ||
	    whole(field, h, NS, UINT64_MAX / 2, 0, t, &ns, e) ||
	    whole(field, h, DRAM, 1ull << 50, UINT64_MAX, t, &dram, e))
		return -EINVAL;
	if (!cores || !ns)
		return vt_fail(e, -EINVAL, "%s:%u: %s must not be 0", t->where, t->line,
			       cores ? "ns" : "cores");
	s = (struct vt_sampled){
		.layer = (uint16_t)layer,
		.version = (uint16_t)version,
		.level = (uint16_t)level,
		.cores = (uint16_t)cores,
		.ns = ns,
		.dram_bytes = dram == UINT64_MAX ? -1 : (double)dram,
	};
	return vt_profile_add(p, name, &s) ? vt_fail(e, -ENOMEM, "out of memory") : 0;
}

int vt_profile_parse(const char *text, const char *where, struct vt_profile *ret, struct vt_err *e)
{
	struct vt_profile p = {NULL, 0};
	struct header h;
	struct vt_text t;
	char line[512];
	bool head = true;
	int rc;

	vt_text_init(&t, text, where);
	while ((rc = vt_text_line(&t, line, sizeof(line), e)) > 0) {
		rc = head ? parse_header(line, &t, &h, e) : parse_line(line, &h, &t, &p, e);
		head = false;
		if (rc)
			break;
	}
	if (!rc && !p.n_models)
		rc = vt_fail(e, -EINVAL, "%s: no times", where);
	if (rc)
		vt_profile_fini(&p);
	else
		*ret = p;
	return rc;
}

static int parse_row(char *line, uint16_t layer, const char *name, const struct vt_text *t,
		     struct vt_profile *p, struct vt_err *e)
{
	char *field[MAX_FIELDS];
	size_t n = vt_text_split(line, field, MAX_FIELDS);

	for (size_t i = 0; i < n && i < MAX_FIELDS; i++) {
		struct vt_sampled s = {.layer = layer,
				       .cores = (uint16_t)(TABLE_STEP * (i + 1)),
				       .dram_bytes = -1};
		uint64_t us;

		if (vt_text_u64(field[i], &us) || !us || us > 1000000000)
			return vt_fail(e, -EINVAL, "%s:%u: '%.40s' is no time in microseconds",
				       t->where, t->line, field[i]);
		s.ns = us * 1000;
		if (vt_profile_add(p, name, &s))
			return vt_fail(e, -ENOMEM, "out of memory");
	}
	return n <= MAX_FIELDS ? 0
			       : vt_fail(e, -EINVAL, "%s:%u: more than %u columns", t->where,
					 t->line, MAX_FIELDS);
}

int vt_profile_parse_table(const char *text, const char *where, const char *name,
			   struct vt_profile *ret, struct vt_err *e)
{
	struct vt_text t;
	char line[512];
	uint16_t layer = 0;
	int rc;

	vt_text_init(&t, text, where);
	while ((rc = vt_text_line(&t, line, sizeof(line), e)) > 0) {
		if (layer == VT_MAX_LAYERS)
			return vt_fail(e, -EINVAL, "%s: more than %u layers", where, VT_MAX_LAYERS);
		rc = parse_row(line, layer++, name, &t, ret, e);
		if (rc)
			return rc;
	}
	return rc || layer ? rc : vt_fail(e, -EINVAL, "%s: no times", where);
}

const struct vt_profile_model *vt_profile_find(const struct vt_profile *p, const char *name)
{
	for (uint32_t i = 0; i < p->n_models; i++)
		if (!strcmp(p->models[i].name, name))
			return &p->models[i];
	return NULL;
}

void vt_profile_fini(struct vt_profile *p)
{
	for (uint32_t i = 0; i < p->n_models; i++)
		free(p->models[i].at);
	free(p->models);
	*p = (struct vt_profile){NULL, 0};
}
