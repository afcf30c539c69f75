#include "plan/plan.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace srvq {

namespace {

// A layer of at most so many rows a hop spends its time on reading weights, not on arithmetic.
constexpr int64_t kFewRows = 16;

// A part of a step has so many hops at most (kMaxStreamHops).
constexpr int64_t kMostFirst = 32;

// Follows the running value through the layers, and writes down what each of them is.
class Builder {
public:
    Builder(const Kernels &k, Plan &plan, const PlanSpec &spec)
        : k_(k), plan_(plan), half_from_(spec.half_from), epilogue_(&plan.input), columns_(plan.channels) {
        plan_.convs.reserve(static_cast<size_t>(spec.count));  // epilogue_ points into it
    }

    void add(const LayerSpec &l) {
        switch (l.kind) {
            case LayerKind::conv:
            case LayerKind::transposed_conv:
            case LayerKind::norm:
            case LayerKind::attention:
            case LayerKind::lstm: return convolution(l);
            case LayerKind::hold: return hold(l);
            case LayerKind::join: return join(l);
        }
        throw std::invalid_argument("layer kind " + std::to_string(static_cast<int64_t>(l.kind)) + " is unknown");
    }

    void finish() const {
        if (plan_.convs.empty() || holding_ >= 0) throw std::invalid_argument("no convolution, or a skip that is never joined");
    }

private:
    void convolution(const LayerSpec &l) {
        Convolution c;
        c.spec = l;
        // They belong to the caller.
        c.spec.weight = c.spec.bias = c.spec.alpha = c.spec.recurrent = c.spec.scale = c.spec.frequencies = nullptr;
        plan_.widest_input = std::max(plan_.widest_input, l.rate_in * l.cin);
        epilogue_->activation = pack_activation(k_, l.activation, l.alpha, l.cin, columns_);
        if (multiplies(l)) {
            product(c, l);
        } else {
            rows(c, l);
        }
        plan_.convs.push_back(std::move(c));
        epilogue_ = &plan_.convs.back().epilogue;
    }

    void product(Convolution &c, const LayerSpec &l) {
        c.window = window_of(l);
        const bool is_lstm = l.kind == LayerKind::lstm;
        c.rows = is_lstm ? l.rate_out : l.rate_out / c.window.per_row;
        // Half precision saves reading, but every tile of rows has to convert it. It does not pay for many rows a hop, nor
        // for weights that stay in a core's own cache.
        const int64_t depth = c.window.taps * l.cin, columns = c.window.per_row * l.cout;
        const bool may_half = half_from_ >= 0 && depth * columns >= half_from_ && c.rows <= kFewRows;
        const int64_t biases = is_lstm ? columns : l.cout;
        const auto bias = [&](int64_t j) { return l.bias ? l.bias[j % biases] : 0.0f; };
        c.matrix = shape_matrix(k_, depth, columns, l.weight, may_half, bias);
        if (is_lstm) {
            recur(c, l);
        } else {
            c.history = history(l, l.cin);
        }
        plan_.longest_history = std::max(plan_.longest_history, c.history.size());
        columns_ = is_lstm ? l.cout : columns;
    }

    // What is computed row by row, without a matrix, and then passed on.
    void rows(Convolution &c, const LayerSpec &l) {
        const auto copied = [](const float *from, int64_t count) {
            Memory memory(static_cast<size_t>(count) * sizeof(float));
            if (from) {
                std::copy(from, from + count, memory.as());
            } else {
                std::fill_n(memory.as(), count, 0.0f);
            }
            return memory;
        };
        // Its results would be written where the LSTM's are still to be saved (history.cpp).
        if (!plan_.convs.empty() && plan_.convs.back().is_lstm()) throw std::invalid_argument("rows right behind an LSTM");
        if (l.kind == LayerKind::norm) {
            if (!l.weight) throw std::invalid_argument("a norm needs a weight");
            c.weight = copied(l.weight, l.cin);
            c.bias = copied(l.bias, l.cin);
        } else if (l.kind == LayerKind::attention) {
            if (l.heads < 1 || l.cin != 3 * l.cout || l.cout % (2 * l.heads) || l.history != l.window - 1 || !l.frequencies)
                throw std::invalid_argument("an attention of other numbers");
            // One attention's keys are saved in the phase after it, the next one's loaded in the phase before it. Two
            // convolutions may be one phase.
            const int64_t number = static_cast<int64_t>(plan_.convs.size());
            if (attention_ >= 0 && number - attention_ < 4) throw std::invalid_argument("attentions too near each other");
            attention_ = number;
            c.frequencies = copied(l.frequencies, l.cout / l.heads / 2);
            c.memory = history(l, 2 * l.cout);
            plan_.widest_kept = std::max(plan_.widest_kept, l.rate_in * 2 * l.cout);
            plan_.longest_kept = std::max(plan_.longest_kept, c.memory.size());
            plan_.scores = std::max(plan_.scores, l.rate_in * l.heads * round_up(l.window, k_.width));
        } else {
            if (l.groups != l.cin || l.cin != l.cout || l.history != 1 || l.padding)
                throw std::invalid_argument("a transposed convolution of groups of several channels");
            c.weight = copied(l.weight, l.cin * l.kernel);
            c.bias = copied(l.bias, l.cin);
            c.history = history(l, l.cin);
            plan_.longest_history = std::max(plan_.longest_history, c.history.size());
        }
        c.rows = l.rate_out;
        columns_ = l.cout;
        passes_on(l);
    }

