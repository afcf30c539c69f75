"""Residual vector quantisation step by step: every shape from samples to codes, then the same codes from a stream.

    python demos/rvq_breakdown.py

One second of real audio, 44 100 samples, goes without padding (tail="valid") through an untrained encoder of DAC's
shape, with strides 2 · 4 · 8 · 8 and 64 latent channels. Then the same samples are pushed in uneven chunks. The encoder
is torch modules, and the stream computes in float64: pip install '.[torch]'
"""

import numpy as np
from _audio import clip
from _ending import leave

import streamrvq
from streamrvq.families import encoder_plan
from streamrvq.system.optional import importing


def main() -> int:
    with importing("torch", "this demo needs torch"):
        import torch

        from streamrvq.nn import CodecModel

    SECONDS = 1
    pcm, rate = clip("guitar_and_drums.flac", seconds=SECONDS)
    codec = streamrvq.load("rvq-breakdown", dtype="float64")
    config = codec.config
    trained = "trained" if codec.trained else "untrained (seeded)"
    print(f"codec: {codec.name}, {trained} weights; {len(pcm)} samples at {rate} Hz")

    print("\n1. The encoder: each strided convolution floors")
    model = CodecModel.from_weights(codec.weights).double().eval()
    x = torch.from_numpy(pcm).double()[None, None]
    with torch.no_grad():
        for block in model.encoder.block:
            before = tuple(x.shape)
            x = block(x)
            print(f"   {type(block).__name__:13} {before!s:18} → {tuple(x.shape)}")
    plan = encoder_plan(config)
    lengths = [length for layer, length in zip(plan.layers, plan.lengths(len(pcm)), strict=True) if layer.stride > 1]
    print(f"   by arithmetic alone: {' → '.join(map(str, [len(pcm), *lengths]))}")
    latent = x
    print(f"   latent {latent.shape[1]} × {latent.shape[2]}")

    print("\n2. The quantiser: nine times, the nearest entry of what the levels before have left over")
    with torch.no_grad():
        residual = latent
        for i, quantizer in enumerate(model.quantizer.quantizers):
            z_q, _, _, index, z_e = quantizer(residual)
            residual = residual - z_q
            print(
                f"   level {i}: {latent.shape[1]} → {z_e.shape[1]} dims, codes {tuple(index[0, :5].tolist())}…, "
                f"residual rms {residual.square().mean().sqrt():.3f}"
            )

    print("\n3. The five outputs of ResidualVectorQuantize")
    with torch.no_grad():
        z, codes, latents, commitment, codebook = model.quantizer(latent)
    for name, value in (("z", z), ("codes", codes), ("latents", latents)):
        print(f"   {name:16} {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}")
    print(f"   commitment_loss  {commitment.item():.4f}\n   codebook_loss    {codebook.item():.4f}")

    print("\n4. The same codes from a stream, in chunks of every size")
    rng = np.random.default_rng(0)
    stream = codec.stream(tail="valid")
    parts, position = [], 0
    while position < len(pcm):
        size = int(np.exp(rng.uniform(0, np.log(20_000))))
        parts.append(stream.push(pcm[position : position + size]))
        position += size
        print(f"   push {min(size, len(pcm) - position + size):6d} samples → {parts[-1].shape[1]:3d} frames")
    parts.append(stream.flush())
    print(f"   flush               → {parts[-1].shape[1]:3d} frames ({codec.delay_frames} of delay were owed)")
    live = np.concatenate(parts, axis=1)
    offline = codec.encode(pcm, tail="valid")
    padded = streamrvq.Codec(codec.weights).encode(pcm)  # in float32, for only its length is looked at
    different = int((live != offline).sum()) + int((live != codes[0].numpy()).sum())
    own = tuple(codes.shape[1:])
    print(f"\nstream {live.shape}, offline {offline.shape}, the module's own {own}: {different} codes differ")
    print(f'with tail="pad" the last hop is filled up: {padded.shape[1]} frames')
    return 0 if different == 0 and padded.shape[1] == offline.shape[1] + 1 else 1


if __name__ == "__main__":
    leave(main)
