// SPDX-License-Identifier: Apache-2.0
/*
 * config_yaml.c - the YAML file against its schema.
 *
 * The schema is tables of {key, what to do with its value}. libyaml gives every node its line, so
 * each fault can name one (docs/decisions.md says why not libcyaml).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/clock.h"
#include "base/text.h"
#include "server/config.h"

#define CONFIG_BYTES (1u << 20)

struct file {
	yaml_document_t doc;
	const char *where;
	struct vt_config *c;
	struct vt_err *e;
};

/** One key of a mapping. */
struct key {
	const char *name;
	int (*set)(struct file *f, const struct key *k, yaml_node_t *v, void *field);
	size_t offset; /* of its field in what the mapping describes */
	uint64_t min, max;
	const char *const *words; /* of an enumeration, in order of its values; NULL-terminated */
};

static unsigned int line_of(const yaml_node_t *n)
{
	return (unsigned int)n->start_mark.line + 1;
}

static int bad(struct file *f, const yaml_node_t *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int bad(struct file *f, const yaml_node_t *n, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return vt_fail(f->e, -EINVAL, "%.150s:%u: %s", f->where, line_of(n), text);
}

/* Put the place before what a callee said. */
static int said(struct file *f, const yaml_node_t *n, int err)
{
	return err ? vt_fail_at(f->e, "%.150s:%u", f->where, line_of(n)) : 0;
}

/* The scalar's text, or NULL after an error. */
static const char *scalar(struct file *f, const struct key *k, const yaml_node_t *v)
{
	const char *text = (const char *)v->data.scalar.value;

	if (v->type != YAML_SCALAR_NODE) {
		bad(f, v, "%s: one value was expected", k->name);
		return NULL;
	}
	if (strlen(text) != v->data.scalar.length) {
		bad(f, v, "%s: a NUL character in the text", k->name);
		return NULL;
	}
	return text;
}

/* ---- values ------------------------------------------------------------------------------------ */

static int set_text(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);
	char **ret = field;

	if (!text)
		return f->e->code;
	if (!*text)
		return bad(f, v, "%s: a text was expected", k->name);
	free(*ret);
	*ret = strdup(text);
	return *ret ? 0 : vt_fail(f->e, -ENOMEM, "no memory");
}

static int number(struct file *f, const struct key *k, yaml_node_t *v, uint64_t *ret)
{
	const char *text = scalar(f, k, v);

	if (!text)
		return f->e->code;
	if (vt_text_u64(text, ret) || *ret < k->min || *ret > k->max)
		return bad(f, v, "%s: '%.40s' is not a whole number from %llu to %llu", k->name,
			   text, (unsigned long long)k->min, (unsigned long long)k->max);
	return 0;
}

static int set_u64(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	return number(f, k, v, field);
}

static int set_u32(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	uint64_t n = 0;
	int err = number(f, k, v, &n);

	if (!err)
		*(uint32_t *)field = (uint32_t)n;
	return err;
}

static int set_u16(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	uint64_t n = 0;
	int err = number(f, k, v, &n);

	if (!err)
		*(uint16_t *)field = (uint16_t)n;
	return err;
}

static int set_size(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);

	if (!text)
		return f->e->code;
	if (!vt_config_size(text, k->min, k->max, field))
		return 0;
	return bad(f, v, "%s: '%.40s' is no size from %llu to %llu bytes, such as 65536 or 64MiB",
		   k->name, text, (unsigned long long)k->min, (unsigned long long)k->max);
}

static int set_word(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);
	char list[80] = "";

	if (!text)
		return f->e->code;
	for (unsigned int i = 0; k->words[i]; i++) {
		if (!strcmp(text, k->words[i])) {
			*(unsigned int *)field = i;
			return 0;
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			 k->words[i]);
	}
	return bad(f, v, "%s: '%.40s' is none of: %s", k->name, text, list);
}

static int set_admission(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	unsigned int word = 0;
	int err = set_word(f, k, v, &word);

	if (!err)
		*(bool *)field = word == 1;
	return err;
}

