"""`imprimatur keys`: API keys."""

from __future__ import annotations

import click

from api.cli.output import emit, json_option, reports_errors, service

_ROLES = ("generate", "verify", "audit", "review", "quarantine", "admin")


@click.group()
def command() -> None:
    """API keys: create, list, revoke."""


@command.command()
@click.option("--tenant", required=True, help="Who the key belongs to.")
@click.option("--name", default="", help="What the key is for.")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(_ROLES), help="May be repeated.")
@json_option
@reports_errors
def create(tenant: str, name: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Make a key and print it once; only its hash is kept."""
    with service() as opened:
        key_id, key = opened.create_key(tenant=tenant, name=name, roles=roles)
    if as_json:
        emit({"key_id": key_id, "key": key, "tenant": tenant, "roles": sorted(set(roles))})
    else:
        click.echo(key)
        click.echo("Keep it: it is not shown again.", err=True)


@command.command(name="list")
@json_option
@reports_errors
def list_keys(as_json: bool) -> None:
    """List the keys, without the keys themselves."""
    with service() as opened:
        for key in opened.keys.list():
            document = {
                "key_id": key.key_id,
                "tenant": key.tenant,
                "name": key.name,
                "roles": list(key.roles),
                "created_at": key.created_at.isoformat(),
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            }
            state = "revoked" if key.revoked_at else "active"
            line = f"{key.key_id}  {state:<8} {key.tenant}  {','.join(key.roles)}  {key.name}"
            emit(document) if as_json else click.echo(line)


@command.command()
@click.argument("key_id")
@json_option
@reports_errors
def revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key."""
    with service() as opened:
        opened.revoke_key(key_id)
    if as_json:
        emit({"revoked": key_id})
    else:
        click.echo("revoked")
