"""The second stage of every model with a frozen encoder: a strategy on condition means, or on tokens."""

from bench.models.response.config import ResponseConfig
from bench.models.response.on_means import OnMeans
from bench.models.response.on_tokens import OnTokens
from bench.models.response.strategy import Frozen, Response

__all__ = ["Frozen", "OnMeans", "OnTokens", "Response", "ResponseConfig", "response_of"]


def response_of(config: ResponseConfig) -> Response:
    """Choose the strategy that settings ask for."""
    return OnTokens(config) if config.of_tokens else OnMeans(config)
