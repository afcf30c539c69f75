// The layers of plain_rows.hpp in the library, and chains of levels (chains.hpp).
#pragma once

#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "chains.hpp"
#include "plain_rows.hpp"
#include "steps.hpp"

namespace checks {

// Layers of one row a hop, and what one stream gives.
struct Sequence {
    std::string name;
    std::vector<LayerSpec> layers;
    std::function<Floats(const float *, int64_t)> plain;
};

class Sequences {
public:
    explicit Sequences(unsigned seed) : random_(seed) {
        for (const int64_t cin : {1, 16, 33}) lstm(cin, cin == 16 ? 5 : 37);
        for (const int64_t channels : {1, 15, 16, 50}) norm(channels);
        for (const int64_t heads : {1, 3, 8, 17})
            for (const int64_t window : {1, 2, 7}) attention(heads, heads == 3 ? 10 : 4, window);
        for (const int64_t stride : {2, 3}) depthwise(21, stride);
        for (const bool shortcut : {false, true})
            for (const bool scaled : {false, true}) unit(shortcut, scaled);
    }
    std::vector<Sequence> all;

private:
    const float *some(int64_t count, float scale = 1.0f, float base = 0.0f) {
        kept_.push_back(std::make_unique<Floats>(numbers(random_, count, scale, base)));
        return kept_.back()->data();
    }

    static LayerSpec layer(LayerKind kind, int64_t cin, int64_t cout) {
        LayerSpec l{};
        l.kind = kind;
        l.cin = cin;
        l.cout = cout;
        l.kernel = l.stride = l.dilation = l.rate_in = l.rate_out = l.groups = 1;
        return l;
    }

    void lstm(int64_t cin, int64_t units) {
        LayerSpec l = layer(LayerKind::lstm, cin, units);
        l.history = 2;
        l.weight = some(4 * units * cin);
        l.bias = some(4 * units);
        l.recurrent = some(4 * units * units);
        all.push_back({"an LSTM", {l}, [l](const float *x, int64_t rows) { return lstm_of(l, x, rows); }});
    }

    void norm(int64_t channels) {
        LayerSpec l = layer(LayerKind::norm, channels, channels);
        l.epsilon = 1e-5;
        l.weight = some(channels);
        l.bias = some(channels);
        all.push_back({"a norm", {l}, [l](const float *x, int64_t rows) { return norm_of(l, x, rows); }});
    }

    void attention(int64_t heads, int64_t dim, int64_t window) {
        LayerSpec l = layer(LayerKind::attention, 3 * heads * dim, heads * dim);
        l.heads = heads;
        l.window = window;
        l.history = window - 1;
        l.frequencies = some(dim / 2, 4.0f, 4.0f);
        all.push_back({"an attention", {l}, [l](const float *x, int64_t rows) { return attention_of(l, x, rows); }});
    }

    void depthwise(int64_t channels, int64_t stride) {
        LayerSpec l = layer(LayerKind::transposed_conv, channels, channels);
        l.kernel = 2 * stride;
        l.stride = l.rate_out = stride;
        l.history = 1;
        l.groups = channels;
        l.weight = some(channels * l.kernel);
        l.bias = some(channels);
        all.push_back({"depthwise", {l}, [l](const float *x, int64_t rows) { return depthwise_of(l, x, rows); }});
    }

    void unit(bool shortcut, bool scaled) {
        const int64_t channels = 19;
        LayerSpec conv = layer(LayerKind::conv, channels, channels), join = layer(LayerKind::join, channels, channels);
        conv.weight = some(channels * channels);
        conv.bias = some(channels);
        if (shortcut) join.weight = some(channels * channels), join.bias = some(channels);
        if (scaled) join.scale = some(channels);
        all.push_back({"a unit", {layer(LayerKind::hold, channels, channels), conv, join},
                       [conv, join](const float *x, int64_t rows) { return unit_of(conv, join, x, rows); }});
    }

    std::mt19937 random_;
    std::vector<std::unique_ptr<Floats>> kept_;
};

// The runners that give something else than the plain loops, which compute once for all of them.
inline std::vector<Runner> wrong_sequence(const Sequence &s, const std::vector<Runner> &runners, int64_t rows, int64_t streams) {
    std::mt19937 random(5);
    const LayerSpec &first = s.layers.front(), &last = s.layers.back();
    const Floats x = numbers(random, streams * rows * first.cin, 2.0f);
    Floats wanted;
    for (int64_t b = 0; b < streams; ++b) {
        const Floats one = s.plain(x.data() + b * rows * first.cin, rows);
        wanted.insert(wanted.end(), one.begin(), one.end());
    }
    std::vector<Runner> wrong;
    for (const Runner &runner : runners) {
        const Engine engine = runner.engine();
        if (!set_plan(engine.get(), srvq::Program::layers, s.layers, false, -1) ||
            !gives(engine.get(), {streams, rows, first.cin, last.rate_out * last.cout}, x, wanted))
            wrong.push_back(runner);
    }
    return wrong;
}

// How many differ, of up to `most` rows. `cases` counts them.
inline int wrong_sequences(const std::vector<Runner> &runners, int64_t most, int &cases) {
    int wrong = 0;
    const Sequences sequences(3);
    for (int64_t rows = 1; rows <= most; rows += 2) {
        for (const Sequence &s : sequences.all) {
            cases += static_cast<int>(runners.size());
            for (const Runner &runner : wrong_sequence(s, runners, 3 * rows, 1 + rows % 3)) {
                ++wrong;
                std::printf("%s, %d threads: %s of %d channels, %d rows differ (%s)\n", runner.isa.c_str(), runner.threads,
                            s.name.c_str(), static_cast<int>(s.layers.front().cin), static_cast<int>(3 * rows), srvq_error());
            }
        }
        for (const bool projected : {false, true}) {
            cases += static_cast<int>(runners.size());
            for (const Runner &runner : wrong_chains(runners, 3 * rows, projected)) {
                ++wrong;
                std::printf("%s, %d threads: %d frames of chains differ (%s)\n", runner.isa.c_str(), runner.threads,
                            static_cast<int>(3 * rows), srvq_error());
            }
        }
    }
    return wrong;
}

}  // namespace checks
