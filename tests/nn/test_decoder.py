"""Decoders against a written-out sum."""

import pytest
import torch

from bench.core.errors import BenchError
from bench.nn.decoder import PerGeneDecoder, SharedDecoder


def test_per_gene_decoder_reads_each_token_with_its_own_weights():
    torch.manual_seed(0)
    decoder = PerGeneDecoder(5, 3)
    torch.nn.init.normal_(decoder.bias)
    decoder.requires_grad_(False)
    tokens = torch.randn(2, 5, 3)
    expected = [[(tokens[b, g] * decoder.weight[g]).sum() + decoder.bias[g] for g in range(5)] for b in range(2)]
    torch.testing.assert_close(decoder(tokens), torch.tensor(expected))
    one = torch.randn(2, 1, 3)
    torch.testing.assert_close(decoder(one), decoder(one.expand(2, 5, 3)))
    assert sum(p.numel() for p in decoder.parameters()) == 5 * (3 + 1)


def test_zero_start_and_wrong_tokens():
    assert not PerGeneDecoder(5, 3, zero=True)(torch.randn(2, 5, 3)).any()
    with pytest.raises(BenchError, match="got 4 tokens"):
        PerGeneDecoder(5, 3)(torch.randn(2, 4, 3))


def test_shared_decoder_has_the_published_size_and_one_map():
    decoder = SharedDecoder(256)
    assert sum(p.numel() for p in decoder.parameters()) == 257
    tokens = torch.randn(2, 7, 256)
    torch.testing.assert_close(decoder(tokens)[:, 3:4], decoder(tokens[:, 3:5])[:, :1])
    assert decoder(tokens).shape == (2, 7)
    with pytest.raises(BenchError, match="one token per gene"):
        decoder(tokens[:, :1])
