// The library against plain loops: one layer at a time, every instruction set that runs here, all bits.
//
// It is a program of its own, so that sanitizers and emulators (qemu-user) can watch it: `selfcheck [quick] [threads]`. Exit
// code 0: no bit differs. `quick` takes fewer rows, in which every two of layer, width and rows meet, and each instruction set
// computes a layer, or the codec, on one of its numbers of threads; `threads` leaves out engines that have one thread.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "allocations.hpp"
#include "api/api.hpp"
#include "plain_loops.hpp"
#include "resampling.hpp"
#include "sequences.hpp"

using namespace checks;

namespace {

// The runners that give other bits than the plain loops, which compute once for all of them.
std::vector<Runner> wrong_layer(const Case &c, const std::vector<Runner> &runners, unsigned seed) {
    std::mt19937 random(seed);
    const auto numbers = [&](int64_t count, bool halves) {
        Floats v(static_cast<size_t>(count));
        for (float &x : v) {
            x = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
            if (halves) x = std::nearbyint(x * 1024.0f) / 1024.0f;
        }
        return v;
    };
    const bool across = c.kind == LayerKind::transposed_conv;
    const int64_t unit_in = across ? 1 : c.stride, unit_out = across ? c.stride : 1;
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
    l.history = across ? 1 : (c.kernel - 1) * c.dilation + 1 - c.stride;
    l.rate_in = unit_in;
    l.rate_out = unit_out;
    l.weight = weight.data();
    l.bias = bias.data();
    l.activation = c.activation;
    l.pad = c.pad;
    l.fills_up = c.missing > 0 || c.pad != Padding::zero;
    if (l.fills_up) l.padding = l.history, l.right = c.stride - 1;
    l.alpha = alpha.data();
    const Floats x = numbers(c.streams * c.rows * unit_in * c.cin, false);
    const Floats wanted = expected(c, l, x);

    const int64_t first = c.pad == Padding::reflect ? (l.history + c.stride) / c.stride : 1;
    const int64_t length = l.fills_up ? c.rows * unit_in - c.missing : -1;
    std::vector<Runner> wrong;
    for (const Runner &runner : runners) {
        const Engine engine = runner.engine();
        if (!set_plan(engine.get(), srvq::Program::layers, {l}, false, c.halves ? 0 : -1, nullptr, first) ||
            !gives(engine.get(), {c.streams, c.rows, unit_in * c.cin, unit_out * c.cout, first, length}, x, wanted))
            wrong.push_back(runner);
    }
    return wrong;
}

// A small codec, symmetric, whole and hop by hop, in company and alone: residual units, skips, both ends, the quantiser.
bool codec(const Runner &runner) {
    std::mt19937 random(7);
    std::vector<std::unique_ptr<Floats>> kept;
    const auto numbers = [&](int64_t count, float scale, float base) {
        kept.push_back(std::make_unique<Floats>(static_cast<size_t>(count)));
        for (float &x : *kept.back()) x = base + scale * static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
        return kept.back()->data();
    };
    struct Shape {
        LayerKind kind;
        int64_t cin, cout, kernel, stride, delay, history, rate_in, rate_out;
    };
    const auto spec = [&](const Shape &s, bool snake) {
        const bool across = s.kind == LayerKind::transposed_conv, weighs = across || s.kind == LayerKind::conv;
        const int64_t half = (s.stride + 1) / 2, pad = across || s.kernel == 2 * s.stride ? half : s.kernel / 2;
        return LayerSpec{s.kind, s.cin, s.cout, s.kernel, s.stride, 1, pad, pad, s.delay, s.history, s.rate_in, s.rate_out,
                         snake ? Activation::snake : Activation::none, srvq::Padding::zero, 0, 1, 0, 0,
                         weighs ? numbers(s.cin * s.cout * s.kernel, 0.2f, 0.0f) : nullptr,
                         weighs ? numbers(s.cout, 0.1f, 0.05f) : nullptr, snake ? numbers(s.cin, 0.3f, 1.0f) : nullptr,
                         nullptr, nullptr, nullptr, 0.0};
    };
    constexpr LayerKind conv = LayerKind::conv, transposed = LayerKind::transposed_conv, hold = LayerKind::hold, join = LayerKind::join;
    // Delays and histories by the rule of geometry/.
    const std::vector<LayerSpec> encoder = {
        spec({conv, 1, 12, 7, 1, 3, 6, 128, 128}, false), spec({hold, 12, 12, 1, 1, 3, 0, 128, 128}, false),
        spec({conv, 12, 12, 7, 1, 6, 6, 128, 128}, true), spec({conv, 12, 12, 1, 1, 6, 0, 128, 128}, true),
        spec({join, 12, 12, 1, 1, 6, 3, 128, 128}, false), spec({conv, 12, 20, 256, 128, 1, 186, 128, 1}, true),
        spec({conv, 20, 9, 3, 1, 2, 2, 1, 1}, true)};
    const std::vector<LayerSpec> decoder = {
        spec({conv, 9, 20, 7, 1, 3, 6, 1, 1}, false), spec({transposed, 20, 10, 256, 128, 448, 1, 1, 128}, true),
        spec({hold, 10, 10, 1, 1, 448, 0, 128, 128}, false), spec({conv, 10, 10, 7, 1, 451, 6, 128, 128}, true),
        spec({conv, 10, 10, 1, 1, 451, 0, 128, 128}, true), spec({join, 10, 10, 1, 1, 451, 3, 128, 128}, false),
        spec({conv, 10, 1, 7, 1, 454, 6, 128, 128}, true)};
    std::vector<srvq::LevelSpec> levels;
    for (int i = 0; i < 3; ++i)
        levels.push_back({numbers(27, 1.0f, 0.0f), numbers(3, 0.1f, 0.0f), numbers(33, 1.0f, 0.0f), numbers(27, 0.3f, 0.0f),
                          numbers(9, 0.1f, 0.0f)});
    const srvq::QuantizerSpec quantizer{levels.data(), nullptr, 0, 3, 11, 3, 9, 0};
    const Engine engine = runner.engine();
    SrvqEngine *const e = engine.get();
    if (!set_plan(e, srvq::Program::encode, encoder, true, 0, &quantizer) ||
        !set_plan(e, srvq::Program::decode, decoder, true, 0, &quantizer))
        return false;
    const int64_t hops = 21, streams = 5, length = 17 * 128 + 50, frames = 17;
    const float *const pcm = numbers(streams * hops * 128, 0.5f, 0.0f);
    std::vector<int64_t> first[2];
    Floats inner[2], samples[2];
    for (const int run : {0, 1}) {
        std::vector<int64_t> codes(static_cast<size_t>(streams * 3 * hops));
        Floats latents(static_cast<size_t>(streams * 9 * hops)), out(static_cast<size_t>(streams * hops * 128));
        Floats states(static_cast<size_t>(streams * srvq_state_size(e, 1)));
        Floats back(static_cast<size_t>(streams * srvq_state_size(e, 2)));
        const int64_t group = run ? 1 : streams;
        for (int64_t stream = 0; stream < streams; stream += group)
            for (int64_t done = 0, k = run ? 1 : hops; done < hops; done += k, k = std::min(k + 1, hops - done)) {
                std::vector<int64_t> slots, clock(static_cast<size_t>(group), done), l(static_cast<size_t>(group), length),
                    lf(static_cast<size_t>(group), frames), c(static_cast<size_t>(group * 3 * k));
                Floats in, z(static_cast<size_t>(group * 9 * k)), y(static_cast<size_t>(group * k * 128));
                for (int64_t b = stream; b < stream + group; ++b) {
                    slots.push_back(b);
                    in.insert(in.end(), pcm + (b * hops + done) * 128, pcm + (b * hops + done + k) * 128);
                }
                if (srvq_step(e, 1, group, k, states.data(), nullptr, slots.data(), clock.data(), l.data(), in.data(), nullptr,
                              3, c.data(), z.data()) ||
                    srvq_step(e, 2, group, k, back.data(), nullptr, slots.data(), clock.data(), lf.data(), nullptr, y.data(),
                              3, c.data(), nullptr))
                    return false;
                // [stream][each][hops of this step] into [stream][each][hops]
                const auto put = [&](const auto &from, auto &to, int64_t each, int64_t unit) {
                    for (int64_t i = 0; i < group * each; ++i)
                        std::copy_n(from.begin() + i * k * unit, k * unit,
                                    to.begin() + ((stream * each + i) * hops + done) * unit);
                };
                put(c, codes, 3, 1);
                put(z, latents, 9, 1);
                put(y, out, 1, 128);
            }
        first[run] = codes;
        inner[run] = latents;
        samples[run] = out;
    }
    const int64_t delay = 454, end = delay + frames * 128;
    for (int64_t i = 0; i < streams * hops * 128; ++i) {  // nothing is heard outside the signal
        const int64_t at = i % (hops * 128);
        if ((at < delay || at >= end) && samples[0][static_cast<size_t>(i)] != 0.0f) return false;
    }
    return first[0] == first[1] && std::memcmp(inner[0].data(), inner[1].data(), inner[0].size() * 4) == 0 &&
           std::memcmp(samples[0].data(), samples[1].data(), samples[0].size() * 4) == 0;
}

// Many small steps on many threads, from two sides at once: for the thread sanitizer. Both ask for times as well, and every
// step must be counted once. One of them at last packs the plan anew, while the other steps.
bool two_callers(int steps) {
    const int64_t channels = 40;
    const Floats weight(channels * channels * 7, 0.01f), bias(channels, 0.1f);
    const LayerSpec l{LayerKind::conv, channels, channels, 7, 1, 1, 6, 0, 0, 6, 1, 1, Activation::none,
                      srvq::Padding::zero, 0, 1, 0, 0, weight.data(), bias.data(), nullptr, nullptr, nullptr, nullptr, 0.0};
    const Engine engine = engine_of("", 4);
    if (!set_plan(engine.get(), srvq::Program::layers, {l}, false, -1)) return false;
    std::atomic<bool> good{true};
    std::atomic<int64_t> counted{0};
    const auto side = [&](int64_t replaced) {
        Floats state(6 * channels), in(16 * channels, 1.0f), out(in.size());
        const int64_t slot = 0, open = -1;
        int64_t count = 0, wanted = 0;
        for (int64_t i = 0; i < steps; ++i) {
            const int64_t hops = 1 + i % 16;
            wanted += hops;
            if (srvq_step(engine.get(), 0, 1, hops, state.data(), &count, &slot, &i, &open, in.data(), out.data(), 0, nullptr,
                          nullptr) ||
                count != wanted)
                good = false;
            double times[3];
            counted += srvq_profile(engine.get(), 0, times, 3);
            if (i < replaced && !set_plan(engine.get(), srvq::Program::layers, {l}, false, -1)) good = false;
        }
    };
    for (const int64_t replaced : {int64_t{0}, int64_t{20}}) {
        std::thread other(side, 0);
        side(replaced);
        other.join();
        if (!replaced && counted != 2 * steps) good = false;  // a plan that goes takes its own count with it
    }
    return good;
}

// Every kind of layer, at up to `most` rows. With `half`, every other two cases: every two of layer, width and rows still meet,
// on every turn.
std::vector<Case> layers(int64_t most, bool half) {
    std::vector<Case> all;
    const int64_t widths[][2] = {{1, 5}, {3, 3}, {8, 8}, {16, 33}, {40, 64}, {65, 1}};
    for (int64_t rows = 1; rows <= most; ++rows) {
        int64_t width = 0;
        for (const auto &pair : widths) {
            const int64_t cin = pair[0], cout = pair[1];  // Clang before 16 lets no lambda capture a structured binding
            // Every two of layer, width and rows meet every turn.
            int64_t turn = rows + width++;
            const Activation activation = static_cast<Activation>(rows % std::size(srvq::kActivationNames));
            const bool halves = rows % 3 == 0;
            const int64_t streams = 1 + rows % 3;
            const auto add = [&](LayerKind kind, int64_t kernel, int64_t stride, int64_t dilation,
                                 Padding pad = Padding::zero, int64_t missing = 0) {
                const int64_t own = turn++;
                if (half && own / 2 % 2) return;
                all.push_back({kind, cin, cout, kernel, stride, dilation, rows, streams, activation, halves, pad, missing, own});
            };
            for (const int64_t dilation : {1, 3, 9}) add(LayerKind::conv, 7, 1, dilation);
            for (const int64_t stride : {2, 3, 8}) add(LayerKind::conv, 2 * stride, stride, 1);
            for (const int64_t stride : {1, 2, 3, 8}) add(LayerKind::transposed_conv, 2 * stride, stride, 1);
            add(LayerKind::conv, 1, 1, 1);
            for (const Padding pad : {Padding::zero, Padding::replicate, Padding::reflect}) {
                if (pad != Padding::zero) add(LayerKind::conv, 7, 1, 1, pad);
                for (const int64_t missing : {int64_t{0}, int64_t{1}, 2 + rows % 2}) add(LayerKind::conv, 8, 4, 1, pad, missing);
            }
        }
    }
    // One column: as many rows as vectors of them are computed together, fewer, and more.
    int64_t turn = 0;
    for (const int64_t rows : {20, 64, 150, 301})
        for (const auto &[kernel, stride, dilation, pad] : {std::tuple{7, 1, 1, Padding::zero}, {7, 1, 9, Padding::zero},
                                                            {1, 1, 1, Padding::zero}, {8, 4, 1, Padding::replicate}})
            all.push_back({LayerKind::conv, rows % 3 ? int64_t{10} : int64_t{96}, 1, kernel, stride, dilation, rows,
                           1 + rows % 2, Activation::elu, rows % 4 == 0, pad, pad == Padding::zero ? 0 : 1, turn++});
    return all;
}

}  // namespace

