// SPDX-License-Identifier: Apache-2.0
#include "server/params.h"

static int bytes_of(struct vt_json *j, const char *what, uint64_t *ret)
{
	struct vt_number n;

	if (vt_json_number(j, &n))
		return j->err;
	return vt_number_u64(&n, ret) ? 0 : vt_json_fail(j, what);
}

static int size_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	p->has_size = true;
	return bytes_of(j, "binary_data_size is a whole number of bytes", &p->size);
}

static int region_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	return vt_json_string(j, &p->region);
}

static int region_size_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	p->has_region_bytes = true;
	return bytes_of(j, "shared_memory_byte_size is a whole number of bytes", &p->region_bytes);
}

static int region_offset_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	return bytes_of(j, "shared_memory_offset is a whole number of bytes", &p->region_offset);
}

static int time_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	struct vt_number n;

	if (vt_json_number(j, &n))
		return j->err;
	if (!vt_number_f64(&n, &p->deadline_ms) || p->deadline_ms < 0)
		return vt_json_fail(j, "a deadline is a number, 0 or more");
	p->deadline_ms *= scale;
	p->has_deadline = p->deadline_ms > 0;
	return 0;
}

static int priority_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	struct vt_number n;

	if (vt_json_number(j, &n))
		return j->err;
	if (!vt_number_u64(&n, &p->priority) || p->priority > UINT16_MAX)
		return vt_json_fail(j, "priority is a whole number from 0 to 65535");
	p->has_priority = true;
	return 0;
}

static int binary_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	p->has_binary = true;
	return vt_json_bool(j, &p->binary);
}

static int all_binary_param(struct vt_json *j, struct vt_oip_params *p, double scale)
{
	return vt_json_bool(j, &p->binary_output);
}

/* What is not in here is skipped: the protocol lets servers have parameters that others lack. */
static const struct {
	const char *name;
	int (*read)(struct vt_json *j, struct vt_oip_params *p, double scale);
	double scale;
} known[] = {
	{"binary_data_size", size_param, 0},
	{"binary_data", binary_param, 0},
	{"binary_data_output", all_binary_param, 0},
	{"deadline_ms", time_param, 1},
	{"timeout", time_param, 1e-3}, /* microseconds, as Triton has it */
	{"priority", priority_param, 0},
	{"shared_memory_region", region_param, 0},
	{"shared_memory_byte_size", region_size_param, 0},
	{"shared_memory_offset", region_offset_param, 0},
};

/* These change what the answer is, so ignoring them would be wrong. */
static const char *const unsupported[] = {"classification", "sequence_id", NULL};

int vt_oip_params_read(struct vt_json *j, struct vt_oip_params *p)
{
	struct vt_json_str key;
	int more;

	*p = (struct vt_oip_params){0};
	if (vt_json_object(j))
		return j->err;
	while ((more = vt_json_key(j, &key)) > 0) {
		size_t i = 0;

		for (int k = 0; unsupported[k]; k++)
			if (vt_json_is(&key, unsupported[k]))
				p->unsupported = unsupported[k];
		while (i < sizeof(known) / sizeof(known[0]) && !vt_json_is(&key, known[i].name))
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			vt_json_skip(j);
		else
			known[i].read(j, p, known[i].scale);
		if (j->err)
			return j->err;
	}
	return more;
}
