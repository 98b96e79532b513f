/* cuda_emulation.h: what nvcc knows by itself, for g++: included in front of every .cu file of the emulated
 * device.
 *
 * A launch is a queued piece of work of a stream (runtime.c); when it runs, block.c runs its blocks one after
 * another and the threads of a block as fibres. What it cannot show: races between blocks, the memory model,
 * what divergence costs, fast-math differences, speed. */
#ifndef SB_TESTS_CUDA_EMULATION_H
#define SB_TESTS_CUDA_EMULATION_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include <cuda_runtime_api.h>

#include "tests/emulated/emulation.h"

/* Shared memory: filled with NaN before each block, which is why it has a section of its own. Not under the
 * address sanitizer, which puts red zones around ordinary variables only. */
#undef __shared__
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static
#else
#define __shared__ static __attribute__((section("emulated_shared")))
#endif

#undef __launch_bounds__
#define __launch_bounds__(...)

#define threadIdx emulation_thread
#define blockIdx emulation_block
#define blockDim emulation_block_size
#define gridDim emulation_grid_size

/* The line tells two barriers apart. */
static inline void __syncthreads(int line = __builtin_LINE()) { emulation_barrier(line); }

template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int line = __builtin_LINE())
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "a register");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emulation_exchange(mask, bits, lanes, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void sincospi(double x, double *sine, double *cosine)
{
    double angle = M_PI * remainder(x, 2); /* exact but for the product */
    *sine = sin(angle);
    *cosine = cos(angle);
}

/* Arguments are kept by value until the kernel runs; pointers among them must be a device's. */
template <typename T> static inline void emulation_argument(const char *kernel, const T &value)
{
    if constexpr (std::is_pointer<T>::value)
        emulation_check_pointer(kernel, (const void *)value);
}

template <typename... P> struct emulation_call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
};

template <typename... P, typename... A>
static inline void emulation_enqueue(const char *name, dim3 grid, dim3 block, size_t shared,
                                     cudaStream_t stream, void (*kernel)(P...), A... arguments)
{
    (emulation_argument(name, arguments), ...);
    auto *call = new emulation_call<P...>{ kernel, std::tuple<P...>(arguments...) };
    emulation_launch(
        name, grid, block, shared, stream, call,
        [](void *c) {
            std::apply(((emulation_call<P...> *)c)->kernel, ((emulation_call<P...> *)c)->arguments);
        },
        [](void *c) { delete (emulation_call<P...> *)c; });
}

#define LAUNCH(kernel, grid, block, shared, stream, ...) \
    emulation_enqueue(#kernel, grid, block, shared, stream, kernel, __VA_ARGS__)

#endif
