// A plan, compiled once: convolutions with packed weights, where each one's results go, and the quantiser.
//
// Knows: the layers of geometry/, given as integers. Does not know: threads, steps in time (run/).
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "plan/activation.hpp"
#include "plan/layer_kinds.hpp"
#include "plan/pack.hpp"
#include "plan/quantizer.hpp"
#include "plan/spec.hpp"

namespace srvq {

// Past inputs that are kept between steps: `rows` × `channels` numbers at `offset` of a stream's state. They are put before
// the new rows of a buffer.
struct History {
    int64_t rows = 0, channels = 0, offset = 0;
    int64_t size() const { return rows * channels; }
};

// What is done with a convolution's results, or with the input: they go through the next convolution's activation. At the
// head of a residual unit they are also kept as they are, for its skip.
struct Epilogue {
    int skip = -1;                // the skip they are held for, or −1
    PackedActivation activation;  // none for the last convolution
};

// Most of them multiply by a matrix. Norms, attentions and depthwise transposed convolutions do not: run/rows.cpp.
struct Convolution {
    LayerSpec spec;  // what it was made from, without its pointers
    Window window;
    Matrix matrix;
    int64_t rows;  // rows of the result a hop: windows, each of window.per_row outputs
    History history;
    int join = -1;  // the skip that is added to the result, or −1
    std::optional<Matrix> shortcut;   // of one tap: the skip goes through it before it is added
    std::optional<Matrix> recurrent;  // of an LSTM: then the result is the gates' part that is the input's
    History memory;                   // of an LSTM: h, then c; of an attention: [k, v], k as [dim][heads]
    Memory scale;                     // a factor a column for the results before they are joined, or empty
    Memory weight, bias;              // of a norm; of a depthwise transposed convolution [channel][2 · stride]
    Memory frequencies;               // of an attention
    Epilogue epilogue;

    bool is_lstm() const { return recurrent.has_value(); }
    bool multiplies() const { return matrix.data || matrix.depth; }
    int64_t weight_bytes() const {
        return matrix.bytes + (shortcut ? shortcut->bytes : 0) + (recurrent ? recurrent->bytes : 0);
    }
};

struct Skip {
    History history;
    int64_t rate, channels;
};

struct Plan {
    // Throws std::invalid_argument for layers that do not make a plan.
    Plan(const Kernels &k, Program program, const PlanSpec &spec);

    Program program;
    bool masked;             // symmetric padding: what lies outside the signal is zeroed at every layer
    bool tanh;               // a decoder's results go through it
    int64_t first;           // hops of a stream's first step at least, unless it is the whole signal
    int64_t channels, rate;  // of the input
    Epilogue input;
    std::vector<Convolution> convs;
    std::vector<Skip> skips;
    std::optional<Quantizer> quantizer;
    Memory weights;  // of every convolution, in order, with a wide block to spare at the end

    int64_t state_size = 0;                                 // numbers in a stream's state
    int64_t widest_input = 0, widest_skip = 0;              // numbers a hop of the largest buffer, without its history
    int64_t longest_history = 0, longest_skip_history = 0;  // numbers of the largest
    int64_t widest_lstm = 0, lstm_rate = 0;                 // hidden units of the widest, rows a hop of the fastest
    int64_t widest_hidden = 0, widest_row = 0;              // numbers a hop, and a row, of results that are passed on
    int64_t widest_kept = 0, longest_kept = 0;              // of attentions: numbers a hop, and of a history
    int64_t scores = 0;                                     // of attentions: numbers a hop
    bool has_shortcut = false;

    const char *weights_end() const { return weights.as<const char>() + weights.bytes() - 4096; }
    int64_t out_channels() const { return convs.back().spec.cout; }
    int64_t out_rate() const { return convs.back().spec.rate_out; }
};

}  // namespace srvq
