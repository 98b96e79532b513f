# rules.mk: how the CUDA device is built (included by the Makefile).
#
# The CUDA device: `make cuda` builds the plug-in with nvcc (cubins of CUDA_ARCHS, by default all from 75 on that this nvcc can build, and PTX of
# the newest for what comes after). The tests
# build the same files for the emulated device, with g++ and the toolkit's headers; they skip where there is none.
CUDA       ?= /usr/local/cuda
NVCC       := $(CUDA)/bin/nvcc
ifndef CUDA_ARCHS
CUDA_ARCHS := $(if $(wildcard $(NVCC)),$(shell $(NVCC) --list-gpu-arch | sed 's/compute_//' | sort -n | awk '$$1 >= 75'))
endif
CUDA_UNITS := $(patsubst kernels/cuda/%,%,$(wildcard kernels/cuda/*.cu kernels/cuda/*.c))
EMULATED   := $(BUILD)/tests/sb_emulated.so $(BUILD)/tests/emulated/test_faults $(BUILD)/tests/emulated/test_calls \
              $(addprefix $(BUILD)/tests/emulated/test_,ahead cases counts governor graph plans recorded scale sizes answers) $(addprefix $(BUILD)/tests/cuda/test_,cards answers)
WITH_CUDNN := $(BUILD)/tests/cuda/test_gpu $(BUILD)/tests/cuda/occupancy

NEWEST     := $(lastword $(CUDA_ARCHS))
# -fmad=false: the same bits as on the CPU where both compile the same header. Local memory in a kernel is an error: it is a spill, or an
# array that should be registers.
NVCCFLAGS  := -std=c++20 -O3 -lineinfo -fmad=false -I. -Xcompiler -fPIC,-Wall,-Wextra,-Wno-missing-field-initializers,-Werror -Werror all-warnings \
              -Xptxas -warn-lmem-usage,-warn-spills,-Werror,-v \
              $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) -gencode arch=compute_$(NEWEST),code=compute_$(NEWEST)
CUDA_CC    := $(CC) -isystem $(CUDA)/include $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP

cuda: $(BUILD)/sb_cuda.so

# One that was built is kept in step with the programs that load it.
all: $(if $(wildcard $(NVCC)),$(wildcard $(BUILD)/sb_cuda.so))

$(BUILD)/cuda/%.cu.o: kernels/cuda/%.cu
	@mkdir -p $(@D)
	@echo "  NVCC $<"
	@$(NVCC) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@ 2>$(@:.o=.ptxas) || { cat $(@:.o=.ptxas) >&2; exit 1; }

$(BUILD)/cuda/%.c.o: kernels/cuda/%.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CUDA_CC) -c $< -o $@

# What the plug-in takes from elsewhere, in its own copy: a program has only what it needs itself.
ELSEWHERE  := $(patsubst %.c,$(BUILD)/cuda/%.o,$(wildcard kernels/op/*.c) kernels/op.c proto/memory.c proto/rundir.c \
                proto/process.c proto/group.c proto/unfinished.c)

$(ELSEWHERE): $(BUILD)/cuda/%.o: %.c
	@mkdir -p $(@D)
	@$(CUDA_CC) -c $< -o $@

$(BUILD)/sb_cuda.so: $(CUDA_UNITS:%=$(BUILD)/cuda/%.o) $(ELSEWHERE)
	@echo "  LD $@"
	@g++ -shared $^ -L$(CUDA)/lib64 -Wl,-rpath,$(CUDA)/lib64 -lcudart -lcudnn -lcublas $(shell pkg-config --libs jansson) -o $@

ifneq ($(wildcard $(CUDA)/include/cudnn.h),)
$(BUILD)/tests/cuda/%.o: tests/cuda/%.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CUDA_CC) -c $< -o $@

$(BUILD)/tests/cuda/test_gpu: $(addprefix $(BUILD)/tests/,cuda/test_gpu.o cuda/gpu.o bench/counts.o) $(BUILD)/libcases.a $(ARCHIVES)
	@echo "  LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -L$(CUDA)/lib64 -Wl,-rpath,$(CUDA)/lib64 -lcudart $(LDLIBS) -o $@

$(BUILD)/tests/cuda/occupancy: $(BUILD)/tests/cuda/occupancy.o
	@$(CC) $(CFLAGS) $^ -o $@
else
$(WITH_CUDNN):
	@mkdir -p $(@D)
	@printf '#!/bin/sh\necho "1..0 # SKIP no CUDA toolkit with cuDNN in %s"\n' $(CUDA) >$@
	@chmod +x $@
endif

# Kernels read floats 16 bytes at a time, as nvcc allows; what a GPU would refuse, because it does not begin at a multiple of them, ends the process.
ifneq ($(and $(wildcard $(CUDA)/include/cudnn.h),$(shell command -v g++),$(filter x86_64,$(shell uname -m))),)
EMULATE   := g++ -isystem $(CUDA)/include $(CPPFLAGS) -x c++ -std=c++20 -include tests/emulated/cuda_emulation.h -g $(ARCH) -fPIC \
             -ffp-contract=off -fno-strict-aliasing -fsanitize=alignment -fsanitize-undefined-trap-on-error -Wall -Wextra -Wno-missing-field-initializers -Werror -MMD -MP
ASAN      := -O1 -fno-omit-frame-pointer -fsanitize=address
DOUBLES   := block runtime cublas cudnn

$(BUILD)/emulated/%.cu.o: kernels/cuda/%.cu
	@mkdir -p $(@D)
	@echo "  C++ $<"
	@$(EMULATE) $(OPTIMISE) -c $< -o $@

$(BUILD)/emulated/%.o: tests/emulated/%.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CUDA_CC) -c $< -o $@

EMULATION := $(patsubst %.cu,$(BUILD)/emulated/%.cu.o,$(filter %.cu,$(CUDA_UNITS))) $(DOUBLES:%=$(BUILD)/emulated/%.o) \
             $(patsubst %.c,$(BUILD)/cuda/%.c.o,$(filter %.c,$(CUDA_UNITS)))

$(BUILD)/tests/sb_emulated.so: $(EMULATION) $(ELSEWHERE)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@g++ -shared $(OPTIMISE) $^ $(shell pkg-config --libs jansson) -ldnnl -lm -o $@

# The emulated device linked in, so that a test can tell it what to do.
$(patsubst %,$(BUILD)/tests/emulated/test_%,ahead calls cases counts governor graph plans recorded scale sizes): $(BUILD)/tests/emulated/%: $(BUILD)/emulated/%.o $(EMULATION) \
                                           $(addprefix $(BUILD)/tests/,bench/counts.o cuda/gpu.o graph/checks.o graph/net.o graph/sizes.o graph/budget.o) $(BUILD)/libcases.a $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@g++ $(OPTIMISE) -fopenmp $^ -lcmocka $(LDLIBS) -o $@

# The same questions to the double and to the real cuDNN, which loads without a driver and plans for cards that are not there (tests/cuda/cards.h).
WRAPPED    := cudnnCreate cudnnDestroy cudnnSetStream cudnnBackendExecute cudnnBackendSetAttribute
REAL_CUDNN := $(WRAPPED:%=-Wl,--wrap=%) -L$(CUDA)/lib64 -Wl,-rpath,$(CUDA)/lib64 -lcudnn

$(BUILD)/tests/emulated/test_answers: $(BUILD)/tests/cuda/test_answers.o $(EMULATION) $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@g++ $(OPTIMISE) -fopenmp $^ -lcmocka $(LDLIBS) -o $@

$(BUILD)/tests/cuda/test_cards $(BUILD)/tests/cuda/test_answers: %: %.o $(BUILD)/tests/cuda/cards.o \
                                           $(filter-out %/emulated/cudnn.o,$(EMULATION)) $(ARCHIVES)
	@echo "  LD $@"
	@g++ $(OPTIMISE) -fopenmp $^ $(REAL_CUDNN) -lcmocka $(LDLIBS) -o $@

$(BUILD)/tests/emulated/test_faults: tests/emulated/test_faults.cu tests/emulated/block.c tests/emulated/runtime.c $(wildcard tests/emulated/*.h)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@for f in block runtime; do $(CUDA_CC) $(ASAN) -c tests/emulated/$$f.c -o $@.$$f.o || exit 1; done
	@$(EMULATE) $(ASAN) -c $< -o $@.o
	@g++ $(OPTIMISE) $(ASAN) $@.o $@.block.o $@.runtime.o -lcmocka -o $@
else
# What the tests say where there is nothing to emulate with.
$(EMULATED):
	@mkdir -p $(@D)
	@printf '#!/bin/sh\necho "1..0 # SKIP no CUDA toolkit with cuDNN in %s, no g++, or no x86-64"\n' $(CUDA) >$@
	@chmod +x $@
endif
