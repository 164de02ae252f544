"""Global context by self-attention: the encoder of Vaswani et al. 2017, after sine-cosine positions.

    H = x + positions
    H = H + dropout(attention(norm(H)))                                ``norm_first``; else norm(H + dropout(...))
    H = H + dropout(f(dropout(ReLU(f(norm(H))))))
    attention = f(dropout(softmax(Q K^T / sqrt(width of a head))) V)   of each head

The parameters are those of torch's own encoder, which also computes on a GPU. On a CPU, and of several networks at once
(``model.stacked``), it is written out here: each f is a convolution of one tap. Attention with dropout is computed as
above, without torch's check for rows that are masked entirely; without dropout it is torch's. Dropout's masks come from
whole numbers: one of 64 bits makes four draws.

Choices the paper leaves open
- The Transformer normalises before each sub-layer (``norm_first``) and once at the end, and adds fixed sine-cosine
  positions, so that any length can be encoded.

Shapes: B batch, L frames, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sweeper.model.convolution import convolutions, is_fast
from sweeper.model.layers import LINEAR, RELU
from sweeper.model.stacked import drawing, is_stacked, on_stacks

DRAWS = 1 << 16  # values that a draw can have


class TransformerEncoder(nn.Module):
    """Encoder layers after positions that are added, so that any length can be encoded."""

    def __init__(
        self, width: int, layers: int, heads: int, feedforward: int, dropout: float, *, norm_first: bool = True
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, C] -> [B, L, C]`` for any L."""
        x = x + sine_positions(x.shape[1], x.shape[2], x.device).to(x.dtype)
        if not (is_fast(x) or is_stacked(x)):
            return self.encoder(x)  # type: ignore[no-any-return]
        for layer in self.encoder.layers:
            if layer.norm_first:
                x = x + _attention(layer, layer.norm1(x))
                x = x + _feedforward(layer, layer.norm2(x))
            else:
                x = layer.norm1(x + _attention(layer, x))
                x = layer.norm2(x + _feedforward(layer, x))
        return self.encoder.norm(x)  # type: ignore[no-any-return,misc]


def sine_positions(length: int, width: int, device: torch.device) -> Tensor:
    """Positions of Vaswani et al. 2017, ``[length, width]``: sines in even columns, cosines in odd ones."""
    position_L1 = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)
    even_columns = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angle = position_L1 * torch.exp(even_columns * (-math.log(10_000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def _attention(layer: nn.TransformerEncoderLayer, x: Tensor) -> Tensor:
    attention: nn.MultiheadAttention = layer.self_attn
    batch, length, width = x.shape
    projected = _f(x, attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = projected.view(batch, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)  # [B, heads, L, C/heads]
    if layer.training and attention.dropout > 0:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
        y = _dropped(scores.softmax(-1), attention.dropout) @ v
    else:
        y = on_stacks(_attended, q, k, v) if is_stacked(q) else nn.functional.scaled_dot_product_attention(q, k, v)
    out = attention.out_proj
    return _dropout(layer.dropout1, _f(y.transpose(1, 2).reshape(batch, length, width), out.weight, out.bias))


def _attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Of several networks, ``[networks, B, heads, L, C / heads]``: without weights in it, they are further clips."""
    y = nn.functional.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
    return y.view(q.shape)


def _feedforward(layer: nn.TransformerEncoderLayer, x: Tensor) -> Tensor:
    hidden = _dropout(layer.dropout, _f(x, layer.linear1.weight, layer.linear1.bias, RELU))
    return _dropout(layer.dropout2, _f(hidden, layer.linear2.weight, layer.linear2.bias))


def _f(x: Tensor, weight: Tensor, bias: Tensor, slope: float = LINEAR) -> Tensor:
    """``[B, L, in] -> [B, L, out]``."""
    return convolutions(x, (weight.unsqueeze(2),), (bias,), (slope,))[0]


def _dropout(module: nn.Dropout, x: Tensor) -> Tensor:
    return _dropped(x, module.p) if module.training and module.p > 0 else x


def _dropped(x: Tensor, probability: float) -> Tensor:
    """``x`` without so many of its values, to 1/65,536, and the rest larger, so that the expectation stays."""
    kept = min(max(round((1 - probability) * DRAWS), 1), DRAWS - 1)
    mask = on_stacks(_mask, x, kept) if is_stacked(x) else _mask(x.unsqueeze(0), kept).squeeze(0)
    return x * mask


def _mask(x: Tensor, kept: int) -> Tensor:
    """For each value of each network, ``[networks, ...]``: 0, or by how much it grows."""
    each = x[0].numel()
    numbers = torch.empty(len(x), -(-each // 4), dtype=torch.int64, device=x.device)
    with drawing.get():
        numbers.random_(-(1 << 63), None)
    draws = numbers.view(torch.int16)[:, :each].reshape(x.shape)  # every value as often, from -DRAWS / 2 on
    mask = torch.empty_like(x, requires_grad=False)
    return torch.lt(draws, kept - DRAWS // 2, out=mask).mul_(DRAWS / kept)  # not by way of bool
