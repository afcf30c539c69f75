#include "plan/layer_kinds.hpp"

#include <algorithm>
#include <stdexcept>

namespace srvq {

bool computes(LayerKind kind) { return kind != LayerKind::hold && kind != LayerKind::join; }

bool multiplies(const LayerSpec &l) {
    switch (l.kind) {
        case LayerKind::conv:
        case LayerKind::lstm: return true;
        case LayerKind::transposed_conv: return l.groups <= 1;
        case LayerKind::norm:
        case LayerKind::attention:
        case LayerKind::hold:
        case LayerKind::join: return false;
    }
    throw std::logic_error("a kind that plan.cpp has not refused");
}

Window window_of(const LayerSpec &l) {
    switch (l.kind) {
        case LayerKind::conv: return {l.kernel, l.stride, l.dilation, 1};
        case LayerKind::transposed_conv: return {2, 1, 1, l.stride};  // x[τ − 1], then x[τ]; see geometry/
        case LayerKind::lstm: return {1, 1, 1, 4};  // the input's part of four gates
        case LayerKind::norm:
        case LayerKind::attention:
        case LayerKind::hold:
        case LayerKind::join: break;
    }
    throw std::logic_error("a layer without a window");
}

void fill_weights(const Kernels &k, const LayerSpec &l, Matrix &m, char *to) {
    switch (l.kind) {
        case LayerKind::conv:  // weight [cout][cin][kernel]
            return fill_matrix(k, m, to, [&](int64_t i, int64_t j) {
                return l.weight[(j * l.cin + i % l.cin) * l.kernel + i / l.cin];
            });
        case LayerKind::transposed_conv:  // weight [cin][cout][kernel]
            return fill_matrix(k, m, to, [&](int64_t i, int64_t j) {
                const int64_t tap = j / l.cout + (i < l.cin ? l.stride : 0);
                return l.weight[((i % l.cin) * l.cout + j % l.cout) * l.kernel + tap];
            });
        case LayerKind::lstm:  // weight [4 · cout][cin]
            return fill_matrix(k, m, to, [&](int64_t i, int64_t j) { return l.weight[j * l.cin + i]; });
        case LayerKind::norm:
        case LayerKind::attention:
        case LayerKind::hold:
        case LayerKind::join: break;
    }
    throw std::logic_error("a layer without weights");
}

int64_t output_length(const LayerSpec &l, int64_t inputs) {
    if (inputs < 0) return -1;
    switch (l.kind) {
        case LayerKind::conv: {
            const int64_t over = inputs + l.padding + l.right - ((l.kernel - 1) * l.dilation + 1);
            return over < 0 ? 0 : over / l.stride + 1;
        }
        case LayerKind::transposed_conv:
            return inputs ? std::max<int64_t>(0, (inputs - 1) * l.stride - l.padding - l.right + l.kernel) : 0;
        case LayerKind::hold:
        case LayerKind::join:
        case LayerKind::lstm:
        case LayerKind::norm:
        case LayerKind::attention: return inputs;
    }
    throw std::logic_error("a layer without a length");
}

}  // namespace srvq
