// What Python hands over: a plan's layers and its quantiser, as numbers and pointers. Part of the C interface.
//
// Knows: the fields of geometry.Layer, and weights as in DAC's state dict. Does not know: how either is packed.
#pragma once
#include <cstdint>

#include "kernels/activations.hpp"

// Kinds of layers. Python has the same list in geometry.LayerKind, in the same order, and more after it.
//   conv             a convolution
//   transposed_conv  a transposed convolution of kernel 2 · stride
//   hold             sets the running value aside at the head of a residual unit
//   join             adds it back, as late as its branch is; with weights, a convolution of one tap of it
//   lstm             one layer of an LSTM
//   norm             of each row over its channels
//   attention        of rows of q, k and v
#define SRVQ_LAYER_KINDS(X) X(conv) X(transposed_conv) X(hold) X(join) X(lstm) X(norm) X(attention)

namespace srvq {

#define SRVQ_ENUMERATOR(name) name,
enum class LayerKind : int64_t { SRVQ_LAYER_KINDS(SRVQ_ENUMERATOR) };
#undef SRVQ_ENUMERATOR

#define SRVQ_NAME(name) #name,
constexpr const char *kLayerKindNames[] = {SRVQ_LAYER_KINDS(SRVQ_NAME)};
#undef SRVQ_NAME

// Which of an engine's plans a call means. Bare layers have no quantiser; they are for tests.
enum class Program : int64_t { layers, encode, decode };
constexpr int64_t kPrograms = 3;

// What a causal convolution reads beside its input, as geometry.Padding.
enum class Padding : int64_t { zero, replicate, reflect };

struct LayerSpec {
    LayerKind kind;
    int64_t cin, cout, kernel, stride, dilation, padding, right, delay_out, history, rate_in, rate_out;
    Activation activation;               // in front of the layer
    Padding pad;                         // in the first step, and in a partial last window if fills_up
    int64_t fills_up;
    int64_t groups;         // of a transposed convolution: 1, or all of its channels
    int64_t heads, window;  // of an attention
    const float *weight, *bias, *alpha;  // alpha [cin]: the activation's parameters, or null; bias null: zeros
    const float *recurrent;              // of an LSTM: [4 · cout][cout]; its weight is [4 · cout][cin]
    const float *scale;                  // of a join: a factor a channel for its branch, or null
    const float *frequencies;            // of an attention: radians a position, for each pair of a head's channels
    double epsilon;                      // of a norm
};

// One level of the quantiser: in_weight [dim][latent], codebook [size][dim], out_weight [latent][dim]. A level of Euclidean
// distance has a codebook only, and dim is that of its chain's latents.
struct LevelSpec {
    const float *in_weight, *in_bias, *codebook, *out_weight, *out_bias;
};

// Levels that follow one another from the same latents on: in_weight [dim][latent], out_weight [latent][dim], or null.
struct ChainSpec {
    int64_t levels;
    const float *in_weight, *out_weight;
};

struct QuantizerSpec {
    const LevelSpec *levels;
    const ChainSpec *chains;  // whose levels these are, in order; null: they are one chain, without projections of its own
    int64_t chain_count;
    int64_t count, size, dim, latent;
    int64_t euclidean;  // 0: by cosine
};

struct PlanSpec {
    const LayerSpec *layers;
    int64_t count;
    int64_t masked;     // 1: symmetric padding, so values outside the signal are zeroed at every layer; 0: only at the input
    int64_t first;      // hops of a stream's first step at least, unless it is the whole signal
    int64_t tanh;       // a decoder's results go through it
    int64_t half_from;  // weights of at least this many numbers may be kept as halves where that is exact; −1: none
    const QuantizerSpec *quantizer;  // null for bare layers
};

}  // namespace srvq
