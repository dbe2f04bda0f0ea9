// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_infer.c - hostile bodies of inference requests: JSON, and JSON with binary tensors or shared memory. Also the
 * paths that lead to them, and the bodies of the model repository.
 *
 * The first byte chooses the model's inputs, the next two the length of the JSON in front of
 * binary tensors: 0xff, no such. What is accepted must be there to be read, and its answer must fit and be JSON. Regions
 * "r", "w" and "short" are registered; 0xfffe in place of a length is a body that registers one,
 * 0xfffd a path, 0xfffc a body for the repository.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/oip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void make_io(struct vt_io *io, unsigned int kind)
{
	static const enum vt_dtype types[] = {VT_F32, VT_I64,  VT_U8, VT_F16,
					      VT_F64, VT_BOOL, VT_U64};
	static const struct vt_shape shapes[] = {{2, {2, 3}}, {1, {4}}, {0, {0}}, {2, {0, 2}}};
	enum vt_dtype a = types[kind % 7], b = types[kind / 7 % 7];
	struct vt_graph g;

	check(vt_graph_init(&g, "t") == 0);
	vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "a", VT_T_INPUT, a, &shapes[kind & 3]));
	if (kind & 0x80)
		vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "b", VT_T_INPUT, b, &shapes[1]));
	vt_graph_mark_output(&g, vt_graph_add_tensor(&g, "y\xff\"", VT_T_COMPUTED, b, &shapes[0]));
	vt_graph_mark_output(&g, vt_graph_add_tensor(&g, "z", VT_T_COMPUTED, VT_F32, &shapes[1]));
	check(vt_io_of(io, &g) == 0);
	vt_graph_fini(&g);
}

/* Once: an object of 64 bytes, whose second half "short" has lost. */
static struct vt_regions *regions(void)
{
	static struct vt_region_at at[] = {
		{"r", "", 0, 64}, {"w", "", 8, 40}, {"short", "", 32, 96}};
	static struct vt_regions t;
	char key[64];
	int fd;

	if (t.dir)
		return &t;
	snprintf(key, sizeof(key), "/vt-fuzz-%d", getpid());
	fd = shm_open(key, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && !ftruncate(fd, 128));
	vt_regions_init(&t, VT_REGION_DIR);
	for (int i = 0; i < 3; i++) {
		strcpy(at[i].key, key);
		check(!vt_regions_add(&t, &at[i], NULL));
	}
	check(!ftruncate(fd, 64) && !close(fd) && !shm_unlink(key));
	return &t;
}

static bool take_left(void *arg, size_t bytes)
{
	size_t *left = arg;

	if (bytes > *left)
		return false;
	*left -= bytes;
	return true;
}

/* Whatever offset is asked for stays in its region. */
static void use(struct vt_shm *s, size_t bytes, bool write)
{
	char *buf = malloc(bytes + 1);
	struct vt_err e = {0};
	int err;

	check(buf != NULL);
	memset(buf, 1, bytes + 1);
	err = vt_regions_use(regions(), &s->region, s->offset, bytes, write, &s->held, &e);
	if (err)
		check(err == -ENOENT || err == -EINVAL);
	else if (write)
		err = vt_region_write(s->held, s->offset, buf, bytes);
	else
		err = vt_region_read(s->held, s->offset, buf, bytes);
	check(!err || e.code == err || err == -ENODATA);
	vt_region_put(s->held);
	free(buf);
}

static void use_all(const struct vt_io *io, struct vt_ask *a)
{
	for (size_t i = 0; i < a->n_in; i++)
		if (vt_ask_in_shm(a, i))
			use(&a->shm[i], io->in[i].bytes, false);
	for (size_t k = 0; k < a->n_want; k++)
		if (vt_ask_out_shm(a, k))
			use(&a->shm[a->n_in + k], io->out[a->want[k].out].bytes, true);
}

/* What is read of it is a name or a refusal; nothing is opened that is none. */
static void register_one(const uint8_t *data, size_t size)
{
	struct vt_region_at at;
	struct vt_err e = {0};
	int err = oip_region_parse(&at, data, size, &e);

	if (err)
		check(err < 0 && e.code == err && e.msg[0] && !strchr(e.msg, '\n'));
	else
		check(at.key[0] && at.bytes && strlen(at.key) < sizeof(at.key));
	if (err)
		return;
	strcpy(at.name, "x");
	if (!vt_regions_add(regions(), &at, &e))
		vt_regions_del(regions(), "x");
}

