// The quantiser backwards: codes become latents.
//
// Knows: the levels' numbers. Does not know: layers. From +0, level by level: z = (chain from the bias) + z. A missing
// level, −1, is skipped, so that it changes no bit (native/run/quantize.cpp).
#pragma once
#include "levels.cuh"

struct Embed {
    float *z;             // [frames][latent]
    const Level *levels;
    const int *codes;     // [rows][count][hops], −1: missing
    int frames, hops;     // frames = rows · hops
    int latent, dim, count;
};

// A thread computes one number: grid (frames, channels / threads).
DEVICE void embed_thread(const Embed &e) {
    const int f = blockIdx.x, c = blockIdx.y * blockDim.x + threadIdx.x, b = f / e.hops, j = f - b * e.hops;
    if (c >= e.latent) return;
    float z = 0.0f;
    for (int l = 0; l < e.count; ++l) {
        const int code = e.codes[(b * e.count + l) * e.hops + j];
        if (code < 0) continue;
        const Level &level = e.levels[l];
        const float *const entry = level.codebook + code * e.dim;
        float acc = level.out_bias[c];
#pragma unroll 8
        for (int d = 0; d < e.dim; ++d) acc = fma_(entry[d], level.out_weight[d * e.latent + c], acc);
        z = add_(acc, z);
    }
    e.z[f * e.latent + c] = z;
}
