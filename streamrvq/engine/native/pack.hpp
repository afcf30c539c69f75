// Weights as the kernels read them.
#pragma once
#include "kernel.hpp"
#include "memory.hpp"

namespace srvq {

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// A matrix [depth][columns] in blocks of columns: [block][depth][width · vectors], the last block [depth][width] if that
// is enough, padded with zeros.
struct Matrix {
    Memory data;
    bool half = false;
    int64_t depth = 0, columns = 0;
    Memory bias;

    int64_t blocks(const Kernels &k) const { return (columns + k.width * k.vectors - 1) / (k.width * k.vectors); }
    int64_t item() const { return half ? 2 : 4; }
};

// at(i, j): weight of depth i, column j. Kept as half precision where that is exact for every weight and `may_half`.
template <class At, class Bias>
Matrix pack(const Kernels &k, int64_t depth, int64_t columns, bool may_half, At at, Bias bias);

// True, and the bits in `half`, if x is a half-precision number.
bool exact_half(float x, uint16_t &half);

// n values, value(i) for i < n, then zeros to a multiple of the wide block.
template <class Value>
Memory padded(const Kernels &k, int64_t n, Value value) {
    const int64_t whole = round_up(n, k.width * k.vectors);
    Memory memory(static_cast<size_t>(whole) * sizeof(float));
    for (int64_t i = 0; i < whole; ++i) memory.as()[i] = i < n ? value(i) : 0.0f;
    return memory;
}

template <class At, class Bias>
Matrix pack(const Kernels &k, int64_t depth, int64_t columns, bool may_half, At at, Bias bias) {
    Matrix m;
    m.depth = depth;
    m.columns = columns;
    m.bias = padded(k, columns, bias);
    uint16_t bits = 0;
    m.half = may_half;
    for (int64_t j = 0; m.half && j < columns; ++j)
        for (int64_t i = 0; m.half && i < depth; ++i) m.half = exact_half(at(i, j), bits);
    const int64_t wide = k.width * k.vectors;
    m.data = Memory(static_cast<size_t>(depth * round_up(columns, k.width) * m.item() + depth * wide * m.item()));
    int64_t place = 0;
    for (int64_t first = 0; first < columns; first += wide) {
        const int64_t width = columns - first <= k.width ? k.width : wide;
        for (int64_t i = 0; i < depth; ++i)
            for (int64_t j = first; j < first + width; ++j, ++place) {
                const float w = j < columns ? at(i, j) : 0.0f;
                if (m.half) {
                    exact_half(w, bits);
                    m.data.as<uint16_t>()[place] = bits;
                } else {
                    m.data.as()[place] = w;
                }
            }
    }
    return m;
}

}  // namespace srvq
