"""Errors of the service. Each carries what a caller needs: a stable code, an HTTP status, the parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ServiceError(Exception):
    """Root of the errors that the flows raise.

    `code` is stable and documented; `kind` is OpenAI's `error.type`; `parameter` names the offending input.
    """

    code = "internal_error"
    kind = "server_error"
    http_status = 500

    def __init__(self, message: str, *, parameter: str | None = None, record_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.parameter = parameter
        self.record_id = record_id

    def to_document(self) -> dict[str, Any]:
        """The one JSON form of an error, over HTTP (OpenAI's shape) and on the command line."""
        document: dict[str, Any] = {
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.parameter,
        }
        if self.record_id is not None:
            document["record_id"] = self.record_id
        return {"error": document}


class InvalidInputError(ServiceError):
    """The caller's input cannot be used; the message says what was expected."""

    code = "invalid_input"
    kind = "invalid_request_error"
    http_status = 400


class InvalidPromptError(InvalidInputError):
    """The prompt is empty, too long, or holds control characters."""

    code = "invalid_prompt"


class InvalidPolicyError(InvalidInputError):
    """A policy cannot come into force; the message says why, with line and field."""

    code = "invalid_policy"


class UndecodableImageError(InvalidInputError):
    """The bytes are no image of a listed format, or a damaged one."""

    code = "undecodable_image"


class ImageTooLargeError(InvalidInputError):
    """The file, its pixel count or its number of frames is above the limit."""

    code = "image_too_large"


class UnreadableSourceError(InvalidInputError):
    """A file or URL could not be read."""

    code = "unreadable_source"


class OutputNotWrittenError(ServiceError):
    """A result is there, but its file could not be written."""

    code = "output_not_written"


class NotAuthenticatedError(ServiceError):
    """No API key, or one that is unknown or revoked."""

    code = "invalid_api_key"
    kind = "invalid_request_error"
    http_status = 401

    def __init__(self, message: str, *, key_id: str | None = None) -> None:
        super().__init__(message)
        self.key_id = key_id  # of the existing key that was tried; for the log, never for the caller


class NotPermittedError(ServiceError):
    """The API key lacks the role that this call needs."""

    code = "insufficient_role"
    kind = "invalid_request_error"
    http_status = 403


class NotFoundError(ServiceError):
    """No such record, or it belongs to another tenant: the two are not told apart."""

    code = "not_found"
    kind = "invalid_request_error"
    http_status = 404


class IdempotencyConflictError(ServiceError):
    """The idempotency key was used before, for another request or for one that still runs."""

    code = "idempotency_conflict"
    kind = "invalid_request_error"
    http_status = 409


class RefusedError(ServiceError):
    """The policy refused a prompt or an image. Says stage, categories and policy, and nothing more."""

    code = "moderation_blocked"
    kind = "image_generation_user_error"
    http_status = 400
    verb = "refused"

    def __init__(
        self,
        *,
        stage: str,
        categories: Sequence[str],
        policy_id: str,
        policy_version: str,
        policy_digest: str,
        record_id: str,
    ) -> None:
        names = ", ".join(categories)
        super().__init__(
            f"{self.verb} at stage '{stage}' by policy {policy_id} {policy_version}: {names}",
            parameter="prompt" if stage == "prompt" else None,
            record_id=record_id,
        )
        self.stage = stage
        self.categories = tuple(categories)
        self.policy_id = policy_id
        self.policy_version = policy_version
        self.policy_digest = policy_digest

    def to_document(self) -> dict[str, Any]:
        """As for every error, with stage, categories and policy."""
        document = super().to_document()
        document["error"] |= {
            "stage": self.stage,
            "categories": list(self.categories),
            "policy": self.policy_id,
            "policy_version": self.policy_version,
            "policy_digest": self.policy_digest,
        }
        return document


class QuarantinedError(RefusedError):
    """The fixed core refused suspected child-abuse material; its record is kept out of every queue and report."""


class HeldError(RefusedError):
    """The policy holds the request for review by a person; its record says later what became of it."""

    code = "held_for_review"
    verb = "held for review"


class ReviewConflictError(ServiceError):
    """The held item is being decided by somebody else, was decided before, or its time has run out."""

    code = "review_conflict"
    kind = "invalid_request_error"
    http_status = 409


class LegalHoldConflictError(ServiceError):
    """What should be erased is under legal hold; nothing was erased."""

    code = "legal_hold"
    kind = "invalid_request_error"
    http_status = 409


class StampUnavailableError(ServiceError):
    """The time-stamp authority did not stamp; the checkpoint itself stands and can be stamped later."""

    code = "time_stamp_unavailable"
    http_status = 503


class BusyError(ServiceError):
    """More requests wait than the service accepts; try again after `retry_after_s` seconds."""

    code = "busy"
    kind = "server_error"
    http_status = 503

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimitedError(ServiceError):
    """One address asks too often; `retry_after_s` says when to come back."""

    code = "rate_limited"
    kind = "rate_limit_error"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueryTooLongError(InvalidInputError):
    """A value that does not fit into an address; it can be sent as a body."""

    http_status = 414


class UnsupportedMediaTypeError(InvalidInputError):
    """A body that is no image."""

    http_status = 415


class GenerationFailedError(ServiceError):
    """A step could not run, so no image left. The record says which step and why."""

    code = "generation_failed"

    def __init__(self, message: str, *, step: str, record_id: str) -> None:
        super().__init__(message, record_id=record_id)
        self.step = step


class GenerationCancelledByCallerError(GenerationFailedError):
    """The caller called the request off, or went away."""

    code = "cancelled"
    http_status = 499


class GenerationTimedOutError(GenerationFailedError):
    """The request was not done in its time, waiting included."""

    code = "timed_out"
    http_status = 504


class CheckFailureError(ServiceError):
    """A required check gave no verdict, so nothing is said of the input."""

    code = "check_failed"


class AttemptLostError(ServiceError):
    """The lease on this attempt expired and another process closed it; nothing was released."""

    code = "attempt_lost"


class UnavailableError(ServiceError):
    """The database or the object store is away. Nothing can be logged, so nothing is done."""

    code = "unavailable"
    http_status = 503


class ConfigurationError(ServiceError):
    """A setting, key file or policy is missing or wrong; the message names it."""

    code = "configuration_error"
