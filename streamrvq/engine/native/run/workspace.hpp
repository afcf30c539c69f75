// The memory that a step computes in, and how it is laid out. Nothing stays in it from one step to the next.
//
// Knows: what lies where. Does not know: when it is used. Steps that never run at the same time share a workspace.
#pragma once
#include <cstddef>
#include <cstdint>

#include "plan/memory.hpp"
#include "plan/quantizer.hpp"

namespace srvq {

// A named piece of a block of memory: `count` values of T, from `offset` bytes on.
template <class T>
struct Region {
    size_t offset = 0;
    int64_t count = 0;
    T *in(char *block) const { return reinterpret_cast<T *>(block + offset); }
};

// Lays regions out one after another. Each starts on a new cache line.
class LayoutBuilder {
public:
    template <class T>
    Region<T> add(int64_t count) {
        const Region<T> region{bytes_, count};
        bytes_ += (static_cast<size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
        return region;
    }
    size_t bytes() const { return bytes_; }

private:
    static constexpr size_t kLine = 64;
    size_t bytes_ = 0;
};

// What one task of the quantiser needs, for up to `most` frames together.
class QuantizerScratch {
public:
    QuantizerScratch() = default;
    QuantizerScratch(const Quantizer &q, int64_t most) {
        LayoutBuilder layout;
        vectors = layout.add<float>(most * q.dim);
        entries = layout.add<float>(most * q.dim);
        rest = layout.add<float>(most * q.dim);
        unit = layout.add<float>(most * q.dim);
        latents = layout.add<float>(most * q.count() * q.dim);
        codes = layout.add<int64_t>(most * q.count());
        bytes = layout.bytes();
    }

    Region<float> vectors;   // [frames][dim]: what is left, projected for one level
    Region<float> entries;   // [frames][dim]: the codebook entries that were chosen
    Region<float> rest;      // [frames][dim]: what a chain's levels have left over, or what they have given
    Region<float> unit;      // [frames][dim]: vectors brought to length 1
    Region<float> latents;   // [frames][levels · dim]: every level's vectors, where they are asked for
    Region<int64_t> codes;   // [levels][frames]
    size_t bytes = 0;
};

// The rows of one stream in a buffer: its history, then what is new in this step.
struct StreamRows {
    int64_t history, fresh;  // numbers
    int64_t stride() const { return history + fresh; }
};

struct Workspace {
    // Three buffers take turns as input of a phase. The fourth is between the two convolutions of a residual unit.
    static constexpr size_t kTurns = 3, kInsideUnit = 3;

    Memory inputs[kTurns + 1];  // [stream] of StreamRows
    Memory skips[kTurns];       // [stream] of StreamRows
    Memory latents;             // [stream][hops][latent]
    Memory joined;              // [stream][rows][columns]: a skip that went through its shortcut
    Memory gates;               // [stream][rows][4 · units]: the input's part of an LSTM's gates
    Memory frame;               // [stream][4 · units]: the gates of one frame
    Memory hidden;              // [stream][1 + rows][channels]: results that are passed on; of an LSTM h, the history's first
    Memory queries;             // [stream][rows][dim][heads]
    Memory kept;                // [stream] of StreamRows: an attention's keys and values
    Memory scores;              // [stream][rows][heads][window]
    Memory scratch;             // a QuantizerScratch for each task

    float *input(size_t place) const { return inputs[place].as(); }
    float *skip(int number) const { return skips[static_cast<size_t>(number) % kTurns].as(); }
};

}  // namespace srvq
