"""The library that learns, which the extra ``latency`` brings."""

try:
    from river.linear_model import BayesianLinearRegression
    from river.stats import EWMean
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(f"{missing}. Run: pip install 'turnout[latency]'", name=missing.name) from None

__all__ = ["BayesianLinearRegression", "EWMean"]
