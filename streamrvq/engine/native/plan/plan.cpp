#include "plan/plan.hpp"

#include <algorithm>
#include <stdexcept>

namespace srvq {

namespace {

constexpr double kPi = 3.14159265358979323846;

// Rows a hop that are few for the weights that have to be read for them.
constexpr int64_t kFewRows = 16;

Active snake_for(const Kernels &k, const float *alpha, int64_t channels, int64_t columns) {
    Active a;
    if (!alpha) return a;
    const auto turn = [&](int64_t i) { return static_cast<double>(alpha[i % channels]) / kPi; };
    a.any = true;
    a.turn = padded(k, columns, [&](int64_t i) { return static_cast<float>(turn(i)); });
    a.turn_low = padded(k, columns, [&](int64_t i) { return static_cast<float>(turn(i) - static_cast<float>(turn(i))); });
    a.inverse = padded(k, columns, [&](int64_t i) {
        return static_cast<float>(1.0 / (static_cast<double>(alpha[i % channels]) + 1e-9));
    });
    return a;
}

Matrix matrix_of(const Kernels &k, const LayerSpec &l, bool may_half) {
    const int64_t taps = l.kind ? 2 : l.kernel, columns = l.kind ? l.stride * l.cout : l.cout;
    return shaped(k, taps * l.cin, columns, l.weight, may_half, [&](int64_t j) { return l.bias[j % l.cout]; });
}

// Row i of the window of tap, then channel; see geometry.py for a transposed convolution as two taps, x[τ − 1] first.
void fill_matrix(const Kernels &k, const LayerSpec &l, Matrix &m, char *to) {
    if (l.kind == 0) {
        fill(k, m, to, [&](int64_t i, int64_t j) { return l.weight[(j * l.cin + i % l.cin) * l.kernel + i / l.cin]; });
    } else {
        fill(k, m, to, [&](int64_t i, int64_t j) {
            const int64_t tap = j / l.cout + (i < l.cin ? l.stride : 0);
            return l.weight[((i % l.cin) * l.cout + j % l.cout) * l.kernel + tap];
        });
    }
}

}  // namespace

int64_t Layers::Shape::length(int64_t n) const {
    if (n < 0) return -1;
    if (kind == 1) return n ? std::max<int64_t>(0, (n - 1) * stride - padding - right + kernel) : 0;
    const int64_t over = n + padding + right - ((kernel - 1) * dilation + 1);
    return over < 0 ? 0 : over / stride + 1;
}

Layers::Layers(const Kernels &k, const LayerSpec *specs, int64_t count, bool masked_, int64_t half_from)
    : channels(specs[0].cin), rate(specs[0].rate_in), masked(masked_) {
    convs.reserve(static_cast<size_t>(count));  // `made` points into it
    After *made = &input;  // what happens to the running value
    int64_t columns = channels;
    int holding = -1;
    for (int64_t i = 0; i < count; ++i) {
        const LayerSpec &l = specs[i];
        if (l.kind == 2) {
            if (holding >= 0 || made->held >= 0) throw std::invalid_argument("a residual unit inside another");
            holding = made->held = static_cast<int>(skips.size());
            skips.push_back({{}, l.rate_in, l.cin});
            widest_skip = std::max(widest_skip, l.rate_in * l.cin);
        } else if (l.kind == 3) {
            if (holding < 0 || convs.empty() || convs.back().join >= 0 || convs.back().after.held >= 0)
                throw std::invalid_argument("a join that no convolution of the same unit comes before");
            skips[static_cast<size_t>(holding)].tail = {l.tail, l.cin, state_size};
            longest_skip = std::max(longest_skip, l.tail * l.cin);
            state_size += l.tail * l.cin;
            convs.back().join = holding;
            holding = -1;
        } else {
            const bool across = l.kind == 1;
            Convolution c;
            c.per_row = across ? l.stride : 1;
            c.rate_out = l.rate_out / c.per_row;
            // Half precision saves reading and costs a conversion for every tile of rows: where there are many rows a hop,
            // and where the weights stay in a core's own cache, nothing is gained.
            const int64_t numbers = (across ? 2 * l.stride : l.kernel) * l.cin * l.cout;
            c.matrix = matrix_of(k, l, half_from >= 0 && numbers >= half_from && c.rate_out <= kFewRows);
            c.cin = l.cin;
            c.taps = across ? 2 : l.kernel;
            c.dilation = across ? 1 : l.dilation;
            c.stride = across ? 1 : l.stride;
            c.rate_in = l.rate_in;
            c.tail = {l.tail, l.cin, state_size};
            state_size += c.tail.size();
            widest = std::max(widest, l.rate_in * l.cin);
            longest = std::max(longest, c.tail.size());
            made->active = snake_for(k, l.alpha, l.cin, columns);
            shapes.push_back({l.kind, l.kernel, l.stride, l.dilation, l.padding, l.right, l.delay_out, l.rate_out});
            convs.push_back(std::move(c));
            made = &convs.back().after;
            columns = convs.back().matrix.columns;
        }
    }
    if (convs.empty() || holding >= 0) throw std::invalid_argument("no convolution, or a skip that is never joined");
    int64_t bytes = 0;
    for (const Convolution &c : convs) bytes += c.matrix.bytes;
    weights = Memory(static_cast<size_t>(bytes) + 4096);
    char *to = weights.as<char>();
    for (int64_t i = 0, j = 0; i < count; ++i) {
        if (specs[i].kind > 1) continue;
        Matrix &m = convs[static_cast<size_t>(j++)].matrix;
        fill_matrix(k, specs[i], m, to);
        to += m.bytes;
    }
}

}  // namespace srvq