    void passes_on(const LayerSpec &l) {
        plan_.widest_hidden = std::max(plan_.widest_hidden, l.rate_out * l.cout);
        plan_.widest_row = std::max(plan_.widest_row, l.cout);
    }

    void recur(Convolution &c, const LayerSpec &l) {
        if (l.activation != Activation::none || !l.recurrent) throw std::invalid_argument("an LSTM without its second weight");
        c.recurrent = pack_matrix(
            k_, l.cout, 4 * l.cout, [&](int64_t i, int64_t j) { return l.recurrent[j * l.cout + i]; },
            [](int64_t) { return 0.0f; });
        c.memory = history(l, l.cout);
        if (c.memory.rows != 2) throw std::invalid_argument("an LSTM keeps two rows");
        passes_on(l);
        plan_.widest_lstm = std::max(plan_.widest_lstm, l.cout);
        plan_.lstm_rate = std::max(plan_.lstm_rate, l.rate_in);
    }

    void hold(const LayerSpec &l) {
        if (holding_ >= 0 || epilogue_->skip >= 0) throw std::invalid_argument("a residual unit inside another");
        holding_ = epilogue_->skip = static_cast<int>(plan_.skips.size());
        plan_.skips.push_back({{}, l.rate_in, l.cin});
        plan_.widest_skip = std::max(plan_.widest_skip, l.rate_in * l.cin);
    }

    void join(const LayerSpec &l) {
        if (holding_ < 0 || plan_.convs.empty() || plan_.convs.back().join >= 0 || plan_.convs.back().epilogue.skip >= 0)
            throw std::invalid_argument("a join that no convolution of the same unit comes before");
        History &kept = plan_.skips[static_cast<size_t>(holding_)].history;
        kept = history(l, l.cin);
        if (l.weight) {
            if (!l.bias) throw std::invalid_argument("a shortcut needs a bias");
            plan_.convs.back().shortcut = pack_matrix(
                k_, l.cin, l.cout, [&](int64_t i, int64_t j) { return l.weight[j * l.cin + i]; },
                [&](int64_t j) { return l.bias[j]; });
            plan_.has_shortcut = true;
        }
        plan_.longest_skip_history = std::max(plan_.longest_skip_history, kept.size());
        plan_.convs.back().join = holding_;
        if (l.scale) {
            if (!plan_.convs.back().multiplies() || plan_.convs.back().is_lstm())
                throw std::invalid_argument("only a convolution's results are scaled");
            plan_.convs.back().scale = pack_columns(k_, l.cout, [&](int64_t j) { return l.scale[j]; });
        }
        holding_ = -1;
    }

    // The layer's place in a stream's state: layer after layer.
    History history(const LayerSpec &l, int64_t channels) {
        const History h{l.history, channels, plan_.state_size};
        plan_.state_size += h.size();
        return h;
    }

    const Kernels &k_;
    Plan &plan_;
    int64_t half_from_;
    Epilogue *epilogue_;  // of the convolution that computes the running value
    int64_t columns_;     // of its rows
    int holding_ = -1;    // the skip that is not joined yet, or −1
    int64_t attention_ = -1;  // the last convolution that is an attention, or −1
};

}  // namespace

Plan::Plan(const Kernels &k, Program program_, const PlanSpec &spec)
    : program(program_), masked(spec.masked != 0), tanh(spec.tanh != 0), first(spec.first) {
    if (first < 1 || first > kMostFirst) throw std::invalid_argument("a first step of that many hops");
    if (spec.count < 1) throw std::invalid_argument("a plan needs layers");
    channels = spec.layers[0].cin;
    rate = spec.layers[0].rate_in;
    Builder builder(k, *this, spec);
    for (int64_t i = 0; i < spec.count; ++i) builder.add(spec.layers[i]);
    builder.finish();

    int64_t bytes = 0;
    for (const Convolution &c : convs) bytes += c.matrix.bytes;
    weights = Memory(static_cast<size_t>(bytes) + 4096);
    char *to = weights.as<char>();
    auto conv = convs.begin();
    for (int64_t i = 0; i < spec.count; ++i) {
        if (!computes(spec.layers[i].kind)) continue;
        if (multiplies(spec.layers[i])) fill_weights(k, spec.layers[i], conv->matrix, to);
        to += conv++->matrix.bytes;
    }

    if (program == Program::layers) return;
    if (!spec.quantizer) throw std::invalid_argument("an encoder or a decoder needs a quantiser");
    quantizer.emplace(k, program, *spec.quantizer);
    if (program == Program::encode && (out_channels() != quantizer->latent || out_rate() != 1))
        throw std::invalid_argument("an encoder must give the quantiser's latents");
    if (program == Program::decode && (channels != quantizer->latent || out_channels() != 1 || rate != 1))
        throw std::invalid_argument("a decoder must take the quantiser's latents and give one channel");
}

}  // namespace srvq
