// The frames of an LSTM's layer, one after the other, after the input's part of all gates is there.
//
// Each frame is two phases: the chains of the gates go on with what h of the frame before adds, then c and h. A last phase
// passes the layer's results on.
#include <algorithm>

#include "run/step.hpp"

namespace srvq {

StreamRows Step::hidden_rows(const Convolution &c) const {
    return {c.spec.cout, request_.hops * c.spec.rate_out * c.spec.cout};
}

// Tasks of phase `part` of a stage. Of an LSTM's layer 0 is the input's part (compute), the last one passes on.
int64_t Step::tasks_of(const Stage &stage, int64_t part) const {
    const Convolution &c = plan_.convs[stage.first];
    if (!c.multiplies()) {
        const bool attends = c.spec.kind == LayerKind::attention && part == 1;
        return request_.streams * (attends ? request_.hops * c.spec.rate_in : 1);
    }
    if (part == 0) return stage.tasks();
    const bool gates = part % 2 == 1 && part + 1 < lstm_phases(c);
    return gates ? std::min<int64_t>(c.recurrent->blocks(kernels_), 4 * threads_) : request_.streams;
}

int64_t Step::lstm_phases(const Convolution &c) const { return 2 + 2 * request_.hops * c.spec.rate_out; }

void Step::recur(const Stage &stage, int64_t part, int64_t task) {
    const Convolution &c = plan_.convs[stage.first];
    if (part + 1 == lstm_phases(c)) return pass_on(stage.first, task);
    const int64_t frame = (part - 1) / 2;
    part % 2 == 1 ? add_hidden(c, frame, task, tasks_of(stage, part)) : finish_frame(c, frame, task);
}

void Step::add_hidden(const Convolution &layer, int64_t frame, int64_t task, int64_t tasks) {
    const int64_t units = layer.spec.cout, rows = request_.hops * layer.spec.rate_out;
    const int64_t blocks = layer.recurrent->blocks(kernels_);
    Conv c{};
    c.in = workspace_.hidden.as() + frame * units;
    c.in_stride = hidden_rows(layer).stride();
    c.row_step = units;
    c.taps = 1;
    c.depth = units;
    c.weights = layer.recurrent->data;
    c.bias = layer.recurrent->bias.as();
    c.start = workspace_.gates.as() + frame * 4 * units;
    c.start_stride = rows * 4 * units;
    c.columns = 4 * units;
    c.rows = 1;
    c.out.plain = workspace_.frame.as();
    c.out.plain_stride = 4 * units;
    kernels_.conv(c, {0, request_.streams, blocks * task / tasks, blocks * (task + 1) / tasks, false, {}});
}

// c is moved on where the stream keeps it.
void Step::finish_frame(const Convolution &layer, int64_t frame, int64_t b) {
    const int64_t units = layer.spec.cout;
    float *const hidden = workspace_.hidden.as() + b * hidden_rows(layer).stride() + (frame + 1) * units;
    float *const cell = request_.states[b] + layer.memory.offset + units;
    kernels_.lstm({workspace_.frame.as() + b * 4 * units, units, cell, hidden});
}

void Step::pass_on(size_t i, int64_t b) {
    const Convolution &layer = plan_.convs[i];
    const StreamRows rows = hidden_rows(layer);
    InputRows s{};
    s.in = workspace_.hidden.as() + b * rows.stride() + rows.history;
    s.rows = request_.hops * layer.spec.rate_out;
    s.columns = layer.spec.cout;
    s.high = s.rows * s.columns;
    if (layer.join >= 0) s.join = workspace_.skip(layer.join) + b * skip_rows(plan_.skips[static_cast<size_t>(layer.join)]).stride();
    s.out = destinations(layer.epilogue, i + 1);
    if (s.out.active) s.out.active += b * s.out.active_stride;
    if (s.out.plain) s.out.plain += b * s.out.plain_stride;
    kernels_.write_input(s);
}

}  // namespace srvq
