"""The ledger over HTTP: C2SP tlog-tiles, and proofs and time stamps in JSON.

https://c2sp.org/tlog-tiles. What is served says that something was recorded and when, never what.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from api.boundaries import unavailable
from api.composition import Imprimatur
from api.errors import InvalidInputError, NotFoundError
from api.http.rate_limit import RateLimit
from api.http.routes import caller, services
from api.keys import Role
from audit.errors import LedgerError, ProofError, UnknownEventError
from audit.ledger.checkpoint import MAX_SIZE

CHECKPOINT_SECONDS = 5  # a shared cache may answer for so long; proofs name the checkpoint that they lead to
IMMUTABLE = "public, max-age=31536000, immutable"  # also of partial tiles: their width is in their name


def may_read(request: Request, authorization: Annotated[str | None, Header()] = None) -> None:
    """Everybody may, so often a minute, unless the house keeps its ledger to its auditors."""
    if not services(request).settings.ledger_public:
        caller(request, authorization).require(Role.AUDIT)
        return
    limit: RateLimit = request.app.state.ledger_reads
    limit.take(request.client.host if request.client else "")


router = APIRouter(prefix="/ledger", dependencies=[Depends(may_read)])

Services = Annotated[Imprimatur, Depends(services)]
Size = Annotated[int, Query(ge=0, le=MAX_SIZE)]


@router.get("/checkpoint")
def checkpoint(opened: Services) -> Response:
    """The newest checkpoint: a signed note with the ledger's size and root."""
    from audit.ledger.checkpoint import Checkpoint

    with unavailable():
        newest: Checkpoint = opened.log.latest_checkpoint() or opened.log.checkpoint()
    return Response(
        newest.note,
        media_type="text/plain; charset=utf-8",
        headers={"Cache-Control": f"public, max-age={CHECKPOINT_SECONDS}"},
    )


@router.get("/key")
def key(opened: Services) -> Response:
    """The public key that checkpoints verify with. Compare it with what you have from elsewhere."""
    return Response(f"{opened.log.public_key}\n", media_type="text/plain; charset=utf-8")


@router.get("/tile/{path:path}")
def tile(path: str, opened: Services) -> Response:
    """A tile of hashes, or with `entries/` a bundle of leaves, as C2SP tlog-tiles has it."""
    try:
        with unavailable():
            content = opened.log.tile(f"tile/{path}")
    except (LedgerError, UnknownEventError) as error:
        raise NotFoundError(str(error)) from error
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": IMMUTABLE})


@router.get("/proof/inclusion")
def inclusion(
    opened: Services,
    event: Annotated[str | None, Query(max_length=64)] = None,
    index: Annotated[int | None, Query(ge=0, le=MAX_SIZE)] = None,
    size: Annotated[int | None, Query(ge=1, le=MAX_SIZE)] = None,
) -> dict[str, Any]:
    """Proof that a leaf is in the ledger: of an `event` in the newest checkpoint, or of an `index` in any `size`."""
    if (event is None) == (index is None) or (event is not None and size is not None):
        raise InvalidInputError("give an event, or an index and perhaps a size", parameter="event")
    note = None
    try:
        with unavailable():
            if event is not None:
                found = opened.log.prove(event)
                index, leaf, proof = found.index, found.leaf, found.proof
                size, note = found.checkpoint.size, found.checkpoint.note
            elif index is not None:
                if size is None:
                    newest = opened.log.latest_checkpoint()
                    size, note = (newest.size, newest.note) if newest else (0, None)
                leaf, proof = opened.log.prove_leaf(index, size)
    except (ProofError, UnknownEventError) as error:
        raise NotFoundError(str(error)) from error
    return {"index": index, "size": size, "leaf": leaf.decode(), "proof": _encoded(proof), "checkpoint": note}


@router.get("/proof/consistency")
def consistency(
    opened: Services, old: Annotated[Size, Query(alias="from")], new: Annotated[Size | None, Query(alias="to")] = None
) -> dict[str, Any]:
    """Proof that the tree of the first `to` leaves extends that of the first `from`; without `to` the newest."""
    note = None
    try:
        with unavailable():
            if new is None:
                newest = opened.log.latest_checkpoint()
                new, note = (newest.size, newest.note) if newest else (0, None)
            proof = opened.log.consistency(old, new)
    except (ProofError, UnknownEventError) as error:
        raise NotFoundError(str(error)) from error
    return {"from": old, "to": new, "proof": _encoded(proof), "checkpoint": note}


@router.get("/stamps")
def stamps(opened: Services, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> dict[str, Any]:
    """Checkpoints that a time-stamp authority stamped, newest first; `response` is RFC 3161, in base64."""
    return {
        "stamps": [
            {
                "size": stamp.checkpoint.size,
                "time": stamp.time.isoformat(),
                "authority": stamp.authority,
                "checkpoint": stamp.checkpoint.note,
                "response": base64.b64encode(stamp.response).decode(),
            }
            for stamp in opened.checkpointing.stamps(limit=limit)
        ]
    }


def _encoded(proof: tuple[bytes, ...]) -> list[str]:
    return [base64.b64encode(entry).decode() for entry in proof]
