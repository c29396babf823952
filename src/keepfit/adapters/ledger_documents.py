"""Small pieces of shared state, each replaced whole by whoever knows the revision that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from keepfit.adapters.ledger_database import Database, insert_missing
from keepfit.adapters.ledger_rules import check_document, document_changed
from keepfit.adapters.ledger_schema import documents
from keepfit.live_records import Document

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection


class SqlDocuments:
    """The port `Documents`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, project: str, key: str) -> Document | None:
        with self._database.read() as connection:
            row = connection.execute(select(documents).where(_is(project, key))).first()
            return Document(key=row.key, text=row.text, revision=row.revision) if row else None

    def put(self, project: str, key: str, text: str, revision: int) -> Document:
        check_document(text, revision)
        document = Document(key=key, text=text, revision=revision + 1)
        with self._database.write() as connection:
            if not _stored(connection, project, document):
                raise document_changed(project, key, revision)
        return document


def _stored(connection: Connection, project: str, document: Document) -> bool:
    """Store in place of the revision before; whether that one was there. Who comes at the same time waits for the first."""
    values = {"text": document.text, "revision": document.revision}
    if document.revision == 1:
        return insert_missing(connection, documents, {"project": project, "key": document.key, **values})
    before = and_(_is(project, document.key), documents.c.revision == document.revision - 1)
    return connection.execute(documents.update().where(before).values(**values)).rowcount == 1


def _is(project: str, key: str) -> ColumnElement[bool]:
    return and_(documents.c.project == project, documents.c.key == key)
