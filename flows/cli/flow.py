"""heatpump flow: the pipeline alone."""

from flows.cli.options import Data, MqttPort, make_private


def flow(data: Data = None, mqtt_port: MqttPort = None) -> int:
    """Run the pipeline alone, without broker and API.

    MQTT goes into the journal, through the graph, into the store. SIGTERM or Ctrl-C ends it within seconds.

    Examples:
      heatpump flow

      MQTT_BROKER=mqtt.example.org heatpump flow --data /var/lib/heatpump
    """
    from flows.child import die_with_parent, log_to_stderr

    die_with_parent()
    log_to_stderr()
    from flows.errors import StoreDamaged
    from flows.main import run
    from flows.settings import load_settings

    settings = load_settings(data=data, mqtt_port=mqtt_port)
    make_private(settings.data)
    try:
        return run(settings)
    except StoreDamaged as error:
        raise StoreDamaged(f"{error}; `heatpump rebuild` makes one from the journal") from None
