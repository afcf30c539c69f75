// Past inputs, between a stream's state and the buffers of a step; and what a causal convolution reads beside its input, in a
// stream's first step and in a partial last window. docs/internals/adding-a-family.md has that rule. Such rows depend on rows
// that the phase before has written: so they are filled between two phases.
#include <algorithm>

#include "run/step.hpp"

namespace srvq {

// From the states to the beginning of each stream's rows.
void Step::load(const History &history, float *buffer, const StreamRows &rows) const {
    for (int64_t b = 0; b < request_.streams && history.rows; ++b) {
        const float *const kept = request_.states[b] + history.offset;
        std::copy(kept, kept + history.size(), buffer + b * rows.stride());
    }
}

// From the end of each stream's rows to the states.
void Step::save(const History &history, const float *buffer, const StreamRows &rows) const {
    for (int64_t b = 0; b < request_.streams && history.rows; ++b) {
        const float *const last = buffer + b * rows.stride() + rows.fresh;
        std::copy(last, last + history.size(), request_.states[b] + history.offset);
    }
}

// What convolution `next` will read, and the skip that its input is held for.
void Step::load_histories(size_t next, const Epilogue &epilogue) const {
    const Convolution &c = plan_.convs[next];
    load(c.history, input_of(next), input_rows(next));
    if (c.is_lstm()) load({1, c.spec.cout, c.memory.offset}, workspace_.hidden.as(), hidden_rows(c));
    if (c.spec.kind == LayerKind::attention) load(c.memory, workspace_.kept.as(), kept_rows(c));
    if (epilogue.skip < 0) return;
    const Skip &skip = plan_.skips[static_cast<size_t>(epilogue.skip)];
    load(skip.history, workspace_.skip(epilogue.skip), skip_rows(skip));
}

// What convolution i has read, and the skip that it has joined.
void Step::save_histories(size_t i) const {
    const Convolution &c = plan_.convs[i];
    save(c.history, input_of(i), input_rows(i));
    if (c.is_lstm()) save({1, c.spec.cout, c.memory.offset}, workspace_.hidden.as(), hidden_rows(c));
    if (c.spec.kind == LayerKind::attention) save(c.memory, workspace_.kept.as(), kept_rows(c));
    if (c.join < 0) return;
    const Skip &skip = plan_.skips[static_cast<size_t>(c.join)];
    save(skip.history, workspace_.skip(c.join), skip_rows(skip));
}

void Step::fill(size_t i) const {
    const LayerSpec &l = plan_.convs[i].spec;
    if (plan_.masked || l.kind != LayerKind::conv) return;
    for (int64_t b = 0; b < request_.streams; ++b) {
        float *const fresh = input_of(i) + b * input_rows(i).stride() + plan_.convs[i].history.size();
        if (request_.clock[b] == 0 && l.pad != Padding::zero) fill_start(l, fresh, edges_.length(i, b));
        if (l.fills_up) fill_end(l, fresh, edges_.length(i, b) - request_.clock[b] * l.rate_in, edges_.length(i, b));
    }
}

// Row −j: row 0, or row j, or zeros where there is no row j.
void Step::fill_start(const LayerSpec &l, float *fresh, int64_t length) const {
    const int64_t rows = request_.hops * l.rate_in, there = length < 0 ? rows : std::min(rows, length);
    for (int64_t j = 1; j <= l.history; ++j) {
        float *const to = fresh - j * l.cin;
        if (l.pad == Padding::replicate) {
            std::copy(fresh, fresh + l.cin, to);
        } else if (j < there) {
            std::copy(fresh + j * l.cin, fresh + (j + 1) * l.cin, to);
        } else {
            std::fill(to, to + l.cin, 0.0f);
        }
    }
}

// From row `end` on, where the signal ends, to the end of its window: zeros, the last row, or the mirror image.
void Step::fill_end(const LayerSpec &l, float *fresh, int64_t end, int64_t length) const {
    if (length < 0 || end <= 0 || end >= request_.hops * l.rate_in) return;  // open, or not in this step
    const int64_t missing = (l.stride - length % l.stride) % l.stride;
    for (int64_t i = 0; i < missing; ++i) {
        float *const to = fresh + (end + i) * l.cin;
        const float *const from = fresh + (l.pad == Padding::reflect ? end - 2 - i : end - 1) * l.cin;
        if (l.pad == Padding::zero || (l.pad == Padding::reflect && length <= l.history)) {
            std::fill(to, to + l.cin, 0.0f);
        } else {
            std::copy(from, from + l.cin, to);
        }
    }
}

}  // namespace srvq
