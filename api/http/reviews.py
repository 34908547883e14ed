"""The routes of reviewers: what a policy holds, and their decisions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.http.routes import Authenticated, Services
from api.review_store import MOST_LISTED
from api.reviews import LONGEST_REASON_CHARACTERS

router = APIRouter(prefix="/reviews")

State = Literal["waiting", "approved", "rejected", "expired", "all"]


class DecisionBody(BaseModel):
    """A reviewer's decision. `reviewer` is the person's name where several share a key; it is kept in the vault."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON_CHARACTERS)]
    reviewer: Annotated[str, Field(min_length=1, max_length=200)] | None = None


@router.get("")
def list_reviews(
    opened: Services,
    who: Authenticated,
    state: State = "waiting",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
) -> dict[str, Any]:
    """Held items of the caller's tenant, those that wait longest first."""
    items = opened.reviews.items(who, state=None if state == "all" else state, limit=limit)
    return {"reviews": [item.to_document() for item in items]}


@router.get("/{review_id}")
def show_review(review_id: str, opened: Services, who: Authenticated) -> dict[str, Any]:
    """One item with its prompt, findings and policy, and its decision once it has one."""
    return opened.reviews.show(review_id, who)


@router.get("/{review_id}/image")
def review_image(review_id: str, opened: Services, who: Authenticated) -> Response:
    """The picture that waits, unsigned. It is for the reviewer alone."""
    data, media_type = opened.reviews.image(review_id, who)
    return Response(data, media_type=media_type, headers={"Cache-Control": "no-store"})


@router.post("/{review_id}/decision")
def decide_review(review_id: str, body: DecisionBody, opened: Services, who: Authenticated) -> dict[str, Any]:
    """Approve or reject an item. What a held prompt asks for is generated after this answer."""
    if body.decision == "approve":
        return opened.reviews.approve(review_id, who, reason=body.reason, reviewer=body.reviewer, wait=False)
    return opened.reviews.reject(review_id, who, reason=body.reason, reviewer=body.reviewer)
