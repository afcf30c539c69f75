// One level of the quantiser, as both directions have it.
#pragma once
#include "device.cuh"

struct Level {
    const float *in_weight;   // [latent][dim], padded to a multiple of 4 numbers
    const float *in_bias;     // [dim]
    const float *unit;        // [size][dim]: the entries brought to length 1
    const float *codebook;    // [size][dim]
    const float *out_weight;  // [dim][latent]
    const float *out_bias;    // [latent]
};
