// SPDX-License-Identifier: Apache-2.0
/* serve_args.c - flags of `veltair serve` onto a configuration. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/serve.h"

enum {
	OPT_CHECK = 256,
	OPT_CORES,
	OPT_QOS,
	OPT_POLICY,
	OPT_ADMISSION,
	OPT_INSTANCES,
	OPT_QUEUE,
	OPT_DIM,
	OPT_PROFILES,
	OPT_RECORD,
	OPT_TRACE,
	OPT_MONITOR,
	OPT_PIN,
	OPT_USER,
	OPT_BODY,
	OPT_AGENT,
	OPT_SHM,
};

static const struct argp_option options[] = {
	{"config", 'c', "FILE", 0, "YAML; flags override it, SIGHUP reads it again", 0},
	{"check", OPT_CHECK, NULL, 0,
	 "try all of it, models and addresses too, leave nothing behind, and exit: 0 if it is "
	 "sound",
	 0},
	{"listen", 'l', "ADDRESS", 0,
	 "HOST:PORT, [IPv6]:PORT, :PORT (every IPv4 address) or unix:PATH; may be repeated "
	 "[127.0.0.1:8000]",
	 0},
	{"cores", OPT_CORES, "LIST", 0,
	 "cores to compute on, such as 0-3,8 [all, at most 256, or what a CPU quota affords]", 0},
	{"policy", OPT_POLICY, "NAME", 0,
	 "who runs when; `veltair sim --help` names them [veltair-full]", 0},
	{"admission", OPT_ADMISSION, "HOW", 0,
	 "refuse what cannot meet its deadline, or serve it late [refuse]", 0},
	{"profiles", OPT_PROFILES, "DB", 0, "take the models' times from this store", 0},
	{"record", OPT_RECORD, "FILE", 0,
	 "write a trace of every decision, for `veltair sim --replay`; what FILE held becomes "
	 "FILE.1",
	 0},
	{"trace", OPT_TRACE, "FILE", 0,
	 "at the end, write which block and layer ran on which core when, for Perfetto; what FILE "
	 "held becomes FILE.1",
	 0},
	{"monitor", OPT_MONITOR, "WHEN", 0,
	 "count per tenant by eBPF: on, off, or auto: where it can be had [auto]", 0},
	{"pin-dir", OPT_PIN, "DIR", 0, "pin the monitor's maps under DIR", 0},
	{"agent", OPT_AGENT, "HOST:PORT", 0,
	 "tell HAProxy there, by its agent-check, how much more this node can take; also "
	 "[IPv6]:PORT and :PORT",
	 0},
	{"shared-memory", OPT_SHM, "WHO", 0,
	 "let clients hand over tensors in /dev/shm: off, unix: those of Unix sockets, or on: all "
	 "[off]",
	 0},
	{"user", OPT_USER, "NAME", 0, "become this user after the start", 0},
	{"max-body", OPT_BODY, "SIZE", 0, "largest request [64MiB]", 0},
	{"verbose", 'v', NULL, 0, "say more on stderr", 0},
	{NULL, 0, NULL, 0, "Of the models on the command line:", 1},
	{"qos-ms", OPT_QOS, "MS", 0, "latency target, or auto: three times the time alone [auto]",
	 1},
	{"instances", OPT_INSTANCES, "N", 0,
	 "requests of one model that can run at once [cores, at most 4]", 1},
	{"max-queue", OPT_QUEUE, "N", 0, "requests of one model that may wait [64]", 1},
	{"dim", OPT_DIM, "NAME=N", 0, "size of a symbolic dimension; may be repeated", 1},
	{0},
};

/** Where the flags of one parse go. */
struct onto {
	struct vt_config *c; /* NULL: only the first look, for --config and --check */
	struct vt_serve_args *a;
	struct vt_config_model like; /* what models of the command line have in common */
	uint32_t first_model;	     /* of the command line */
	bool listened;
	struct vt_err *e; /* of a later look, which must not end a server; NULL: the first */
};

static void say(struct argp_state *st, const struct vt_err *e)
{
	const struct onto *o = st->input;

	if (!e->code)
		return;
	if (o->e)
		vt_fail(o->e, e->code, "%s", e->msg);
	else
		argp_error(st, "%s", e->msg);
}

static void set(struct vt_config *c, enum vt_config_key k, char **ret, const char *text)
{
	free(*ret);
	*ret = strdup(text);
	c->line[k] = VT_BY_FLAG;
}

