# SPDX-License-Identifier: Apache-2.0
# Rules only; the lists live in the Kbuild file of each directory.
#
#   make                everything into build/release; -j8 for eight at a time
#   make demo           install what is needed, build, run real models, show the result
#   make check          install what is needed, build, run every test this machine can run
#   make check-quick    build, rules of the tree, unit and end-to-end tests: no root, nothing installed
#   make lint           cppcheck, and clang-tidy over the C files that differ from LINT_SINCE=HEAD~1
#   make check-vm       the BPF programs under three Debian kernels in guests, with a scripted PMU
#   make check-monitor  100 runs of each exactness test, 1000 starts and kill -9s: RUNS=100 KILLS=1000
#   make check-scale    a real HAProxy before three nodes in network namespaces; needs root: SECS=6 RATE=60
#   make check-overload five minutes at five times what a server can take: SECS=300 FACTOR=5
#   make conformance    every case of ONNX's test data, and the seven full models beside ONNX Runtime
#   make fuzz           libFuzzer targets, FUZZ_SECONDS=60 each; FUZZ="fuzz_onnx fuzz_npy:15" chooses
#   make tests          the unit tests; run-tests runs them; CONFIG=asan run-tests, CONFIG=tsan run-tsan;
#                       CONFIG=asan run-avx512: AVX-512's kernels, emulated on a CPU without it
#   make bench          one layer, the scheduler, models beside ONNX Runtime:
#                       bench-gemm, bench-sched, bench-ort (BENCH="--models resnet-50 --threads 1")
#   make bench-variants models beside the bubble: XNNPACK's order, fastest alone, chosen by level, best measured
#   make bench-tenants  many models beside a process of ONNX Runtime each: BENCH="--pairs light --serve"
#   make bench-sim      blocks per second of the simulator
#   make bench-http     what HTTP adds to one inference: HTTP="build/zoo/mobilenet-v2.onnx 300"
#   make bench-runtime  the live plant: its own cost per request, requests in QoS; models from ZOO=build/zoo
#   make bench-validity the same arrivals live and simulated; models from ZOO=build/zoo, root for -R
#   make bench-observed metrics, page, trace and monitor on and off, interleaved; models from ZOO=build/zoo
#   make bench-scrape   what /metrics of 200 models costs
#   make bench-monitor  what a switch, a read-out and a cut cost; needs root
#   make machine-probe  constants of this machine for a machine file of `veltair sim`
#   make deps           install what building needs (Debian packages; needs root if some are missing); deps-demo,
#                       deps-check: what these need too
#   make ort            ONNX Runtime from npm into build/node
#   make install        the program, its man pages and docs/, PREFIX=/usr/local, DESTDIR for packages; uninstall
#   make man            the man pages only
#   make format         clang-format on all sources
#   make docs/operators.md   the page from the import table; docs/metrics.md likewise
#   make pictures       docs/pictures/timelines.png from the simulator, goodput.png, ratio.png and bound.png from the pages' tables
#   make clean          remove build/
#   make help           this text
#
# CONFIG=release (default), clang, debug, asan, tsan, fuzz: each builds into build/$CONFIG.
#   CFLAGS, CPPFLAGS, LDFLAGS come after the project's own; WERROR=1 makes warnings errors, as make check does

CC       = gcc
CLANG   ?= clang
CONFIG  ?= release
BUILD   ?= build
PREFIX  ?= /usr/local
O       := $(BUILD)/$(CONFIG)
VERSION := $(shell cat VERSION)

include Kbuild
include user/base/Kbuild
include user/exec/Kbuild
include kernels/Kbuild
include user/events/Kbuild
include user/model/Kbuild
include user/profile/Kbuild
include user/monitor/Kbuild
include user/metrics/Kbuild
include user/pressure/Kbuild
include user/sched/Kbuild
include user/loop/Kbuild
include user/load/Kbuild
include user/sim/Kbuild
include user/server/Kbuild
include user/cli/Kbuild
include docs/Kbuild
include tests/unit/Kbuild
include tests/bench/Kbuild
include tests/fuzz/Kbuild
include tests/conformance/Kbuild
include tests/e2e/Kbuild
include tests/bpf/Kbuild
include tests/vm/Kbuild

