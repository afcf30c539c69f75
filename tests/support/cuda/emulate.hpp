// The words of kernels/device.cuh on a CPU: every thread of a block is a fibre that yields at barriers.
//
// Knows: CUDA's rules about shared memory and asynchronous copies. Does not know: kernels. What a GPU may do in any order
// is done in the order that hurts, so that a missing barrier or wait shows:
//   - copies are carried out as late as they may be, at the wait that asks for them, or at once: `early`;
//   - threads go on after a barrier from the first to the last, or from the last to the first: `downward`;
//   - shared memory begins as NaN in every block.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#define DEVICE inline
#define KERNEL static
#define BOUNDS(threads, blocks)
struct float4 { float x, y, z, w; };
inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
struct dim3 { unsigned x = 1, y = 1, z = 1; };

namespace emulated {

using Kernel = void (*)(const void *);

struct Copy {
    float *to;
    const float *from;
    int count;
    bool there;
};

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
using Place = void *[5];
#else
using Place = jmp_buf;
#endif

struct Fibre {
    Place here;
    std::unique_ptr<char[]> stack;
    std::vector<Copy> copies;    // those of closed groups, then those of the open one
    std::vector<size_t> groups;  // where each closed group ends in them
    size_t first = 0, carried = 0;  // the first group that is not carried out, and the first copy
    bool done = true;
};

constexpr size_t kStack = 1 << 16;
inline bool early = false, downward = false;
inline std::vector<float> memory;
inline std::vector<std::unique_ptr<Fibre>> fibres;
inline Fibre *now;
inline unsigned thread;
inline Place scheduler;
inline ucontext_t beginning;
inline Kernel kernel;
inline const void *parameters;

inline void carry_out(const Copy &copy) {
    for (int i = 0; i < copy.count; ++i) copy.to[i] = copy.there ? copy.from[i] : 0.0f;
}

// A change to another fibre and back. The C library's contexts ask the system for every change, which these do not. And
// GCC's own jumps keep the stack's two registers alone, for the compiler knows what else is alive.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define KEEP_PLACE(place) __builtin_setjmp(place)
#define GO_TO(place) __builtin_longjmp(place, 1)
#else
#define KEEP_PLACE(place) _setjmp(place)
#define GO_TO(place) _longjmp(place, 1)
#endif

__attribute__((noinline)) inline void leave() { GO_TO(scheduler); }
__attribute__((noinline)) inline void yield() {
    if (KEEP_PLACE(now->here) == 0) leave();
}

// A fibre lives on from block to block.
inline void fibre() {
    for (;;) {
        kernel(parameters);
        now->done = true;
        yield();
    }
}

__attribute__((noinline)) inline void enter() {
    if (now->stack) GO_TO(now->here);
    now->stack = std::make_unique<char[]>(kStack);
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = now->stack.get();
    context.uc_stack.ss_size = kStack;
    context.uc_link = nullptr;
    makecontext(&context, fibre, 0);
    setcontext(&context);
}

__attribute__((noinline)) inline void resume(unsigned t) {
    thread = t;
    now = fibres[t].get();
    if (KEEP_PLACE(scheduler) == 0) enter();
}

}  // namespace emulated

inline dim3 blockIdx, blockDim, gridDim;
struct ThreadIdx { unsigned x; };
#define threadIdx (ThreadIdx{emulated::thread})
inline void __syncthreads() { emulated::yield(); }

namespace emulated {

// All blocks of a kernel, one after another.
inline void launch(Kernel what, dim3 grid, unsigned threads, size_t shared_bytes, const void *arguments) {
    const size_t floats = shared_bytes / 4;
    memory.resize(floats + 32);
    kernel = what;
    parameters = arguments;
    gridDim = grid;
    blockDim = {threads, 1, 1};
    while (fibres.size() < threads) fibres.push_back(std::make_unique<Fibre>());
    for (unsigned y = 0; y < grid.y; ++y)
        for (unsigned x = 0; x < grid.x; ++x) {
            blockIdx = {x, y, 0};
            std::memset(memory.data(), 0xff, memory.size() * sizeof(float));  // all bits set is a NaN
            for (unsigned t = 0; t < threads; ++t) {
                fibres[t]->done = false;
                fibres[t]->copies.clear();
                fibres[t]->groups.clear();
                fibres[t]->first = fibres[t]->carried = 0;
            }
            for (bool any = true; any;) {
                any = false;
                for (unsigned i = 0; i < threads; ++i) {
                    const unsigned t = downward ? threads - 1 - i : i;
                    if (fibres[t]->done) continue;
                    resume(t);
                    any = any || !fibres[t]->done;
                }
            }
        }
}

}  // namespace emulated

inline float fma_(float a, float b, float c) { return std::fma(a, b, c); }
inline float add_(float a, float b) { return a + b; }
inline float sub_(float a, float b) { return a - b; }
inline float mul_(float a, float b) { return a * b; }
inline float div_(float a, float b) { return a / b; }
inline float root_(float a) { return std::sqrt(a); }
inline float round_(float a) { return std::nearbyint(a); }
inline float pow2_(float n) { return std::ldexp(1.0f, static_cast<int>(n)); }
inline float abs_(float a) { return std::fabs(a); }
inline float least_() { return -std::numeric_limits<float>::infinity(); }
inline double fma_wide(double a, double b, double c) { return std::fma(a, b, c); }
inline double add_wide(double a, double b) { return a + b; }
inline double mul_wide(double a, double b) { return a * b; }
inline double div_wide(double a, double b) { return a / b; }
inline double round_wide(double a) { return std::nearbyint(a); }
inline float narrow_(double a) { return static_cast<float>(a); }
inline float whole_(int64_t a) { return static_cast<float>(a); }

using Shared = float *;
inline float *shared_floats() {
    return reinterpret_cast<float *>((reinterpret_cast<uintptr_t>(emulated::memory.data()) + 63) / 64 * 64);
}
inline Shared shared_place(float *at) { return at; }
inline Shared shared_begin() { return shared_floats(); }
inline Shared after(Shared at, int floats) { return at + floats; }
inline Shared kept(Shared at) { return at; }
inline float4 shared4(Shared at) { return {at[0], at[1], at[2], at[3]}; }
inline void shared_put4(Shared at, float4 v) {
    at[0] = v.x;
    at[1] = v.y;
    at[2] = v.z;
    at[3] = v.w;
}
inline void copy_(const emulated::Copy &copy) {
    if (emulated::early) emulated::carry_out(copy);
    else emulated::now->copies.push_back(copy);
}
inline void copy16(Shared to, const float *from) { copy_({to, from, 4, true}); }
inline void copy16_if(Shared to, const float *from, bool there) { copy_({to, from, 4, there}); }
inline void copy4_if(Shared to, const float *from, bool there) { copy_({to, from, 1, there}); }
inline void copies_close() {
    emulated::now->groups.push_back(emulated::now->copies.size());
}
template <int N> inline void copies_wait() {
    emulated::Fibre &fibre = *emulated::now;
    while (fibre.groups.size() - fibre.first > N) {
        const size_t end = fibre.groups[fibre.first++];
        while (fibre.carried < end) emulated::carry_out(fibre.copies[fibre.carried++]);
    }
}
inline float4 get4(const float *p) { return {p[0], p[1], p[2], p[3]}; }
inline void put4(float *p, float4 v) {
    p[0] = v.x;
    p[1] = v.y;
    p[2] = v.z;
    p[3] = v.w;
}
