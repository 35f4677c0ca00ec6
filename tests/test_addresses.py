"""Addresses as people are told of them."""

import pytest

from llmops.addresses import without_password

TOLD = {
    "http://carol:secret@server:5000/mlflow": "http://***@server:5000/mlflow",
    "postgresql://llmops:secret@db/mlflow": "postgresql://***@db/mlflow",
    "postgresql+psycopg://llmops:se/cr@secret@db": "postgresql+psycopg://***@db",
    "http://:secret@server": "http://***@server",
    "neither http://carol:secret@a/x nor https://dave:secret@b": "neither http://***@a/x nor https://***@b",
    "can't ask http://server:5000/api for carol@example.com": "can't ask http://server:5000/api for carol@example.com",
    "sqlite:////home/me@work/mlflow.db": "sqlite:////home/me@work/mlflow.db",
    "models:/handbook@champion": "models:/handbook@champion",
}


@pytest.mark.parametrize("text", TOLD)
def test_an_address_is_told_without_who_signs_in_and_by_which_password(text: str) -> None:
    assert without_password(text) == TOLD[text]
