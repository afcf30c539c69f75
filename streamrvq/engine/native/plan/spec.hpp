// What Python hands over: a plan's layers and its quantiser, as numbers and pointers. Part of the C interface.
//
// Knows: the fields of geometry.Layer, and weights as in DAC's state dict. Does not know: how either is packed.
#pragma once
#include <cstdint>

#include "kernels/activations.hpp"

// Kinds of layers. Python has the same list in geometry.LayerKind, in the same order.
//   conv             a convolution
//   transposed_conv  a transposed convolution of kernel 2 · stride
//   hold             sets the running value aside at the head of a residual unit
//   join             adds it back, as late as its branch is
#define SRVQ_LAYER_KINDS(X) X(conv) X(transposed_conv) X(hold) X(join)

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

struct LayerSpec {
    LayerKind kind;
    int64_t cin, cout, kernel, stride, dilation, padding, right, delay_out, history, rate_in, rate_out;
    Activation activation;               // in front of the layer
    const float *weight, *bias, *alpha;  // alpha [cin]: the activation's parameters, or null
};

// One level of the quantiser: in_weight [dim][latent], codebook [size][dim], out_weight [latent][dim].
struct LevelSpec {
    const float *in_weight, *in_bias, *codebook, *out_weight, *out_bias;
};

struct QuantizerSpec {
    const LevelSpec *levels;
    int64_t count, size, dim, latent;
};

struct PlanSpec {
    const LayerSpec *layers;
    int64_t count;
    int64_t masked;     // 1: symmetric padding, so values outside the signal are zeroed at every layer; 0: only at the input
    int64_t half_from;  // weights of at least this many numbers may be kept as halves where that is exact; −1: none
    const QuantizerSpec *quantizer;  // null for bare layers
};

}  // namespace srvq
