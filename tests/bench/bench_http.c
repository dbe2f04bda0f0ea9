// SPDX-License-Identifier: Apache-2.0
/*
 * bench_http.c - what HTTP adds to one inference: bench_http MODEL.onnx [REQUESTS]
 *
 * The same model in the same runtime, asked in process and over a kept connection, in turns. Binary
 * tensors both ways, one request at a time; or both in shared memory, named over the Unix socket, the input there
 * already or written there first. Beside it what a socket costs without any HTTP: a thread that reads the same
 * number of bytes in one recv() after another, asks in process, and writes the tensor back.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/http.h"
#include "server/oip.h"

#define WAYS 7 /* in which a request is made */

static const struct vt_log quiet = {"bench_http", VT_LOG_WARN, 2};

struct bench {
	struct vt_config c;
	struct vt_runtime *rt;
	struct vt_models *models;
	struct vt_oip oip;
	struct vt_route routes[VT_OIP_ROUTES + 1];
	struct vt_metrics_http count;
	struct vt_listener l[2];
	struct vt_http *http;
	struct vt_loaded *m;
	char *input, *output, *request;
	size_t request_len;
	struct vt_regions regions;
	char *shared; /* an object: the input, then the output */
	char by_name[1024];
	int fd[2], bare[2][2]; /* bare: the client's and the thread's end */
	pthread_t bare_thread[2];
};

static void must(int err, const struct vt_err *e)
{
	if (!err)
		return;
	fprintf(stderr, "bench_http: %s\n", e->msg);
	exit(1);
}

/* ---- in process --------------------------------------------------------------------------------- */

struct direct {
	struct vt_infer q;
	struct bench *b;
	char *input, *output;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
};

static void load(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	const struct direct *d = (struct direct *)q;
	const struct vt_io_tensor *t = &d->b->m->io.in[0];

	memcpy(vt_engine_tensor(eng, inst, t->tensor), d->input, t->bytes);
}

static void store(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	const struct direct *d = (struct direct *)q;
	const struct vt_io_tensor *t = &d->b->m->io.out[0];

	memcpy(d->output, vt_engine_tensor(eng, inst, t->tensor), t->bytes);
}

static void done(struct vt_infer *q, enum vt_outcome how)
{
	struct direct *d = (struct direct *)q;

	pthread_mutex_lock(&d->lock);
	d->done = true;
	pthread_cond_signal(&d->over);
	pthread_mutex_unlock(&d->lock);
}

static void ask_with(struct bench *b, char *input, char *output)
{
	struct direct d = {.q = {.model = b->m->id, .load = load, .store = store, .done = done},
			   .b = b,
			   .input = input,
			   .output = output,
			   .lock = PTHREAD_MUTEX_INITIALIZER,
			   .over = PTHREAD_COND_INITIALIZER};

	vt_runtime_submit(b->rt, &d.q);
	pthread_mutex_lock(&d.lock);
	while (!d.done)
		pthread_cond_wait(&d.over, &d.lock);
	pthread_mutex_unlock(&d.lock);
}

/* ---- over a socket, without HTTP ---------------------------------------------------------------- */

/* false: the other side has closed */
static bool receive(int fd, char *to, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = recv(fd, to + got, len - got, 0);

		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

static void transmit(int fd, const char *from, size_t len)
{
	for (size_t sent = 0; sent < len;) {
		ssize_t n = send(fd, from + sent, len - sent, MSG_NOSIGNAL);

		if (n <= 0)
			exit(1);
		sent += (size_t)n;
	}
}

struct bare {
	struct bench *b;
	int fd;
};

static void *serve_bare(void *arg)
{
	struct bare *s = arg;
	const struct vt_io *io = &s->b->m->io;
	char *input = malloc(io->in[0].bytes), *output = malloc(io->out[0].bytes);

	while (input && output && receive(s->fd, input, io->in[0].bytes)) {
		ask_with(s->b, input, output);
		transmit(s->fd, output, io->out[0].bytes);
	}
	free(input);
	free(output);
	close(s->fd);
	free(s);
	return NULL;
}

static void ask_bare(struct bench *b, int fd)
{
	transmit(fd, b->input, b->m->io.in[0].bytes);
	if (!receive(fd, b->output, b->m->io.out[0].bytes))
		exit(1);
}

/* Two connected sockets, TCP or Unix. */
static void connect_bare(struct bench *b, int k)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	struct bare *s = malloc(sizeof(*s));
	int l, err = k;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (k) {
		err = socketpair(AF_UNIX, SOCK_STREAM, 0, b->bare[k]);
	} else {
		l = socket(AF_INET, SOCK_STREAM, 0);
		b->bare[k][0] = socket(AF_INET, SOCK_STREAM, 0);
		err = bind(l, (struct sockaddr *)&in, len) || listen(l, 1) ||
		      getsockname(l, (struct sockaddr *)&in, &len) ||
		      connect(b->bare[k][0], (struct sockaddr *)&in, len);
		b->bare[k][1] = accept(l, NULL, NULL);
		close(l);
	}
	if (err || !s) {
		perror("bench_http: socket");
		exit(1);
	}
	*s = (struct bare){b, b->bare[k][1]};
	if (pthread_create(&b->bare_thread[k], NULL, serve_bare, s))
		exit(1);
}

