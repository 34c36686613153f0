"""One module per metric type. `TYPES` is the registry: validation, schema, docs and tests derive from it."""

from metricdef.metrics.base import Metric, Part, Problem, Reference
from metricdef.metrics.funnel import FunnelMetric
from metricdef.metrics.mean import MeanMetric
from metricdef.metrics.proportion import ProportionMetric
from metricdef.metrics.quantile import QuantileMetric
from metricdef.metrics.ratio import RatioMetric
from metricdef.metrics.retention import RetentionMetric
from metricdef.metrics.threshold import ThresholdMetric

TYPES: dict[str, type[Metric]] = {
    "mean": MeanMetric,
    "proportion": ProportionMetric,
    "threshold": ThresholdMetric,
    "retention": RetentionMetric,
    "ratio": RatioMetric,
    "funnel": FunnelMetric,
    "quantile": QuantileMetric,
}

__all__ = ["TYPES", "Metric", "Part", "Problem", "QuantileMetric", "Reference"]
