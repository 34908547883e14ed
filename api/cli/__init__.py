"""The command line. Commands load what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "generate": "Generate an image: checked, marked, signed, logged, with a receipt.",
    "verify": "Tell what can be known about the origin of images.",
    "screen": "Examine prompts with the prompt checks.",
    "inspect": "Examine images with all image checks.",
    "references": "The index of listed works: add, list, search, withdraw.",
    "credentials": "Kept manifests: stamp what was signed without a time stamp.",
    "trust": "Trust lists for verification: show, update, add.",
    "watermark": "Embed a laboratory watermark, or detect watermarks.",
    "audit": "The audit log: records, proofs, receipts, checkpoints, fsck.",
    "policy": "Policies: check, show, diff, use, list.",
    "reviews": "What a policy holds for a person: list, show, approve, reject.",
    "models": "The models that may be used: list, show, add, verify.",
    "keys": "API keys: create, list, revoke.",
    "serve": "Serve the HTTP API.",
    "demo": "The whole product in one run, on the embedded defaults.",
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used; listing the commands imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"api.cli.{cmd_name}"), "command")  # noqa: B009 - the name is fixed
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"imprimatur {version('imprimatur')}")
        ctx.exit()


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 refused or held, or a conclusion named with --fail-on;"
    " 2 wrong usage or input; 3 failure.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Imprimatur: images that were checked and documented for publication, and what is known of any image's origin."""