static int set_qos(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);

	return text ? said(f, v, vt_config_ms(text, field, f->e)) : f->e->code;
}

static int set_cores(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);

	if (!text)
		return f->e->code;
	if (vt_cpuset_parse(text, field))
		return bad(f, v, "%s: '%.60s' is no list of cores such as 0-3,8", k->name, text);
	return 0;
}

static int set_name(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);

	return text ? said(f, v, vt_config_set_name(field, text, f->e)) : f->e->code;
}

static int set_version(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);

	return text ? said(f, v, vt_config_set_version(field, text, f->e)) : f->e->code;
}

static int set_mode(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	const char *text = scalar(f, k, v);
	char *end;
	unsigned long mode;

	if (!text)
		return f->e->code;
	mode = strtoul(text, &end, 8);
	if (*end || end == text || mode > 0777)
		return bad(f, v, "%s: '%.40s' are no permissions such as 0660", k->name, text);
	*(uint32_t *)field = (uint32_t)mode;
	return 0;
}

/* ---- mappings ---------------------------------------------------------------------------------- */

/* Letters to change, add or leave out to make @b of @a; gives up past the names we have. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[33], len = (unsigned int)strlen(b);

	if (len > 32)
		return 99;
	for (unsigned int i = 0; i <= len; i++)
		row[i] = i;
	for (unsigned int k = 1; *a; a++, k++) {
		unsigned int diagonal = row[0];

		row[0] = k;
		for (unsigned int i = 1; i <= len; i++) {
			unsigned int best = diagonal + (b[i - 1] != *a);

			diagonal = row[i];
			if (row[i] + 1 < best)
				best = row[i] + 1;
			if (row[i - 1] + 1 < best)
				best = row[i - 1] + 1;
			row[i] = best;
		}
	}
	return row[len];
}

static int unknown_key(struct file *f, const yaml_node_t *n, const char *text,
		       const struct key *keys, const char *of)
{
	const char *near = NULL;
	unsigned int best = 3;

	for (const struct key *k = keys; k->name && strlen(text) < 64; k++)
		if (distance(text, k->name) < best) {
			best = distance(text, k->name);
			near = k->name;
		}
	if (near)
		return bad(f, n, "unknown key '%.60s' in %s; did you mean '%s'?", text, of, near);
	return bad(f, n, "unknown key '%.60s' in %s", text, of);
}

static int read_mapping(struct file *f, yaml_node_t *n, const struct key *keys, const char *of,
			void *base)
{
	uint64_t seen = 0;

	if (n->type != YAML_MAPPING_NODE)
		return bad(f, n, "%s: `key: value` lines were expected", of);
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
	     p++) {
		static const struct key a_key = {.name = "a key"};
		yaml_node_t *key = yaml_document_get_node(&f->doc, p->key);
		yaml_node_t *value = yaml_document_get_node(&f->doc, p->value);
		const char *text = scalar(f, &a_key, key);
		const struct key *k = keys;
		int err;

		if (!text)
			return f->e->code;
		while (k->name && strcmp(k->name, text))
			k++;
		if (!k->name)
			return unknown_key(f, key, text, keys, of);
		if (seen >> (k - keys) & 1)
			return bad(f, key, "'%s' is there twice in %s", text, of);
		seen |= 1ull << (k - keys);
		err = k->set(f, k, value, (char *)base + k->offset);
		if (err)
			return err;
		vt_config_line(f->c, k->name, line_of(value));
	}
	return 0;
}

static int set_dims(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	static const struct key a_key = {.name = "a dimension"};
	static const struct key a_size = {.name = "a dimension's size", .min = 1, .max = INT32_MAX};

	if (v->type != YAML_MAPPING_NODE)
		return bad(f, v, "dims: `NAME: SIZE` lines were expected");
	for (yaml_node_pair_t *p = v->data.mapping.pairs.start; p < v->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *key = yaml_document_get_node(&f->doc, p->key);
		yaml_node_t *value = yaml_document_get_node(&f->doc, p->value);
		const char *name = scalar(f, &a_key, key);
		uint64_t size = 0;
		int err;

		if (!name)
			return f->e->code;
		err = number(f, &a_size, value, &size);
		if (!err)
			err = said(f, key, vt_config_add_dim(field, name, size, f->e));
		if (err)
			return err;
	}
	return 0;
}

static const char *const kernels_words[] = {"fast", "direct", NULL};
#define MODEL(member) offsetof(struct vt_config_model, member)
static const struct key model_keys[] = {
	{"path", set_text, MODEL(path), 0, 0, NULL},
	{"name", set_name, 0, 0, 0, NULL},
	{"version", set_version, 0, 0, 0, NULL},
	{"qos_ms", set_qos, MODEL(qos_ns), 0, 0, NULL},
	{"priority", set_u16, MODEL(priority), 1, UINT16_MAX, NULL},
	{"instances", set_u32, MODEL(instances), 1, 64, NULL},
	{"max_queue", set_u32, MODEL(max_queue), 1, 65536, NULL},
	{"kernels", set_word, MODEL(kernels), 0, 0, kernels_words},
	{"dims", set_dims, 0, 0, 0, NULL},
	{0},
};

/* YAML's null: nothing behind the key, as when all entries below it are comments. */
static bool is_null(const yaml_node_t *v)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};
	bool null = false;

	if (v->type != YAML_SCALAR_NODE || v->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && !null; i++)
		null = !strcmp((const char *)v->data.scalar.value, words[i]);
	return null;
}