/* ---- over HTTP ---------------------------------------------------------------------------------- */

static void shape_text(const struct vt_shape *shape, char *ret)
{
	for (int d = 0; d < shape->rank; d++)
		ret += sprintf(ret, "%s%lld", d ? "," : "", (long long)shape->dim[d]);
}

static void make_request(struct bench *b)
{
	const struct vt_io_tensor *t = &b->m->io.in[0];
	char json[1024], shape[128] = "";
	int n;

	shape_text(&t->shape, shape);
	n = snprintf(json, sizeof(json),
		     "{\"inputs\":[{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%s],"
		     "\"parameters\":{\"binary_data_size\":%zu}}],"
		     "\"parameters\":{\"binary_data_output\":true}}",
		     t->escaped, vt_datatype_name(t->dtype), shape, t->bytes);
	b->request = malloc(t->bytes + 2048);
	b->request_len = (size_t)sprintf(b->request,
					 "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n"
					 "Inference-Header-Content-Length: %d\r\n"
					 "Content-Length: %zu\r\n\r\n%s",
					 n, (size_t)n + t->bytes, json);
	memcpy(b->request + b->request_len, b->input, t->bytes);
	b->request_len += t->bytes;
}

/* The object, mapped here; there it is read and written. */
static void share(struct bench *b)
{
	struct vt_region_at at = {.name = "b",
				  .bytes = b->m->io.in[0].bytes + b->m->io.out[0].bytes};
	struct vt_err e = {0};
	int fd;

	snprintf(at.key, sizeof(at.key), "/vt-bench-http-%d", getpid());
	fd = shm_open(at.key, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)at.bytes)) {
		perror("bench_http: shared memory");
		exit(1);
	}
	b->shared = mmap(NULL, at.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	must(vt_regions_add(&b->regions, &at, &e), &e);
	shm_unlink(at.key);
	if (b->shared == MAP_FAILED)
		exit(1);
	memcpy(b->shared, b->input, b->m->io.in[0].bytes);
}

/* The same request, with places in that object instead of bytes. */
static void name_request(struct bench *b)
{
	const struct vt_io_tensor *t = &b->m->io.in[0], *y = &b->m->io.out[0];
	char json[768], shape[128] = "";
	int n;

	shape_text(&t->shape, shape);
	n = snprintf(
		json, sizeof(json),
		"{\"inputs\":[{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%s],\"parameters\":{"
		"\"shared_memory_region\":\"b\",\"shared_memory_byte_size\":%zu}}],"
		"\"outputs\":[{\"name\":\"%s\",\"parameters\":{\"shared_memory_region\":\"b\","
		"\"shared_memory_byte_size\":%zu,\"shared_memory_offset\":%zu}}]}",
		t->escaped, vt_datatype_name(t->dtype), shape, t->bytes, y->escaped, y->bytes,
		t->bytes);
	snprintf(b->by_name, sizeof(b->by_name),
		 "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", n,
		 json);
}

static void ask_http(struct bench *b, int fd, const char *request, size_t len)
{
	static char answer[1 << 22];
	size_t got = 0, want = 0;
	const char *body;

	transmit(fd, request, len);
	while (!want || got < want) {
		ssize_t n = recv(fd, answer + got, sizeof(answer) - 1 - got, 0);

		if (n <= 0)
			exit(1);
		got += (size_t)n;
		answer[got] = '\0';
		body = strstr(answer, "\r\n\r\n");
		if (body && !want)
			want = (size_t)(body + 4 - answer) +
			       strtoull(strstr(answer, "Content-Length: ") + 16, NULL, 10);
	}
	if (memcmp(answer, "HTTP/1.1 200", 12)) {
		fprintf(stderr, "bench_http: %.400s\n", answer);
		exit(1);
	}
}

static int connect_to(const struct vt_listener *l)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(l->port)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(l->unlink ? AF_UNIX : AF_INET, SOCK_STREAM, 0), rc;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (l->unlink)
		strcpy(un.sun_path, l->unlink);
	rc = l->unlink ? connect(fd, (struct sockaddr *)&un, sizeof(un))
		       : connect(fd, (struct sockaddr *)&in, sizeof(in));
	if (rc) {
		perror("bench_http: connect");
		exit(1);
	}
	return fd;
}

/* ---- both --------------------------------------------------------------------------------------- */

