# Builds smallbatch. `make` builds the six programs, `make tests` what `./run check` runs, `make help` lists the rest.
#
#   make SAN=address,undefined      the same under sanitizers, in build/address
#   make CC=gcc-13                  another compiler
#
# One static library a room (proto kernels loader augment trainer supervisor evaluator sweep), one program a main.c. Libraries stand in link order:
# a program gets only the objects it uses.

SAN      ?=
ifeq ($(SAN),)
BUILD    ?= build
OPTIMISE ?= -O3
else
BUILD    ?= build/$(firstword $(subst $(comma), ,$(SAN)))
OPTIMISE ?= -O2 -g1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
comma := ,
# ThreadSanitizer misreads OpenMP's barriers, so it is for proto alone; it knows no fences, and needs none where every word is atomic.
ifeq ($(SAN),thread)
OPTIMISE += -Wno-tsan
ROOMS    := proto
else
OPENMP   := -fopenmp
ROOMS    := sweep evaluator supervisor trainer augment loader kernels keys proto
endif
# What the processor can do: the programs are built on the machine that runs them. gcc alone would use half of AVX-512's width.
ARCH     ?= -march=native $(shell $(CC) -mprefer-vector-width=512 -E -x c /dev/null >/dev/null 2>&1 && echo -mprefer-vector-width=512)

MSGPACK  := $(shell pkg-config --exists msgpack-c && echo msgpack-c || echo msgpack)
PACKAGES := vips libtiff-4 libjpeg libzmq yaml-0.1 jansson libprotobuf-c $(MSGPACK)
CPPFLAGS += -I. -I$(BUILD) -D_GNU_SOURCE $(shell pkg-config --cflags $(PACKAGES) | sed 's/-I/-isystem /g')
# -ffp-contract=off: the same C gives the same bits on every path (reference, emulated device, export).
# Fields that an initialiser leaves out are zeros by design: a shape is { n, h, w, c, type } where it lies in rows.
CFLAGS   += -std=c17 -g $(OPTIMISE) $(ARCH) -ffp-contract=off $(OPENMP) -Wall -Wextra -Wno-missing-field-initializers -Werror -Wshadow -Wstrict-prototypes -Wvla
LDLIBS   += $(shell pkg-config --libs $(PACKAGES) ncursesw) -ldnnl -lcsv -llapacke -llbfgs -lz -lpthread -ldl -lm

PROGRAMS := $(foreach r,loader augment trainer evaluator sweep supervisor,$(if $(wildcard $(r)/main.c),$(BUILD)/sb_$(r)))
ARCHIVES := $(ROOMS:%=$(BUILD)/lib%.a)
TESTS    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c tests/kernels/test_*.c tests/fuzz/test_*.c))
CASES    := $(filter-out $(wildcard tests/kernels/test_*.c),$(wildcard tests/kernels/*.c))
HELPERS  := $(patsubst tests/%.c,$(BUILD)/tests/%,$(filter-out $(wildcard tests/*/test_*.c tests/emulated/*.c tests/cuda/*.c tests/bench/counts.c tests/bench/model.c tests/bench/beside.c tests/graph/*.c) $(CASES),$(wildcard tests/*/*.c)))

# A plug-in leaves its reasons in the program's sb_error, and the names of what it writes where a signal finds them.
LDFLAGS  += $(foreach f,sb_fail sb_fail_errno sb_context sb_error sb_unfinished_begin sb_unfinished_end,-Wl,--export-dynamic-symbol=$(f))

.PHONY: all tests cuda lint format clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS)

include kernels/cuda/rules.mk

tests: all $(TESTS) $(HELPERS) $(EMULATED) $(WITH_CUDNN)

sources = $(filter-out %/main.c %/keys.c,$(wildcard $(1)/*.c $(1)/op/*.c $(1)/cpu/*.c $(1)/graph/*.c $(1)/encoders/*.c $(1)/heads/*.c $(1)/methods/*.c $(1)/optimisers/*.c $(1)/step/*.c $(1)/metrics/*.c $(1)/index/*.c $(1)/readers/*.c))
define archive
$(BUILD)/lib$(1).a: $(patsubst %.c,$(BUILD)/%.o,$(call sources,$(1)))
	@rm -f $$@
	@$$(AR) rcs $$@ $$^
endef
$(foreach r,$(filter-out keys,$(ROOMS)),$(eval $(call archive,$(r))))

# Every room's keys are data alone, which any program may read: a library of their own, behind the rooms.
$(BUILD)/libkeys.a: $(patsubst %.c,$(BUILD)/%.o,$(wildcard */keys.c))
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# TensorBoard's messages, which protoc-c makes C of.
$(BUILD)/evaluator/event.pb-c.c $(BUILD)/evaluator/event.pb-c.h &: evaluator/event.proto
	@mkdir -p $(@D)
	@protoc-c --c_out=$(BUILD) $<
$(BUILD)/evaluator/event.pb-c.o: $(BUILD)/evaluator/event.pb-c.c
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(BUILD)/evaluator/events.o: $(BUILD)/evaluator/event.pb-c.h
$(BUILD)/libevaluator.a: $(BUILD)/evaluator/event.pb-c.o