int main(int argc, char **argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const auto asked = [&](const char *what) { return std::find(arguments.begin(), arguments.end(), what) != arguments.end(); };
    const bool quick = asked("quick"), threaded = asked("threads");
    int cases = 0, wrong = 0;
    std::vector<int> threads;
    for (const int count : {1, 2, 3})
        if ((!quick || count != 2) && (!threaded || count > 1)) threads.push_back(count);
    std::vector<Runner> runners;
    std::istringstream names(srvq_isas());
    for (std::string isa; std::getline(names, isa, ',');) {
        ++cases;
        if (const int differ = wrong_resampling(isa.c_str())) {
            ++wrong;
            std::printf("%s: %d pairs of rates differ (%s)\n", isa.c_str(), differ, srvq_error());
        }
        for (const int count : threads) runners.push_back({isa, count});
    }
    // In a quick run of each instruction set one, and of the next set the next.
    const auto turns = [&](int64_t turn) {
        if (!quick) return runners;
        std::vector<Runner> some;
        for (size_t set = 0; set * threads.size() < runners.size(); ++set)
            some.push_back(runners[set * threads.size() + (static_cast<size_t>(turn) + set) % threads.size()]);
        return some;
    };
    for (const Runner &runner : turns(1)) {  // the best set on the most threads
        ++cases;
        if (codec(runner)) continue;
        ++wrong;
        std::printf("%s, %d threads: a codec differs (%s)\n", runner.isa.c_str(), runner.threads, srvq_error());
    }
    wrong += wrong_sequences(runners, quick ? 5 : 12, cases);
    for (const Case &c : layers(quick ? 9 : 17, quick)) {
        const std::vector<Runner> some = turns(c.turn);
        cases += static_cast<int>(some.size());
        for (const Runner &runner : wrong_layer(c, some, static_cast<unsigned>(cases))) {
            ++wrong;
            std::printf("%s, %d threads: kind %d, %d → %d, kernel %d, stride %d, dilation %d, %d rows × %d differ (%s)\n",
                        runner.isa.c_str(), runner.threads, static_cast<int>(c.kind), static_cast<int>(c.cin),
                        static_cast<int>(c.cout), static_cast<int>(c.kernel), static_cast<int>(c.stride),
                        static_cast<int>(c.dilation), static_cast<int>(c.rows), static_cast<int>(c.streams), srvq_error());
        }
    }
    if (!two_callers(quick ? 300 : 3000)) ++wrong, std::printf("two callers at once differ\n");
    if (const int differ = wrong_without_memory()) ++wrong, std::printf("%d engines without memory differ\n", differ);
    std::printf("%s: %d cases, %d differ\n", srvq_isas(), cases, wrong);
    return wrong != 0;
}
