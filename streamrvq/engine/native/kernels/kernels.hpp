// What a kernel is asked to do, and the table of kernels that each instruction set fills in.
//
// Knows: plain values and pointers. Does not know: layers, streams, threads; who owns the memory.
// Every file kernel_*.cpp is compiled with its own instruction set, so nothing here may be an inline function that the
// linker could take from one of them and give to all.
#pragma once
#include <cstdint>

namespace srvq {

// The constants of one Snake, x + sin²(αx)/(α + 1e-9), a value a column, padded to whole blocks: α/π in two floats
// (turn + turn_low) and the reciprocal.
struct Snake {
    const float *turn, *turn_low, *inverse;
};

// Where values go: `plain` as they are, `active` through a Snake (or as they are too, if snake.turn is null). Either may
// be null. Row t of stream b begins at base + b·stride + t·columns.
struct Sinks {
    float *plain;
    int64_t plain_stride;
    float *active;
    int64_t active_stride;
    Snake snake;
};

// The elements [low[b], high[b]) of stream b, rows laid end to end, lie inside its signal; others are set to 0. Null: all
// do.
struct Edges {
    const int64_t *low, *high;
};

// One convolution of one step. Output row t of stream b is
//     bias + Σ_tap Σ_channel x[b·in_stride + t·row_step + tap·tap_step + channel] · w[tap, channel, column],
// one fused multiply-add after the other in that order.
struct Conv {
    const float *in;
    int64_t in_stride, row_step, tap_step;
    int64_t taps, depth;  // depth: channels a tap
    const void *weights;  // in blocks of columns: [block][tap · depth][width]; see pack.cpp
    bool half;            // weights are IEEE half precision, which hold the same values
    const float *bias;    // padded to whole blocks
    int64_t columns;
    int64_t rows;  // of each stream
    Edges edges;
    const float *join;  // added to the (masked) result: row t of stream b at join + b·join_stride + t·columns; or null
    int64_t join_stride;
    Sinks out;
};

// What is fetched into the cache while something else is computed: bytes [at, end), so many lines every four channels. As
// few lines as suffice: a core can wait for a dozen at once, and arithmetic whose own numbers queue behind them slows down.
struct Ahead {
    static constexpr int64_t kLine = 64, kMostLines = 3;
    const char *at = nullptr, *end = nullptr;
    int64_t lines = 1;
};

// A part of one convolution: rows [row0, row1) of all streams' rows laid end to end, times blocks [block0, block1).
// `ahead` is what the next layers will read; where the weights are `large`, too many for a core's own cache, a block's
// successor is fetched before it.
struct Part {
    int64_t row0, row1, block0, block1;
    bool large;
    Ahead ahead;
};

// Values [rows][columns] of one stream, masked, to its sinks.
struct Spread {
    const float *in;
    int64_t rows, columns;
    int64_t low, high;
    Sinks out;  // strides are not used: pointers are the stream's own
};

// The nearest codebook entries by cosine for `count` vectors [count][dim].
struct Search {
    const float *vectors;
    int64_t count, dim, size;
    const float *book;  // entries of length 1, in blocks: [block][dim][width], the last padded with zeros
    float *unit;        // room for [dim]
    int64_t *codes;     // [count]
};

struct Kernels {
    const char *name;
    int64_t width;   // floats in a vector: columns of the narrow blocks
    int64_t vectors; // vectors in a wide block
    int64_t tile;    // rows computed together, at most
    void (*conv)(const Conv &, const Part &);
    void (*spread)(const Spread &);
    void (*search)(const Search &);
    void (*tanh)(float *, int64_t count);
    void (*sine)(const float *x, float *y, int64_t count, Snake one);  // the Snake alone, for the tests
    double (*peak)(int64_t rounds);                                    // floating-point operations done
    double (*fed)(int64_t rounds);                                     // the same, of numbers that are loaded
    float (*read)(const float *, int64_t count);                       // a sum, to measure reading
};

// Null where this build or this machine has not got it.
const Kernels *avx512_kernels();
const Kernels *avx2_kernels();
const Kernels *neon_kernels();
const Kernels *portable_kernels();

}  // namespace srvq