# ---- flags -------------------------------------------------------------------------------

# gcc says itself that instrumented code makes these guess wrong.
san-quiet   := -Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-truncation
san-release :=
san-clang   :=
san-debug   :=
san-asan    := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -fno-var-tracking $(san-quiet)
san-tsan    := -fsanitize=thread $(san-quiet)
san-fuzz    := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
opt-release := -O2
opt-clang   := -O2
opt-debug   := -O0
opt-asan    := -O1
opt-tsan    := -O1
opt-fuzz    := -O1
loops-release := -O3
loops-clang := -O3
# Where a matrix kernel's loops lie in lines of 64 bytes is worth some per cent, and moves with whatever is linked before them.
place-release := -falign-functions=64 -falign-jumps=64
ifneq ($(filter $(CONFIG),clang fuzz),)
CC := $(CLANG)
endif

# CFLAGS, CPPFLAGS and LDFLAGS are the user's, and come after what is only our taste. What the code relies on comes last:
# C11, and sums that are rounded alike everywhere.
vt-cppflags  = -D_GNU_SOURCE -DVT_VERSION='"$(VERSION)"' -I. -Iuser -I$(O)/gen $(CPPFLAGS)
vt-taste     = -g $(opt-$(CONFIG)) -Wall -Wextra $(vt-werror) -Wno-unused-parameter -Wstrict-prototypes \
	       -Wmissing-prototypes -Wshadow $(pie-$(CONFIG)) $(san-$(CONFIG))
vt-needed   := -std=gnu11 -fno-common -fno-fast-math -ffp-contract=off
vt-cflags    = $(vt-taste) $(CFLAGS) $(vt-needed)
vt-ldflags   = $(pie-$(CONFIG):-fPIE=-pie) $(hard-link-$(CONFIG)) $(san-$(CONFIG)) $(LDFLAGS)
# For what we build and check ourselves; not for a user whose compiler is newer than ours and warns of more.
vt-werror    = $(if $(filter 1,$(WERROR)),-Werror)

