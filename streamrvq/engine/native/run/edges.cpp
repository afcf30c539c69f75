#include "run/edges.hpp"

#include <algorithm>

#include "plan/layer_kinds.hpp"

namespace srvq {

// Value j of a stream is output clock · rate + j − delay of its layer. There are as many outputs as the offline network has.
void EdgeTable::compute(const Plan &plan, const Request &request) {
    const size_t layers = plan.convs.size() + 1;
    streams_ = static_cast<size_t>(request.streams);
    for (auto *const numbers : {&low_, &high_, &length_}) numbers->resize(layers * streams_);
    any_outside_.assign(layers, 0);
    for (size_t b = 0; b < streams_; ++b) {
        int64_t length = request.length[b];
        for (size_t i = 0; i < layers; ++i) {
            const LayerSpec *s = i ? &plan.convs[i - 1].spec : nullptr;
            if (s) length = output_length(*s, length);
            length_[i * streams_ + b] = length;
            const int64_t rate = s ? s->rate_out : plan.rate, delay = s ? s->delay_out : 0, count = request.hops * rate;
            const int64_t first = request.clock[b] * rate - delay;
            int64_t low = 0, high = count;
            if (!i || plan.masked) {
                low = std::clamp<int64_t>(-first, 0, count);
                if (length >= 0) high = std::clamp<int64_t>(length - first, low, count);
            }
            const int64_t channels = s ? s->cout : plan.channels;
            low_[i * streams_ + b] = low * channels;
            high_[i * streams_ + b] = high * channels;
            if (low > 0 || high < count) any_outside_[i] = 1;
        }
    }
}

Edges EdgeTable::of(size_t layer) const {
    if (!any_outside_[layer]) return {nullptr, nullptr};
    return {low_.data() + layer * streams_, high_.data() + layer * streams_};
}

}  // namespace srvq
