"""From settings to what signs: keys, the time-stamp authority, the visible label, the trust lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from api.boundaries import configured
from api.errors import ConfigurationError
from api.settings import Settings
from provenance.manifest import TrainingMining
from provenance.signing_keys import SigningKeys

if TYPE_CHECKING:
    from provenance.signer import Signer
    from provenance.time_stamp import TimeStampAuthority
    from provenance.trust import TrustList
    from provenance.visible_label import VisibleLabel

_TRAINING_MINING_ENTRIES = ("cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining")


def signing_keys(settings: Settings, clock: Callable[[], datetime], changed: Callable[[Signer], None]) -> SigningKeys:
    """The configured signer: a PKCS #11 token, an encrypted PEM file, or else the development certificates.

    Raises `ConfigurationError`.
    """
    with configured():
        if settings.signing_pkcs11_library is not None:
            return _pkcs11(settings, clock, changed)
        if settings.signing_certificates is not None and settings.signing_key is not None:
            return _pem(settings, clock, changed)
        if settings.signing_certificates is not None or settings.signing_key is not None:
            raise ConfigurationError(
                "SIGNING_CERTIFICATES and SIGNING_KEY belong together (or SIGNING_CERTIFICATES and the"
                " SIGNING_PKCS11 settings); set both, or none for the development certificates"
            )
        return _development(settings, clock, changed)


def _development(settings: Settings, clock: Callable[[], datetime], changed: Callable[[Signer], None]) -> SigningKeys:
    from provenance.development_ca import CHAIN_FILE, KEY_FILE, development_signer

    folder = settings.keys_dir / "development-ca"
    files = [folder / "development" / name for name in (CHAIN_FILE, KEY_FILE)]
    return SigningKeys(lambda: development_signer(folder, clock), files, clock, changed=changed)


def _pem(settings: Settings, clock: Callable[[], datetime], changed: Callable[[Signer], None]) -> SigningKeys:
    from provenance.signer import PemSigner

    chain, key, secret = settings.signing_certificates, settings.signing_key, settings.signing_key_passphrase
    assert chain is not None
    assert key is not None
    password = secret.get_secret_value().encode() if secret else None
    return SigningKeys(lambda: PemSigner.load(chain, key, password=password), (chain, key), clock, changed=changed)


def _pkcs11(settings: Settings, clock: Callable[[], datetime], changed: Callable[[Signer], None]) -> SigningKeys:
    from provenance.pkcs11_signer import Pkcs11Signer

    library, token, pin = settings.signing_pkcs11_library, settings.signing_pkcs11_token, settings.signing_pkcs11_pin
    chain = settings.signing_certificates
    if library is None or token is None or pin is None or chain is None:
        raise ConfigurationError(
            "signing with a PKCS #11 token needs SIGNING_PKCS11_LIBRARY, SIGNING_PKCS11_TOKEN, SIGNING_PKCS11_PIN"
            " and SIGNING_CERTIFICATES"
        )
    return SigningKeys(
        lambda: Pkcs11Signer(library, token, pin.get_secret_value(), chain, key_label=settings.signing_pkcs11_key),
        (chain,),
        clock,
        changed=changed,
    )


def time_stamp_authority(settings: Settings, trust: Callable[[], TrustList]) -> TimeStampAuthority | None:
    """The configured authority, which must lead to an anchor for time stamps of the trust list in force."""
    from provenance.time_stamp import TimeStampAuthority

    if settings.time_stamp_url is None:
        if settings.time_stamp_required:
            raise ConfigurationError("TIME_STAMP_REQUIRED is set, but TIME_STAMP_URL is not")
        return None
    return TimeStampAuthority(
        settings.time_stamp_url,
        required=settings.time_stamp_required,
        trust_pem=lambda: trust().time_stamps_pem,
        timeout_s=settings.time_stamp_timeout_s,
    )


def first_trust_list(settings: Settings) -> TrustList:
    """The list that holds until `imprimatur trust update` brings another: the configured files, or those that ship."""
    from provenance.trust import TrustList, official_trust_list

    with configured():
        official = official_trust_list()
        if settings.trust_anchors is None and settings.time_stamp_anchors is None:
            return official
        signers, stamps = settings.trust_anchors, settings.time_stamp_anchors
        chosen = official if signers is None else TrustList.load(signers)
        anchors = tuple(one for one in chosen.anchors if one.kind == "signer")
        if stamps is None:
            anchors += tuple(one for one in official.anchors if one.kind == "time_stamp")
        else:
            anchors += tuple(replace(one, kind="time_stamp") for one in TrustList.load(stamps).anchors)
        return replace(chosen, anchors=anchors)


def visible_label(settings: Settings) -> VisibleLabel | None:
    """The label that every picture gets, if one is configured."""
    from provenance.visible_label import VisibleLabel

    if settings.visible_label is None:
        return None
    with configured():
        return VisibleLabel(settings.visible_label, settings.visible_label_place, settings.visible_label_height)


def training_mining(settings: Settings) -> TrainingMining:
    """What the credential says of training and data mining (CAWG)."""
    return tuple((entry, settings.training_mining) for entry in _TRAINING_MINING_ENTRIES)
