#include "step.hpp"

#include <algorithm>
#include <chrono>

namespace srvq {

namespace {

// Bytes of weights that are fetched before they are needed, at most: a part of a large last-level cache.
constexpr int64_t kAhead = int64_t{16} << 20;

// Bytes of weights that a core's own cache holds beside all else.
constexpr int64_t kOwnCache = int64_t{1} << 19;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Step::Step(const Kernels &k, Layers layers, const Quantizer *quantizer, Kind kind, int threads)
    : k_(k), layers_(std::move(layers)), quantizer_(quantizer), kind_(kind), threads_(threads) {
    const size_t n = layers_.convs.size();
    seconds.assign(n + 2, 1e9);
    stages_.reserve(n);
    place_.resize(n);
    cut_off_.resize(n + 1);
}

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
    started_ = now();
    ++calls;
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
    Stage stage{i, i, rows, blocks, 1, 1, rows, nullptr, nullptr};
    if (joinable(i) && rows >= 2 * tile * threads_) {
        // Each task reads all weights: where they are more than a core's own cache holds, fewer and larger ones.
        const bool large = c.matrix.bytes > kOwnCache;
        stage.last = i + 1;
        stage.row_parts = std::min(large ? std::min<int64_t>(wanted, 2 * threads_) : wanted, rows / tile);
        stage.strip = large ? rows : 4 * tile;
        return stage;
    }
    stage.block_parts = std::min(blocks, wanted);
    stage.row_parts = std::min((wanted + stage.block_parts - 1) / stage.block_parts, (rows + tile - 1) / tile);
    return stage;
}

void Step::grow() {
    if (r_.streams <= room_streams_ && r_.hops <= room_hops_) return;
    room_streams_ = std::max(room_streams_, r_.streams);
    room_hops_ = std::max(room_hops_, r_.hops);
    const auto room = [&](int64_t a_hop, int64_t tail) {
        // Streams and hops never are at their most together: their product is bounded.
        const int64_t numbers = std::min(kMost, room_streams_ * room_hops_) * a_hop + room_streams_ * tail + 64;
        return Memory(static_cast<size_t>(numbers) * sizeof(float));
    };
    for (Memory &m : buffers_) m = room(layers_.widest, layers_.longest);
    for (Memory &m : held_) m = room(layers_.widest_skip, layers_.longest_skip);
    if (quantizer_) {
        latents_ = room(quantizer_->latent(), 0);
        const int64_t a_group = quantizer_->scratch() + Quantizer::kFrames * quantizer_->levels() * (quantizer_->dim() + 2);
        scratch_ = Memory(static_cast<size_t>(kMost * a_group) * sizeof(float));
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

int64_t Step::span(size_t i) const {
    const Convolution &c = layers_.convs[i];
    return c.tail.size() + r_.hops * c.rate_in * c.cin;
}

Sinks Step::sinks_of(const After &after, int64_t next, bool last) const {
    Sinks out{};
    const size_t i = static_cast<size_t>(next);
    if (last) {
        out.plain = kind_ == Kind::encode ? latents_.as() : r_.out;
        out.plain_stride = kind_ == Kind::encode ? r_.hops * layers_.out_rate() * layers_.out_channels() : r_.out_stride;
    } else {
        out.active = input_of(i) + layers_.convs[i].tail.size();
        out.active_stride = span(i);
        out.snake = after.active.view();
    }
    if (after.held >= 0) {
        const Skip &s = layers_.skips[static_cast<size_t>(after.held)];
        out.plain = held_[after.held % 3].as() + s.tail.size();
        out.plain_stride = s.tail.size() + r_.hops * s.rate * s.channels;
    }
    return out;
}

Conv Step::conv_of(size_t i) const {
    const Convolution &layer = layers_.convs[i];
    Conv c{};
    c.in = input_of(i);
    c.in_stride = span(i);
    c.row_step = layer.stride * layer.cin;
    c.tap_step = layer.dilation * layer.cin;
    c.taps = layer.taps;
    c.depth = layer.cin;
    if (layer.dilation == 1) {  // the window is one piece
        c.depth *= c.taps;
        c.taps = 1;
    }
    c.weights = layer.matrix.data;
    c.half = layer.matrix.half;
    c.bias = layer.matrix.bias.as();
    c.columns = layer.matrix.columns;
    c.rows = r_.hops * layer.rate_out;
    if (cut_off_[i + 1]) {
        const size_t at = (i + 1) * static_cast<size_t>(room_streams_);
        c.edges = {low_.data() + at, high_.data() + at};
    }
    if (layer.join >= 0) {
        const Skip &s = layers_.skips[static_cast<size_t>(layer.join)];
        c.join = held_[layer.join % 3].as();
        c.join_stride = s.tail.size() + r_.hops * s.rate * s.channels;
    }
    c.out = sinks_of(layer.after, static_cast<int64_t>(i) + 1, i + 1 == layers_.convs.size());
    return c;
}

// ------------------------------------------------------------------ phases

int Step::phases() const { return static_cast<int>(stages_.size()) + 2; }

int Step::tasks(int phase) {
    const double time = now();
    const size_t p = static_cast<size_t>(phase), n = stages_.size();
    if (phase) {
        double &least = seconds[p == 1 ? 0 : stages_[p - 2].first + 1];
        least = std::min(least, time - started_);
    }
    started_ = time;
    if (p == 0) return static_cast<int>(r_.streams) + 1;
    if (p == n + 1) return static_cast<int>(groups()) + 1;
    return static_cast<int>(stages_[p - 1].row_parts * stages_[p - 1].block_parts) + 2;
}

void Step::done() { seconds.back() = std::min(seconds.back(), now() - started_); }

void Step::run(int phase, int task) {
    const size_t p = static_cast<size_t>(phase), n = stages_.size();
    if (p == 0) {
        task == 0 ? load_tails(0, layers_.input) : input(task - 1);
    } else if (task == 0) {  // what the phase before has left
        if (p >= 2)
            for (size_t i = stages_[p - 2].first; i <= stages_[p - 2].last; ++i) save_tails(i);
    } else if (p == n + 1) {
        finish(task - 1);
    } else if (task == 1) {  // what the next will need
        const size_t i = stages_[p - 1].last;
        if (p < n) load_tails(i + 1, layers_.convs[i].after);
    } else {
        compute(stages_[p - 1], task - 2);
    }
}

void Step::compute(const Stage &stage, int64_t task) {
    const int64_t i = task / stage.block_parts, j = task % stage.block_parts;
    Part part{stage.rows * i / stage.row_parts, stage.rows * (i + 1) / stage.row_parts, stage.blocks * j / stage.block_parts,
              stage.blocks * (j + 1) / stage.block_parts, nullptr, nullptr};
    const int64_t parts = stage.row_parts * stage.block_parts, lines = (stage.ahead_end - stage.ahead) / kAheadBytes;
    const int64_t first = lines * task / parts, count = lines * (task + 1) / parts - first;
    const Conv one = conv_of(stage.first), two = conv_of(stage.last);
    const int64_t begin = part.row0, end = part.row1, strips = std::max<int64_t>(1, (end - begin) / stage.strip);
    for (int64_t s = 0; s < strips; ++s) {
        part.row0 = begin + (end - begin) * s / strips;
        part.row1 = begin + (end - begin) * (s + 1) / strips;
        part.ahead = stage.ahead + (first + count * s / strips) * kAheadBytes;
        part.ahead_end = stage.ahead + (first + count * (s + 1) / strips) * kAheadBytes;
        k_.conv(one, part);
        if (stage.last > stage.first)
            k_.conv(two, {part.row0, part.row1, 0, layers_.convs[stage.last].matrix.blocks(k_), nullptr, nullptr});
    }
}

void Step::move(const Tail &tail, float *buffer, int64_t stride, int64_t from, bool save) {
    for (int64_t b = 0; b < r_.streams && tail.rows; ++b) {
        float *const kept = r_.states[b] + tail.offset, *const row = buffer + b * stride + from;
        save ? std::copy(row, row + tail.size(), kept) : std::copy(kept, kept + tail.size(), row);
    }
}

void Step::load_tails(size_t next, const After &after) {
    move(layers_.convs[next].tail, input_of(next), span(next), 0, false);
    if (after.held < 0) return;
    const Skip &s = layers_.skips[static_cast<size_t>(after.held)];
    const int64_t fresh = r_.hops * s.rate * s.channels;
    move(s.tail, held_[after.held % 3].as(), s.tail.size() + fresh, 0, false);
}

void Step::save_tails(size_t i) {
    const Convolution &c = layers_.convs[i];
    move(c.tail, input_of(i), span(i), span(i) - c.tail.size(), true);
    if (c.join < 0) return;
    const Skip &s = layers_.skips[static_cast<size_t>(c.join)];
    const int64_t fresh = r_.hops * s.rate * s.channels;
    move(s.tail, held_[c.join % 3].as(), s.tail.size() + fresh, fresh, true);
}

void Step::input(int64_t b) {
    const int64_t rows = r_.hops * layers_.rate;
    Spread s{};
    s.in = kind_ == Kind::decode ? latents_.as() + b * rows * layers_.channels : r_.in + b * r_.in_stride;
    if (kind_ == Kind::decode) {
        int64_t *const codes = reinterpret_cast<int64_t *>(scratch_.as()) + b * r_.levels;
        float *const room = scratch_.as() + 2 * kMost * r_.levels + b * quantizer_->scratch();
        for (int64_t f = 0; f < r_.hops; ++f) {
            for (int64_t i = 0; i < r_.levels; ++i) codes[i] = r_.codes[(b * r_.levels + i) * r_.code_stride + f];
            quantizer_->decode(codes, 1, r_.levels, latents_.as() + (b * rows + f) * layers_.channels, room);
        }
    }
    s.rows = rows;
    s.columns = layers_.channels;
    s.low = low_[static_cast<size_t>(b)];
    s.high = high_[static_cast<size_t>(b)];
    s.out = sinks_of(layers_.input, 0, false);
    s.out.active += b * s.out.active_stride;
    if (s.out.plain) s.out.plain += b * s.out.plain_stride;
    k_.spread(s);
}

// ---------------------------------------------------------------- last phase

int64_t Step::group_size() const {
    if (kind_ != Kind::encode) return r_.streams;
    const int64_t frames = r_.streams * r_.hops;
    return std::min(Quantizer::kFrames, (frames + threads_ - 1) / threads_);
}

int64_t Step::groups() const {
    if (kind_ == Kind::layers) return 0;
    if (kind_ == Kind::decode) return r_.streams;
    return (r_.streams * r_.hops + group_size() - 1) / group_size();
}

void Step::finish(int64_t group) {
    if (kind_ == Kind::decode) {
        k_.tanh(r_.out + group * r_.out_stride, r_.hops * layers_.out_rate());
        return;
    }
    const int64_t first = group * group_size(), frames = std::min(group_size(), r_.streams * r_.hops - first);
    const int64_t dim = quantizer_->dim(), width = r_.levels * dim;
    const int64_t a_group = quantizer_->scratch() + Quantizer::kFrames * quantizer_->levels() * (dim + 2);
    float *const room = scratch_.as() + group * a_group, *const inner = room + quantizer_->scratch();
    int64_t *const codes = reinterpret_cast<int64_t *>(inner + Quantizer::kFrames * quantizer_->levels() * dim);
    quantizer_->encode(latents_.as() + first * quantizer_->latent(), frames, r_.levels, codes,
                       r_.latents ? inner : nullptr, room);
    for (int64_t f = 0; f < frames; ++f) {
        const int64_t b = (first + f) / r_.hops, j = (first + f) % r_.hops;
        for (int64_t i = 0; i < r_.levels; ++i)
            r_.codes[(b * r_.levels + i) * r_.code_stride + j] = codes[i * frames + f];
        for (int64_t i = 0; r_.latents && i < width; ++i)
            r_.latents[(b * width + i) * r_.code_stride + j] = inner[f * width + i];
    }
}

// Which weights each convolution's tasks fetch into the cache for the convolutions after it. Deep layers have few rows for
// their many weights and would wait for memory; the layers before them have time to spare. All weights lie in the order of
// their use; as many are fetched as a convolution's tiles have slots for, at most kAhead bytes before they are needed.
void Step::plan_ahead() {
    const char *next = nullptr;
    for (Stage &stage : stages_) {
        const Matrix &m = layers_.convs[stage.first].matrix, &last = layers_.convs[stage.last].matrix;
        const char *const after = last.data + last.bytes, *const limit = std::min(after + kAhead, layers_.weights_end());
        next = std::max(next, after);
        const int64_t slots = stage.rows < 4 ? 0 : stage.rows * m.columns * m.depth / (4 * k_.tile * k_.width * k_.vectors);
        stage.ahead = next;
        next = std::max(next, std::min(next + slots * kAheadBytes, limit));
        stage.ahead_end = next;
    }
}

}  // namespace srvq
