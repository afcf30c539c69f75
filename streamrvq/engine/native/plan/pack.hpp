// Weights as the kernels read them.
#pragma once
#include "kernels/kernels.hpp"
#include "plan/memory.hpp"

namespace srvq {

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// A matrix [depth][columns] in blocks of columns: [block][depth][width · vectors]. The last block is [depth][width] if that
// is enough. Columns are padded with zeros.
struct Matrix {
    const char *data = nullptr;
    int64_t bytes = 0, depth = 0, columns = 0;
    bool half = false;  // kept in half precision, which is exact for every one of its weights
    Memory own;         // the data, unless they lie in memory that several matrices share
    Memory bias;

    int64_t blocks(const Kernels &k) const { return (columns + k.width * k.vectors - 1) / (k.width * k.vectors); }
};

// True, and the bits in `half`, if x is a half-precision number.
bool exact_half(float x, uint16_t &half);

// A value a column: value(j) for j < n, then zeros to a multiple of the wide block.
template <class Value>
Memory pack_columns(const Kernels &k, int64_t n, Value value) {
    const int64_t whole = round_up(n, k.width * k.vectors);
    Memory memory(static_cast<size_t>(whole) * sizeof(float));
    for (int64_t i = 0; i < whole; ++i) memory.as()[i] = i < n ? value(i) : 0.0f;
    return memory;
}

// A matrix of this shape: its bytes are counted, its data still to come. Looks at every weight if `may_half`.
template <class Bias>
Matrix shape_matrix(const Kernels &k, int64_t depth, int64_t columns, const float *weights, bool may_half, Bias bias) {
    Matrix m;
    m.depth = depth;
    m.columns = columns;
    m.bias = pack_columns(k, columns, bias);
    uint16_t bits = 0;
    m.half = may_half;
    for (int64_t i = 0; m.half && i < depth * columns; ++i) m.half = exact_half(weights[i], bits);
    m.bytes = round_up(depth * round_up(columns, k.width) * (m.half ? 2 : 4), 64);
    return m;
}

// Writes the weights, at(i, j) of depth i and column j, to m.bytes of memory.
template <class At>
void fill_matrix(const Kernels &k, Matrix &m, char *to, At at) {
    const int64_t wide = k.width * k.vectors;
    float *single = reinterpret_cast<float *>(to);
    uint16_t *half = reinterpret_cast<uint16_t *>(to);
    for (int64_t first = 0; first < m.columns; first += wide) {
        const int64_t end = first + (m.columns - first <= k.width ? k.width : wide);
        for (int64_t i = 0; i < m.depth; ++i)
            for (int64_t j = first; j < end; ++j) {
                const float w = j < m.columns ? at(i, j) : 0.0f;
                m.half ? static_cast<void>(exact_half(w, *half++)) : static_cast<void>(*single++ = w);
            }
    }
    m.data = to;
}

// A matrix with memory of its own, in single precision.
template <class At, class Bias>
Matrix pack_matrix(const Kernels &k, int64_t depth, int64_t columns, At at, Bias bias) {
    Matrix m = shape_matrix(k, depth, columns, nullptr, false, bias);
    m.own = Memory(static_cast<size_t>(m.bytes));
    fill_matrix(k, m, m.own.as<char>(), at);
    return m;
}

}  // namespace srvq
