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
    (
        "DROP TRIGGER till_channels_rise",
        (  # a seller takes back what it certainly was not paid for, and sells it anew; see reissue
            "CREATE TRIGGER till_channels_rise BEFORE UPDATE ON till_channels"
            " WHEN NEW.total < OLD.total OR NEW.funded < OLD.funded OR NEW.claimed < OLD.claimed"
            " OR NEW.channel != OLD.channel OR NEW.terms != OLD.terms OR NEW.credit != OLD.credit"
            " OR ((NEW.n < OLD.n OR NEW.due < OLD.due) AND"
            " (OLD.role != 'seller' OR NEW.due < OLD.total + min(0, OLD.credit)))"
            " BEGIN SELECT RAISE (ABORT, 'a channel of the till never goes backwards'); END"
        ),
        "DROP TRIGGER till_items_stay",
        (
            "CREATE TRIGGER till_items_stay BEFORE DELETE ON till_items"
            " WHEN NOT EXISTS (SELECT 1 FROM till_channels WHERE id = OLD.id AND role = 'seller'"
            " AND state = 'open' AND OLD.due > total + min(0, credit))"
            " BEGIN SELECT RAISE (ABORT, 'a line of the till is never forgotten'); END"
        ),
        (
            "CREATE TABLE till_known (pair BLOB NOT NULL, source BLOB NOT NULL,"
            " known BLOB NOT NULL, PRIMARY KEY (pair, source)) STRICT, WITHOUT ROWID"
        ),
        (
            "CREATE TABLE till_forgone (pair BLOB PRIMARY KEY, day INTEGER NOT NULL,"
            " amount INTEGER NOT NULL) STRICT, WITHOUT ROWID"
        ),
        (
            "CREATE TABLE till_readings (minute INTEGER NOT NULL, mark BLOB NOT NULL,"
            " issuer BLOB NOT NULL, PRIMARY KEY (minute, mark)) STRICT, WITHOUT ROWID"
        ),
        "CREATE TABLE till_readings_floor (minute INTEGER NOT NULL) STRICT",
        (
            "CREATE TABLE till_spent (budget BLOB PRIMARY KEY, period INTEGER NOT NULL,"
            " spent INTEGER NOT NULL) STRICT, WITHOUT ROWID"
        ),
    ),
    ("ALTER TABLE till_items ADD COLUMN at_s INTEGER",),
)
