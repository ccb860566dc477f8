"""A server made ready for us by its operator's token: set up where it is new, buckets, and tokens of our own."""

from influxdb_client.domain.authorization import Authorization
from influxdb_client.domain.onboarding_request import OnboardingRequest
from influxdb_client.domain.permission import Permission
from influxdb_client.domain.permission_resource import PermissionResource
from influxdb_client.service.setup_service import SetupService

from flows.errors import ConfigError
from flows.store.influx.buckets import prepare, wanted
from flows.store.influx.server import InfluxServer, Refused

MARK = "heat pump monitor"
"""Description of the tokens made here, by which they are found again."""


def set_up(server: InfluxServer, user: str, password: str) -> bool:
    """Make the operator's user, organisation and first bucket of a new server, with the token of its address.

    Returns False where it was set up before. Raises ConfigError where InfluxDB would refuse the password.
    """
    service = SetupService(server.client.api_client)
    with server.speaking("tell whether it is set up"):
        if not service.get_setup().allowed:
            return False
    if not 8 <= len(password) <= 72:
        raise ConfigError("INFLUXDB_PASSWORD", "…", "must have 8 to 72 characters: InfluxDB takes no other")
    address = server.address
    with server.speaking("be set up"):
        service.post_setup(
            OnboardingRequest(
                username=user,
                password=password,
                org=address.org,
                bucket=address.bucket,
                retention_period_seconds=wanted(address)[address.bucket],
                token=address.token,
            )
        )
    return True


def new_token(server: InfluxServer) -> str:
    """Make a token that may read and write the buckets of this installation, and nothing else.

    The buckets are made where they are missing. Raises RetryableStoreError: it refuses, or is away.
    """
    prepare(server)
    names = wanted(server.address)
    with server.speaking("make a token"):
        buckets = [server.client.buckets_api().find_bucket_by_name(name) for name in names]
        permissions = [
            Permission(
                action=action, resource=PermissionResource(type="buckets", id=bucket.id, org_id=bucket.org_id)
            )
            for bucket in buckets
            for action in ("read", "write")
        ]
        made = server.client.authorizations_api().create_authorization(
            authorization=Authorization(org_id=buckets[0].org_id, permissions=permissions, description=MARK)
        )
    return str(made.token)


def revoke_all_but_newest(server: InfluxServer) -> int:
    """Revoke the tokens made here but the newest one; return how many."""
    api = server.client.authorizations_api()
    with server.speaking("show its tokens"):
        ours = [each for each in api.find_authorizations(org=server.address.org) if each.description == MARK]
    old = sorted(ours, key=lambda each: str(each.created_at))[:-1]
    for each in old:
        with server.speaking("revoke a token"):
            api.delete_authorization(each)
    return len(old)


def like_operators(server: InfluxServer) -> str:
    """Make a token with the rights of the one that is in use; its own description marks it as the operator's."""
    api = server.client.authorizations_api()
    with server.speaking("make a token"):
        mine = _found(server, server.address.token)
        made = api.create_authorization(
            authorization=Authorization(
                org_id=mine.org_id, permissions=mine.permissions, description="operator of the heat pump monitor"
            )
        )
    return str(made.token)


def revoke(server: InfluxServer, token: str) -> None:
    """Revoke one token, whoever made it. Raises ConfigError: it is the one in use, or InfluxDB knows none such."""
    if token == server.address.token:
        raise ConfigError("the token to revoke", "…", "is INFLUXDB_TOKEN itself: nobody could undo that")
    with server.speaking("revoke a token"):
        server.client.authorizations_api().delete_authorization(_found(server, token))


def set_password(server: InfluxServer, user: str, password: str) -> None:
    """Give a user of InfluxDB's own pages another password. Raises ConfigError: there is no such user."""
    api = server.client.users_api()
    try:
        with server.speaking("change a password"):
            api.update_password(api.find_users(name=user).users[0], password)
    except Refused as error:
        if error.status == 404:
            raise ConfigError("INFLUXDB_USER", user, "is no user of this InfluxDB") from None
        raise


def _found(server: InfluxServer, token: str) -> Authorization:
    known: list[Authorization] = server.client.authorizations_api().find_authorizations(org=server.address.org)
    for each in known:
        if each.token == token:
            return each
    raise ConfigError("the token", "…", "is none that InfluxDB knows")
