"""Requests that start from a picture, through the whole flow: what is examined, recorded, credited and kept."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from api.composition import Imprimatur
from api.errors import (
    GenerationCancelledByCallerError,
    GenerationFailedError,
    GenerationTimedOutError,
    IdempotencyConflictError,
    InvalidInputError,
    RefusedError,
)
from api.generate import GenerationResult, Order, Step
from generator.canvas import Extension
from generator.engine import Draw
from generator.errors import OutOfMemoryError
from generator.serving import Cancellation
from safety.policy import DecisionOutcome

SIDE = 512
LARGEST_CHANGE = 2
"""Levels by which a pixel outside the mask may change before the watermark."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def landscape(seed: int = 4, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(30, 226, (9, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def corner() -> NDArray[np.uint8]:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:200, :240] = 255
    return mask


@pytest.fixture
def edit(order: Order) -> Order:
    """A quick request that changes a picture as a whole."""
    return with_picture(order, "image-to-image")


def with_picture(order: Order, task: str, **changes: Any) -> Order:
    request = replace(order.request, task=task, width=None, height=None, **changes)
    mask = png(corner()) if task == "inpaint" else None
    return replace(order, request=request, image=png(landscape()), mask=mask)


def kinds(services: Imprimatur, record_id: str | None) -> list[str]:
    assert record_id is not None
    return [event.kind for event in services.log.events(record_id)]


@pytest.fixture
def unmarked(services: Imprimatur, monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.uint8]]:
    """The pictures as they were before the watermark."""
    seen: list[NDArray[np.uint8]] = []
    embed = services.marking.embed

    def watched(pixels: NDArray[np.uint8], record: Any) -> NDArray[np.uint8]:
        seen.append(pixels)
        return embed(pixels, record)

    monkeypatch.setattr(services.marking, "embed", watched)
    return seen


TASKS: dict[str, dict[str, Any]] = {
    "image-to-image": {"strength": 0.7},
    "inpaint": {},
    "outpaint": {"extend": Extension(right=96)},
    "variation": {"prompt": ""},
    "upscale": {"prompt": "", "scale": 2},
}
SIZES = {"outpaint": (SIDE + 96, SIDE), "upscale": (2 * SIDE, 2 * SIDE)}


class TestTasks:
    @pytest.mark.parametrize("task", TASKS)
    def test_every_task_ends_with_a_credited_image_and_a_record_of_its_input(
        self, services: Imprimatur, order: Order, task: str
    ) -> None:
        asked = with_picture(order, task, **TASKS[task])
        assert asked.image is not None

        image = services.generation.run(asked).images[0]

        assert image.outcome is DecisionOutcome.RELEASE
        assert image.data is not None
        with Image.open(io.BytesIO(image.data)) as opened:
            assert opened.size == SIZES.get(task, (SIDE, SIDE))
        received, released = services.log.events(image.record_id)
        for fields in (received.fields(), released.fields()):
            recorded: Any = fields["inputs"]
            assert recorded[0]["role"] == "image"
            assert recorded[0]["sha256"] == hashlib.sha256(asked.image).hexdigest()
            assert recorded[0]["fingerprint"]
            assert [one["role"] for one in recorded] == (["image", "mask"] if task == "inpaint" else ["image"])
        assert released.fields()["task"] == task
        assert released.fields()["origin"] == "altered"
        report = services.verification.verify(image.data, asked.caller)
        assert report.conclusion == "issued_here"

    def test_the_credential_says_opened_and_edited_and_lists_picture_and_mask(
        self, services: Imprimatur, order: Order
    ) -> None:
        import json

        from c2pa import Context, Reader

        data = services.generation.run(with_picture(order, "inpaint")).images[0].data
        assert data is not None
        with Reader("image/png", io.BytesIO(data), context=Context()) as reader:
            store = json.loads(reader.json())
        manifest = store["manifests"][store["active_manifest"]]

        assert {one["relationship"] for one in manifest["ingredients"]} == {"parentOf", "inputTo"}
        actions = next(one["data"]["actions"] for one in manifest["assertions"] if "c2pa.actions" in one["label"])
        assert [action["action"] for action in actions][:2] == ["c2pa.opened", "c2pa.edited"]
        assert actions[1]["digitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")

    def test_the_input_itself_is_not_kept(self, services: Imprimatur, edit: Order) -> None:
        assert edit.image is not None
        result = services.generation.run(edit)
        for event in services.log.events(result.record_id):
            stored: Any = event.fields().get("objects") or ()
            assert hashlib.sha256(edit.image).hexdigest() not in {one["sha256"] for one in stored}

    def test_several_images_of_one_picture_have_records_under_one_parent(
        self, services: Imprimatur, edit: Order
    ) -> None:
        result = services.generation.run(replace(edit, request=replace(edit.request, count=3)))

        assert [image.seed for image in result.images] == [11, 12, 13]
        assert {services.records.get(one.record_id).parent_id for one in result.images} == {result.record_id}

    def test_steps_are_told_in_their_order(self, services: Imprimatur, edit: Order) -> None:
        seen: list[Step] = []
        services.generation.run(edit, observe=seen.append)
        assert seen == list(Step)


