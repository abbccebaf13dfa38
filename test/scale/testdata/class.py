# SPDX-License-Identifier: Apache-2.0
"""Gives a stopped hub's only session many copies, for users who differ in the number of their name.

Arguments: the hub's SQLite database, and how many sessions there are to be.
"""

import sqlite3
import sys
import uuid

database = sqlite3.connect(sys.argv[1])
database.row_factory = sqlite3.Row
first = "attendee0001"


def row(table, condition):
    return dict(database.execute(f"SELECT * FROM {table} WHERE {condition}").fetchone())


def insert(table, row, other, **changes):
    """The row once more, with another name wherever it is written."""
    values = {k: v.replace(first, other) if isinstance(v, str) else v for k, v in row.items() if k != "id"} | changes
    columns = ", ".join(f'"{k}"' for k in values)
    return database.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(values))})", list(values.values())).lastrowid


user = row("users", f"name LIKE '{first}@%'")
spawner = row("spawners", f"user_id = {user['id']}")
server = row("servers", f"id = {spawner['server_id']}")
for i in range(2, int(sys.argv[2]) + 1):
    name = f"attendee{i:04}"
    insert("spawners", spawner, name, user_id=insert("users", user, name, cookie_id=uuid.uuid4().hex), server_id=insert("servers", server, name))
database.commit()
