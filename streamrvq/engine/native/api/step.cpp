// A call's step: checked, and cut into parts that the workspace has room for.
#include <algorithm>

#include "api/engine.hpp"

using namespace srvq;

namespace {

// The arguments of srvq_step.
struct Call {
    int64_t streams, hops;
    float *states;
    int64_t *counts;
    const int64_t *slots, *clock, *length;
    const float *in;
    float *out;
    int64_t levels, *codes;
    float *latents;
};

void check(const Plan &plan, const Call &c) {
    if (c.streams < 1 || c.hops < 1) throw std::invalid_argument("a step must have streams and hops");
    if (!plan.quantizer) return;
    if (c.levels < 1 || c.levels > plan.quantizer->count()) throw std::invalid_argument("levels out of range");
    for (int64_t i = 0; plan.program == Program::decode && i < c.streams * c.levels * c.hops; ++i)
        if (c.codes[i] < -1 || c.codes[i] >= plan.quantizer->size) throw std::invalid_argument("a code is out of range");
}

// The part of a call from stream `first` and hop `done` on.
Request part_of(const Call &c, const Plan &plan, int64_t first, int64_t done) {
    const int64_t in_hop = plan.rate * plan.channels, out_hop = plan.out_rate() * plan.out_channels();
    const int64_t dim = plan.quantizer ? plan.quantizer->dim : 0;
    Request r{};
    r.length = c.length + first;
    r.in_stride = c.hops * in_hop;
    r.out_stride = c.hops * out_hop;
    r.in = c.in ? c.in + first * r.in_stride + done * in_hop : nullptr;
    r.out = c.out ? c.out + first * r.out_stride + done * out_hop : nullptr;
    r.levels = c.levels;
    r.codes = c.codes ? c.codes + first * c.levels * c.hops + done : nullptr;
    r.code_stride = c.hops;
    r.latents = c.latents ? c.latents + first * c.levels * dim * c.hops + done : nullptr;
    return r;
}

void run(SrvqEngine &e, Step &step, Threads &threads, const Call &c) {
    bool any_first = false;
    for (int64_t b = 0; b < c.streams; ++b) any_first |= c.clock[b] == 0;
    const Parts parts = parts_of(c.streams, c.hops, any_first ? step.plan().first : 1);
    e.states.resize(static_cast<size_t>(parts.streams));
    e.clocks.resize(static_cast<size_t>(parts.streams));
    for (int64_t first = 0; first < c.streams; first += parts.streams) {
        const int64_t streams = std::min(parts.streams, c.streams - first);
        for (int64_t b = 0; b < streams; ++b)
            e.states[static_cast<size_t>(b)] = c.states + c.slots[first + b] * step.plan().state_size;
        for (int64_t done = 0; done < c.hops; done += parts.hops) {
            for (int64_t b = 0; b < streams; ++b) e.clocks[static_cast<size_t>(b)] = c.clock[first + b] + done;
            Request r = part_of(c, step.plan(), first, done);
            r.streams = streams;
            r.hops = std::min(parts.hops, c.hops - done);
            r.states = e.states.data();
            r.clock = e.clocks.data();
            step.prepare(r);
            threads.run(step);
            step.done();
        }
    }
}

}  // namespace

int srvq_step(SrvqEngine *e, int64_t program, int64_t streams, int64_t hops, float *states, int64_t *counts,
              const int64_t *slots, const int64_t *clock, const int64_t *length, const float *in, float *out, int64_t levels,
              int64_t *codes, float *latents) {
    return guarded([&] {
        const std::lock_guard lock(e->lock);
        Step &step = e->step(program);
        const Call call{streams, hops, states, counts, slots, clock, length, in, out, levels, codes, latents};
        check(step.plan(), call);
        run(*e, step, e->pool(), call);
        for (int64_t b = 0; counts && b < streams; ++b) counts[slots[b]] += hops;
    });
}
