// Measuring, and functions alone for the tests.
#include <algorithm>

#include "api/engine.hpp"
#include "run/roofline.hpp"
#include "run/rounding.hpp"

using namespace srvq;

int64_t srvq_profile(SrvqEngine *e, int64_t program, double *seconds, int64_t phases) {
    const std::lock_guard lock(e->lock);
    Step *const step = e->find(program);
    if (!step) return -1;
    for (int64_t i = 0; i < phases && i < static_cast<int64_t>(step->seconds.size()); ++i) {
        seconds[i] = step->seconds[static_cast<size_t>(i)];
        step->seconds[static_cast<size_t>(i)] = 1e9;
    }
    const int64_t calls = step->calls;
    step->calls = 0;
    return calls;
}

int64_t srvq_least_part(int64_t streams, int64_t hops) {
    const Parts parts = parts_of(streams, hops);
    return ((streams - 1) % parts.streams + 1) * ((hops - 1) % parts.hops + 1);
}

int srvq_machine(SrvqEngine *e, double seconds, double *gflops, double *load_gflops, double *gbytes) {
    return guarded([&] {
        const std::lock_guard lock(e->lock);
        const Roofline r = measure_roofline(*e->kernels, e->pool(), seconds);
        *gflops = r.gflops;
        *load_gflops = r.load_gflops;
        *gbytes = r.gbytes;
    });
}

int srvq_tanh(SrvqEngine *e, const float *x, float *y, int64_t count) {
    return guarded([&] {
        const PlainArithmetic plain;
        std::copy(x, x + count, y);
        e->kernels->tanh(y, count);
    });
}

int srvq_activate(SrvqEngine *e, int64_t activation, const float *alpha, const float *x, float *y, int64_t count) {
    return guarded([&] {
        const PlainArithmetic plain;
        const Kernels &k = *e->kernels;
        const auto packed = pack_activation(k, static_cast<Activation>(activation), alpha, 1, k.width);
        k.activate(x, y, count, packed.view());
    });
}
