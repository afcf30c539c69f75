// A step's kernels' arguments: where each layer reads and writes.
#include "run/step.hpp"

namespace srvq {

StreamRows Step::input_rows(size_t i) const {
    const Convolution &c = plan_.convs[i];
    return {c.history.size(), request_.hops * c.spec.rate_in * c.spec.cin};
}

StreamRows Step::skip_rows(const Skip &skip) const {
    return {skip.history.size(), request_.hops * skip.rate * skip.channels};
}

char *Step::scratch_of(int64_t task) const {
    return workspace_.scratch.as<char>() + static_cast<size_t>(task) * scratch_.bytes;
}

// Where values go that convolution `next` reads; or, past the last one, the results.
Destinations Step::destinations(const Epilogue &epilogue, size_t next) const {
    Destinations out{};
    if (next < plan_.convs.size()) {
        const StreamRows rows = input_rows(next);
        out.active = input_of(next) + rows.history;
        out.active_stride = rows.stride();
        out.activation = epilogue.activation.view();
    } else if (plan_.program == Program::encode) {
        out.plain = workspace_.latents.as();
        out.plain_stride = request_.hops * plan_.out_rate() * plan_.out_channels();
    } else {
        out.plain = request_.out;
        out.plain_stride = request_.out_stride;
    }
    if (epilogue.skip >= 0) {
        const StreamRows rows = skip_rows(plan_.skips[static_cast<size_t>(epilogue.skip)]);
        out.plain = workspace_.skip(epilogue.skip) + rows.history;
        out.plain_stride = rows.stride();
    }
    return out;
}

Conv Step::arguments_of(size_t i) const {
    const Convolution &layer = plan_.convs[i];
    Conv c{};
    c.in = input_of(i);
    c.in_stride = input_rows(i).stride();
    c.row_step = layer.window.stride * layer.spec.cin;
    c.tap_step = layer.window.dilation * layer.spec.cin;
    c.taps = layer.window.taps;
    c.depth = layer.spec.cin;
    if (layer.window.dilation == 1) {  // the window is one piece
        c.depth *= c.taps;
        c.taps = 1;
    }
    c.weights = layer.matrix.data;
    c.half = layer.matrix.half;
    c.bias = layer.matrix.bias.as();
    c.columns = layer.matrix.columns;
    c.rows = request_.hops * layer.rows;
    c.edges = edges_.of(i + 1);
    if (layer.is_lstm()) {  // its results come later (recurrence.cpp)
        c.out.plain = workspace_.gates.as();
        c.out.plain_stride = c.rows * c.columns;
        return c;
    }
    if (layer.join >= 0) {
        c.scale = layer.scale.bytes() ? layer.scale.as() : nullptr;
        c.join = workspace_.skip(layer.join);
        c.join_stride = skip_rows(plan_.skips[static_cast<size_t>(layer.join)]).stride();
        if (layer.shortcut) {
            c.join = workspace_.joined.as();
            c.join_stride = c.rows * c.columns;
        }
    }
    c.out = destinations(layer.epilogue, i + 1);
    return c;
}

// What a skip becomes before convolution i adds it.
Conv Step::shortcut_of(size_t i) const {
    const Convolution &layer = plan_.convs[i];
    const Skip &skip = plan_.skips[static_cast<size_t>(layer.join)];
    Conv c{};
    c.in = workspace_.skip(layer.join);
    c.in_stride = skip_rows(skip).stride();
    c.row_step = skip.channels;
    c.taps = 1;
    c.depth = skip.channels;
    c.weights = layer.shortcut->data;
    c.bias = layer.shortcut->bias.as();
    c.columns = layer.shortcut->columns;
    c.rows = request_.hops * layer.rows;
    c.out.plain = workspace_.joined.as();
    c.out.plain_stride = c.rows * c.columns;
    return c;
}

}  // namespace srvq
