// What a kernel is asked to do, and the table of kernels that each instruction set fills in.
//
// Knows: plain values and pointers. Does not know: layers, streams, threads; who owns the memory.
// Each file of isa/ is compiled for its own instruction set. So nothing here may be an inline function: the linker would
// take one copy for all, and a machine without that instruction set would stop.
#pragma once
#include <cstdint>

#include "kernels/activations.hpp"

namespace srvq {

// Where a convolution's results go: `plain` as they are, `active` through the next layer's activation. Either may be null.
// Row t of stream b begins at base + b · stride + t · columns.
struct Destinations {
    float *plain;
    int64_t plain_stride;
    float *active;
    int64_t active_stride;
    ActivationView activation;
};

// The elements [low[b], high[b]) of stream b, rows laid end to end, lie inside its signal. The others are set to 0. Null:
// all lie inside.
struct Edges {
    const int64_t *low, *high;
};

// One convolution of one step. Output row t of stream b is
//     bias + Σ_tap Σ_channel x[b · in_stride + t · row_step + tap · tap_step + channel] · w[tap, channel, column],
// one fused multiply-add after the other in that order.
struct Conv {
    const float *in;
    int64_t in_stride, row_step, tap_step;
    int64_t taps, depth;  // depth: channels a tap
    const void *weights;  // in blocks of columns, [block][tap · depth][width]; see plan/pack.hpp
    bool half;            // weights are IEEE half precision, which holds the same values
    const float *bias;    // padded to whole blocks
    const float *start;   // in the bias's place, another one a row: row t of stream b at start + b · start_stride + t · columns; or null
    int64_t start_stride;
    int64_t columns;
    int64_t rows;  // of each stream
    Edges edges;
    const float *join;  // added to the masked result: row t of stream b at join + b · join_stride + t · columns; or null
    int64_t join_stride;
    const float *scale;  // a factor a column for the result before it is joined, padded to whole blocks; or null
    Destinations out;
};

// What is fetched into the cache while something else is computed: bytes [at, end), `lines` cache lines every four channels.
// As few as suffice: a core can wait for a dozen lines at once, and arithmetic slows down when its own loads queue after
// them.
struct Prefetch {
    static constexpr int64_t kLine = 64, kMaxLines = 3;
    const char *at = nullptr, *end = nullptr;
    int64_t lines = 1;
};

// A part of one convolution: rows [row0, row1) of all streams' rows laid end to end, times blocks [block0, block1).
// `prefetch` is what the next layers will read. `large` weights are more than a core's own cache holds: each block's
// successor is fetched before it is needed.
struct Part {
    int64_t row0, row1, block0, block1;
    bool large;
    Prefetch prefetch;
};

// A step's input, values [rows][columns] of one stream: masked, added to others, then written to its destinations.
struct InputRows {
    const float *in;
    const float *join;  // as many values, or null
    int64_t rows, columns;
    int64_t low, high;
    Destinations out;  // strides are not used: the pointers are the stream's own
};

// The codebook entries nearest to `count` vectors [count][dim]: by cosine, or with a bias for each entry by distance.
struct Search {
    const float *vectors;
    int64_t count, dim, size;
    const float *book;  // entries, of length 1 without a bias, in blocks: [block][dim][width], the last padded with zeros
    const float *bias;  // −|entry|²/2, padded to whole blocks: then vectors and entries are taken as they are; or null
    float *unit;        // scratch for [count][dim]
    int64_t *codes;     // [count]
};

// Rows of a layer norm: (x − mean) / √(variance + epsilon) · weight + bias.
struct NormRows {
    const float *in;
    int64_t rows, columns;
    const float *weight, *bias;
    float epsilon;
    float *out;
};

// One query of an attention, all heads. q and keys are [dim][heads], values [heads][dim].
struct Attention {
    const float *query;
    const float *keys, *values;  // of the first position that it sees; the next ones `stride` numbers further
    int64_t count, stride;       // positions
    int64_t heads, dim;
    float scale;
    float *scores;  // scratch for [heads][count rounded up to whole vectors]
    float *out;     // [heads][dim]
};

// One frame of one stream of an LSTM's layer.
struct LstmFrame {
    const float *gates;  // [4][units]: i, f, g, o before their functions
    int64_t units;
    float *cell;    // [units]: c, which moves on by the frame
    float *hidden;  // [units]: h, written
};

// Some outputs of a resampler, one after the other. The window of the first is [x, x + length). The next window lies `down`
// parts of a sample later, where a sample has `up` parts; `phase` is how many of them the first output is past a sample.
// A row has `pad` zeros, then `length` coefficients, then zeros up to pad + taps; the last row has `pad` more. taps and pad are
// multiples of 8, and four windows that follow each other begin within `pad` samples. Past the last window's taps, `pad` more
// numbers can be read. The rows from `held` on are not there: row m is row period − m backwards.
struct Resampling {
    const double *x;  // [inputs]
    double *turned;   // [inputs], scratch: x backwards, where rows are missing
    int64_t inputs;
    const int32_t *rows;  // [held][pad + taps]
    int64_t row, period, held, length, taps, pad;
    int64_t up, down, phase;
    int64_t apart;      // outputs a period apart have windows so many samples apart
    double unit, most;  // what a coefficient of 1 stands for; outputs are held to [−most, most]
    int64_t outputs;
    float *out;
};

struct Kernels {
    const char *name;
    int64_t width;      // floats in a vector: columns of a narrow block
    int64_t vectors;    // vectors in a wide block
    int64_t tile_rows;  // rows computed together, at most
    void (*conv)(const Conv &, const Part &);
    void (*write_input)(const InputRows &);
    void (*search)(const Search &);
    void (*lstm)(const LstmFrame &);
    void (*norm)(const NormRows &);
    void (*attend)(const Attention &);
    void (*tanh)(float *, int64_t count);
    void (*widen)(const float *from, int64_t count, double *to);
    void (*resample)(const Resampling &);
    // An activation alone, for the tests. Its constants are those of one vector, the same in each element.
    void (*activate)(const float *x, float *y, int64_t count, const ActivationView &);
    // For the roofline.
    double (*register_peak)(int64_t rounds);      // operations done, on registers alone
    double (*load_peak)(int64_t rounds);          // operations done, on numbers that are loaded
    float (*read)(const float *, int64_t count);  // the sum of what was read
};

}  // namespace srvq
