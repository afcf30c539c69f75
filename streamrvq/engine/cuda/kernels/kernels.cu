// All kernels. Each takes one argument: its parameters, in the device's memory (structs.py has the same structs).
//
// Knows: which block computes what with how many threads. Does not know: arithmetic (the headers beside it).
// Two parts, so that they compile side by side and each with its own options: ONLY_CONVOLUTIONS, ONLY_OTHERS (compile.py).
#include "column.cuh"
#include "conv.cuh"
#include "edges.cuh"
#include "embed.cuh"
#include "ends.cuh"
#include "move.cuh"
#include "quantise.cuh"

#ifndef ONLY_OTHERS
#define TILE(NAME, ...)                                                                                        \
    using Tile_##NAME = Tile<__VA_ARGS__>;                                                                     \
    KERNEL void BOUNDS(Tile_##NAME::THREADS, Tile_##NAME::BLOCKS) conv_##NAME(const Conv *c) { conv_block<Tile_##NAME>(*c); }
#include "tiles.inc"
#undef TILE
#endif

#ifndef ONLY_CONVOLUTIONS
KERNEL void BOUNDS(128, 4) edges(const Edges *e) { edges_block<128>(*e); }
KERNEL void BOUNDS(256, 4) move(const Move *m) { move_block(*m); }
KERNEL void BOUNDS(256, 4) spread(const Spread *s) { spread_thread(*s); }
KERNEL void BOUNDS(128, 1) column(const Column *c) { column_block<128>(*c); }
KERNEL void BOUNDS(256, 4) finish(const Finish *f) { finish_thread(*f); }
KERNEL void BOUNDS(256, 4) embed(const Embed *e) { embed_thread(*e); }
// Eight frames a block, or one where there are few; entries of 8 dimensions, or of any.
KERNEL void BOUNDS(256, 2) quantise_8(const Quantise *q) { quantise_block<Quantiser<8, 8, 256>>(*q); }
KERNEL void BOUNDS(256, 3) quantise_1(const Quantise *q) { quantise_block<Quantiser<1, 8, 256>>(*q); }
KERNEL void BOUNDS(256, 2) quantise_8_any(const Quantise *q) { quantise_block<Quantiser<8, 0, 256>>(*q); }
KERNEL void BOUNDS(256, 3) quantise_1_any(const Quantise *q) { quantise_block<Quantiser<1, 0, 256>>(*q); }
#endif