# The report's page is in the program (evaluator/page.c).
$(BUILD)/evaluator/page.o: $(wildcard evaluator/page/*)

$(BUILD)/sb_%: $(BUILD)/%/main.o $(ARCHIVES)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/tests/bench/counts_tool $(BUILD)/tests/bench/encoder_tool: $(BUILD)/tests/bench/counts.o $(BUILD)/tests/bench/model.o
$(BUILD)/tests/unit/test_model: $(addprefix $(BUILD)/tests/bench/,counts.o model.o)
$(BUILD)/tests/unit/test_graph: $(BUILD)/tests/graph/checks.o $(BUILD)/tests/graph/net.o
$(BUILD)/tests/unit/test_blocks: $(BUILD)/tests/graph/blocks.o $(BUILD)/tests/graph/net.o
$(BUILD)/tests/unit/test_sizes: $(BUILD)/tests/graph/sizes.o
$(BUILD)/tests/unit/test_budget: $(BUILD)/tests/graph/budget.o
$(BUILD)/tests/oracle/method_step_tool: $(BUILD)/tests/oracle/step_tool.o

# The list of cases, which the test program of every device links, and what a GPU's times are set beside.
$(BUILD)/libcases.a: $(CASES:%.c=$(BUILD)/%.o) $(BUILD)/tests/bench/model.o $(BUILD)/tests/bench/beside.o
	@rm -f $@
	@$(AR) rcs $@ $^

# The cases of operations know kernels and proto alone.
$(BUILD)/tests/kernels/test_%: $(BUILD)/tests/kernels/test_%.o $(BUILD)/libcases.a $(BUILD)/libkernels.a $(BUILD)/libproto.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

# The same program with kernels of our own, those that are written for the widest vectors there are, for narrower ones
# (tests/kernels/widths.sh), and with the cases whose bounds depend on that. Their objects stand in front of the libraries', which are then not looked for.
NARROW := kernels/cpu/winograd.o kernels/cpu/depthwise.o tests/kernels/conv.o
define narrower
$(BUILD)/$(1)/%.o: ARCH := -march=$(1)
$(BUILD)/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	@echo "  CC $$< for $(1)"
	@$$(CC) $$(CPPFLAGS) $$(CFLAGS) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/test_cpu: $(BUILD)/tests/kernels/test_cpu.o $(addprefix $(BUILD)/$(1)/,$(NARROW)) $(BUILD)/libcases.a $(BUILD)/libkernels.a $(BUILD)/libproto.a
	@echo "  LD $$@"
	@$$(CC) $$(CFLAGS) $$(LDFLAGS) $$^ $$(LDLIBS) -o $$@
endef
$(foreach t,x86-64 x86-64-v3,$(eval $(call narrower,$(t))))

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS) -o $@

# Count what our own objects allocate, and not what libraries do.
COUNTED := $(BUILD)/tests/oracle/step_tool $(BUILD)/tests/oracle/method_step_tool $(BUILD)/tests/unit/test_checkpoint
$(COUNTED): LDLIBS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc
$(BUILD)/tests/unit/test_checkpoint: LDLIBS += -Wl,--wrap=free

# Static checks over every file; each tool fails on any finding. clang-tidy's checks and why: .clang-tidy. Other versions of
# clang-format than Debian 12's lay some lines out in another way: there the layout is not held.
SOURCES  := $(sort $(filter-out build/%,$(wildcard */*.c */*/*.c)))
LAID_OUT := $(SOURCES) $(sort $(filter-out build/%,$(wildcard */*.h */*/*.h */*/*.cu)))
lint: $(BUILD)/evaluator/event.pb-c.h
	if clang-format --version | grep -q 'version 14\.'; then clang-format --dry-run --Werror $(LAID_OUT); fi
	cppcheck --quiet -j$(shell nproc) --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr \
	  --suppress=missingIncludeSystem -I. -D_GNU_SOURCE $(SOURCES)
	printf '%s\n' $(SOURCES) | xargs -P$(shell nproc) -I{} clang-tidy --quiet {} -- $(CPPFLAGS) -std=c17 -fopenmp 2>/dev/null
	shellcheck -x -S warning run .ci/run $(wildcard launch/*.sh tests/*.sh tests/*/*.sh)

format:
	clang-format -i $(LAID_OUT)

clean:
	rm -rf build

help:
	@echo "make            the programs in build/"
	@echo "make tests      the programs and every test program"
	@echo "make cuda       the CUDA device, build/sb_cuda.so (CUDA=/usr/local/cuda, CUDA_ARCHS=\"90 120\" for fewer GPUs)"
	@echo "make lint       clang-format (as a check), cppcheck, clang-tidy, shellcheck"
	@echo "make format     lays out every C and CUDA file (.clang-format)"
	@echo "make clean      removes build/"
	@echo "make SAN=address,undefined [tests]   under sanitizers, in build/address; SB_BUILD=build/address ./run ... runs it"

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
