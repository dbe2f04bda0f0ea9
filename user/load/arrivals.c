// SPDX-License-Identifier: Apache-2.0
#include "load/arrivals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void vt_poisson_init(struct vt_poisson *p, double rate_hz, uint64_t n, uint64_t seed,
		     const double *upto, uint32_t n_tenants)
{
	struct vt_rng root = {seed};

	*p = (struct vt_poisson){
		.gaps = {vt_rng_u64(&root)},
		.picks = {vt_rng_u64(&root)},
		.ns_per_unit = 1e9 / rate_hz,
		.left = n,
		.upto = upto,
		.n_tenants = n_tenants,
	};
}

static uint32_t pick(struct vt_poisson *p)
{
	double x = vt_rng_unit(&p->picks) * p->upto[p->n_tenants - 1];
	uint32_t lo = 0, hi = p->n_tenants - 1;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (x < p->upto[mid])
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

int vt_poisson_next(struct vt_poisson *p, struct vt_arrival *ret)
{
	if (!p->left)
		return 0;
	p->left--;
	/* 1 - u is in (0, 1]: its logarithm is finite. */
	p->at_ns -= log(1 - vt_rng_unit(&p->gaps)) * p->ns_per_unit;
	*ret = (struct vt_arrival){.at_ns = (uint64_t)p->at_ns, .tenant = pick(p)};
	return 1;
}

static int parse_line(char *line, const struct vt_text *t, const char *const *names,
		      uint32_t n_names, struct vt_arrival *ret, struct vt_err *e)
{
	char *field[2];
	uint32_t found = 0;
	double s;

	if (vt_text_split(line, field, 2) != 2)
		return vt_fail(e, -EINVAL, "%s:%u: expected 'seconds,name'", t->where, t->line);
	if (vt_text_f64(field[0], &s) || s < 0 || s > VT_ARRIVALS_MAX_S)
		return vt_fail(e, -EINVAL, "%s:%u: '%.40s' is no time in 0..1e9 seconds", t->where,
			       t->line, field[0]);
	for (uint32_t i = 0; i < n_names; i++) {
		if (strcmp(names[i], field[1]) != 0)
			continue;
		*ret = (struct vt_arrival){.at_ns = (uint64_t)(s * 1e9), .tenant = i};
		found++;
	}
	if (found > 1)
		return vt_fail(e, -EINVAL,
			       "%s:%u: '%.40s' is in several lines of the mix: which one is asked "
			       "for? give each a name, 'model=name'",
			       t->where, t->line, field[1]);
	return found ? 0
		     : vt_fail(e, -EINVAL, "%s:%u: no model of the mix is called '%.40s'", t->where,
			       t->line, field[1]);
}

static int append(struct vt_arrivals *a, size_t *cap, const struct vt_arrival *x)
{
	if (a->n == *cap) {
		size_t more = *cap ? 2 * *cap : 1024;
		struct vt_arrival *at = realloc(a->at, more * sizeof(*at));

		if (!at)
			return -ENOMEM;
		a->at = at;
		*cap = more;
	}
	a->at[a->n++] = *x;
	return 0;
}

int vt_arrivals_parse(const char *text, const char *where, const char *const *names,
		      uint32_t n_names, struct vt_arrivals *ret, struct vt_err *e)
{
	struct vt_arrivals a = {NULL, 0};
	struct vt_text t;
	char line[256];
	size_t cap = 0;
	int rc;

	vt_text_init(&t, text, where);
	while ((rc = vt_text_line(&t, line, sizeof(line), e)) > 0) {
		struct vt_arrival x;

		rc = parse_line(line, &t, names, n_names, &x, e);
		if (!rc && a.n && x.at_ns < a.at[a.n - 1].at_ns)
			rc = vt_fail(e, -EINVAL, "%s:%u: earlier than the line before", where,
				     t.line);
		if (!rc && append(&a, &cap, &x))
			rc = vt_fail(e, -ENOMEM, "out of memory");
		if (rc)
			break;
	}
	if (!rc && !a.n)
		rc = vt_fail(e, -EINVAL, "%s: no arrivals", where);
	if (rc) {
		free(a.at);
		return rc;
	}
	*ret = a;
	return 0;
}
