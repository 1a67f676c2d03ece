"""The tables of the till, version by version; triggers refuse whatever goes backwards."""

VERSIONS = (
    (
        (
            "CREATE TABLE till_channels (id INTEGER PRIMARY KEY,"
            " role TEXT NOT NULL CHECK (role IN ('seller', 'buyer')),"
            " channel BLOB NOT NULL, terms BLOB NOT NULL, state TEXT NOT NULL,"
            " funded INTEGER NOT NULL, claimed INTEGER NOT NULL CHECK (claimed <= funded),"
            " n INTEGER NOT NULL, due INTEGER NOT NULL, total INTEGER NOT NULL, signature BLOB,"
            " credit INTEGER NOT NULL, reserve INTEGER NOT NULL, UNIQUE (role, channel)) STRICT"
        ),
        (
            "CREATE TABLE till_items (id INTEGER NOT NULL REFERENCES till_channels,"
            " n INTEGER NOT NULL, price INTEGER NOT NULL CHECK (price > 0), due INTEGER NOT NULL,"
            " digest BLOB NOT NULL, signature BLOB NOT NULL, pair BLOB NOT NULL, source BLOB,"
            " PRIMARY KEY (id, n)) STRICT, WITHOUT ROWID"
        ),
        "CREATE UNIQUE INDEX till_sources ON till_items (pair, source) WHERE source IS NOT NULL",
        (
            "CREATE TABLE till_bodies (id INTEGER NOT NULL, n INTEGER NOT NULL, body BLOB NOT NULL,"
            " PRIMARY KEY (id, n), FOREIGN KEY (id, n) REFERENCES till_items) STRICT"
        ),
        (
            "CREATE TRIGGER till_channels_rise BEFORE UPDATE ON till_channels"
            " WHEN NEW.n < OLD.n OR NEW.due < OLD.due OR NEW.total < OLD.total"
            " OR NEW.funded < OLD.funded OR NEW.claimed < OLD.claimed"
            " OR NEW.channel != OLD.channel OR NEW.terms != OLD.terms"
            " BEGIN SELECT RAISE (ABORT, 'a channel of the till never goes backwards'); END"
        ),
        (
            "CREATE TRIGGER till_channels_stay BEFORE DELETE ON till_channels"
            " BEGIN SELECT RAISE (ABORT, 'a channel of the till is never forgotten'); END"
        ),
        (
            "CREATE TRIGGER till_items_stay BEFORE DELETE ON till_items"
            " BEGIN SELECT RAISE (ABORT, 'a line of the till is never forgotten'); END"
        ),
        (
            "CREATE TRIGGER till_items_fixed BEFORE UPDATE ON till_items"
            " WHEN NEW.id != OLD.id OR NEW.n != OLD.n OR NEW.price != OLD.price"
            " OR NEW.due != OLD.due OR NEW.digest != OLD.digest"
            " OR NEW.signature != OLD.signature OR NEW.source IS NOT NULL"
            " BEGIN SELECT RAISE (ABORT, 'a line of the till never changes'); END"
        ),
    ),
    ("ALTER TABLE till_channels ADD COLUMN barred INTEGER NOT NULL DEFAULT 0",),
)
