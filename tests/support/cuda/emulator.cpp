// The kernels on a CPU as a shared library: one call does all work of a recording, kernels by their names.
//
// Knows: the list of kernels. Does not know: what they compute.
#include "kernels.cu"

#include <cstring>

namespace {

struct Entry {
    const char *name;
    emulated::Kernel kernel;
};

template <class P, void (*KERNEL_OF)(const P *)> void called(const void *parameters) {
    KERNEL_OF(static_cast<const P *>(parameters));
}

#define MORE_0(NAME)
#define MORE_1(NAME) {"conv_more_" #NAME, called<Scaled, conv_more_##NAME>},
#define LARGE_TILE(NAME, MORE, ...) {"conv_" #NAME, called<Conv, conv_##NAME>}, MORE_##MORE(NAME)
#define SMALL_TILE LARGE_TILE
const Entry kEntries[] = {
#include "tiles.inc"
    {"edges", called<Edges, edges>},
    {"move", called<Move, move>},
    {"spread", called<Spread, spread>},
    {"column", called<Column, column>},
    {"finish", called<Finish, finish>},
    {"fill", called<Fill, fill>},
    {"norm_rows", called<Norm, norm_rows>},
    {"upsample", called<Upsample, upsample>},
    {"rotate", called<Rotate, rotate>},
    {"attend", called<Attend, attend>},
    {"lstm_8", called<Lstm, lstm_8>},
    {"lstm_1", called<Lstm, lstm_1>},
    {"embed", called<Embed, embed>},
    {"total", called<Total, total>},
    {"nearest_8", called<Nearest, nearest_8>},
    {"nearest_1", called<Nearest, nearest_1>},
    {"quantise_8", called<Quantise, quantise_8>},
    {"quantise_1", called<Quantise, quantise_1>},
    {"quantise_8_any", called<Quantise, quantise_8_any>},
    {"quantise_1_any", called<Quantise, quantise_1_any>},
};

struct Size {
    const char *name;
    size_t bytes;
};

#define SIZE(NAME) {#NAME, sizeof(NAME)},
const Size kSizes[] = {SIZE(Activated) SIZE(Conv) SIZE(Scaled) SIZE(Passed) SIZE(Norm) SIZE(Upsample)
                       SIZE(Rotate) SIZE(Attend) SIZE(Lstm) SIZE(Fill) SIZE(Book) SIZE(Nearest) SIZE(Total) SIZE(Column) SIZE(Spread) SIZE(Finish) SIZE(EdgeLayer) SIZE(Edges)
                       SIZE(Request) SIZE(Tail) SIZE(Move) SIZE(Level) SIZE(Quantise) SIZE(Embed)};

}  // namespace

extern "C" {

// A copy of bytes, or a kernel.
struct Item {
    const char *kernel;  // its name, or null
    void *to;
    const void *from;  // or the kernel's parameters
    size_t bytes;      // or of a block's shared memory
    uint32_t x, y, threads;
};

// Work that was asked for. It is done once, in one call, which no signal handler of Python's can come into.
struct Asked {
    const Item *items;
    uint32_t count, done;
};

// 0: done; 1 + i: item i names no kernel.
int emulate(Asked *asked) {
    if (asked->done) return 0;
    asked->done = 1;
    for (uint32_t i = 0; i < asked->count; ++i) {
        const Item &item = asked->items[i];
        if (!item.kernel) {
            std::memcpy(item.to, item.from, item.bytes);
            continue;
        }
        const Entry *found = nullptr;
        for (const Entry &entry : kEntries)
            if (std::strcmp(entry.name, item.kernel) == 0) found = &entry;
        if (!found) return 1 + static_cast<int>(i);
        emulated::launch(found->kernel, {item.x, item.y, 1}, item.threads, item.bytes, item.from);
    }
    return 0;
}

void emulate_order(int early, int downward) {
    emulated::early = early != 0;
    emulated::downward = downward != 0;
}

// Bytes of a struct of parameters, or 0.
size_t emulate_size(const char *name) {
    for (const Size &size : kSizes)
        if (std::strcmp(size.name, name) == 0) return size.bytes;
    return 0;
}

void emulate_tanh(const float *x, float *y, int64_t count) {
    for (int64_t i = 0; i < count; ++i) y[i] = tanh_of(x[i]);
}

// Numbers of geometry.Activation, but for Snake.
void emulate_activation(const float *x, float *y, int64_t count, int64_t kind) {
    for (int64_t i = 0; i < count; ++i) y[i] = activated1<true>(kind, x[i], {});
}

void emulate_snake(const float *x, float *y, int64_t count, float turn, float turn_low, float inverse) {
    for (int64_t i = 0; i < count; ++i) y[i] = snake_of(x[i], turn, turn_low, inverse);
}
}