static uint64_t number(struct argp_state *st, const char *flag, const char *arg, uint64_t min,
		       uint64_t max)
{
	uint64_t n = 0;

	if (vt_parse_u64(arg, min, max, &n))
		argp_error(st, "--%s: '%.40s' is not a whole number from %llu to %llu", flag, arg,
			   (unsigned long long)min, (unsigned long long)max);
	return n;
}

/* The flag's addresses replace those of the file. */
static void listen_on(struct argp_state *st, struct onto *o, const char *arg)
{
	struct vt_err e = {0};

	if (!o->listened)
		while (o->c->n_listen) {
			struct vt_config_listen *l = &o->c->listen[--o->c->n_listen];

			free(l->host);
			free(l->path);
		}
	o->listened = true;
	if (vt_config_add_listen(o->c, arg, 0, &e))
		vt_fail_at(&e, "--listen");
	say(st, &e);
}

static void one_of(struct argp_state *st, const char *flag, const char *arg,
		   const char *const *words, unsigned int *ret)
{
	for (unsigned int i = 0; words[i]; i++)
		if (!strcmp(arg, words[i])) {
			*ret = i;
			return;
		}
	argp_error(st, "--%s: '%.40s' is not one of: %s, %s%s%s", flag, arg, words[0], words[1],
		   words[2] ? ", " : "", words[2] ? words[2] : "");
}

static void set_dim(struct argp_state *st, struct onto *o, const char *arg)
{
	const char *eq = strchr(arg, '=');
	char name[64];
	uint64_t n;
	struct vt_err e = {0};

	if (!eq || eq == arg || (size_t)(eq - arg) >= sizeof(name) ||
	    vt_parse_u64(eq + 1, 1, INT32_MAX, &n))
		argp_error(st, "--dim %.80s: NAME=N was expected, N from 1 on", arg);
	else {
		memcpy(name, arg, (size_t)(eq - arg));
		name[eq - arg] = '\0';
		vt_config_add_dim(&o->like, name, n, &e);
		say(st, &e);
	}
}

static void add_model(struct argp_state *st, struct onto *o, const char *arg)
{
	struct vt_config_model *m = vt_config_new_model(o->c);
	struct vt_err e = {0};

	if (!m)
		vt_fail(&e, -EINVAL, "more than %u models", VT_CONFIG_MODELS);
	else
		vt_config_spec(m, arg, &e);
	say(st, &e);
}

/* Flags of models may stand behind them, so they are given out at the end. */
static void give_out(struct argp_state *st, struct onto *o)
{
	struct vt_err e = {0};

	for (uint32_t i = o->first_model; i < o->c->n_models; i++) {
		struct vt_config_model *m = &o->c->model[i];

		m->qos_ns = o->like.qos_ns;
		m->instances = o->like.instances;
		m->max_queue = o->like.max_queue;
		for (uint32_t d = 0; d < o->like.n_dims; d++)
			vt_config_add_dim(m, o->like.dims[d].name, (uint64_t)o->like.dims[d].value,
					  &e);
	}
	say(st, &e);
}

