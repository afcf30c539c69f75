// Past inputs, between the states of streams and the buffers of a step.
//
// Knows: where each layer's past inputs lie in a state and in its buffer. Does not know: what they are.
#pragma once
#include "device.cuh"

// What changes from step to step: it lies at the beginning of what the host sends.
struct Request {
    float *states;   // [slots][state_size]
    int64_t serial;  // of the step
};

// One layer's past inputs: at the head of each stream's buffer when a step begins. What will be past then is at its end.
struct Tail {
    float *buffer;      // of stream 0
    int64_t stride;     // numbers from stream to stream
    int64_t last;       // where the last `size` numbers of a stream begin
    int64_t offset;     // in a state
    int64_t size;
};

struct Move {
    const Request *request;
    const int *slots;     // [rows]; −1: a row without a stream, which nothing is loaded or saved for
    const Tail *tails;    // [count]
    int64_t *done;        // the serial number of the last step that was saved
    int64_t state_size;
    int count, save;      // save: from the buffers to the states
};

// A block has one layer of one stream: grid (count or 1, rows).
DEVICE void move_block(const Move &m) {
    const int layer = blockIdx.x, b = blockIdx.y;
    if (m.save && layer == 0 && b == 0 && threadIdx.x == 0) *m.done = m.request->serial;
    const int slot = m.slots[b];
    if (layer >= m.count || slot < 0) return;
    const Tail t = m.tails[layer];
    float *const state = m.request->states + slot * m.state_size + t.offset;
    float *const buffer = t.buffer + b * t.stride;
    if (m.save)
        for (int64_t i = threadIdx.x; i < t.size; i += blockDim.x) state[i] = buffer[t.last + i];
    else
        for (int64_t i = threadIdx.x; i < t.size; i += blockDim.x) buffer[i] = state[i];
}
