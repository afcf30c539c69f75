#include "run/step.hpp"

#include <algorithm>
#include <chrono>

namespace srvq {

namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Step::Step(const Kernels &k, Layers layers, const Quantizer *quantizer, Kind kind, int threads, Room &room)
    : k_(k), layers_(std::move(layers)), quantizer_(quantizer), kind_(kind), threads_(threads), room_(room) {
    const size_t n = layers_.convs.size();
    seconds.assign(n + 2, 1e9);
    stages_.reserve(n);
    place_.resize(n);
    cut_off_.resize(n + 1);
}

int64_t Step::span(size_t i) const {
    const Convolution &c = layers_.convs[i];
    return c.tail.size() + r_.hops * c.rate_in * c.cin;
}

Sinks Step::sinks_of(const After &after, int64_t next, bool last) const {
    Sinks out{};
    const size_t i = static_cast<size_t>(next);
    if (last) {
        out.plain = kind_ == Kind::encode ? room_.latents.as() : r_.out;
        out.plain_stride = kind_ == Kind::encode ? r_.hops * layers_.out_rate() * layers_.out_channels() : r_.out_stride;
    } else {
        out.active = input_of(i) + layers_.convs[i].tail.size();
        out.active_stride = span(i);
        out.snake = after.active.view();
    }
    if (after.held >= 0) {
        const Skip &s = layers_.skips[static_cast<size_t>(after.held)];
        out.plain = room_.held[after.held % 3].as() + s.tail.size();
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
        c.join = room_.held[layer.join % 3].as();
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
    return static_cast<int>(p == n + 1 ? groups() : stages_[p - 1].row_parts * stages_[p - 1].block_parts) + 2;
}

void Step::start() {
    started_ = now();
    ++calls;
}

void Step::done() { seconds.back() = std::min(seconds.back(), now() - started_); }

// Tails are moved first and last: the threads have their shares of tasks in order, and one has the one and another the other.
void Step::run(int phase, int task) {
    const size_t p = static_cast<size_t>(phase), n = stages_.size();
    if (p == 0) {
        task == 0 ? load_tails(0, layers_.input) : input(task - 1);
        return;
    }
    const Stage *stage = p <= n ? &stages_[p - 1] : nullptr;
    const int64_t parts = stage ? stage->row_parts * stage->block_parts : groups();
    if (task > parts) {  // what the phase before has left
        if (p >= 2)
            for (size_t i = stages_[p - 2].first; i <= stages_[p - 2].last; ++i) save_tails(i);
    } else if (task > 0) {
        stage ? compute(*stage, task - 1) : finish(task - 1);
    } else if (p < n) {  // what the next will need
        load_tails(stage->last + 1, layers_.convs[stage->last].after);
    }
}

void Step::compute(const Stage &stage, int64_t task) {
    const int64_t i = task / stage.block_parts, j = task % stage.block_parts;
    Part part{stage.rows * i / stage.row_parts, stage.rows * (i + 1) / stage.row_parts, stage.blocks * j / stage.block_parts,
              stage.blocks * (j + 1) / stage.block_parts, stage.large, stage.ahead};
    const int64_t unit = Ahead::kLine * stage.ahead.lines, units = (stage.ahead.end - stage.ahead.at) / unit;
    const int64_t parts = stage.row_parts * stage.block_parts;
    const int64_t first = units * task / parts, count = units * (task + 1) / parts - first;
    const Conv one = conv_of(stage.first), two = conv_of(stage.last);
    const int64_t begin = part.row0, end = part.row1, strips = std::max<int64_t>(1, (end - begin) / stage.strip);
    for (int64_t s = 0; s < strips; ++s) {
        part.row0 = begin + (end - begin) * s / strips;
        part.row1 = begin + (end - begin) * (s + 1) / strips;
        part.ahead.at = stage.ahead.at + (first + count * s / strips) * unit;
        part.ahead.end = stage.ahead.at + (first + count * (s + 1) / strips) * unit;
        k_.conv(one, part);
        if (stage.last > stage.first)
            k_.conv(two, {part.row0, part.row1, 0, layers_.convs[stage.last].matrix.blocks(k_), stage.large, {}});
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
    move(s.tail, room_.held[after.held % 3].as(), s.tail.size() + fresh, 0, false);
}

void Step::save_tails(size_t i) {
    const Convolution &c = layers_.convs[i];
    move(c.tail, input_of(i), span(i), span(i) - c.tail.size(), true);
    if (c.join < 0) return;
    const Skip &s = layers_.skips[static_cast<size_t>(c.join)];
    const int64_t fresh = r_.hops * s.rate * s.channels;
    move(s.tail, room_.held[c.join % 3].as(), s.tail.size() + fresh, fresh, true);
}

void Step::input(int64_t b) {
    const int64_t rows = r_.hops * layers_.rate;
    Spread s{};
    s.in = kind_ == Kind::decode ? room_.latents.as() + b * rows * layers_.channels : r_.in + b * r_.in_stride;
    if (kind_ == Kind::decode) {
        int64_t *const codes = reinterpret_cast<int64_t *>(room_.scratch.as()) + b * r_.levels;
        float *const room = room_.scratch.as() + 2 * kMost * r_.levels + b * quantizer_->scratch();
        for (int64_t f = 0; f < r_.hops; ++f) {
            for (int64_t i = 0; i < r_.levels; ++i) codes[i] = r_.codes[(b * r_.levels + i) * r_.code_stride + f];
            quantizer_->decode(codes, 1, r_.levels, room_.latents.as() + (b * rows + f) * layers_.channels, room);
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
    float *const room = room_.scratch.as() + group * a_group, *const inner = room + quantizer_->scratch();
    int64_t *const codes = reinterpret_cast<int64_t *>(inner + Quantizer::kFrames * quantizer_->levels() * dim);
    quantizer_->encode(room_.latents.as() + first * quantizer_->latent(), frames, r_.levels, codes,
                       r_.latents ? inner : nullptr, room);
    for (int64_t f = 0; f < frames; ++f) {
        const int64_t b = (first + f) / r_.hops, j = (first + f) % r_.hops;
        for (int64_t i = 0; i < r_.levels; ++i)
            r_.codes[(b * r_.levels + i) * r_.code_stride + j] = codes[i * frames + f];
        for (int64_t i = 0; r_.latents && i < width; ++i)
            r_.latents[(b * width + i) * r_.code_stride + j] = inner[f * width + i];
    }
}

}  // namespace srvq
