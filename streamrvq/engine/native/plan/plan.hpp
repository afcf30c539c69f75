// A direction's layers, compiled: convolutions with packed weights, and where each one's results go.
//
// Knows: the layers of geometry.py, given as integers. Does not know: threads, steps in time (step.cpp), quantisers.
#pragma once
#include <cstdint>
#include <vector>

#include "plan/pack.hpp"

namespace srvq {

// One layer as Python hands it over; see geometry.Layer. Weights as in DAC's state dict.
struct LayerSpec {
    int64_t kind;  // 0 conv, 1 transposed conv, 2 hold, 3 join
    int64_t cin, cout, kernel, stride, dilation, padding, right, delay_out, tail, rate_in, rate_out;
    const float *weight, *bias, *alpha;  // alpha: the Snake in front, or null
};

// Snake's constants for the columns of whoever writes through it.
struct Active {
    Memory turn, turn_low, inverse;
    bool any = false;
    Snake view() const { return any ? Snake{turn.as(), turn_low.as(), inverse.as()} : Snake{}; }
};

// A kept tail: `rows` × `channels` numbers at `offset` of a stream's state, put before the new rows of a buffer.
struct Tail {
    int64_t rows = 0, channels = 0, offset = 0;
    int64_t size() const { return rows * channels; }
};

// What happens to values when they are made: kept for a residual skip, put through the next convolution's Snake.
struct After {
    int held = -1;   // the skip they are held for, or −1
    Active active;   // empty for the last convolution
};

struct Convolution {
    Matrix matrix;
    int64_t cin, taps, dilation, stride;
    int64_t rate_in, rate_out;  // rows a hop: of the input, and of the product (a transposed conv's row is `stride` outputs)
    int64_t per_row;            // outputs a row
    Tail tail;
    int join = -1;  // the skip that is added to the result, or −1
    After after;
};

struct Skip {
    Tail tail;
    int64_t rate, channels;
};

struct Layers {
    Layers(const Kernels &k, const LayerSpec *specs, int64_t count, bool masked, int64_t half_from);

    int64_t channels, rate;  // of the input
    After input;
    std::vector<Convolution> convs;
    std::vector<Skip> skips;
    int64_t state_size = 0;
    int64_t widest = 0, widest_skip = 0;  // numbers a hop of the largest buffer, tails not counted
    int64_t longest = 0, longest_skip = 0;  // numbers of the largest tail
    bool masked;  // symmetric padding: what lies outside the signal is zeroed at every layer, not only at the input

    struct Shape {  // what a layer's length and place in time follow from
        int64_t kind, kernel, stride, dilation, padding, right, delay, rate;
        int64_t length(int64_t n) const;
    };
    std::vector<Shape> shapes;  // of every convolution, in order
    Memory weights;             // of every convolution, in order, a wide block to spare at the end
    const char *weights_end() const { return convs.back().matrix.data + convs.back().matrix.bytes; }
    int64_t out_channels() const { return convs.back().matrix.columns / convs.back().per_row; }
    int64_t out_rate() const { return convs.back().rate_out * convs.back().per_row; }
};

}  // namespace srvq
