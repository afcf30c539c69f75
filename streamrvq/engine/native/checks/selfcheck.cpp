// The library against plain loops: one layer at a time, every instruction set that runs here, all bits.
//
// Runs by itself, so that sanitizers and emulators (qemu-user) can watch it: `selfcheck [quick]`. Exit code 0: no bit
// differs. Reference: bias, then tap by tap and channel by channel one std::fma, written out with nothing shared but the
// constants of the sine.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include "api.hpp"

using srvq::LayerSpec;
using Floats = std::vector<float>;

namespace {

struct Case {
    int64_t kind, cin, cout, kernel, stride, dilation, rows, streams;
    bool snake, halves;
};

float snake(float x, float alpha) {
    const double t = static_cast<double>(alpha) / 3.14159265358979323846;
    const float turn = static_cast<float>(t), low = static_cast<float>(t - turn);
    const float inverse = static_cast<float>(1.0 / (static_cast<double>(alpha) + 1e-9));
    const float phase = x * turn, rest = std::fma(x, low, std::fma(x, turn, -phase));
    float f = (phase - std::nearbyint(phase)) + rest;
    f = f - std::nearbyint(f);
    const float z = f * f;
    float p = 0x1.466de4p-4f;
    for (const float c : {-0x1.32e03cp-1f, 0x1.466ee4p+1f, -0x1.4abbeep+2f, 0x1.921fb6p+1f}) p = std::fma(p, z, c);
    const float sine = f * p;
    return std::fma(sine * inverse, sine, x);
}

// x [streams][rows in][cin] → [streams][rows out][cout], the past all zeros.
Floats expected(const Case &c, const LayerSpec &l, const Floats &x) {
    const int64_t taps = c.kind ? 2 : c.kernel, stride = c.kind ? 1 : c.stride, per_row = c.kind ? c.stride : 1;
    const int64_t n = c.rows * stride, each = n * c.cin;
    Floats y;
    for (int64_t b = 0; b < c.streams; ++b)
        for (int64_t row = 0; row < c.rows; ++row)
            for (int64_t phase = 0; phase < per_row; ++phase)
                for (int64_t out = 0; out < c.cout; ++out) {
                    float sum = l.bias[out];
                    for (int64_t tap = 0; tap < taps; ++tap)
                        for (int64_t in = 0; in < c.cin; ++in) {
                            const int64_t t = row * stride + tap * c.dilation - l.tail;
                            float v = t < 0 ? 0.0f : x[static_cast<size_t>(b * each + t * c.cin + in)];
                            if (c.snake && t >= 0) v = snake(v, l.alpha[in]);
                            const float w = c.kind ? l.weight[(in * c.cout + out) * c.kernel + phase + (tap ? 0 : c.stride)]
                                                   : l.weight[(out * c.cin + in) * c.kernel + tap];
                            sum = std::fma(v, w, sum);
                        }
                    y.push_back(sum);
                }
    return y;
}

bool run(const Case &c, const char *isa, int threads, unsigned seed) {
    std::mt19937 random(seed);
    const auto numbers = [&](int64_t count, bool halves) {
        Floats v(static_cast<size_t>(count));
        for (float &x : v) {
            x = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
            if (halves) x = std::nearbyint(x * 1024.0f) / 1024.0f;
        }
        return v;
    };
    const int64_t unit_in = c.kind ? 1 : c.stride, unit_out = c.kind ? c.stride : 1;
    const Floats weight = numbers(c.cin * c.cout * c.kernel, c.halves), bias = numbers(c.cout, false);
    Floats alpha = numbers(c.cin, false);
    for (float &a : alpha) a = std::fabs(a) + 0.5f;
    LayerSpec l{};
    l.kind = c.kind;
    l.cin = c.cin;
    l.cout = c.cout;
    l.kernel = c.kernel;
    l.stride = c.stride;
    l.dilation = c.dilation;
    l.tail = c.kind ? 1 : (c.kernel - 1) * c.dilation + 1 - c.stride;
    l.rate_in = unit_in;
    l.rate_out = unit_out;
    l.weight = weight.data();
    l.bias = bias.data();
    l.alpha = c.snake ? alpha.data() : nullptr;
    const Floats x = numbers(c.streams * c.rows * unit_in * c.cin, false);
    const Floats wanted = expected(c, l, x);

    const std::unique_ptr<SrvqEngine, void (*)(SrvqEngine *)> engine(srvq_engine_new(isa, threads), srvq_engine_free);
    if (!engine || srvq_set_layers(engine.get(), 0, &l, 1, 0, c.halves ? 0 : -1)) return false;
    // All rows in one step; then hop by hop, in steps of 1, 2, 3 …
    for (const bool whole : {true, false}) {
        Floats states(static_cast<size_t>(c.streams * l.tail * c.cin) + 1), y(wanted.size());
        std::vector<int64_t> slots, clock(static_cast<size_t>(c.streams)), open(static_cast<size_t>(c.streams), -1);
        for (int64_t b = 0; b < c.streams; ++b) slots.push_back(c.streams - 1 - b);
        for (int64_t done = 0, hops = 1; done < c.rows; done += hops, ++hops) {
            hops = std::min(whole ? c.rows : hops, c.rows - done);
            const int64_t in_row = unit_in * c.cin, out_row = unit_out * c.cout;
            Floats in, out(static_cast<size_t>(c.streams * hops * out_row));
            for (int64_t b = 0; b < c.streams; ++b) {
                const auto from = x.begin() + (b * c.rows + done) * in_row;
                in.insert(in.end(), from, from + hops * in_row);
            }
            if (srvq_step(engine.get(), 0, c.streams, hops, states.data(), slots.data(), clock.data(), open.data(), in.data(),
                          out.data(), 0, nullptr, nullptr))
                return false;
            for (int64_t b = 0; b < c.streams; ++b) {
                clock[static_cast<size_t>(b)] += hops;
                std::copy_n(out.begin() + b * hops * out_row, hops * out_row, y.begin() + (b * c.rows + done) * out_row);
            }
        }
        if (std::memcmp(y.data(), wanted.data(), wanted.size() * sizeof(float)) != 0) return false;
    }
    return true;
}

// Many small steps on many threads, from two sides at once: for the thread sanitizer.
bool crowd(int steps) {
    const int64_t channels = 40;
    const Floats weight(channels * channels * 7, 0.01f), bias(channels, 0.1f);
    LayerSpec l{0, channels, channels, 7, 1, 1, 6, 0, 0, 6, 1, 1, weight.data(), bias.data(), nullptr};
    SrvqEngine *const engine = srvq_engine_new("", 4);
    if (!engine || srvq_set_layers(engine, 0, &l, 1, 0, -1)) return false;
    std::atomic<bool> good{true};
    const auto side = [&] {
        Floats state(6 * channels), in(16 * channels, 1.0f), out(in.size());
        const int64_t slot = 0, open = -1;
        for (int64_t i = 0; i < steps; ++i) {
            const int64_t hops = 1 + i % 16;
            if (srvq_step(engine, 0, 1, hops, state.data(), &slot, &i, &open, in.data(), out.data(), 0, nullptr, nullptr))
                good = false;
        }
    };
    std::thread other(side);
    side();
    other.join();
    srvq_engine_free(engine);
    return good;
}

}  // namespace