static int set_models(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	if (is_null(v))
		return 0;
	if (v->type != YAML_SEQUENCE_NODE)
		return bad(f, v, "models: a list was expected, each model after '- '");
	for (yaml_node_item_t *i = v->data.sequence.items.start; i < v->data.sequence.items.top;
	     i++) {
		yaml_node_t *n = yaml_document_get_node(&f->doc, *i);
		struct vt_config_model *m = vt_config_new_model(f->c);
		int err;

		if (!m)
			return bad(f, n, "more than %u models", VT_CONFIG_MODELS);
		m->line = line_of(n);
		err = read_mapping(f, n, model_keys, "a model", m);
		if (err)
			return err;
	}
	return 0;
}

static int add_listen(struct file *f, const struct key *k, yaml_node_t *n)
{
	const char *text = scalar(f, k, n);

	return text ? said(f, n, vt_config_add_listen(f->c, text, line_of(n), f->e)) : f->e->code;
}

static int set_listen(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	if (v->type != YAML_SEQUENCE_NODE)
		return add_listen(f, k, v);
	for (yaml_node_item_t *i = v->data.sequence.items.start; i < v->data.sequence.items.top;
	     i++) {
		int err = add_listen(f, k, yaml_document_get_node(&f->doc, *i));

		if (err)
			return err;
	}
	return 0;
}

static int set_agent(struct file *f, const struct key *k, yaml_node_t *n, void *field)
{
	const char *text = scalar(f, k, n);

	return text ? said(f, n, vt_config_set_agent(f->c, text, line_of(n), f->e)) : f->e->code;
}

#define FIELD(member) offsetof(struct vt_config, member)
static const struct key limit_keys[] = {
	{"max_body", set_size, FIELD(max_body_bytes), 1024, 1ull << 34, NULL},
	{"max_memory", set_size, FIELD(max_memory_bytes), 1 << 20, 1ull << 40, NULL},
	{"max_connections", set_u64, FIELD(max_connections), 1, 65536, NULL},
	{"max_requests", set_u64, FIELD(max_requests), 1, 65536, NULL},
	{"idle_ms", set_u64, FIELD(idle_ms), 1000, 86400000, NULL},
	{"transfer_ms", set_u64, FIELD(transfer_ms), 100, 86400000, NULL},
	{"drain_ms", set_u64, FIELD(drain_ms), 0, 86400000, NULL},
	{0},
};

static int set_limits(struct file *f, const struct key *k, yaml_node_t *v, void *field)
{
	return read_mapping(f, v, limit_keys, "limits", f->c);
}