class TestWhatIsTouched:
    def test_outside_the_mask_nothing_changes_and_inside_it_much(
        self, services: Imprimatur, order: Order, unmarked: list[NDArray[np.uint8]]
    ) -> None:
        services.generation.run(with_picture(order, "inpaint", prompt="a yellow star on a purple background"))

        change = np.abs(unmarked[0].astype(int) - landscape()).max(axis=2)
        assert change[corner() == 0].max() <= LARGEST_CHANGE
        assert np.median(change[corner() == 255]) > 10

    def test_an_extended_picture_holds_the_picture_unchanged(
        self, services: Imprimatur, order: Order, unmarked: list[NDArray[np.uint8]]
    ) -> None:
        services.generation.run(with_picture(order, "outpaint", extend=Extension(left=64, bottom=32)))

        inner = unmarked[0][:SIDE, 64:]
        assert np.abs(inner.astype(int) - landscape()).max() <= LARGEST_CHANGE
        repeated = np.repeat(landscape()[:, :1], 64, axis=1)
        assert np.abs(unmarked[0][:SIDE, :64].astype(int) - repeated).mean() > LARGEST_CHANGE

    def test_more_strength_keeps_less(
        self, services: Imprimatur, order: Order, unmarked: list[NDArray[np.uint8]]
    ) -> None:
        for strength in (0.0, 0.5, 1.0):
            services.generation.run(with_picture(order, "image-to-image", strength=strength, steps=4))

        changes = [np.abs(pixels.astype(int) - landscape()).mean() for pixels in unmarked]
        assert changes[0] <= LARGEST_CHANGE
        assert changes[0] < changes[1] < changes[2]

    def test_an_enlarged_picture_is_the_same_picture(
        self, services: Imprimatur, order: Order, unmarked: list[NDArray[np.uint8]]
    ) -> None:
        services.generation.run(with_picture(order, "upscale", prompt="", scale=2))

        smaller = np.asarray(Image.fromarray(unmarked[0]).resize((SIDE, SIDE), Image.Resampling.BOX))
        assert np.abs(smaller.astype(int) - landscape()).mean() < 8


class TestInputs:
    def test_a_picture_that_the_policy_refuses_ends_the_request_before_anything_is_made(
        self, services: Imprimatur, edit: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Image.fromarray(landscape()).save(tmp_path / "work.png")
        (work,) = services.add_references(tmp_path, rights_claim="a test", progress=None).added
        monkeypatch.setattr(services, "engine", lambda _model: pytest.fail("the model was asked"))
        with pytest.raises(RefusedError) as refusal:
            services.generation.run(edit)
        services.withdraw_reference(work.id, reason="the test has ended")
        assert refusal.value.stage == "input"
        assert kinds(services, refusal.value.record_id) == ["received", "refused"]
        assert refusal.value.record_id is not None
        assert work.id in services.log.events(refusal.value.record_id)[-1].private.decode()

    @pytest.mark.parametrize(
        ("files", "parameter"),
        [
            ({"image": b"no image"}, "image"),
            ({"image": None}, "image"),
            ({"mask": b"no image"}, "mask"),
            ({"mask": None}, "mask"),
            ({"mask": png(corner()[:100])}, "mask"),
            ({"mask": png(np.zeros((SIDE, SIDE), np.uint8))}, "mask"),
            ({"mask": png(landscape())}, "mask"),
        ],
    )
    def test_files_that_cannot_be_used_are_named_and_logged_without_an_attempt(
        self, services: Imprimatur, order: Order, files: dict[str, bytes | None], parameter: str
    ) -> None:
        before = services.records.newest(tenant=None, limit=1)
        with pytest.raises(InvalidInputError) as rejection:
            services.generation.run(replace(with_picture(order, "inpaint"), **files))  # type: ignore[arg-type]
        assert rejection.value.parameter == parameter
        assert services.records.newest(tenant=None, limit=1) == before
        assert services.log.recent(1)[0].kind == "rejected"

    @pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "I;16"])
    def test_pictures_in_every_mode_are_taken(self, services: Imprimatur, edit: Order, mode: str) -> None:
        stream = io.BytesIO()
        picture = Image.fromarray(landscape())
        converted = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
        converted.save(stream, "TIFF" if mode == "CMYK" else "PNG")
        if mode == "I;16":  # 8-bit values in 16 bits would be nearly black
            stream = io.BytesIO()
            Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(stream, "PNG")

        result = services.generation.run(replace(edit, image=stream.getvalue()))

        assert result.outcome is DecisionOutcome.RELEASE

    def test_a_transparent_mask_repaints_where_it_is_transparent(
        self, services: Imprimatur, order: Order, unmarked: list[NDArray[np.uint8]]
    ) -> None:
        clear = np.zeros((SIDE, SIDE, 4), np.uint8)
        clear[..., 3] = np.where(corner() == 255, 0, 255)

        services.generation.run(replace(with_picture(order, "inpaint"), mask=png(clear)))

        assert np.array_equal(unmarked[0][corner() == 0], landscape()[corner() == 0])

    def test_an_idempotency_key_stands_for_one_picture(self, services: Imprimatur, edit: Order) -> None:
        keyed = replace(edit, idempotency_key="picture-1")
        first = services.generation.run(keyed)
        assert services.generation.run(keyed).record_id == first.record_id
        with pytest.raises(IdempotencyConflictError):
            services.generation.run(replace(keyed, image=png(landscape(9))))