int main(int argc, char **argv) {
    const bool quick = argc > 1 && std::string(argv[1]) == "quick";
    int cases = 0, wrong = 0;
    std::istringstream names(srvq_isas());
    for (std::string isa; std::getline(names, isa, ',');) {
        for (const int threads : {1, 2, 3}) {
            std::vector<Case> all;
            const int64_t widths[][2] = {{1, 5}, {3, 3}, {8, 8}, {16, 33}, {40, 64}, {65, 1}};
            for (int64_t rows = 1; rows <= (quick ? 9 : 17); ++rows)
                for (const auto &[cin, cout] : widths) {
                    const bool snake = rows % 2, halves = rows % 3 == 0;
                    const int64_t streams = 1 + rows % 3;
                    for (const int64_t dilation : {1, 3, 9}) all.push_back({0, cin, cout, 7, 1, dilation, rows, streams, snake, halves});
                    for (const int64_t stride : {2, 3, 8}) all.push_back({0, cin, cout, 2 * stride, stride, 1, rows, streams, snake, halves});
                    for (const int64_t stride : {1, 2, 3, 8}) all.push_back({1, cin, cout, 2 * stride, stride, 1, rows, streams, snake, halves});
                    all.push_back({0, cin, cout, 1, 1, 1, rows, streams, snake, halves});
                }
            for (const Case &c : all) {
                ++cases;
                if (run(c, isa.c_str(), threads, static_cast<unsigned>(cases))) continue;
                ++wrong;
                std::printf("%s, %d threads: kind %d, %d → %d, kernel %d, stride %d, dilation %d, %d rows × %d differ (%s)\n",
                            isa.c_str(), threads, static_cast<int>(c.kind), static_cast<int>(c.cin), static_cast<int>(c.cout),
                            static_cast<int>(c.kernel), static_cast<int>(c.stride), static_cast<int>(c.dilation),
                            static_cast<int>(c.rows), static_cast<int>(c.streams), srvq_error());
            }
        }
    }
    if (!crowd(quick ? 300 : 3000)) ++wrong;
    std::printf("%s: %d cases, %d differ\n", srvq_isas(), cases, wrong);
    return wrong != 0;
}
