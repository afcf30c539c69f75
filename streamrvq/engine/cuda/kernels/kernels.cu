// All kernels. Each takes one argument: its parameters, in the device's memory (structs.py has the same structs).
//
// Knows: which block computes what with how many threads. Does not know: arithmetic (the headers beside it).
// Three parts, so that they compile side by side and each with its own options: see compile.py.
#include "column.cuh"
#include "conv.cuh"
#include "edges.cuh"
#include "embed.cuh"
#include "ends.cuh"
#include "move.cuh"
#include "quantise.cuh"

#define CONV(NAME, ...)                                                                                        \
    using Tile_##NAME = Tile<__VA_ARGS__>;                                                                     \
    KERNEL void BOUNDS(Tile_##NAME::THREADS, Tile_##NAME::BLOCKS) conv_##NAME(const Conv *c) { conv_block<Tile_##NAME>(*c); }
#define NOTHING(...)
#if !defined(ONLY_SMALL_TILES) && !defined(ONLY_OTHERS)
#define LARGE_TILE CONV
#else
#define LARGE_TILE NOTHING
#endif
#if !defined(ONLY_LARGE_TILES) && !defined(ONLY_OTHERS)
#define SMALL_TILE CONV
#else
#define SMALL_TILE NOTHING
#endif
#include "tiles.inc"
#undef LARGE_TILE
#undef SMALL_TILE

#if !defined(ONLY_LARGE_TILES) && !defined(ONLY_SMALL_TILES)
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
