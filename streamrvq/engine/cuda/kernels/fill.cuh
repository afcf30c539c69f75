// What a causal convolution reads beside its input: before a signal's first row, and after its last in a partial window.
//
// Knows: the rule of geometry/, and lengths of layers (edges.cuh). Does not know: what rows hold. The same as
// native/run/history.cpp. It comes between the layer that makes the rows and the one that reads them.
#pragma once
#include "edges.cuh"

enum Padding { kZero = 0, kReplicate = 1, kReflect = 2 };

struct Fill {
    const int64_t *clock, *length;  // [rows]; length −1: open
    const EdgeLayer *layers;        // the input, and the layers behind it
    float *fresh;                   // stream 0's first new row; `history` rows lie before it
    int stride;                     // numbers from stream to stream
    int layer;                      // which of `layers` made the rows
    int rate, rows, channels;       // rows a hop, of this step, and numbers of one
    int history, step;              // the convolution's kept rows, and its stride
    int pad, fills_up;              // of Padding; whether a partial last window is filled
};

DEVICE void copy_row(const Fill &f, float *to, const float *from) {
    for (int i = threadIdx.x; i < f.channels; i += blockDim.x) to[i] = from ? from[i] : 0.0f;
}

// A block has one stream. Rows that are written are outside the signal, and none of them is read: the rows before the
// signal are mirror images of rows in it, and those behind it of such as lie in it or in the histories, after row 0.
DEVICE void fill_block(const Fill &f) {
    const int b = blockIdx.x;
    const int64_t clock = f.clock[b];
    int64_t length = f.length[b];
    if (clock != 0 && length < 0) return;
    for (int i = 0; length >= 0 && i <= f.layer; ++i) length = length_after(f.layers[i], length);
    float *const fresh = f.fresh + b * f.stride;
    if (clock == 0 && f.pad != kZero) {
        const int64_t there = length < 0 || length > f.rows ? f.rows : length;
        for (int j = 1; j <= f.history; ++j)
            copy_row(f, fresh - j * f.channels, f.pad == kReplicate ? fresh : j < there ? fresh + j * f.channels : nullptr);
    }
    const int64_t last = length - clock * f.rate;  // where the signal ends, in this step's rows
    if (!f.fills_up || length < 0 || last <= 0 || last >= f.rows) return;
    const int end = static_cast<int>(last), missing = static_cast<int>((f.step - length % f.step) % f.step);
    const bool zero = f.pad == kZero || (f.pad == kReflect && length <= f.history);
    for (int i = 0; i < missing; ++i)
        copy_row(f, fresh + (end + i) * f.channels,
                 zero ? nullptr : fresh + (f.pad == kReflect ? end - 2 - i : end - 1) * f.channels);
}
