"""The residual vector quantiser: each level quantises what the levels before it left over.

It behaves like ``dac.nn.quantize`` 1.0.0 in everything, including its quirks.

Knows: nearest entries by cosine, losses, quantiser dropout, the straight-through gradient. Does not know: the encoder,
the decoder, streaming.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..geometry import Activation, Layer, LayerKind, Tensors
from .layers import WNConv1d


def _pointwise(cin: int, cout: int, weight_norm: bool) -> WNConv1d:
    layer = Layer(
        kind=LayerKind.CONV, name="", tensors=Tensors("weight", "bias"), activation=Activation.NONE, cin=cin, cout=cout,
        kernel=1, stride=1, dilation=1, padding=0, right=0, delay_in=0, delay_out=0, history=0, rate_in=1, rate_out=1,
    )  # fmt: skip
    return WNConv1d(layer, weight_norm)


class VectorQuantize(nn.Module):
    """One level: project to ``codebook_dim``, take the entry with the greatest cosine, project back.

    Args:
        input_dim: channels of the latents.
        codebook_size: how many entries.
        codebook_dim: dimensions in which the nearest entry is searched.
        weight_norm: see `CodecModel`.
    """

    def __init__(self, input_dim: int, codebook_size: int, codebook_dim: int, weight_norm: bool = True) -> None:
        super().__init__()
        self.codebook_size, self.codebook_dim = codebook_size, codebook_dim
        self.in_proj = _pointwise(input_dim, codebook_dim, weight_norm)
        self.out_proj = _pointwise(codebook_dim, input_dim, weight_norm)
        self.codebook = nn.Embedding(codebook_size, codebook_dim)  # N(0, 1) at first

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Quantise ``z [B, D, T]``.

        Returns:
            ``(z_q [B, D, T], commitment_loss [B], codebook_loss [B], codes [B, T] int64, z_e [B, codebook_dim, T])``.
            Both losses are mean squared differences of ``z_e`` and the entry. The first trains the encoder, and the
            second the codebook.
        """
        z_e = self.in_proj(z)
        entry, codes = self.decode_latents(z_e)
        commitment = (z_e - entry.detach()).square().mean((1, 2))
        codebook = (entry - z_e.detach()).square().mean((1, 2))
        # Straight through: the value of the entry with the gradient of z_e. Rounded as in DAC.
        through = z_e + (entry - z_e).detach()
        return self.out_proj(through), commitment, codebook, codes, z_e

    def decode_code(self, codes: Tensor) -> Tensor:
        """Entries of ``codes [B, T]`` as ``[B, codebook_dim, T]``, not normalised."""
        return F.embedding(codes, self.codebook.weight).transpose(1, 2)

    def decode_latents(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The entries nearest to ``latents [B, codebook_dim, T]``: ``(entries, codes [B, T])``.

        Both sides are normalised first, so the smallest Euclidean distance is the greatest cosine. In a tie the lowest
        index is taken.
        """
        x = F.normalize(latents.transpose(1, 2).reshape(-1, latents.shape[1]))
        c = F.normalize(self.codebook.weight)
        # Written as |x|² − 2x·c + |c|² with DAC's order of roundings, so that near-ties are decided as there.
        distance = x.pow(2).sum(1, keepdim=True) - 2 * x @ c.t() + c.pow(2).sum(1, keepdim=True).t()
        codes = (-distance).max(1)[1].reshape(latents.shape[0], latents.shape[2])  # also of no rows
        return self.decode_code(codes), codes


class ResidualVectorQuantize(nn.Module):
    """``n_codebooks`` levels, one after the other.

    Args:
        input_dim: channels of the latents.
        n_codebooks: levels.
        codebook_size: entries of each level.
        codebook_dim: dimensions: one number, or one for each level.
        quantizer_dropout: the share of a training batch that uses a random number of levels: its first
            ``int(B · share)`` rows.
        weight_norm: see `CodecModel`.
    """

    def __init__(self, input_dim: int = 512, n_codebooks: int = 9, codebook_size: int = 1024,
                 codebook_dim: int | Sequence[int] = 8, quantizer_dropout: float = 0.0,
                 weight_norm: bool = True) -> None:  # fmt: skip
        super().__init__()
        dims = [codebook_dim] * n_codebooks if isinstance(codebook_dim, int) else list(codebook_dim)
        self.n_codebooks, self.codebook_size, self.codebook_dim = n_codebooks, codebook_size, dims
        self.quantizer_dropout = quantizer_dropout
        self.quantizers = nn.ModuleList(VectorQuantize(input_dim, codebook_size, dim, weight_norm) for dim in dims)

    def _level(self, i: int) -> VectorQuantize:
        level = self.quantizers[i]
        assert isinstance(level, VectorQuantize)
        return level

    def drawn_levels(self, rows: int, generator: torch.Generator | None = None) -> Tensor:
        """How many levels each row of a training batch uses, int64 ``[rows]`` on the CPU: quantiser dropout."""
        used = torch.full((rows,), self.n_codebooks + 1)
        drawn = torch.randint(1, self.n_codebooks + 1, (rows,), generator=generator)  # even at share 0, as DAC does
        dropped = int(rows * self.quantizer_dropout)
        used[:dropped] = drawn[:dropped]
        return used

    def forward(
        self, z: Tensor, n_quantizers: int | None = None, generator: torch.Generator | None = None,
        used: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """Quantise ``z [B, D, T]`` with the first ``n_quantizers`` levels (default and maximum: all).

        In training mode ``n_quantizers`` is ignored, as in DAC, and quantiser dropout decides instead. Every level is
        computed and its codes are returned. But a level that a row drops adds nothing to the row's output and losses.
        The numbers of levels are drawn from ``generator``, or from torch's own. ``used [B]`` gives them: then nothing
        is drawn, and no number leaves the CPU.

        Returns:
            ``(z_q [B, D, T], codes [B, N, T] int64, latents [B, N·codebook_dim, T], commitment_loss [], codebook_loss
            [])``; each loss is the sum over levels of the mean over rows, where dropped rows count as 0.

        Raises:
            InputError: ``n_quantizers`` below 1.
        """
        batch = z.shape[0]
        levels = self.n_codebooks
        if self.training:
            used = self.drawn_levels(batch, generator).to(z.device) if used is None else used
        else:
            used = torch.full((batch,), self.n_codebooks + 1, device=z.device)
        if not self.training and n_quantizers is not None:
            if n_quantizers < 1:
                raise InputError(f"n_quantizers is {n_quantizers}; wanted 1 to {self.n_codebooks}, or None for all")
            levels = min(levels, n_quantizers)

        z_q, residual = torch.zeros_like(z), z
        commitment_loss, codebook_loss = z.new_zeros(()), z.new_zeros(())
        all_codes, all_latents = [], []
        for i in range(levels):
            z_q_i, commitment, codebook, codes, z_e = self._level(i)(residual)
            keep = i < used
            z_q = z_q + z_q_i * keep[:, None, None]
            residual = residual - z_q_i
            commitment_loss = commitment_loss + (commitment * keep).mean()
            codebook_loss = codebook_loss + (codebook * keep).mean()
            all_codes.append(codes)
            all_latents.append(z_e)
        return z_q, torch.stack(all_codes, 1), torch.cat(all_latents, 1), commitment_loss, codebook_loss

    def from_codes(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The quantised latents of ``codes [B, N, T]``, N at most ``n_codebooks``: ``(z_q [B, D, T], entries
        [B, N·codebook_dim, T], codes)``. Raises `InputError` for more levels than there are.
        """
        if not 1 <= codes.shape[1] <= self.n_codebooks:
            raise InputError(f"codes have {codes.shape[1]} levels; wanted 1 to {self.n_codebooks}, as [B, levels, T]")
        entries = [self._level(i).decode_code(codes[:, i]) for i in range(codes.shape[1])]
        return self._project(entries), torch.cat(entries, 1), codes

    def from_latents(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise projected latents ``[B, N·codebook_dim, T]`` (as `forward` returns them): ``(z_q, entries,
        codes)``.

        Channels beyond the last whole level are ignored, as in DAC. Raises `InputError` if there is no whole level.
        """
        entries, all_codes, start = [], [], 0
        for i, dim in enumerate(self.codebook_dim):
            if start + dim > latents.shape[1]:
                break
            entry, codes = self._level(i).decode_latents(latents[:, start : start + dim])
            entries.append(entry)
            all_codes.append(codes)
            start += dim
        if not entries:
            raise InputError(
                f"latents have {latents.shape[1]} channels; wanted at least {self.codebook_dim[0]}, one level's"
            )
        return self._project(entries), torch.cat(entries, 1), torch.stack(all_codes, 1)

    def _project(self, entries: list[Tensor]) -> Tensor:
        z_q: Tensor = self._level(0).out_proj(entries[0])
        for i, entry in enumerate(entries[1:], 1):
            z_q = z_q + self._level(i).out_proj(entry)
        return z_q
