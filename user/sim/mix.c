// SPDX-License-Identifier: Apache-2.0
#include "sim/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* The paper's classes. SSD at 300 pixels: docs/simulator.md says why not 1200. */
static const struct {
	const char *name;
	const char *models[8];
} builtin[] = {
	{"light", {"efficientnet_b0", "mobilenet_v2", "tiny_yolo_v2"}},
	{"medium", {"resnet50", "googlenet"}},
	{"heavy", {"ssd_resnet34_300", "bert_large"}},
	{"all",
	 {"efficientnet_b0", "mobilenet_v2", "tiny_yolo_v2", "resnet50", "googlenet",
	  "ssd_resnet34_300", "bert_large"}},
};

static struct vt_mix_entry *append(struct vt_mix *m)
{
	struct vt_mix_entry *at = realloc(m->at, (m->n + 1) * sizeof(*at));

	if (!at)
		return NULL;
	m->at = at;
	at += m->n++;
	*at = (struct vt_mix_entry){.weight = 1, .priority = 1};
	return at;
}

int vt_mix_builtin(const char *name, struct vt_mix *ret, struct vt_err *e)
{
	struct vt_mix m = {.n = 0};
	size_t i = 0;

	while (i < sizeof(builtin) / sizeof(builtin[0]) && strcmp(builtin[i].name, name) != 0)
		i++;
	if (i == sizeof(builtin) / sizeof(builtin[0]))
		return vt_fail(e, -ENOENT, "no mix is called '%.40s'", name);
	snprintf(m.name, sizeof(m.name), "%s", name);
	for (const char *const *s = builtin[i].models; *s; s++) {
		struct vt_mix_entry *x = append(&m);

		if (!x) {
			free(m.at);
			return vt_fail(e, -ENOMEM, "out of memory");
		}
		snprintf(x->model, sizeof(x->model), "%s", *s);
		snprintf(x->name, sizeof(x->name), "%s", *s);
	}
	*ret = m;
	return 0;
}

static int bad(const struct vt_text *t, struct vt_err *e, const char *what, const char *got)
{
	return vt_fail(e, -EINVAL, "%s:%u: %s, not '%.40s'", t->where, t->line, what, got);
}

static int parse_name(const char *text, struct vt_mix_entry *x)
{
	const char *is = strchr(text, '='), *name = is ? is + 1 : text;
	size_t len = is ? (size_t)(is - text) : strlen(text);

	if (!len || len >= sizeof(x->model) || !*name || strlen(name) >= sizeof(x->name))
		return -EINVAL;
	snprintf(x->model, sizeof(x->model), "%.*s", (int)len, text);
	snprintf(x->name, sizeof(x->name), "%s", name);
	return 0;
}

static int parse_line(char *line, const struct vt_text *t, struct vt_mix_entry *x, struct vt_err *e)
{
	char *field[5], *unit;
	size_t n = vt_text_split(line, field, 5);
	uint64_t priority;
	double ms;

	if (n < 3 || n > 5)
		return vt_fail(e, -EINVAL,
			       "%s:%u: expected 'model[=name],qos_ms,weight[,priority[,nodes]]'",
			       t->where, t->line);
	if (parse_name(field[0], x))
		return bad(t, e, "a model name has 1 to 31 characters", field[0]);
	unit = strchr(field[1], 'x');
	if (unit && !unit[1]) {
		*unit = '\0';
		if (vt_text_f64(field[1], &x->qos_times) ||
		    !(x->qos_times >= 1 && x->qos_times <= 1e6))
			return bad(t, e, "qos_ms as a multiple must be in 1x..1000000x", field[1]);
	} else if (strcmp(field[1], "-") != 0) {
		if (vt_text_f64(field[1], &ms) || !(ms >= 1e-3 && ms <= 1e6))
			return bad(t, e, "qos_ms must be in 0.001..1000000", field[1]);
		x->qos_ns = (uint64_t)(ms * 1e6);
	}
	if (vt_text_f64(field[2], &x->weight) || !(x->weight >= 1e-9 && x->weight <= 1e9))
		return bad(t, e, "weight must be above 0", field[2]);
	if (n >= 4 && (vt_text_u64(field[3], &priority) || !priority || priority > 1000))
		return bad(t, e, "priority must be in 1..1000", field[3]);
	if (n >= 4) {
		x->priority = (uint16_t)priority;
		x->ranked = true;
	}
	if (n == 5 && strlen(field[4]) >= sizeof(x->nodes))
		return bad(t, e, "nodes have at most 127 characters", field[4]);
	if (n == 5)
		snprintf(x->nodes, sizeof(x->nodes), "%s", field[4]);
	return 0;
}

/* A model is planned for one target, so all lines that name it must say the same. */
static int check_target(const struct vt_mix *m, const struct vt_text *t, struct vt_err *e)
{
	const struct vt_mix_entry *x = &m->at[m->n - 1];

	for (const struct vt_mix_entry *y = m->at; y < x; y++)
		if (!strcmp(x->model, y->model) &&
		    (x->qos_ns != y->qos_ns || x->qos_times != y->qos_times))
			return vt_fail(e, -EINVAL,
				       "%s:%u: model '%.40s' has another target in a line above",
				       t->where, t->line, x->model);
	return 0;
}

int vt_mix_parse(const char *text, const char *where, struct vt_mix *ret, struct vt_err *e)
{
	const char *base = strrchr(where, '/');
	struct vt_mix m = {.n = 0};
	struct vt_text t;
	char line[256];
	int rc;

	snprintf(m.name, sizeof(m.name), "%s", base ? base + 1 : where);
	vt_text_init(&t, text, where);
	while ((rc = vt_text_line(&t, line, sizeof(line), e)) > 0) {
		struct vt_mix_entry *x = m.n < VT_MIX_MAX ? append(&m) : NULL;

		if (x)
			rc = parse_line(line, &t, x, e);
		else if (m.n == VT_MIX_MAX)
			rc = vt_fail(e, -EINVAL, "%s: more than %u models", where, VT_MIX_MAX);
		else
			rc = vt_fail(e, -ENOMEM, "out of memory");
		if (!rc)
			rc = check_target(&m, &t, e);
		if (rc)
			break;
	}
	if (!rc && !m.n)
		rc = vt_fail(e, -EINVAL, "%s: no models", where);
	if (rc)
		free(m.at);
	else
		*ret = m;
	return rc;
}
