// SPDX-License-Identifier: Apache-2.0
/* The server's YAML: every key, and a line number in every fault. */
#include "harness.h"

#include <string.h>

#include "server/config.h"

static int parse(struct vt_config *c, const char *text, struct vt_err *e)
{
	int err = vt_config_init(c);

	if (!err)
		err = vt_config_parse(c, text, strlen(text), "c.yaml", e);
	return err ? err : vt_config_check(c, "c.yaml", e);
}

static void test_all_keys(void **state)
{
	static const char text[] = "listen:\n"
				   "  - 0.0.0.0:8001\n"
				   "  - \"[::1]:8002\"\n"
				   "  - unix:/run/v.sock\n"
				   "socket_mode: 0600\n"
				   "cores: 0-1,3\n"
				   "policy: prema\n"
				   "admission: late\n"
				   "profiles: /var/lib/p.db\n"
				   "record: t.trace\n"
				   "user: nobody\n"
				   "monitor: off\n"
				   "shared_memory: unix\n"
				   "pin_dir: /sys/fs/bpf/x\n"
				   "io_threads: 3\n"
				   "limits:\n"
				   "  max_body: 1 MiB\n"
				   "  max_memory: 2GiB\n"
				   "  max_connections: 7\n"
				   "  max_requests: 9\n"
				   "  idle_ms: 2000\n"
				   "  transfer_ms: 3000\n"
				   "  drain_ms: 0\n"
				   "models:\n"
				   "  - path: a/resnet 50.onnx\n"
				   "  - path: b.onnx\n"
				   "    name: bert\n"
				   "    version: 2.1\n"
				   "    qos_ms: 12.5\n"
				   "    priority: 3\n"
				   "    instances: 2\n"
				   "    max_queue: 10\n"
				   "    kernels: direct\n"
				   "    dims: {T: 384, N: 1}\n";
	struct vt_config c;
	struct vt_err e = {0};

	if (parse(&c, text, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(c.n_listen, 3);
	assert_string_equal(c.listen[0].host, "0.0.0.0");
	assert_int_equal(c.listen[0].port, 8001);
	assert_string_equal(c.listen[1].host, "::1");
	assert_null(c.listen[2].host);
	assert_string_equal(c.listen[2].path, "/run/v.sock");
	assert_int_equal(c.socket_mode, 0600);
	assert_int_equal(vt_cpuset_count(&c.cores), 3);
	assert_string_equal(c.policy, "prema");
	assert_true(c.late);
	assert_string_equal(c.profiles, "/var/lib/p.db");
	assert_string_equal(c.record, "t.trace");
	assert_string_equal(c.user, "nobody");
	assert_int_equal(c.monitor, VT_MONITOR_OFF);
	assert_int_equal(c.shm, VT_SHM_UNIX);
	assert_string_equal(c.pin_dir, "/sys/fs/bpf/x");
	assert_int_equal(c.io_threads, 3);
	assert_int_equal(c.max_body_bytes, 1 << 20);
	assert_true(c.max_memory_bytes == 2ull << 30);
	assert_int_equal(c.max_connections, 7);
	assert_int_equal(c.max_requests, 9);
	assert_int_equal(c.idle_ms, 2000);
	assert_int_equal(c.transfer_ms, 3000);
	assert_int_equal(c.drain_ms, 0);
	assert_int_equal(c.n_models, 2);
	assert_string_equal(c.model[0].name, "resnet-50");
	assert_string_equal(c.model[0].version, "1");
	assert_int_equal(c.model[0].qos_ns, 0);
	assert_string_equal(c.model[1].name, "bert");
	assert_string_equal(c.model[1].version, "2.1");
	assert_int_equal(c.model[1].qos_ns, 12500001);
	assert_int_equal(c.model[1].priority, 3);
	assert_int_equal(c.model[1].instances, 2);
	assert_int_equal(c.model[1].max_queue, 10);
	assert_int_equal(c.model[0].kernels, VT_KERNELS_FAST);
	assert_int_equal(c.model[1].kernels, VT_KERNELS_DIRECT);
	assert_int_equal(c.model[1].n_dims, 2);
	assert_string_equal(c.model[1].dims[0].name, "T");
	assert_int_equal(c.model[1].dims[0].value, 384);
	vt_config_fini(&c);
}

/* What a file holds whose entries are all comments. */
static void test_no_models(void **state)
{
	static const char *const t[] = {"models:\n",	       "models:\n# - path: a\n",
					"models:\ncores: 0\n", "models: []\n",
					"models: null\n",      "models: ~ # none\n"};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_config c;

		assert_int_equal(parse(&c, t[i], NULL), 0);
		assert_int_equal(c.n_models, 0);
		vt_config_fini(&c);
	}
}

static void test_defaults(void **state)
{
	struct vt_config c;

	assert_int_equal(parse(&c, "models: []\n", NULL), 0);
	assert_int_equal(c.n_listen, 1);
	assert_string_equal(c.listen[0].host, "127.0.0.1"); /* not the whole world by default */
	assert_int_equal(c.listen[0].port, 8000);
	assert_false(c.late);
	assert_int_equal(c.shm, VT_SHM_OFF);
	vt_config_fini(&c);
}

static void test_faults_name_their_line(void **state)
{
	static const struct {
		const char *text, *says;
	} t[] = {
		{"", "c.yaml: is empty"},
		{"- 1\n", "c.yaml:1: the configuration: `key: value` lines"},
		{"policy: prema\nadmision: late\n", "c.yaml:2: unknown key 'admision' in the "
						    "configuration; did you mean 'admission'?"},
		{"shared_memory: yes\n",
		 "c.yaml:1: shared_memory: 'yes' is none of: off, unix, on"},
		{"models:\n  - path: m\n    kernels: slow\n",
		 "c.yaml:3: kernels: 'slow' is none of: fast, direct"},
		{"completely_else: 1\n",
		 "c.yaml:1: unknown key 'completely_else' in the configuration"},
		{"models:\n  - path: a\n    qos-ms: 1\n",
		 "c.yaml:3: unknown key 'qos-ms' in a model; did you mean 'qos_ms'?"},
		{"models:\n  - path: a\n    qos_ms: fast\n",
		 "c.yaml:3: 'fast' is neither auto nor"},
		{"models:\n  - path: a\n    qos_ms: 0\n", "c.yaml:3: '0' is neither auto nor"},
		{"models:\n  - path: a\n    qos_ms: [1]\n", "c.yaml:3: qos_ms: one value"},
		{"models:\n  - path: a\n    instances: 65\n",
		 "c.yaml:3: instances: '65' is not a whole number from 1 to 64"},
		{"models:\n  - path: a\n    name: a/b\n", "c.yaml:3: model name 'a/b': 1 to 63"},
		{"models:\n  - name: a\n", "c.yaml:2: a model without a `path`"},
		{"models:\n  - {path: a, name: stats}\n",
		 "c.yaml:2: model 'stats', version '1': in a URL"},
		{"models:\n  - path: m/stats.onnx\n", "c.yaml:2: model 'stats'"},
		{"models:\n  - {path: a, name: .}\n", "c.yaml:2: model '.'"},
		{"models:\n  - {path: a, version: ..}\n", "c.yaml:2: model 'a', version '..'"},
		{"models:\n  - path: a\n\n  - path: b/a\n",
		 "c.yaml:4: model 'a', version '1', is there twice"},
		{"models: a.onnx\n", "c.yaml:1: models: a list"},
		{"models: \"\"\n", "c.yaml:1: models: a list"},
		{"models:\n  - path: a\n    dims: {T: 0}\n", "c.yaml:3: a dimension's size: '0'"},
		{"models:\n  - path: a\n    dims:\n      T: 1\n      T: 2\n",
		 "c.yaml:5: dimension 'T' is given twice"},
		{"user: x\npolicy: fastest\n", "c.yaml:2: there is no policy 'fastest'"},
		{"policy: prema\npolicy: fcfs\n", "c.yaml:2: 'policy' is there twice"},
		{"listen: nowhere\n", "c.yaml:1: 'nowhere' is no address"},
		{"listen: [\"::1:80\"]\n", "c.yaml:1: '::1:80' is no address: write [IPv6]"},
		{"listen: 1.2.3.4:99999\n", "c.yaml:1: '1.2.3.4:99999' is no address"},
		{"listen: x\n",
		 "c.yaml:1: 'x' is no address: HOST:PORT, [IPv6]:PORT, :PORT or unix:PATH "
		 "was expected"},
		{"agent: x\n",
		 "c.yaml:1: 'x' is no address: HOST:PORT, [IPv6]:PORT or :PORT was expected"},
		{"agent: unix:/x\n", "c.yaml:1: 'unix:/x': HAProxy asks over TCP"},
		{"limits:\n  max_body: lots\n", "c.yaml:2: max_body: 'lots' is no size"},
		{"limits:\n  max_body: 99999GiB\n", "c.yaml:2: max_body: '99999GiB' is no size"},
		{"limits:\n  max_body: 18446744073709551616\n", "c.yaml:2: max_body:"},
		{"limits: 3\n", "c.yaml:1: limits: `key: value` lines"},
		{"cores: 3-1\n", "c.yaml:1: cores: '3-1' is no list"},
		{"monitor: maybe\n", "c.yaml:1: monitor: 'maybe' is none of: auto, on, off"},
		{"admission: ''\n", "c.yaml:1: admission: '' is none of: refuse, late"},
		{"socket_mode: 0999\n", "c.yaml:1: socket_mode: '0999'"},
		{"a: [1\n", "c.yaml:2: not YAML:"},
		{"policy: prema\n\tcores: 1\n", "c.yaml:2: not YAML:"},
		{"policy: prema\n---\npolicy: fcfs\n", "c.yaml:3: a second document"},
		{"policy: *x\n", "c.yaml:1: not YAML: found undefined alias"},
		{"user: \"a\\0b\"\n", "c.yaml:1: user: a NUL character"},
		{"policy: \xff\n", "c.yaml: invalid leading UTF-8 octet"},
		{"? [1]\n: 2\n", "c.yaml:1: a key: one value"},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_config c;
		struct vt_err e = {0};
		int err = parse(&c, t[i].text, &e);

		if (err != -EINVAL || strncmp(e.msg, t[i].says, strlen(t[i].says)) != 0)
			fail_msg("%s\n%d '%s'\nwanted '%s'", t[i].text, err, e.msg, t[i].says);
		vt_config_fini(&c);
	}
}

/* What is refused later is said with its place, too. */
static void test_lines_are_kept(void **state)
{
	static const struct {
		enum vt_config_key key;
		const char *says;
	} t[] = {
		{VT_KEY_CORES, "c.yaml:2: why"},    {VT_KEY_USER, "c.yaml:3: why"},
		{VT_KEY_MAX_BODY, "c.yaml:5: why"}, {VT_KEY_MAX_MEMORY, "why"},
		{VT_KEY_PROFILES, "why"},	    {VT_KEY_RECORD, "--record: why"},
	};
	struct vt_config c;

	assert_int_equal(parse(&c,
			       "models: []\ncores: 0\nuser: x\nlimits:\n  max_body: 1MiB\n"
			       "record: r\n",
			       NULL),
			 0);
	assert_int_equal(c.line[VT_KEY_RECORD], 6);
	c.line[VT_KEY_RECORD] = VT_BY_FLAG;
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_err e = {-ENOENT, "why"};

		assert_int_equal(vt_config_at(&c, t[i].key, "c.yaml", &e), -ENOENT);
		assert_string_equal(e.msg, t[i].says);
	}
	vt_config_fini(&c);
}

