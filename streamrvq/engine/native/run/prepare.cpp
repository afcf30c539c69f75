// Before a step: room for it, where its values lie in time, how its layers are cut into tasks, what is fetched ahead.
#include <algorithm>
#if defined(__unix__)
#include <unistd.h>
#endif

#include "run/step.hpp"

namespace srvq {

namespace {

// Bytes of weights that are fetched from memory before they are needed, at most: a part of a last-level cache that they are
// not kept in. Where they are, to fetch them from there to a core's own cache gained nothing.
constexpr int64_t kAheadOfMemory = int64_t{16} << 20;

// Bytes of weights that a core's own cache holds beside all else.
constexpr int64_t kOwnCache = int64_t{1} << 19;

// Whether the last-level cache keeps this much from step to step; no, where it is not known.
bool kept_in_cache([[maybe_unused]] size_t bytes) {
#if defined(_SC_LEVEL3_CACHE_SIZE)
    static const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return cache > 0 && bytes < static_cast<size_t>(cache) / 2;
#else
    return false;
#endif
}

}  // namespace

void Step::prepare(const Request &request) {
    r_ = request;
    grow();
    edges();
    stages_.clear();
    for (size_t i = 0, turn = 0; i < layers_.convs.size(); ++turn) {
        stages_.push_back(stage_at(i));
        place_[i] = turn % 3;
        if (stages_.back().last > i) place_[++i] = 3;
        ++i;
    }
    plan_ahead();
    start();
}

// Whether convolution i + 1 can follow i strip by strip: the second of a residual unit, which has one tap.
bool Step::joinable(size_t i) const {
    if (i + 1 >= layers_.convs.size()) return false;
    const Convolution &a = layers_.convs[i], &b = layers_.convs[i + 1];
    return b.taps == 1 && b.stride == 1 && b.tail.rows == 0 && a.per_row == 1 && b.per_row == 1 && a.after.held < 0;
}

Step::Stage Step::stage_at(size_t i) const {
    const Convolution &c = layers_.convs[i];
    const int64_t rows = r_.streams * r_.hops * c.rate_out, blocks = c.matrix.blocks(k_), tile = k_.tile;
    // Tasks of a few microseconds at least, several for each thread, so that none waits long for the last.
    const int64_t work = rows * c.matrix.depth * c.matrix.columns / 200000;
    const int64_t wanted = threads_ == 1 ? 1 : std::clamp<int64_t>(work, 1, 8 * threads_);
    const bool large = c.matrix.bytes > kOwnCache;
    Stage stage{i, i, rows, blocks, 1, 1, rows, large, {}};
    // Each task of a joined pair reads all weights: where they are large, few tasks of many rows.
    const int64_t least = (large ? 16 : 2) * tile;
    if (joinable(i) && rows >= least * threads_) {
        stage.last = i + 1;
        stage.row_parts = large ? rows / least : std::min(wanted, rows / tile);
        stage.strip = large ? rows : 4 * tile;
        return stage;
    }
    stage.block_parts = std::min(blocks, wanted);
    stage.row_parts = std::min((wanted + stage.block_parts - 1) / stage.block_parts, (rows + tile - 1) / tile);
    return stage;
}

// Sees to it that all room is large enough; what failed for want of memory is tried again at the next step.
void Step::grow() {
    room_streams_ = std::max(room_streams_, r_.streams);
    room_hops_ = std::max(room_hops_, r_.hops);
    const auto least = [](Memory &m, int64_t numbers) {
        const size_t bytes = static_cast<size_t>(numbers) * sizeof(float);
        if (m.bytes() >= bytes) return;
        m = Memory();  // first, so that the two are never there at once
        m = Memory(bytes);
    };
    // Streams and hops never are at their most together: their product is bounded.
    const int64_t rows = std::min(kMost, room_streams_ * room_hops_);
    for (Memory &m : room_.buffers) least(m, rows * layers_.widest + room_streams_ * layers_.longest + 64);
    for (Memory &m : room_.held) least(m, rows * layers_.widest_skip + room_streams_ * layers_.longest_skip + 64);
    if (quantizer_) {
        least(room_.latents, rows * quantizer_->latent() + 64);
        const int64_t a_group = quantizer_->scratch() + Quantizer::kFrames * quantizer_->levels() * (quantizer_->dim() + 2);
        least(room_.scratch, kMost * a_group);
    }
    low_.resize((layers_.convs.size() + 1) * static_cast<size_t>(room_streams_));
    high_.resize(low_.size());
}

// Where each layer's values of this step lie in time: value j of a stream is output clock · rate + j − delay of its layer,
// and there are as many outputs as the offline network would have.
void Step::edges() {
    const size_t n = layers_.convs.size();
    std::fill(cut_off_.begin(), cut_off_.end(), 0);
    for (int64_t b = 0; b < r_.streams; ++b) {
        int64_t length = r_.length[b];
        for (size_t i = 0; i <= n; ++i) {
            const Layers::Shape *s = i ? &layers_.shapes[i - 1] : nullptr;
            if (s) length = s->length(length);
            const int64_t rate = s ? s->rate : layers_.rate, delay = s ? s->delay : 0, count = r_.hops * rate;
            const int64_t first = r_.clock[b] * rate - delay;
            int64_t low = 0, high = count;
            if (!i || layers_.masked) {
                low = std::clamp<int64_t>(-first, 0, count);
                if (length >= 0) high = std::clamp<int64_t>(length - first, low, count);
            }
            const int64_t channels = i ? layers_.convs[i - 1].matrix.columns / layers_.convs[i - 1].per_row : layers_.channels;
            const size_t at = i * static_cast<size_t>(room_streams_) + static_cast<size_t>(b);
            low_[at] = low * channels;
            high_[at] = high * channels;
            if (low > 0 || high < count) cut_off_[i] = 1;
        }
    }
}

// Which weights each convolution's tasks fetch into the cache for the convolutions after it. Deep layers have few rows for
// their many weights and would wait for memory; the layers before them have time to spare. All weights lie in the order of
// their use; as many are fetched as a convolution's tiles have slots for, and not too long before they are needed.
void Step::plan_ahead() {
    if (kept_in_cache(layers_.weights.bytes())) return;
    const char *next = nullptr;
    for (Stage &stage : stages_) {
        const Matrix &m = layers_.convs[stage.first].matrix, &last = layers_.convs[stage.last].matrix;
        const char *const after = last.data + last.bytes, *const limit = std::min(after + kAheadOfMemory, layers_.weights_end());
        next = std::max(next, after);
        // Four channels of a tile, of every tile of a block but the first.
        const int64_t together = std::min(stage.strip, stage.rows / stage.row_parts), free = std::max<int64_t>(0, together - k_.tile);
        const int64_t slots = stage.rows * free / together * m.columns * m.depth / (4 * k_.tile * k_.width * k_.vectors);
        const int64_t a_line = std::max<int64_t>(1, slots * Ahead::kLine), wanted = std::max<int64_t>(0, limit - next);
        const int64_t lines = std::clamp<int64_t>((wanted + a_line - 1) / a_line, 1, Ahead::kMostLines);
        stage.ahead = {next, next + std::min(wanted, slots * lines * Ahead::kLine), lines};
        next = stage.ahead.end;
    }
}

}  // namespace srvq
