// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

void vt_text_init(struct vt_text *t, const char *text, const char *where)
{
	*t = (struct vt_text){.at = text, .where = where};
}

char *vt_text_trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

int vt_text_line(struct vt_text *t, char *buf, size_t len, struct vt_err *e)
{
	while (*t->at) {
		size_t n = strcspn(t->at, "\n"), keep = strcspn(t->at, "#\n");
		const char *from = t->at;
		char *said;

		t->line++;
		t->at += n + (from[n] == '\n');
		if (keep >= len)
			return vt_fail(e, -EINVAL, "%s:%u: line longer than %zu characters",
				       t->where, t->line, len - 1);
		memcpy(buf, from, keep);
		buf[keep] = '\0';
		said = vt_text_trim(buf);
		if (!*said)
			continue;
		memmove(buf, said, strlen(said) + 1);
		return 1;
	}
	return 0;
}

size_t vt_text_split(char *line, char **fields, size_t max)
{
	size_t n = 0;

	for (char *f; (f = strsep(&line, ","));) {
		if (n == max)
			return max + 1;
		fields[n++] = vt_text_trim(f);
	}
	return n;
}

int vt_text_f64(const char *s, double *ret)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || !isfinite(v))
		return -EINVAL;
	*ret = v;
	return 0;
}

const char *vt_text_ms(uint64_t ns, char *buf, size_t len)
{
	const double ms = (double)(ns / 1000) / 1000;

	snprintf(buf, len, ms < 999.5 ? "%.3g" : "%.0f", ms);
	return buf;
}

int vt_text_u64(const char *s, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno)
		return -ERANGE;
	*ret = v;
	return 0;
}

int vt_text_read(const char *path, size_t max, char **ret, size_t *len, struct vt_err *e)
{
	void *text;
	size_t n;
	int rc = vt_file_read(path, max, &text, &n, e);

	if (rc)
		return rc;
	if (strlen(text) != n) {
		free(text);
		return vt_fail(e, -EBADMSG, "%s: not a text file", path);
	}
	*ret = text;
	if (len)
		*len = n;
	return 0;
}