/* The parts that a path's {} took, put back in, give the path. */
static void same_path(const struct vt_route_match *m, const char *path)
{
	char buf[512] = "";
	size_t len = 0, args = 0;

	for (const char *at = m->route->path; *at; at++) {
		if (strncmp(at, "{}", 2) != 0) {
			buf[len++] = *at;
			continue;
		}
		check(args < VT_ROUTE_ARGS && m->arg[args][0] && !strchr(m->arg[args], '/'));
		len += strlen(strcpy(buf + len, m->arg[args++]));
		at++;
	}
	check(!strncmp(path, buf, len) && (!path[len] || !strcmp(path + len, "/")));
}

static void find_path(unsigned int kind, const uint8_t *data, size_t size)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT"};
	static struct vt_route table[VT_OIP_ROUTES + 1];
	static struct vt_oip oip;
	char *path = strndup((const char *)data, size);
	struct vt_route_match m;

	check(path != NULL);
	if (!table[0].method)
		check(vt_oip_routes(&oip, table) <= VT_OIP_ROUTES);
	memset(&m, 0xff, sizeof(m));
	if (vt_route_find(table, methods[kind % 4], path, &m))
		same_path(&m, path);
	else
		check(!m.route);
	free(path);
}

static void ask_repository(const uint8_t *data, size_t size)
{
	struct vt_err e = {0};
	char wish[OIP_WISH];
	bool ready;
	int err;

	err = oip_index_parse(&ready, data, size, &e);
	check(err ? err == e.code && e.msg[0] : !e.code);
	e = (struct vt_err){0};
	memset(wish, 'x', sizeof(wish));
	err = oip_change_parse(wish, "unload_dependents", data, size, &e);
	check(err ? err == e.code && e.msg[0] : !e.code);
	check(memchr(wish, '\0', sizeof(wish)) != NULL);
}

/* The answer to @ask: within its bound, and JSON as far as the header says. */
static void answer(const struct vt_io *io, const struct vt_ask *ask)
{
	static const double bytes[6] = {1.5, -0.0, 1e300, 5e-324, 3e8, 0};
	const void *data[2] = {bytes, bytes};
	size_t bound = vt_answer_bound(io, ask, "m", "1"), head, len;
	char *buf = malloc(bound);
	struct vt_json j;

	check(buf != NULL);
	len = vt_answer_write(buf, io, ask, "m", "1", data, &head);
	check(len <= bound && (head == VT_INFER_JSON_ONLY) == !ask->any_binary);
	vt_json_init(&j, buf, head == VT_INFER_JSON_ONLY ? len : head, NULL);
	check(vt_json_skip(&j) == 0 && vt_json_end(&j) == 0);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vt_io io;
	struct vt_ask ask;
	struct vt_err e = {0};
	size_t head = VT_INFER_JSON_ONLY, left = 4096;
	const struct vt_ask_room room = {take_left, &left};
	unsigned char sum = 0;
	int err;

	if (size < 3)
		return 0;
	if (data[1] == 0xff && data[2] >= 0xfc && data[2] < 0xff) {
		if (data[2] == 0xfe)
			register_one(data + 3, size - 3);
		else if (data[2] == 0xfd)
			find_path(data[0], data + 3, size - 3);
		else
			ask_repository(data + 3, size - 3);
		return 0;
	}
	make_io(&io, data[0]);
	if (data[1] != 0xff)
		head = data[1] | (size_t)data[2] << 8;
	err = vt_ask_read(&ask, &io, data + 3, size - 3, head, &room, &e);
	check(ask.own_bytes + left == 4096);
	if (err) {
		check(err < 0 && e.code == err && e.msg[0] && !strchr(e.msg, '\n'));
	} else {
		for (size_t i = 0; i < io.n_in; i++)
			for (size_t k = 0; ask.in[i] && k < io.in[i].bytes; k++)
				sum ^= ((const unsigned char *)ask.in[i])[k];
		for (size_t i = 0; i < io.n_in; i++)
			check(!ask.in[i] == !!vt_ask_in_shm(&ask, i));
		use_all(&io, &ask);
		answer(&io, &ask);
		check(!head ||
		      vt_ask_deadline(data + 3, head == VT_INFER_JSON_ONLY ? size - 3 : head) ==
			      ask.deadline_ns);
	}
	vt_ask_fini(&ask);
	vt_io_fini(&io);
	return sum == 1 && size == 0; /* keep the loop */
}
