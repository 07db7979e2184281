# firstmile - the one Makefile. `make help` lists what it can do.

VERSION  := 0.1.0
COMMIT   := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
VARIANT  ?= release
DEV      ?= 0
V        ?= 0
PREFIX   ?= /usr/local
B        := $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
Q        := $(if $(filter 1,$(V)),,@)
CC       ?= cc
PKGS     := libcurl jansson libmicrohttpd gnutls sqlite3 ini_config zlib liblz4
# A recursive make uses every core, unless the user said otherwise.
PMAKE     = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
# librdkafka: the program loads it by itself; the tests want its mock cluster.
TEST_LIBS = $(call pkg,--libs,criterion) $(if $(KAFKA),$(call pkg,--libs,rdkafka))
CCACHE   := $(shell command -v ccache 2>/dev/null)

# The toolchain is asked once it is there; `make setup` and `make clean` must work without it.
pkg       = $(shell pkg-config $(1) $(2) 2>/dev/null)
KAFKA    := $(shell pkg-config --exists rdkafka 2>/dev/null && echo 1)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wnull-dereference
HARD := -fstack-protector-strong -fstack-clash-protection -fno-common -fPIC
CPPFLAGS += -D_GNU_SOURCE -Isrc -Iinclude -DFM_VERSION=\"$(VERSION)\" \
            $(call pkg,--cflags,$(PKGS)) $(if $(KAFKA),-DFM_HAVE_RDKAFKA=1)
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2
CFLAGS_debug   := -O0 -g
CFLAGS_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
                  -fno-sanitize-recover=undefined
CFLAGS_tsan    := -O1 -g -fsanitize=thread
CFLAGS_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
                  -fno-sanitize-recover=undefined
CFLAGS_cover   := -O0 -g --coverage
# Assertions stay on in release: a programming error must not run on.
FM_CFLAGS := -std=c17 $(WARN) $(HARD) $(if $(filter 1,$(DEV)),-Werror) $(CFLAGS_$(VARIANT)) $(CFLAGS)
LDFLAGS  += -Wl,-z,relro,-z,now -Wl,--as-needed $(filter -fsanitize=% --coverage,$(CFLAGS_$(VARIANT)))
LIBS     := $(call pkg,--libs,$(PKGS)) -lpthread -lm
# The loader looks for each of the 11,000 symbols of libcurl's 25 libraries in the order of the
# program's list, so the two that have most of them go first: a fifth of all work before main().
FIRST    := -Wl,--no-as-needed -lc $(if $(filter -fsanitize=%,$(CFLAGS_$(VARIANT))),,\
            $(call pkg,--libs-only-l,libcrypto)) -Wl,--as-needed