# Hardening, but of what computes and decides: there it would cost, and the pure archive calls nothing, not even to abort.
# The user may have other ideas of it, or of what it needs.
pie-release  := -fPIE
pie-clang    := -fPIE
hard-link-release := -Wl,-z,relro,-z,now
hard-link-clang   := $(hard-link-release)
fortify       = $(if $(findstring _FORTIFY_SOURCE,$(CFLAGS) $(CPPFLAGS))$(filter -O0 -fsanitize=%,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
hard-release  = $(if $(findstring -fno-stack-protector,$(CFLAGS)),,-fstack-protector-strong) $(fortify)
hard-clang    = $(hard-release)
# harden OBJECT
harden        = $(if $(filter kernels/% $(pure-y:.o=),$1),,$(hard-$(CONFIG)))
LDLIBS   = -lXNNPACK -lcpuinfo -lprotobuf-c -lsqlite3 -ljansson -lyaml -lmicrohttpd -lsystemd -lpthread -lm $(lib-y)

# ---- objects -----------------------------------------------------------------------------

objs      := $(addprefix $(O)/,$(vt-y))
pure-objs := $(addprefix $(O)/,$(pure-y))
cli-objs  := $(addprefix $(O)/,$(cli-y))
tests     := $(addprefix $(O)/,$(test-y))
gen       := $(addprefix $(O)/gen/,$(gen-y))

.PHONY: all deps deps-demo deps-check demo check check-quick check-vm conformance bench fuzz install uninstall clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(O)/veltair

$(O)/veltair: $(cli-objs) $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ $(LDLIBS)

$(O)/libvt.a: $(objs) $(O)/.link
	@rm -f $@
	ar rcs $@ $(objs)

# The pure archive: policies, pressure, loop. The live runtime and the simulator link this very file.
$(O)/libvtpure.a: $(pure-objs) $(O)/.link
	@rm -f $@
	ar rcs $@ $(pure-objs)

$(O)/%.o: %.c $(O)/.compile | $(gen)
	@mkdir -p $(@D)
	$(CC) $(vt-cppflags) $(vt-cflags) $(call harden,$*) $(cflags-$*) -MMD -MP -c -o $@ $<

# Instrumented and unrolled at once: 80 s of compiling instead of 8, for a test that takes as long. Of the fuzz targets, which
# compute next to nothing, it was three minutes of four files.
cflags-kernels/dw_rows     += $(if $(filter asan fuzz,$(CONFIG)),-O0)
cflags-kernels/vec         += $(if $(filter fuzz,$(CONFIG)),-O0)
cflags-kernels/gemm_avx2   += $(if $(filter fuzz,$(CONFIG)),-O0)
cflags-kernels/gemm_avx512 += $(if $(filter fuzz,$(CONFIG)),-O0)

# The same source once per instruction set (isa-y); the file learns its tier from VT_TIER.
tier-flags = -DVT_TIER=$(1:v%=%) $(loops-$(CONFIG)) \
	     $(if $(filter x86_64%,$(shell $(CC) -dumpmachine 2>/dev/null)),-march=x86-64$(if $(filter-out v1,$1),-$1))
define tier-rule
$(O)/%.$1.o: %.c $(O)/.compile | $(gen)
	@mkdir -p $$(@D)
	$(CC) $(vt-cppflags) $(vt-cflags) $(call tier-flags,$1) $$(cflags-$$*) -MMD -MP -c -o $$@ $$<
endef
$(foreach t,v1 v3 v4,$(eval $(call tier-rule,$t)))

# ONNX's own schema, as packaged; included as "onnx/onnx.pb-c.h". Generated code answers to its generator's
# idea of warnings, not to ours.
PROTO_INC ?= /usr/include
$(O)/gen/%.pb-c.c $(O)/gen/%.pb-c.h: $(PROTO_INC)/%.proto
	@mkdir -p $(O)/gen
	protoc-c -I$(PROTO_INC) --c_out=$(O)/gen $<

# What runs in the kernel: each bpf/NAME.bpf.c compiled alone, joined into one object, embedded as a skeleton.
# No vmlinux.h: bpf/compat.bpf.h names the few types, CO-RE finds their true layout at load time.
BPF_CLANG  ?= clang
BPFTOOL    ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
BPF_CFLAGS  = -g -O2 -target bpf -mcpu=v3 -Wall -Wextra $(vt-werror) -Wno-unused-parameter \
	      -Wno-missing-field-initializers -Ibpf -idirafter /usr/include/$(shell gcc -print-multiarch 2>/dev/null)
bpf-objs   := $(addprefix $(O)/bpf/,$(bpf-y:=.bpf.o))

$(bpf-objs): $(O)/bpf/%.bpf.o: bpf/%.bpf.c $(O)/.compile
	@mkdir -p $(@D)
	$(BPF_CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@ $<

$(O)/bpf/veltair.bpf.o: $(bpf-objs)
	$(BPFTOOL) gen object $@ $^

$(O)/gen/veltair.skel.h: $(O)/bpf/veltair.bpf.o
	@mkdir -p $(@D)
	$(BPFTOOL) gen skeleton $< name vt_bpf > $@

# Which kernels a profile was made with (user/exec/here.c): what computes, not what chooses.
id-objs := $(addprefix $(O)/,$(filter-out $(no-id-y),$(filter kernels/%,$(vt-y))))
$(O)/gen/kernels_id.c: $(id-objs) scripts/kernels-id.sh $(O)/.link
	@mkdir -p $(@D)
	scripts/kernels-id.sh $(id-objs) > $@

$(O)/gen/%.o: $(O)/gen/%.c $(O)/.compile
	$(CC) $(vt-cppflags) $(vt-cflags) $(call harden,gen/$*) -w -MMD -MP -c -o $@ $<

# A test's further objects, by its name in tests/unit/Kbuild: test_x-y := tests/unit/helper.o
.SECONDEXPANSION:
$(O)/tests/unit/%: $(O)/tests/unit/%.o $$(addprefix $(O)/,$$(%-y)) $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ -lcmocka $(LDLIBS)

# AVX-512's kernels in plain C (tests/emulate) in place of the true ones, for CPUs without it. All else is as in $(O).
E        := $(O)/emulated
emulated := $(addprefix $(E)/,$(filter %.v4.o kernels/gemm_avx512.o kernels/isa.o,$(vt-y)))
# A minute less to build than with -O2. With -O0 the compiler's own intrinsics are macros of these names.
as-avx2   = $(opt-$(CONFIG)) -march=x86-64-v3 -include tests/emulate/avx512.h -Wno-psabi
$(E)/kernels/isa.o: as-avx2 = -include tests/emulate/cpu.h
$(E)/%.v4.o: %.c $(O)/.compile | $(gen)
	@mkdir -p $(@D)
	$(CC) $(vt-cppflags) $(vt-cflags) -DVT_TIER=4 $(cflags-$*) $(as-avx2) -MMD -MP -c -o $@ $<
$(E)/%.o: %.c $(O)/.compile | $(gen)
	@mkdir -p $(@D)
	$(CC) $(vt-cppflags) $(vt-cflags) $(as-avx2) -MMD -MP -c -o $@ $<
$(E)/libvt.a: $(O)/libvt.a $(emulated)
	cp $< $@
	ar rs $@ $(emulated)
$(E)/veltair: $(cli-objs) $(E)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ $(LDLIBS)
$(E)/tests/unit/%: $(O)/tests/unit/%.o $$(addprefix $(O)/,$$(%-y)) $(E)/libvt.a $(O)/libvtpure.a
	@mkdir -p $(@D)
	$(CC) $(vt-ldflags) -o $@ $^ -lcmocka $(LDLIBS)

e2e-bin := $(addprefix $(O)/,$(e2e-bin-y))
$(e2e-bin): $(O)/tests/e2e/%: $(O)/tests/e2e/%.o $(O)/tests/unit/onnx_text.o $(O)/libvt.a
	$(CC) $(vt-ldflags) -o $@ $^ $(LDLIBS)

fuzzers := $(addprefix $(O)/tests/fuzz/,$(fuzz-y))
$(fuzzers): $(O)/tests/fuzz/%: $(O)/tests/fuzz/%.o $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

$(O)/tests/bpf/%: $(O)/tests/bpf/%.o $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ -lcmocka $(LDLIBS)

# Static: it is all there is in the guests of check-vm.
vm-objs := $(addprefix $(O)/,$(vm-y))
vm-test := $(O)/tests/vm/veltair-vm
$(vm-test): $(vm-objs) $(O)/libvt.a
	$(CC) $(filter-out -pie,$(vt-ldflags)) -static -o $@ $^ -lbpf -lelf -lz -lpfm -lcap -lpthread -lm

# Programs that only measure; `make bench-NAME` runs one.
$(O)/tests/bench/%: $(O)/tests/bench/%.o $$(addprefix $(O)/,$$(%-y)) $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ $(LDLIBS)
# All of them, so that none is left behind by the code they measure.
.PHONY: benches
benches: $(addprefix $(O)/,$(bench-y))

.PHONY: bench-sched
.PHONY: bench-monitor
bench-monitor: $(O)/tests/bench/bench_monitor $(O)/veltair
	$< $(O)/veltair
.PHONY: check-monitor
# The long form of two tests: 100 runs of every size, 1000 starts and kill -9s.
check-monitor: $(O)/tests/bpf/test_exact $(O)/tests/bpf/test_monitor
	VT_EXACT_RUNS=$(or $(RUNS),100) $(O)/tests/bpf/test_exact
	VT_MONITOR_KILLS=$(or $(KILLS),1000) $(O)/tests/bpf/test_monitor
.PHONY: check-scale
# Nodes that are pressed, killed and restarted under load; ten minutes with SECS=60.
check-scale: $(O)/veltair
	tests/scale/scale.sh
# Five minutes at five times what the server can take: SECS=300 FACTOR=5 MODEL=mobilenet-v2
.PHONY: check-overload
check-overload: all
	tests/scale/overload.sh
.PHONY: bench-gemm
bench-gemm: $(O)/tests/bench/bench_gemm
	$< $(GEMM)
# What HTTP adds to one inference: make bench-http HTTP="build/zoo/mobilenet-v2.onnx 300"
.PHONY: bench-http
bench-http: $(O)/tests/bench/bench_http all
	@[ -f $(BUILD)/zoo/mobilenet-v2.onnx ] || $(O)/veltair zoo --out $(BUILD)/zoo mobilenet-v2
	$< $(or $(HTTP),$(BUILD)/zoo/mobilenet-v2.onnx 300)
# What observability costs, of throughput: make bench-observed OBSERVED="-r 10 -w t"
.PHONY: bench-observed
bench-observed: $(O)/tests/bench/bench_observed
	$< $(OBSERVED) $(ZOO)
# Bytes and milliseconds of /metrics: make bench-scrape SCRAPE="200 100" (models, scrapes)
.PHONY: bench-scrape
bench-scrape: all
	tests/bench/scrape.sh $(SCRAPE)
bench-sched: $(O)/tests/bench/bench_sched
	$<
# What choosing versions by pressure is worth; profiles first if the store lacks something.
# make bench-variants VARIANTS_MODELS=bert-large VARIANTS="3 1 0,4" (rounds, cores, levels)
VARIANTS_MODELS ?= mobilenet-v2 efficientnet-b0 googlenet resnet-50 bert-large
VARIANTS_DB     ?= $(BUILD)/variants.db
.PHONY: bench-variants
bench-variants: $(O)/tests/bench/bench_variants $(O)/veltair
	$(O)/veltair zoo --out $(BUILD)/zoo $(VARIANTS_MODELS)
	$(O)/veltair profile --quick --db $(VARIANTS_DB) $(VARIANTS_MODELS:%=$(BUILD)/zoo/%.onnx)
	for m in $(VARIANTS_MODELS); do $< $(VARIANTS_DB) $(BUILD)/zoo/$$m.onnx $(VARIANTS) || exit 1; done
# Constants of this machine for a machine file of `veltair sim`.
.PHONY: machine-probe
machine-probe: $(O)/tests/bench/machine_probe
	$<
.PHONY: bench-sim
bench-sim: $(O)/tests/bench/bench_sim
	$<
.PHONY: bench-runtime
# make bench-runtime ZOO=build/zoo RUNTIME="-m mobilenet-v2,efficientnet-b0 -p fcfs,veltair-full"
ZOO ?= $(BUILD)/zoo
bench-runtime: $(O)/tests/bench/bench_runtime
	$< $(RUNTIME) $(ZOO)
.PHONY: bench-validity
# make bench-validity MACHINE=share/machines/vm-2-zen5.machine VALIDITY="-m resnet-50,googlenet -s 9"
MACHINE  ?= share/machines/vm-2-zen5.machine
VALIDITY ?= -R
bench-validity: $(O)/tests/bench/bench_validity
	$< $(VALIDITY) $(MACHINE) $(ZOO)

bench:
	$(MAKE) bench-gemm
	$(MAKE) bench-sched
	$(MAKE) bench-ort

# The dashboard's files are read by the assembler. Its chart library is Debian's libjs-dygraphs.
DYGRAPHS ?= /usr/share/javascript/dygraphs
cflags-user/metrics/page = -DVT_DYGRAPHS='"$(DYGRAPHS)"'
$(O)/user/metrics/page.o: $(page-y) $(DYGRAPHS)/dygraph.min.js $(DYGRAPHS)/dygraph.min.css

docs/operators.md: $(O)/user/model/operators_page
	$< > $@

docs/metrics.md: $(O)/user/metrics/metrics_page
	$< > $@

# Drawn from what the simulator does now, and from figures of the pages (tests/e2e/docs.sh compares them).
.PHONY: pictures
pictures: all
	scripts/plot-timelines.sh $(O)/veltair docs/pictures/timelines.png
	gnuplot docs/pictures/goodput.gp
	gnuplot docs/pictures/ratio.gp
	gnuplot docs/pictures/bound.gp

$(O)/user/metrics/metrics_page: $(O)/user/metrics/metrics_page.o $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ $(LDLIBS)

$(O)/user/model/operators_page: $(O)/user/model/operators_page.o $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ $(LDLIBS)

# ---- when to build again --------------------------------------------------------------------

# What objects are compiled with, and what is put together of which: two files as old as the last change of that. So
# another VERSION or flag compiles all anew, a list that lost a file links anew, and no other change to rules or lists does.
kept-compile = $(CC) $(vt-cppflags) $(vt-cflags) $(foreach t,v1 v3 v4,$(call tier-flags,$t)) $(as-avx2) $(harden) \
	       $(foreach v,$(sort $(filter cflags-%,$(.VARIABLES))),$v = $($v)) $(BPF_CLANG) $(BPF_CFLAGS)
kept-link    = $(vt-ldflags) $(LDLIBS) $(vt-y) $(pure-y) $(cli-y)
define kept
ifneq ($$(strip $$(file <$(O)/.$1)),$$(strip $$(kept-$1)))
.PHONY: $(O)/.$1
endif
endef
$(foreach k,compile link,$(eval $(call kept,$k)))
$(O)/.compile $(O)/.link:
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(strip $(kept-$(patsubst $(O)/.%,%,$@))))' >$@

# The headers of whatever has been built.
-include $(shell find $(O) -name '*.d' 2>/dev/null)

# ---- checks ------------------------------------------------------------------------------

deps:
	scripts/deps.sh build
deps-demo:
	scripts/deps.sh build demo
deps-check:
	scripts/deps.sh build demo check

# What needs no new package and no root, for the inner loop of work.
check-quick: all $(tests) $(e2e-bin)
	scripts/check-tree.sh
	scripts/check-pure.sh $(O)/libvtpure.a
	prove --timer --exec scripts/tap.sh $(tests) $(e2e-y)

# All of the tree takes clang-tidy ten minutes: what a change touches is enough.
LINT_SINCE ?= HEAD~1
.PHONY: lint
lint: all
	scripts/lint.sh $$(git diff --name-only --diff-filter=d $(LINT_SINCE) -- '*.c')

check: deps-check
	scripts/check.sh

demo: deps-demo
	scripts/demo.sh

.PHONY: man
man: $(O)/man/.made
$(O)/man/.made: $(O)/veltair scripts/man.sh
	scripts/man.sh $(O)/veltair $(@D)
	@touch $@

install: all man
	install -D -m 755 $(O)/veltair $(DESTDIR)$(PREFIX)/bin/veltair
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(O)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/doc/veltair/pictures
	install -m 644 $(pages-y) $(about-y) $(DESTDIR)$(PREFIX)/share/doc/veltair
	install -d $(DESTDIR)$(PREFIX)/share/doc/veltair/LICENSES
	install -m 644 $(licenses-y) $(DESTDIR)$(PREFIX)/share/doc/veltair/LICENSES
	install -m 644 $(pictures-y) $(DESTDIR)$(PREFIX)/share/doc/veltair/pictures
	sed 's|docs/serving.md|$(PREFIX)/share/doc/veltair/serving.md|; s|^# user: veltair  |user: veltair    |' share/examples/serve.yaml \
		> $(DESTDIR)$(PREFIX)/share/doc/veltair/serve.yaml
	install -d $(DESTDIR)$(PREFIX)/share/veltair/monitoring
	install -m 644 $(monitoring-y) $(DESTDIR)$(PREFIX)/share/veltair/monitoring
	install -d $(DESTDIR)$(PREFIX)/share/veltair/haproxy
	install -m 644 $(haproxy-y) $(DESTDIR)$(PREFIX)/share/veltair/haproxy
	install -m 755 share/haproxy/generate.sh $(DESTDIR)$(PREFIX)/share/veltair/haproxy
	install -d $(DESTDIR)$(PREFIX)/share/veltair/machines $(DESTDIR)$(PREFIX)/share/veltair/mixes
	install -m 644 $(machines-y) $(DESTDIR)$(PREFIX)/share/veltair/machines
	install -m 644 $(mixes-y) $(DESTDIR)$(PREFIX)/share/veltair/mixes
	install -m 755 share/mixes/fleet.sh $(DESTDIR)$(PREFIX)/share/veltair/mixes
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|' share/systemd/veltair.service.in \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/veltair.service
	install -D -m 644 share/systemd/veltair.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/veltair.conf
	@scripts/give-back.sh $(BUILD)

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/veltair $(DESTDIR)$(PREFIX)/share/man/man1/veltair.1 \
		$(DESTDIR)$(PREFIX)/share/man/man1/veltair-*.1 \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/veltair.service $(DESTDIR)$(PREFIX)/lib/sysusers.d/veltair.conf
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/veltair $(DESTDIR)$(PREFIX)/share/veltair

# ONNX Runtime, the reference and the peer: from npm, outside the source tree, no package's scripts run.
# Where it cannot be had, the tests that need it say so and are skipped.
.PHONY: ort bench-ort
ort: $(BUILD)/node/.installed
$(BUILD)/node/.installed: scripts/package.json scripts/package-lock.json scripts/.npmrc
	@mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

TESTDATA ?= $(patsubst %/node,%,$(firstword $(shell dpkg -L libonnx-testdata 2>/dev/null | grep '/node$$')))
$(O)/tests/conformance/conformance: $(addprefix $(O)/,$(testdata-y)) $(O)/libvt.a $(O)/libvtpure.a
	$(CC) $(vt-ldflags) -o $@ $^ $(LDLIBS)

# ONNX's own cases; TESTDATA_FLAGS= lists the passing and skipped ones too.
TESTDATA_FLAGS ?= -q
.PHONY: testdata
testdata: $(O)/tests/conformance/conformance
	$< $(TESTDATA_FLAGS) $(TESTDATA)

# All of what the tests in tests/conformance can compare, the 1.3 GB model included.
conformance: all
	$(MAKE) testdata TESTDATA_FLAGS=
	-$(MAKE) ort
	VT_ZOO=all prove --timer --exec scripts/tap.sh $(conformance-y)

# make bench-ort BENCH="--models resnet-50 --threads 1"
bench-ort: all ort $(O)/tests/bench/bench_peak
	node scripts/bench-ort.js --zoo $(BUILD)/zoo --out $(BUILD)/bench-ort $(BENCH)

# make bench-tenants BENCH="--pairs medium --rounds 8 --drops"
.PHONY: bench-tenants
bench-tenants: all ort
	node scripts/bench-tenants.js --zoo $(BUILD)/zoo --out $(BUILD)/bench-tenants $(BENCH)

# Thirty minutes a target by hand: make fuzz FUZZ_SECONDS=1800
FUZZ_SECONDS ?= 60
FUZZ         ?= $(fuzz-y)
fuzz:
	$(MAKE) CONFIG=fuzz $(addprefix $(BUILD)/fuzz/tests/fuzz/,$(foreach f,$(FUZZ),$(firstword $(subst :, ,$(f)))))
	scripts/fuzz.sh $(BUILD)/fuzz/tests/fuzz $(FUZZ_SECONDS) $(FUZZ)

# The BPF tests under other kernels, with a PMU whose counts are known. Needs no root.
check-vm: deps-check
	$(MAKE) $(vm-test)
	scripts/check-vm.sh $(vm-test) $(TESTS)

clean:
	rm -rf $(BUILD)

help:
	@sed -n -e '/^CC /q' -e 's/^#   //p' -e 's/^# CONFIG/\nCONFIG/p' Makefile

.PHONY: tests run-tests format
tests: $(tests) $(e2e-bin) all
run-e2e := $(if $(filter release,$(CONFIG)),$(e2e-y))
beside  := $(if $(run-e2e),$(e2e-beside-y)) $(addprefix $(O)/,$(beside-y))
run-tests: tests
	@prove --timer -j$(shell nproc) --exec scripts/tap.sh $(beside)
	@prove --timer --exec scripts/tap.sh $(filter-out $(beside),$(tests) $(run-e2e))

.PHONY: run-tsan
run-tsan: $(addprefix $(O)/,$(tsan-y))
	@prove --timer --exec scripts/tap.sh $^

# Beside isa.sh, which runs isa-test-y: what else has kernels of a tier in it.
.PHONY: run-avx512
run-avx512: $(addprefix $(E)/,veltair $(isa-test-y) $(avx512-y))
	@VELTAIR=$< ISA="baseline avx512" prove --timer --exec scripts/tap.sh tests/e2e/isa.sh $(addprefix $(E)/,$(avx512-y))

format:
	git ls-files -co --exclude-standard '*.c' '*.h' | grep -v vmlinux | xargs clang-format -i
