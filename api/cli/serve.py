"""`imprimatur serve`: the HTTP API."""

from __future__ import annotations

import logging

import click

from api.cli.output import reports_errors, service


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free port.")
@reports_errors
def command(host: str, port: int) -> None:
    """Serve the HTTP API. Make a key first: imprimatur keys create --tenant NAME --role generate."""
    with service() as opened:
        import uvicorn

        from api.checkpointing import CheckpointSchedule
        from api.http import create_app
        from api.stamping import StampSchedule

        opened.warm_up()
        schedule = CheckpointSchedule(opened)
        schedule.start()
        stamps = StampSchedule(opened.credentials)
        stamps.start()
        logging.getLogger("uvicorn").setLevel(logging.INFO)
        try:
            uvicorn.run(create_app(opened), host=host, port=port, log_level="info", server_header=False)
        finally:
            stamps.close()
            schedule.close()