static void start(struct bench *b, const char *path)
{
	struct vt_err e = {0};
	struct vt_runtime_opts ro = {.record_fd = -1, .no_shed = true};
	struct vt_models_opts mo = {.log = &quiet};
	struct vt_http_opts ho = {.config = &b->c,
				  .listener = b->l,
				  .n_listeners = 2,
				  .routes = b->routes,
				  .count = &b->count,
				  .log = &quiet};
	char text[80];
	int state;

	must(vt_config_init(&b->c), &e);
	snprintf(text, sizeof(text), "unix:/tmp/vt-bench-http-%d", getpid());
	must(vt_config_add_listen(&b->c, "127.0.0.1:0", 0, &e), &e);
	must(vt_config_add_listen(&b->c, text, 0, &e), &e);
	snprintf(text, sizeof(text), "m");
	must(vt_config_spec(vt_config_new_model(&b->c), path, &e), &e);
	must(vt_config_set_name(&b->c.model[0], "m", &e), &e);
	must(vt_config_check(&b->c, NULL, &e), &e);
	must(vt_runtime_open(&b->rt, &ro, &e), &e);
	vt_cpuset_allowed(&mo.cores);
	mo.runtime = b->rt;
	must(vt_models_new(&b->models, &mo, &e), &e);
	must(vt_models_add(b->models, &b->c.model[0], &e), &e);
	b->m = vt_models_get(b->models, "m", NULL, &state);
	b->oip = (struct vt_oip){.models = b->models, .runtime = b->rt, .log = &quiet};
	b->oip.late = true;
	vt_regions_init(&b->regions, VT_REGION_DIR);
	b->oip.regions = &b->regions;
	must(vt_admission_init(&b->oip.admission, 64), &e);
	b->routes[vt_oip_routes(&b->oip, b->routes)] = (struct vt_route){0};
	for (int i = 0; i < 2; i++) {
		must(vt_listener_open(&b->l[i], &b->c.listen[i], 0600, &e), &e);
		must(vt_listener_start(&b->l[i], &e), &e);
	}
	must(vt_http_start(&b->http, &ho, &e), &e);
	for (int i = 0; i < 2; i++)
		b->fd[i] = connect_to(&b->l[i]);
	b->input = calloc(1, b->m->io.in[0].bytes);
	b->output = calloc(1, b->m->io.out_bytes);
	make_request(b);
	share(b);
	name_request(b);
	connect_bare(b, 0);
	connect_bare(b, 1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* @beside: what the neighbour in time took, NULL: nothing to compare with. */
static void print(const char *what, const double *times, int n, const double *beside)
{
	double *v = malloc((size_t)n * sizeof(*v));

	if (!v)
		return;
	memcpy(v, times, (size_t)n * sizeof(*v));
	qsort(v, (size_t)n, sizeof(*v), by_value);
	printf("%-15s p50 %.3f ms  p95 %.3f  p99 %.3f  best %.3f", what, v[n / 2], v[n * 95 / 100],
	       v[n * 99 / 100], v[0]);
	if (beside) { /* the machine drifts: neighbours are compared, then the middle is taken */
		for (int i = 0; i < n; i++)
			v[i] = times[i] - beside[i];
		qsort(v, (size_t)n, sizeof(*v), by_value);
		printf("  adds %.3f ms in the median of pairs (quarter %.3f, three quarter %.3f)",
		       v[n / 2], v[n / 4], v[n * 3 / 4]);
	}
	putchar('\n');
	free(v);
}

static const char *const what[WAYS] = {
	"in process",	   "TCP",	   "Unix socket",  "shared memory",
	"shared, written", "TCP, no HTTP", "Unix, no HTTP"};

static void ask(struct bench *b, int way)
{
	if (!way)
		ask_with(b, b->input, b->output);
	else if (way < 3)
		ask_http(b, b->fd[way - 1], b->request, b->request_len);
	else if (way < 5) {
		if (way == 4)
			memcpy(b->shared, b->input, b->m->io.in[0].bytes);
		ask_http(b, b->fd[1], b->by_name, strlen(b->by_name));
	} else
		ask_bare(b, b->bare[way - 5][0]);
}

static void stop(struct bench *b)
{
	vt_models_put(b->m);
	for (int i = 0; i < 2; i++) {
		close(b->fd[i]);
		close(b->bare[i][0]);
		pthread_join(b->bare_thread[i], NULL);
	}
	vt_http_stop(b->http);
	vt_models_free(b->models);
	vt_runtime_close(b->rt);
	vt_admission_fini(&b->oip.admission);
	vt_regions_fini(&b->regions);
	vt_listener_close(&b->l[0]);
	vt_listener_close(&b->l[1]);
}

int main(int argc, char **argv)
{
	static struct bench b;
	int n = argc > 2 ? atoi(argv[2]) : 300;
	double *v[WAYS];

	if (argc < 2 || n < 10) {
		fprintf(stderr, "usage: bench_http MODEL.onnx [REQUESTS]\n");
		return 2;
	}
	start(&b, argv[1]);
	for (int k = 0; k < WAYS; k++)
		v[k] = calloc((size_t)n, sizeof(**v));
	for (int i = -20; i < n; i++) /* the first twenty are not counted */
		for (int k = 0; k < WAYS; k++) {
			uint64_t t0 = vt_now_mono_ns();

			ask(&b, k);
			if (i >= 0)
				v[k][i] = (double)(vt_now_mono_ns() - t0) / 1e6;
		}
	printf("%s: input %zu bytes, output %zu, %d requests each, in turns\n", argv[1],
	       b.m->io.in[0].bytes, b.m->io.out[0].bytes, n);
	for (int k = 0; k < WAYS; k++)
		print(what[k], v[k], n, k ? v[0] : NULL);
	stop(&b);
	return 0;
}
