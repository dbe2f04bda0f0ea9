// SPDX-License-Identifier: Apache-2.0
#include "events/sysfs_pmu.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICES "%s/bus/event_source/devices"

int vt_sysfs_read(char *buf, size_t len, const char *fmt, ...)
{
	char path[VT_SYSFS_PATH];
	size_t have = 0;
	ssize_t n;
	va_list ap;
	int fd, err = 0;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if ((size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (have < len && (n = read(fd, buf + have, len - have)) != 0) {
		if (n < 0) {
			err = -errno;
			break;
		}
		have += (size_t)n;
	}
	close(fd);
	if (!err && have == len)
		err = -EFBIG;
	if (err)
		return err;
	while (have && (buf[have - 1] == '\n' || buf[have - 1] == ' '))
		have--;
	buf[have] = '\0';
	return (int)have;
}

const char *vt_sysfs_core_pmu(const char *sysfs)
{
	static const char *const pmus[] = {"cpu", "cpu_core", "armv8_pmuv3_0", "armv8_pmuv3"};
	char path[VT_SYSFS_PATH];

	for (size_t i = 0; i < sizeof(pmus) / sizeof(pmus[0]); i++)
		if ((size_t)snprintf(path, sizeof(path), DEVICES "/%s/type", sysfs, pmus[i]) <
			    sizeof(path) &&
		    !access(path, F_OK))
			return pmus[i];
	return NULL;
}

/* A name that comes from a user must stay one path component. */
static bool is_component(const char *s)
{
	return *s && *s != '.' && !strchr(s, '/');
}

static bool parse_u64(const char *s, uint64_t *ret)
{
	char *end;

	if (!isxdigit((unsigned char)*s))
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 0);
	return !errno && !*end;
}

/* "config", "config1", "config2": the word that a field lies in. */
static uint64_t *config_word(struct vt_event *ev, const char *name)
{
	if (!strcmp(name, "config"))
		return &ev->config;
	if (!strcmp(name, "config1"))
		return &ev->config1;
	if (!strcmp(name, "config2"))
		return &ev->config2;
	return NULL;
}

/*
 * Put @value into the bits that a format file names. "config:0-7,32-35": the value's low eight bits
 * go to 0-7, its next four to 32-35. A value wider than the field is refused, not cut.
 */
static int put_field(struct vt_event *ev, char *format, uint64_t value)
{
	char *colon = strchr(format, ':'), *save = NULL;
	uint64_t *word;

	if (!colon)
		return -EINVAL;
	*colon = '\0';
	word = config_word(ev, format);
	if (!word)
		return -EINVAL;
	for (char *r = strtok_r(colon + 1, ",", &save); r; r = strtok_r(NULL, ",", &save)) {
		unsigned int lo, hi;
		int n = sscanf(r, "%u-%u", &lo, &hi);

		if (n == 1)
			hi = lo;
		if (n < 1 || lo > hi || hi > 63)
			return -EINVAL;
		unsigned int width = hi - lo + 1;
		uint64_t mask = width == 64 ? ~0ull : (1ull << width) - 1;

		*word = (*word & ~(mask << lo)) | (value & mask) << lo;
		value = width == 64 ? 0 : value >> width;
	}
	return value ? -ERANGE : 0;
}

struct encode {
	const char *sysfs, *pmu;
	struct vt_event *ev;
	struct vt_err *e;
};

static int encode_terms(struct encode *c, char *terms, int depth);

/* An alias is itself a list of terms, read from events/NAME. */
static int encode_alias(struct encode *c, const char *name, int depth)
{
	char text[256], small[32];
	int n;

	n = vt_sysfs_read(text, sizeof(text), DEVICES "/%s/events/%s", c->sysfs, c->pmu, name);
	if (n < 0)
		return vt_fail(c->e, -ENOENT, "PMU '%s' has no event or term '%.60s'", c->pmu,
			       name);
	if (depth > 2)
		return vt_fail(c->e, -EINVAL, "%s/%.60s/: aliases nest too deep", c->pmu, name);
	if (strchr(text, '?'))
		return vt_fail(
			c->e, -EINVAL,
			"%s/%.60s/ needs a value for each '?' in '%.100s': write the terms out",
			c->pmu, name, text);
	n = vt_sysfs_read(small, sizeof(small), DEVICES "/%s/events/%s.scale", c->sysfs, c->pmu,
			  name);
	if (n > 0)
		c->ev->scale = strtod(small, NULL);
	n = vt_sysfs_read(c->ev->unit, sizeof(c->ev->unit), DEVICES "/%s/events/%s.unit", c->sysfs,
			  c->pmu, name);
	if (n < 0)
		c->ev->unit[0] = '\0';
	return encode_terms(c, text, depth + 1);
}

static int encode_term(struct encode *c, char *term, int depth)
{
	char format[128], *eq = strchr(term, '=');
	uint64_t value = 1; /* a bare term is a flag: "inv" is "inv=1" */
	uint64_t *word;
	int err;

	if (eq) {
		*eq = '\0';
		if (!parse_u64(eq + 1, &value))
			return vt_fail(c->e, -EINVAL, "%s/%.60s=%.40s/: '%.40s' is no number",
				       c->pmu, term, eq + 1, eq + 1);
	}
	if (!is_component(term))
		return vt_fail(c->e, -EINVAL, "'%.60s' is no event term", term);
	word = eq ? config_word(c->ev, term) : NULL;
	if (word) {
		*word = value;
		return 0;
	}
	if (vt_sysfs_read(format, sizeof(format), DEVICES "/%s/format/%s", c->sysfs, c->pmu,
			  term) <= 0) {
		if (eq)
			return vt_fail(c->e, -ENOENT, "PMU '%s' has no term '%.60s'", c->pmu, term);
		return encode_alias(c, term, depth);
	}
	err = put_field(c->ev, format, value);
	if (err == -ERANGE)
		return vt_fail(c->e, err, "%s/%.60s=%#llx/: the field is too narrow", c->pmu, term,
			       (unsigned long long)value);
	if (err)
		return vt_fail(c->e, err, "the kernel's format of %s/%.60s/ is not understood",
			       c->pmu, term);
	return 0;
}

static int encode_terms(struct encode *c, char *terms, int depth)
{
	char *save = NULL;
	int err = 0;

	for (char *t = strtok_r(terms, ",", &save); t && !err; t = strtok_r(NULL, ",", &save))
		err = encode_term(c, t, depth);
	return err;
}

static int modifiers(struct vt_event *ev, const char *m, struct vt_err *e)
{
	bool u = strchr(m, 'u'), k = strchr(m, 'k');

	if (m[strspn(m, "uk")])
		return vt_fail(e, -EINVAL, "event modifier '%.20s': only u (user) and k (kernel)",
			       m);
	ev->exclude_kernel = u && !k;
	ev->exclude_user = k && !u;
	return 0;
}

int vt_sysfs_pmu_encode(const char *sysfs, const char *text, struct vt_event *ret, struct vt_err *e)
{
	struct vt_event ev = {.doc = "", .scale = 1};
	struct encode c = {.sysfs = sysfs, .ev = &ev, .e = e};
	char copy[sizeof(ev.name)], type[16], *terms, *mods;
	uint64_t num;
	int err;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return vt_fail(e, -EINVAL, "event name too long: '%.60s...'", text);
	memcpy(ev.name, copy, sizeof(copy));
	terms = strchr(copy, '/');
	mods = terms ? strchr(terms + 1, '/') : NULL;
	if (!mods || terms + 1 == mods)
		return vt_fail(e, -EINVAL, "'%.60s': write PMU/EVENT/ or PMU/term=value,.../",
			       text);
	*terms++ = '\0';
	*mods++ = '\0';
	c.pmu = copy;
	if (!is_component(copy))
		return vt_fail(e, -EINVAL, "'%.60s' is no PMU name", copy);
	err = vt_sysfs_read(type, sizeof(type), DEVICES "/%s/type", sysfs, copy);
	if (err < 0)
		return vt_fail(e, -ENOENT, "this machine has no PMU '%.60s'", copy);
	if (!parse_u64(type, &num) || num > UINT32_MAX)
		return vt_fail(e, -EINVAL, "PMU '%.60s' has the type '%s'", copy, type);
	ev.type = (uint32_t)num;
	err = encode_terms(&c, terms, 0);
	if (!err)
		err = modifiers(&ev, mods, e);
	if (!err)
		*ret = ev;
	return err;
}

int vt_sysfs_pmu_cpumask(const char *sysfs, const char *pmu, struct vt_cpuset *ret)
{
	char text[1024];
	int n = vt_sysfs_read(text, sizeof(text), DEVICES "/%s/cpumask", sysfs, pmu);

	return n < 0 ? n : vt_cpuset_parse(text, ret);
}

/* -1: no match; else the number behind the prefix (0 for the bare name). */
static long unit_number(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);
	char *end;
	long n;

	if (strncmp(name, prefix, len))
		return -1;
	name += len;
	if (!*name)
		return 0;
	name += *name == '_';
	if (!isdigit((unsigned char)*name))
		return -1;
	n = strtol(name, &end, 10);
	return *end ? -1 : n;
}

struct pmu_entry {
	char name[64];
	long number;
};

static int by_number(const void *a, const void *b)
{
	const struct pmu_entry *x = a, *y = b;

	return x->number == y->number ? strcmp(x->name, y->name) : (x->number > y->number) * 2 - 1;
}

int vt_sysfs_pmu_list(const char *sysfs, const char *prefix, int (*fn)(void *ctx, const char *pmu),
		      void *ctx)
{
	char path[VT_SYSFS_PATH];
	struct pmu_entry *list = NULL, *more;
	size_t count = 0;
	struct dirent *d;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), DEVICES, sysfs);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir))) {
		long number = unit_number(d->d_name, prefix);
		size_t len = strlen(d->d_name);

		if (number < 0 || len >= sizeof(list->name))
			continue;
		more = realloc(list, (count + 1) * sizeof(*list));
		if (!more) {
			err = -ENOMEM;
			break;
		}
		list = more;
		memcpy(list[count].name, d->d_name, len + 1);
		list[count++].number = number;
	}
	closedir(dir);
	if (count)
		qsort(list, count, sizeof(*list), by_number);
	for (size_t i = 0; !err && i < count; i++)
		err = fn(ctx, list[i].name);
	free(list);
	return err ? err : (int)count;
}