static void test_spec(void **state)
{
	static const struct {
		const char *text, *path, *name, *version; /* path NULL: refused */
	} t[] = {
		{"a.onnx", "a.onnx", "", ""},
		{"a.onnx=b", "a.onnx", "b", ""},
		{"a=b.onnx=c:7", "a=b.onnx", "c", "7"},
		{"=b", NULL, NULL, NULL},
		{"a=b c", NULL, NULL, NULL},
		{"a=b:", NULL, NULL, NULL},
		{"", NULL, NULL, NULL},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_config_model m = {0};
		struct vt_err e = {0};

		assert_int_equal(vt_config_spec(&m, t[i].text, &e), t[i].path ? 0 : -EINVAL);
		if (t[i].path) {
			assert_string_equal(m.path, t[i].path);
			assert_string_equal(m.name, t[i].name);
			assert_string_equal(m.version, t[i].version);
		}
		vt_config_model_fini(&m);
	}
}

static void test_copies(void **state)
{
	struct vt_config_model a = {.name = "n", .qos_ns = 5}, b;

	assert_int_equal(vt_config_spec(&a, "f", NULL), 0);
	assert_int_equal(vt_config_add_dim(&a, "T", 3, NULL), 0);
	assert_int_equal(vt_config_copy_model(&b, &a), 0);
	b.line = 9;
	assert_true(vt_config_same(&a, &b));
	b.dims[0].value = 4;
	assert_false(vt_config_same(&a, &b));
	b.dims[0].value = 3;
	b.qos_ns = 6;
	assert_false(vt_config_same(&a, &b));
	vt_config_model_fini(&a);
	vt_config_model_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_keys),
		cmocka_unit_test(test_no_models),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_faults_name_their_line),
		cmocka_unit_test(test_lines_are_kept),
		cmocka_unit_test(test_spec),
		cmocka_unit_test(test_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
