// Bare layers in the library: all rows in one step, then in steps of 1, 2, 3 … hops. Every bit must be the wanted one.
//
// Knows: the C interface. Does not know: what a layer computes (plain_loops.hpp, plain_rows.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "api/api.hpp"

namespace checks {

using srvq::LayerSpec;
using Floats = std::vector<float>;
using Engine = std::unique_ptr<SrvqEngine, void (*)(SrvqEngine *)>;

inline Engine engine_of(const char *isa, int threads) { return {srvq_engine_new(isa, threads), srvq_engine_free}; }

// What computes: an instruction set, on so many threads.
struct Runner {
    std::string isa;
    int threads;
    Engine engine() const { return engine_of(isa.c_str(), threads); }
};

inline bool set_plan(SrvqEngine *engine, srvq::Program program, const std::vector<LayerSpec> &layers, bool masked,
                     int64_t half_from, const srvq::QuantizerSpec *quantizer = nullptr, int64_t first = 1, bool tanh = true) {
    const srvq::PlanSpec plan{layers.data(), static_cast<int64_t>(layers.size()), masked, first, tanh, half_from, quantizer};
    return engine && srvq_set_plan(engine, static_cast<int64_t>(program), &plan) == 0;
}

// Numbers from −1 to 1, times `scale`, plus `base`.
inline Floats numbers(std::mt19937 &random, int64_t count, float scale = 1.0f, float base = 0.0f) {
    Floats v(static_cast<size_t>(count));
    for (float &x : v) x = base + scale * (static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f);
    return v;
}

// Signals of `hops` hops: numbers a hop of each, going in and coming out.
struct Signals {
    int64_t streams, hops, in_hop, out_hop;
    int64_t first = 1;   // hops of a first step at least, unless it is the whole signal
    int64_t length = -1; // rows, where the last step is told
};

inline bool gives(SrvqEngine *engine, const Signals &s, const Floats &x, const Floats &wanted) {
    for (const bool whole : {true, false}) {
        Floats states(static_cast<size_t>(s.streams * srvq_state_size(engine, 0)) + 1), y(wanted.size());
        std::vector<int64_t> slots, clock(static_cast<size_t>(s.streams)), length(static_cast<size_t>(s.streams), -1);
        for (int64_t b = 0; b < s.streams; ++b) slots.push_back(s.streams - 1 - b);
        for (int64_t done = 0, hops = s.first; done < s.hops; done += hops, ++hops) {
            hops = std::min(whole ? s.hops : hops, s.hops - done);
            Floats in, out(static_cast<size_t>(s.streams * hops * s.out_hop));
            for (int64_t b = 0; b < s.streams; ++b) {
                const auto from = x.begin() + (b * s.hops + done) * s.in_hop;
                in.insert(in.end(), from, from + hops * s.in_hop);
            }
            if (done + hops == s.hops) std::fill(length.begin(), length.end(), s.length);
            if (srvq_step(engine, 0, s.streams, hops, states.data(), nullptr, slots.data(), clock.data(), length.data(),
                          in.data(), out.data(), 0, nullptr, nullptr))
                return false;
            for (int64_t b = 0; b < s.streams; ++b) {
                clock[static_cast<size_t>(b)] += hops;
                std::copy_n(out.begin() + b * hops * s.out_hop, hops * s.out_hop,
                            y.begin() + (b * s.hops + done) * s.out_hop);
            }
        }
        if (std::memcmp(y.data(), wanted.data(), wanted.size() * sizeof(float)) != 0) return false;
    }
    return true;
}

}  // namespace checks
