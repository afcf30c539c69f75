// All kernels. Each takes one argument: its parameters, in the device's memory (structs.py has the same structs).
//
// Knows: which block computes what with how many threads. Does not know: arithmetic (the headers beside it).
// Parts, so that they compile side by side and each with its own options: see compile.py.
#include "attention.cuh"
#include "column.cuh"
#include "conv.cuh"
#include "edges.cuh"
#include "embed.cuh"
#include "ends.cuh"
#include "fill.cuh"
#include "lstm.cuh"
#include "move.cuh"
#include "nearest.cuh"
#include "quantise.cuh"
#include "rows.cuh"

#define NOTHING(...)
#define CONV(NAME, MORE, ...)                                                                                  \
    using Tile_##NAME = Tile<__VA_ARGS__>;                                                                     \
    KERNEL void BOUNDS(Tile_##NAME::THREADS, Tile_##NAME::BLOCKS) conv_##NAME(const Conv *c) { conv_block<Tile_##NAME, false>(*c, nullptr); }
#define CONV_MORE(NAME, MORE, ...) CONV_MORE_##MORE(NAME, __VA_ARGS__)
#define CONV_MORE_0(...)
#define CONV_MORE_1(NAME, ...)                                                                                 \
    using More_##NAME = Tile<__VA_ARGS__>;                                                                     \
    KERNEL void BOUNDS(More_##NAME::THREADS, More_##NAME::BLOCKS) conv_more_##NAME(const Scaled *c) { conv_block<More_##NAME, true>(c->conv, c->scale); }

#if defined(ONLY_LARGE_TILES) || defined(ONLY_SMALL_TILES) || defined(ONLY_LARGE_MORE) || defined(ONLY_SMALL_MORE)
#define NO_OTHERS
#endif
#if defined(ONLY_LARGE_TILES) || !(defined(NO_OTHERS) || defined(ONLY_OTHERS))
#define LARGE_TILE CONV
#else
#define LARGE_TILE NOTHING
#endif
#if defined(ONLY_SMALL_TILES) || !(defined(NO_OTHERS) || defined(ONLY_OTHERS))
#define SMALL_TILE CONV
#else
#define SMALL_TILE NOTHING
#endif
#include "tiles.inc"
#undef LARGE_TILE
#undef SMALL_TILE
#if defined(ONLY_LARGE_MORE) || !(defined(NO_OTHERS) || defined(ONLY_OTHERS))
#define LARGE_TILE CONV_MORE
#else
#define LARGE_TILE NOTHING
#endif
#if defined(ONLY_SMALL_MORE) || !(defined(NO_OTHERS) || defined(ONLY_OTHERS))
#define SMALL_TILE CONV_MORE
#else
#define SMALL_TILE NOTHING
#endif
#include "tiles.inc"
#undef LARGE_TILE
#undef SMALL_TILE

#if !defined(NO_OTHERS)
KERNEL void BOUNDS(128, 4) edges(const Edges *e) { edges_block<128>(*e); }
KERNEL void BOUNDS(256, 4) move(const Move *m) { move_block(*m); }
KERNEL void BOUNDS(256, 4) spread(const Spread *s) { spread_thread(*s); }
KERNEL void BOUNDS(256, 4) fill(const Fill *f) { fill_block(*f); }
KERNEL void BOUNDS(128, 1) column(const Column *c) { column_block<128>(*c); }
KERNEL void BOUNDS(256, 4) finish(const Finish *f) { finish_thread(*f); }
KERNEL void BOUNDS(256, 4) embed(const Embed *e) { embed_thread(*e); }
KERNEL void BOUNDS(256, 4) total(const Total *t) { total_thread(*t); }
KERNEL void BOUNDS(256, 4) norm_rows(const Norm *n) { norm_block<256>(*n); }
KERNEL void BOUNDS(256, 4) upsample(const Upsample *u) { upsample_thread(*u); }
KERNEL void BOUNDS(256, 2) rotate(const Rotate *r) { rotate_thread(*r); }
KERNEL void BOUNDS(128, 4) attend(const Attend *a) { attend_block<128, 4>(*a); }
// Eight streams a block, or one where there are few.
KERNEL void BOUNDS(128, 4) lstm_8(const Lstm *l) { lstm_block<8, 128>(*l); }
KERNEL void BOUNDS(128, 4) lstm_1(const Lstm *l) { lstm_block<1, 128>(*l); }
// Eight frames a block, or one where there are few; entries of 8 dimensions, or of any.
KERNEL void BOUNDS(256, 2) quantise_8(const Quantise *q) { quantise_block<Quantiser<8, 8, 256>>(*q); }
KERNEL void BOUNDS(256, 3) quantise_1(const Quantise *q) { quantise_block<Quantiser<1, 8, 256>>(*q); }
KERNEL void BOUNDS(256, 2) quantise_8_any(const Quantise *q) { quantise_block<Quantiser<8, 0, 256>>(*q); }
KERNEL void BOUNDS(256, 3) quantise_1_any(const Quantise *q) { quantise_block<Quantiser<1, 0, 256>>(*q); }
KERNEL void BOUNDS(256, 2) nearest_8(const Nearest *n) { nearest_block<8, 2, 256>(*n); }
KERNEL void BOUNDS(256, 2) nearest_1(const Nearest *n) { nearest_block<1, 4, 256>(*n); }
#endif