CLI_SRC  := $(wildcard src/cli/*.c)
CLI_PURE := $(addprefix src/cli/,init_plan.c init_text.c opt.c screen.c screen_cut.c \
            screen_keys.c series.c series_kind.c table.c)
LIB_SRC  := $(filter-out $(CLI_SRC),$(sort $(wildcard src/*/*.c src/*/*/*.c)))
HARNESS  := $(sort $(wildcard tests/harness/*.c))
MODULES  := $(sort $(notdir $(patsubst %/,%,$(wildcard tests/unit/*/))))
obj       = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIB_OBJ  := $(call obj,$(LIB_SRC))
CLI_OBJ  := $(call obj,$(CLI_SRC))
TESTS    := $(foreach m,$(MODULES),$(B)/tests/test_$(m))
FUZZERS  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
REPLAYS  := $(patsubst tests/fuzz/%.c,$(B)/tests/%,$(FUZZERS))
BENCHES  := $(patsubst tests/bench/%.c,$(B)/tests/%,$(sort $(wildcard tests/bench/bench_*.c)))
STRESS   := $(patsubst tests/stress/%.c,$(B)/tests/%,$(sort $(wildcard tests/stress/*.c)))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all
all: $(B)/firstmile $(B)/libfirstmile.a $(B)/libfirstmile.so ## build the program and the libraries

# A stamp changes only when its line does, and then rebuilds what was made with another: the flags
# for everything, the commit for the two files that print it.
stamp = @mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || \
        printf '%s\n' '$(subst ','\'',$(1))' > $@
FLAGS_LINE := $(CC) $(FM_CFLAGS) $(CPPFLAGS)
$(B)/stamp: FORCE
	$(call stamp,$(FLAGS_LINE))
$(B)/commit: FORCE
	$(call stamp,$(COMMIT))
WITH_COMMIT := $(call obj,src/agent/metrics.c src/cli/cmd_version.c)
$(WITH_COMMIT): $(B)/commit
$(WITH_COMMIT): CPPFLAGS += -DFM_COMMIT=\"$(COMMIT)\"
.PHONY: FORCE
FORCE:

$(B)/obj/%.o: %.c $(B)/stamp
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CCACHE) $(CC) $(CPPFLAGS) $(FM_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/tests/%.o: CPPFLAGS += -Itests/harness -Wno-pedantic

$(B)/libfirstmile.a: $(LIB_OBJ)
	$(if $(Q),@echo "  AR    $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/libfirstmile.so: $(LIB_OBJ)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(FM_CFLAGS) -shared $(LDFLAGS) -Wl,-soname,libfirstmile.so.0 -o $@ $^ $(LIBS)

$(B)/firstmile: $(CLI_OBJ) $(B)/libfirstmile.a
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(FM_CFLAGS) -pie $(LDFLAGS) $(FIRST) -o $@ $^ $(LIBS)

.SECONDEXPANSION:
# Allocations that tests let fail (tests/harness/alloc.h).
WRAPPED := malloc calloc realloc strdup
# The command line is not in the library: its tests link what they call, and run the program.
$(B)/tests/test_%: $$(call obj,$$(sort $$(wildcard tests/unit/%/*.c))) $(call obj,$(HARNESS)) \
    $$(if $$(filter cli,$$*),$(call obj,$(CLI_PURE))) $(B)/libfirstmile.a \
    | $$(if $$(filter cli,$$*),$(B)/firstmile)
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) $(FM_CFLAGS) $(LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(LIBS) $(TEST_LIBS)

# A fuzz target becomes an ordinary program that replays its corpus; in the variant fuzz, which
# wants clang, libFuzzer drives it.
FUZZ_MAIN := $(if $(filter fuzz,$(VARIANT)),-fsanitize=fuzzer,$(B)/obj/tests/fuzz/replay.o)
$(B)/tests/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(filter %.o,$(FUZZ_MAIN)) $(B)/libfirstmile.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(FM_CFLAGS) $(LDFLAGS) $(filter -%,$(FUZZ_MAIN)) -o $@ $^ $(LIBS)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

.PHONY: setup
setup: ## install what is missing, through the system's package manager
	@tests/setup.sh build test

.PHONY: demo
demo: ## set up, build and run the main job against a sample JVM and a sandbox on HTTPS
	@tests/setup.sh build demo
	@$(PMAKE) build/firstmile
	@tests/demo/demo.sh

.PHONY: test
test: ## set up, then run all unit and integration tests with ASan and UBSan
	@tests/setup.sh build test
	@$(PMAKE) VARIANT=asan run-tests

.PHONY: run-tests
run-tests: $(B)/firstmile $(TESTS) $(REPLAYS)
	@B=$(B) tests/run.sh $(TESTS) $(REPLAYS)

test-%: ## run the unit tests of one module (make test-spool)
	@$(PMAKE) VARIANT=asan build/asan/tests/test_$*
	@B=build/asan tests/run.sh build/asan/tests/test_$*

.PHONY: lint fmt layers
lint: ## formatting, layers, headers, clang-tidy and cppcheck
	@tests/setup.sh build lint
	@tests/lint/lint.sh

fmt: ## format the sources in place
	@clang-format -i $$(git ls-files 'src/*.[ch]' 'include/*.h' 'tests/*.[ch]')

layers: ## check that includes point down
	@tests/lint/layers.sh

.PHONY: asan tsan debug cover
asan tsan debug cover: ## build a variant
	@$(PMAKE) VARIANT=$@ all

.PHONY: stress
stress: ## thread tests under TSan
	@$(PMAKE) VARIANT=tsan run-stress

.PHONY: run-stress
run-stress: $(STRESS)
	@B=$(B) tests/run.sh $(STRESS)

$(B)/tests/stress_%: $(B)/obj/tests/stress/stress_%.o $(B)/libfirstmile.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(FM_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
$(B)/tests/stress_poll: $(B)/obj/tests/unit/poll/fake.o

.PHONY: e2e
e2e: ## the whole way with a real Kafka behind the sandbox (or a REST proxy: E2E_REST_URL)
	@tests/setup.sh build test e2e
	@$(PMAKE) build/firstmile
	@tests/e2e/run.sh

.PHONY: e2e-presets
e2e-presets: ## the shipped presets against real products (P="kafka tomcat": only these)
	@tests/setup.sh build test e2e
	@$(PMAKE) build/firstmile
	@python3 -B tests/e2e/presets.py $(P)

.PHONY: soak-jmx
soak-jmx: ## connect to a JVM 10,000 times (CONNECTS=N): nothing may stay behind in it
	@$(PMAKE) build/firstmile
	@python3 -B tests/e2e/leases.py --connects $(or $(CONNECTS),10000)

.PHONY: e2e-full
e2e-full: ## the same with every fault for every format, outages of minutes, times as shipped
	@tests/setup.sh build test e2e
	@$(PMAKE) build/firstmile
	@E2E_JOBS=$${E2E_JOBS:-4} tests/e2e/run.sh --full

.PHONY: bench
bench: ## benchmarks: one line of numbers each
	@tests/setup.sh build test
	@$(PMAKE) run-bench

.PHONY: run-bench
run-bench: $(B)/firstmile $(BENCHES) $(B)/tests/fleet
	@B=$(B) tests/bench/run.sh $(BENCHES)

$(B)/tests/fleet $(BENCHES): $(B)/tests/%: $(B)/obj/tests/bench/%.o $(B)/libfirstmile.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(FM_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: fuzz
fuzz: ## fuzz one target with libFuzzer (make fuzz T=ser SECONDS=60)
	@tests/fuzz/fuzz.sh $(T) $(or $(SECONDS),60)

.PHONY: image
image: ## build the container image with docker, podman or buildah
	@docker/image.sh

.PHONY: install
install: all ## install program, libraries, headers, man page, example configuration (DESTDIR, PREFIX)
	install -D -m 0755 $(B)/firstmile $(DESTDIR)$(PREFIX)/bin/firstmile
	install -D -m 0644 $(B)/libfirstmile.a $(DESTDIR)$(PREFIX)/lib/libfirstmile.a
	install -D -m 0755 $(B)/libfirstmile.so $(DESTDIR)$(PREFIX)/lib/libfirstmile.so.0
	ln -sf libfirstmile.so.0 $(DESTDIR)$(PREFIX)/lib/libfirstmile.so
	install -d $(DESTDIR)$(PREFIX)/include/firstmile
	install -m 0644 include/firstmile/*.h $(DESTDIR)$(PREFIX)/include/firstmile/
	install -D -m 0644 docker/firstmile.1 $(DESTDIR)$(PREFIX)/share/man/man1/firstmile.1
	install -D -m 0644 config.ini $(DESTDIR)$(PREFIX)/share/doc/firstmile/config.ini
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions)
	$(B)/firstmile completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/firstmile
	$(B)/firstmile completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_firstmile

.PHONY: clean
clean: ## remove the build folders
	rm -rf build

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z0-9 %-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  awk -F'\t' '{printf "  make %-18s %s\n", $$1, $$2}'
