"""heatpump flow: the pipeline alone."""

from flows.cli.options import Data, MqttPort


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
    from flows.main import run
    from flows.settings import load_settings

    return run(load_settings(data=data, mqtt_port=mqtt_port))
