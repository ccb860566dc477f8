"""How each of our processes goes to the broker: where, as whom, by TLS or not. The one place that says so."""

import ssl
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt

from flows.errors import ConfigError
from flows.settings import Settings


class Login(NamedTuple):
    """Where and as whom. password "": none is sent; ca "": without TLS."""

    host: str
    port: int
    user: str
    password: str
    ca: str = ""


def login_of(settings: Settings) -> Login:
    """Read it from the settings."""
    password = settings.mqtt_password.get_secret_value()
    return Login(settings.mqtt_host, settings.mqtt_port, settings.mqtt_user, password, settings.mqtt_ca)


def enter(client: mqtt.Client, login: Login) -> None:
    """Give a client its login, before it connects. Raises ConfigError where HEATPUMP_MQTT_CA is no CA."""
    if login.password:
        client.username_pw_set(login.user, login.password)
    if login.ca:
        client.tls_set_context(tls_of(login.ca))


def leave(client: mqtt.Client) -> None:
    """Disconnect a client and end its thread.

    The thread ends by itself, too, and is forgotten then: at times between paho's look at it and its wait for it.
    """
    client.disconnect()
    with suppress(AttributeError):
        client.loop_stop()


def tls_of(ca: str) -> ssl.SSLContext:
    """Trust this CA alone, for the name that is connected to. Raises ConfigError that names HEATPUMP_MQTT_CA."""
    try:
        context = ssl.create_default_context(cafile=Path(ca))
    except OSError as error:
        is_other = isinstance(error, ssl.SSLError)
        why = "is no certificate in PEM" if is_other else f"cannot be read: {error.strerror}"
        raise ConfigError("HEATPUMP_MQTT_CA", ca, f"{why}; it must be the file of the broker's CA") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def in_words(error: OSError, login: Login) -> str:
    """Say why there is no connection; of TLS what is wrong, and with which certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrusted(error, login)
    if isinstance(error, ssl.SSLError) or (login.ca and isinstance(error, ConnectionResetError | BrokenPipeError)):
        why = (isinstance(error, ssl.SSLError) and error.reason) or error.strerror
        return f"speaks no TLS there, or none of ours ({why}): is MQTT_PORT one of TLS (8883)?"
    return str(error.strerror or error)


def _distrusted(error: ssl.SSLCertVerificationError, login: Login) -> str:
    """Tell apart what OpenSSL found; the numbers are its X509_V_ERR_."""
    if error.verify_code in (9, 10):
        when = "not valid yet" if error.verify_code == 9 else "expired"
        return f"its certificate is {when} by this machine's clock"
    if error.verify_code in (62, 63, 64):
        return f"its certificate is for another name than {login.host}: MQTT_BROKER must be one that it names"
    return f"its certificate is not of the CA in HEATPUMP_MQTT_CA, {login.ca} ({error.verify_message})"