static error_t model_flag(int key, char *arg, struct argp_state *st, struct onto *o)
{
	struct vt_err e = {0};

	switch (key) {
	case OPT_QOS:
		vt_config_ms(arg, &o->like.qos_ns, &e);
		if (e.code)
			argp_error(st, "--qos-ms: %s", e.msg);
		return 0;
	case OPT_INSTANCES:
		o->like.instances = (uint32_t)number(st, "instances", arg, 1, 64);
		return 0;
	case OPT_QUEUE:
		o->like.max_queue = (uint32_t)number(st, "max-queue", arg, 1, 65536);
		return 0;
	case OPT_DIM:
		set_dim(st, o, arg);
		return 0;
	case ARGP_KEY_ARG:
		add_model(st, o, arg);
		return 0;
	case ARGP_KEY_END:
		give_out(st, o);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t server_flag(int key, char *arg, struct argp_state *st, struct onto *o)
{
	static const char *const when[] = {"auto", "on", "off", NULL};
	static const char *const how[] = {"refuse", "late", NULL};
	static const char *const who[] = {"off", "unix", "on", NULL};
	struct vt_config *c = o->c;
	unsigned int word = 0;

	switch (key) {
	case 'l':
		listen_on(st, o, arg);
		return 0;
	case OPT_CORES:
		if (vt_cpuset_parse(arg, &c->cores))
			argp_error(st, "--cores: '%.60s' is no list of cores such as 0-3,8", arg);
		c->line[VT_KEY_CORES] = VT_BY_FLAG;
		return 0;
	case OPT_POLICY:
		set(c, VT_KEY_POLICY, &c->policy, arg);
		return 0;
	case OPT_ADMISSION:
		one_of(st, "admission", arg, how, &word);
		c->late = word == 1;
		return 0;
	case OPT_PROFILES:
		set(c, VT_KEY_PROFILES, &c->profiles, arg);
		return 0;
	case OPT_RECORD:
		set(c, VT_KEY_RECORD, &c->record, arg);
		return 0;
	case OPT_TRACE:
		set(c, VT_KEY_TRACE, &c->trace, arg);
		return 0;
	case OPT_MONITOR:
		one_of(st, "monitor", arg, when, &word);
		c->monitor = (enum vt_config_monitor)word;
		return 0;
	case OPT_SHM:
		one_of(st, "shared-memory", arg, who, &word);
		c->shm = (enum vt_config_shm)word;
		return 0;
	case OPT_PIN:
		free(c->pin_dir);
		c->pin_dir = strdup(arg);
		return 0;
	case OPT_USER:
		set(c, VT_KEY_USER, &c->user, arg);
		return 0;
	case OPT_AGENT: {
		struct vt_err e = {0};

		if (vt_config_set_agent(c, arg, 0, &e))
			vt_fail_at(&e, "--agent");
		say(st, &e);
		return 0;
	}
	case OPT_BODY:
		if (vt_config_size(arg, 1024, 1ull << 34, &c->max_body_bytes))
			argp_error(st,
				   "--max-body: '%.40s' is no size from 1KiB to 16GiB, such as "
				   "65536 or 64MiB",
				   arg);
		c->line[VT_KEY_MAX_BODY] = VT_BY_FLAG;
		return 0;
	default:
		return model_flag(key, arg, st, o);
	}
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct onto *o = st->input;

	switch (key) {
	case 'c':
		o->a->file = arg;
		return 0;
	case OPT_CHECK:
		o->a->check = true;
		return 0;
	case 'v':
		o->a->verbose = true;
		return 0;
	case ARGP_KEY_INIT:
	case ARGP_KEY_SUCCESS:
	case ARGP_KEY_ERROR:
	case ARGP_KEY_FINI:
		return 0;
	default:
		return server_flag(key, arg, st, o);
	}
}

static const struct argp argp = {
	options,
	parse,
	"[MODEL.onnx[=NAME[:VERSION]]...]",
	"Serve ONNX models over HTTP by the Open Inference Protocol v2, each within its latency "
	"target.\v"
	"SIGTERM answers what has been taken and exits with 0; a second one ends at once. SIGHUP "
	"reads the "
	"file again without dropping a request. Ready when it says so on stderr, or to systemd.",
	NULL,
	NULL,
	NULL};

void vt_serve_not_bench(const struct vt_config_model *m, struct vt_err *e)
{
	char path[PATH_MAX], *colon;
	double n;

	if (m->line || e->code != -ENOENT || strlen(m->path) >= sizeof(path))
		return;
	strcpy(path, m->path);
	while ((colon = strrchr(path, ':')) &&
	       (!strcmp(colon + 1, "auto") || !vt_text_f64(colon + 1, &n))) {
		*colon = '\0';
		if (!access(path, F_OK)) {
			vt_fail_more(e, "; targets of single models: a --config file");
			return;
		}
	}
}

static void parse_onto(struct vt_config *c, struct vt_serve_args *a, int argc, char **argv,
		       struct vt_err *e)
{
	struct onto o = {.c = c, .a = a, .first_model = c->n_models, .e = e};

	vt_cmd_parse(&argp, argc, argv, &o);
	vt_config_model_fini(&o.like);
}

/* The first look refuses bad flags, once; their effect comes after the file's. */
void vt_serve_parse(struct vt_serve_args *a, int argc, char **argv)
{
	struct vt_config c;

	*a = (struct vt_serve_args){.argc = argc, .argv = argv};
	if (vt_config_init(&c))
		abort();
	parse_onto(&c, a, argc, argv, NULL);
	vt_config_fini(&c);
}

int vt_serve_config(const struct vt_serve_args *a, struct vt_config *ret, struct vt_err *e)
{
	struct vt_serve_args again = *a;
	struct vt_err flags = {0};
	int err = vt_config_init(ret);

	if (err)
		return vt_fail(e, err, "no memory");
	if (a->file)
		err = vt_config_read(ret, a->file, e);
	if (err)
		return err;
	parse_onto(ret, &again, a->argc, a->argv, &flags);
	if (flags.code)
		return vt_fail(e, flags.code, "%s", flags.msg);
	if (!a->file && !ret->n_models)
		return vt_fail(e, -EINVAL, "no models: name ONNX files, or a --config FILE");
	return vt_config_check(ret, a->file, e);
}