class TestCallingOff:
    def test_a_request_is_called_off_from_another_thread_while_the_model_works(
        self, services: Imprimatur, order: Order
    ) -> None:
        cancellation = Cancellation()
        long = replace(order, request=replace(order.request, steps=100))

        def call_off(done: int, _total: int) -> None:
            if done == 2:
                threading.Thread(target=cancellation.cancel).start()

        started = time.monotonic()
        with pytest.raises(GenerationCancelledByCallerError) as ended:
            services.generation.run(long, progress=call_off, cancellation=cancellation)
        assert time.monotonic() - started < 30
        assert (ended.value.code, ended.value.http_status) == ("cancelled", 499)
        assert kinds(services, ended.value.record_id) == ["received", "failed"]
        assert services.generation.run(order).outcome is DecisionOutcome.RELEASE

    @pytest.mark.parametrize("step", [Step.PROMPT_EXAMINED, Step.EXAMINED, Step.STORED])
    def test_a_request_is_called_off_at_any_step_before_its_release(
        self, services: Imprimatur, order: Order, step: Step
    ) -> None:
        cancellation = Cancellation()
        with pytest.raises(GenerationCancelledByCallerError) as ended:
            services.generation.run(
                order, observe=lambda seen: cancellation.cancel() if seen is step else None, cancellation=cancellation
            )
        assert kinds(services, ended.value.record_id) == ["received", "failed"]

    def test_a_request_that_takes_too_long_says_so(
        self, services: Imprimatur, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(services.queue, "_timeout_s", 0.001)
        with pytest.raises(GenerationTimedOutError) as ended:
            services.generation.run(order)
        assert (ended.value.code, ended.value.http_status) == ("timed_out", 504)
        assert kinds(services, ended.value.record_id) == ["received", "failed"]

    def test_short_memory_is_a_typed_failure_and_the_worker_goes_on(
        self, services: Imprimatur, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = services.engine("emblem")

        def starved(_batch: Sequence[Draw], _progress: object = None) -> None:
            raise OutOfMemoryError("emblem ran out of memory; ask for fewer images at once or a smaller size")

        with monkeypatch.context() as short:
            short.setattr(engine, "draw", starved)
            with pytest.raises(GenerationFailedError, match="ran out of memory") as failure:
                services.generation.run(order)
        assert failure.value.step == "generation"
        assert services.generation.run(order).outcome is DecisionOutcome.RELEASE


def test_concurrent_requests_are_made_together_and_each_record_says_how(services: Imprimatur, order: Order) -> None:
    results: list[GenerationResult] = []

    def ask(seed: int) -> None:
        asked = replace(order, request=replace(order.request, seed=seed, steps=6))
        results.append(services.generation.run(asked))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    sampling: list[Any] = [services.log.events(result.record_id)[-1].fields()["sampling"] for result in results]
    assert max(one["batch"] for one in sampling) > 1
    assert all(one["threads"] >= 1 and one["device"] == "cpu" and one["dtype"] == "float32" for one in sampling)
    for result in results:
        assert result.images[0].data is not None