static const char *const monitor_words[] = {"auto", "on", "off", NULL};
static const char *const shm_words[] = {"off", "unix", "on", NULL};
static const char *const admission_words[] = {"refuse", "late", NULL};

static const struct key top_keys[] = {
	{"listen", set_listen, 0, 0, 0, NULL},
	{"agent", set_agent, 0, 0, 0, NULL},
	{"socket_mode", set_mode, FIELD(socket_mode), 0, 0, NULL},
	{"models", set_models, 0, 0, 0, NULL},
	{"cores", set_cores, FIELD(cores), 0, 0, NULL},
	{"policy", set_text, FIELD(policy), 0, 0, NULL},
	{"admission", set_admission, FIELD(late), 0, 0, admission_words},
	{"profiles", set_text, FIELD(profiles), 0, 0, NULL},
	{"record", set_text, FIELD(record), 0, 0, NULL},
	{"trace", set_text, FIELD(trace), 0, 0, NULL},
	{"trace_events", set_u64, FIELD(trace_events), 1000, 100000000, NULL},
	{"user", set_text, FIELD(user), 0, 0, NULL},
	{"shared_memory", set_word, FIELD(shm), 0, 0, shm_words},
	{"monitor", set_word, FIELD(monitor), 0, 0, monitor_words},
	{"pin_dir", set_text, FIELD(pin_dir), 0, 0, NULL},
	{"io_threads", set_u64, FIELD(io_threads), 1, 64, NULL},
	{"limits", set_limits, 0, 0, 0, NULL},
	{0},
};

/* ---- files ------------------------------------------------------------------------------------- */

static int no_yaml(struct file *f, const yaml_parser_t *p)
{
	unsigned int line =
		(unsigned int)(p->problem_mark.line ? p->problem_mark.line : p->context_mark.line);

	if (p->error == YAML_MEMORY_ERROR)
		return vt_fail(f->e, -ENOMEM, "no memory for %.150s", f->where);
	if (p->error == YAML_READER_ERROR)
		return vt_fail(f->e, -EINVAL, "%.150s: %.80s, at byte %zu", f->where,
			       p->problem ? p->problem : "no text", p->problem_offset);
	return vt_fail(f->e, -EINVAL, "%.150s:%u: not YAML: %.120s", f->where, line + 1,
		       p->problem ? p->problem : "?");
}

/* A second document would be ignored; say so instead. */
static int no_second(struct file *f, yaml_parser_t *p)
{
	yaml_document_t more;
	yaml_node_t *n;
	int err = 0;

	if (!yaml_parser_load(p, &more))
		return no_yaml(f, p);
	n = yaml_document_get_root_node(&more);
	if (n)
		err = bad(f, n, "a second document; there is one");
	yaml_document_delete(&more);
	return err;
}

int vt_config_parse(struct vt_config *c, const void *text, size_t len, const char *where,
		    struct vt_err *e)
{
	struct file f = {.where = where, .c = c, .e = e};
	yaml_parser_t p;
	yaml_node_t *root;
	int err = 0;

	if (!yaml_parser_initialize(&p))
		return vt_fail(e, -ENOMEM, "no memory");
	yaml_parser_set_input_string(&p, text, len);
	if (!yaml_parser_load(&p, &f.doc)) {
		err = no_yaml(&f, &p);
		yaml_parser_delete(&p);
		return err;
	}
	root = yaml_document_get_root_node(&f.doc);
	if (!root)
		err = vt_fail(e, -EINVAL, "%.150s: is empty", where);
	else
		err = read_mapping(&f, root, top_keys, "the configuration", c);
	if (!err)
		err = no_second(&f, &p);
	yaml_document_delete(&f.doc);
	yaml_parser_delete(&p);
	return err;
}

int vt_config_read(struct vt_config *c, const char *path, struct vt_err *e)
{
	char *text;
	size_t len;
	int err = vt_text_read(path, CONFIG_BYTES, &text, &len, e);

	if (err)
		return err;
	err = vt_config_parse(c, text, len, path, e);
	free(text);
	return err ? err : vt_config_check(c, path, e);
}
