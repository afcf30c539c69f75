// Past inputs, between a stream's state and the buffers of a step.
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
    if (epilogue.skip < 0) return;
    const Skip &skip = plan_.skips[static_cast<size_t>(epilogue.skip)];
    load(skip.history, workspace_.skip(epilogue.skip), skip_rows(skip));
}

// What convolution i has read, and the skip that it has joined.
void Step::save_histories(size_t i) const {
    const Convolution &c = plan_.convs[i];
    save(c.history, input_of(i), input_rows(i));
    if (c.is_lstm()) save({1, c.spec.cout, c.memory.offset}, workspace_.hidden.as(), hidden_rows(c));
    if (c.join < 0) return;
    const Skip &skip = plan_.skips[static_cast<size_t>(c.join)];
    save(skip.history, workspace_.skip(c.join), skip_rows(skip));
}

}  // namespace srvq
