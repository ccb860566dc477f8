"""Where an InfluxDB store is. The address itself is of the model: settings make it, and know no store."""

from flows.model.influx_address import DEFAULT_BUCKET, META, InfluxAddress

__all__ = ["DEFAULT_BUCKET", "META", "InfluxAddress"]
