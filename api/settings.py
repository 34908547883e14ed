"""Settings, read from environment variables with the prefix `IMPRIMATUR_`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_data_dir() -> Path:
    """Where data is kept when `IMPRIMATUR_DATA_DIR` is not set.

    For root `/var/lib/imprimatur`: the embedded PostgreSQL then runs as a user of its own, which must be able to
    reach the folder, and a home folder should not be opened for that. Otherwise the XDG data folder.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/imprimatur")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "imprimatur"


class Settings(BaseSettings):
    """Everything an operator can set. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="IMPRIMATUR_", env_ignore_empty=True, extra="forbid", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir)
    database_url: SecretStr | None = Field(None, description="PostgreSQL; unset: the embedded server.")
    owner_database_url: SecretStr | None = Field(
        None, description="Used for migrations only; unset: the role of `database_url` migrates."
    )
    database_timeout_s: int = Field(5, ge=1, description="Time to connect.")
    objects_url: str | None = Field(None, description="fsspec URL of the object store; unset: local folder.")
    policy_path: Path | None = Field(None, description="Policy file; unset: the shipped default policy.")
    terms_dir: Path | None = Field(None, description="Folder with the operator's term files; unset: none.")
    model: str = Field("emblem", description="Model used when a request names none.")
    models_dir: Path | None = Field(None, description="Folder with further model cards; unset: in the data folder.")
    tenant: str = Field("local", description="Tenant of the command line.")
    origin: str = Field("imprimatur.local/log", description="The ledger's name in its checkpoints (C2SP).")
    provider: str = Field("Imprimatur (development)", description="Provider named in disclosure fields.")
    threads: int | None = Field(None, ge=1, description="CPU threads for models; unset: all cores.")
    device: str = Field("auto", description="Where models run: auto, cpu, cuda, cuda:1, mps.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Number format of weights; auto: float16 on an accelerator, float32 on the CPU."
    )
    memory_saving: Literal["auto", "off", "slices", "offload"] = Field(
        "auto", description="What to do about short memory: auto saves when it is short."
    )
    compile_models: bool = Field(False, description="Compile denoisers with torch.compile.")
    batch_size: int = Field(4, ge=1, le=64, description="Images made together, at most.")
    generation_timeout_s: float = Field(600.0, gt=0, le=86_400, description="For a request, waiting included.")
    moderation_urls: bool = Field(False, description="Let /v1/moderations fetch images from http(s) URLs.")
    review_expiry_s: float = Field(
        259_200.0, gt=0, le=31_536_000, description="What nobody decided for this long is refused."
    )
    lease_s: float = Field(
        30.0, gt=0, le=86_400, description="An attempt without heartbeat for this long is abandoned."
    )
    queue_length: int = Field(16, ge=1, description="Requests that may wait before callers get `busy`.")
    max_upload_bytes: int = Field(64 * 1024 * 1024, ge=1)
    max_pixels: int = Field(100_000_000, ge=1)
    decode_timeout_s: float = Field(20.0, gt=0, le=3_600)
    signing_certificates: Path | None = Field(None, description="PEM chain, leaf first; unset: development CA.")
    signing_key: Path | None = Field(None, description="PEM private key of the leaf.")
    signing_key_passphrase: SecretStr | None = None
    signing_pkcs11_library: Path | None = Field(None, description="PKCS #11 module of the token that holds the key.")
    signing_pkcs11_token: str | None = Field(None, description="The token's label.")
    signing_pkcs11_pin: SecretStr | None = None
    signing_pkcs11_key: str | None = Field(None, description="The key's label; unset: found by the certificate.")
    time_stamp_url: str | None = Field(None, description="RFC 3161 authority; unset: signatures are not stamped.")
    time_stamp_required: bool = Field(False, description="Release nothing while the authority is away.")
    time_stamp_timeout_s: float = Field(5.0, gt=0, le=300)
    trust_anchors: Path | None = Field(None, description="PEM trust anchors; unset: the shipped lists.")
    time_stamp_anchors: Path | None = Field(None, description="PEM anchors of time-stamp authorities.")
    remote_manifests: bool = Field(False, description="Fetch credentials that files only point to.")
    training_mining: Literal["notAllowed", "allowed"] = "notAllowed"
    visible_label: str | None = Field(None, min_length=1, max_length=60, description="Drawn into every picture.")
    visible_label_place: Literal["top-left", "top-right", "bottom-left", "bottom-right"] = "bottom-right"
    visible_label_height: float = Field(0.05, ge=0.01, le=0.5, description="Share of the shorter side.")
    lookups_per_minute: int = Field(60, ge=1, description="Soft-binding look-ups of one address without a key.")
    report_certificates: Path | None = Field(None, description="PEM chain that signs reports; unset: development CA.")
    report_key: Path | None = Field(None, description="PEM private key of its leaf, RSA or elliptic curve.")
    report_key_passphrase: SecretStr | None = None
    report_fonts: Path | None = Field(None, description="Folder with fonts for scripts that the program has none for.")
    checkpoint_interval_s: float = Field(
        300.0, gt=0, le=86_400, description="How often a running service has the newest checkpoint stamped."
    )
    ledger_public: bool = Field(True, description="Serve checkpoints, tiles and proofs without a key.")
    ledger_reads_per_minute: int = Field(1200, ge=1, description="Reads of the ledger by one address without a key.")
    retention_path: Path | None = Field(None, description="Retention rules (YAML); unset: nothing expires.")
    image_format: Literal["png", "jpeg", "webp", "avif", "tiff"] = "png"
    url_private_addresses: bool = Field(False, description="Allow `verify URL` on private addresses (tests).")

    @field_validator("data_dir")
    @classmethod
    def _independent_of_the_working_folder(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @property
    def keys_dir(self) -> Path:
        """Folder of key files, readable by the service's user only."""
        return self.data_dir / "keys"

    @property
    def model_cards_dir(self) -> Path:
        """Folder of further model cards; it need not exist."""
        return self.models_dir or self.data_dir / "models"

    @property
    def object_store_url(self) -> str:
        """fsspec URL of the object store."""
        return self.objects_url or (self.data_dir / "objects").as_uri()
