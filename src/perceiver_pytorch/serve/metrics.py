"""What a server counts, for Prometheus."""

from typing import Any

from perceiver_pytorch.data.errors import need

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        client: Any = need("prometheus_client", "count requests", extra="serve")
        self._client = client
        self._registry = registry = client.CollectorRegistry()
        client.ProcessCollector(registry=registry)
        self.requests = client.Counter(
            "perceiver_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self.seconds = client.Histogram(
            "perceiver_request_seconds",
            "From a request's first byte to its answer.",
            ["path"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.at_work = client.Gauge(
            "perceiver_requests_at_work", "Requests that are being answered.", registry=registry
        )
        self.rows = client.Counter("perceiver_rows", "Rows that the model answered.", registry=registry)
        self.batch_rows = client.Histogram("perceiver_batch_rows", "Rows of a batch.", registry=registry, buckets=_ROWS)
        self.batch_seconds = client.Histogram(
            "perceiver_batch_seconds", "Time of a batch in the model.", registry=registry, buckets=_SECONDS
        )

    def batch(self, rows: int, seconds: float) -> None:
        """Counts a batch."""
        self.rows.inc(rows)
        self.batch_rows.observe(rows)
        self.batch_seconds.observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """All of it, and its content type."""
        return self._client.generate_latest(self._registry), self._client.CONTENT_TYPE_LATEST
