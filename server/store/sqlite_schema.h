#ifndef STRONGROOM_SERVER_STORE_SQLITE_SCHEMA_H_
#define STRONGROOM_SERVER_STORE_SQLITE_SCHEMA_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/store/sqlite_database.h"

namespace strongroom::store {

// "Strg": says in a file's header that the database is a store of Strongroom's.
inline constexpr int32_t kSqliteApplicationId = 0x53747267;

// The first makes an empty database version 1, the next makes that version 2, and so on. One that
// has been released is never changed.
//
// Times are microseconds since the Unix epoch; ids are 16 bytes.
inline constexpr const char* kSqliteMigrations[] = {
    R"sql(
CREATE TABLE store (
  row INTEGER PRIMARY KEY CHECK (row = 1),
  id BLOB NOT NULL CHECK (length(id) = 16),
  -- NULL until the store is bound to a token.
  token_serial TEXT
) STRICT;

CREATE TABLE keys (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  state INTEGER NOT NULL CHECK (state IN (1, 2)),
  description TEXT NOT NULL,
  create_time INTEGER NOT NULL,
  -- Both NULL until the first version is committed.
  initial_version BLOB,
  primary_version BLOB,
  CHECK ((initial_version IS NULL) = (primary_version IS NULL)),
  FOREIGN KEY (id, initial_version) REFERENCES key_versions (key_id, id),
  FOREIGN KEY (id, primary_version) REFERENCES key_versions (key_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX committed_keys ON keys (create_time, id) WHERE initial_version IS NOT NULL;

CREATE TABLE key_versions (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  key_id BLOB NOT NULL REFERENCES keys (id),
  -- NULL while pending.
  number INTEGER CHECK (number BETWEEN 1 AND 2147483647),
  create_time INTEGER NOT NULL,
  UNIQUE (key_id, id),
  UNIQUE (key_id, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX pending_versions ON key_versions (id, key_id) WHERE number IS NULL;

CREATE TABLE aliases (
  name TEXT NOT NULL PRIMARY KEY CHECK (substr(name, 1, 6) = 'alias/'),
  key_id BLOB NOT NULL REFERENCES keys (id),
  create_time INTEGER NOT NULL,
  update_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX aliases_of_key ON aliases (key_id, name);
)sql",
    // Who may use a key, and the end of the audit trail.
    R"sql(
CREATE TABLE key_policies (
  key_id BLOB NOT NULL PRIMARY KEY REFERENCES keys (id),
  document BLOB NOT NULL CHECK (length(document) > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  key_id BLOB NOT NULL REFERENCES keys (id),
  grantee TEXT NOT NULL,
  -- Empty if there is none.
  retiring_principal TEXT NOT NULL,
  create_time INTEGER NOT NULL,
  -- NULL if it does not expire.
  expire_time INTEGER,
  document BLOB NOT NULL,
  ended INTEGER NOT NULL CHECK (ended IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX live_grants ON grants (key_id, create_time, id) WHERE ended = 0;
CREATE INDEX ended_grants ON grants (key_id, id) WHERE ended = 1;
CREATE INDEX expiring_grants ON grants (expire_time) WHERE expire_time IS NOT NULL;

CREATE TABLE audit_head (
  row INTEGER PRIMARY KEY CHECK (row = 1),
  sequence INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
)sql",
    // A key's whole life: more states, tags, rotation, deletion, uses and imported material.
    R"sql(
-- A CHECK cannot be changed, so a new column takes over from the one that has it. (A new table
-- could only be put in place with foreign keys off.)
ALTER TABLE keys RENAME COLUMN state TO old_state;
ALTER TABLE keys ADD COLUMN state INTEGER NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 5);
UPDATE keys SET state = old_state;
ALTER TABLE keys DROP COLUMN old_state;

ALTER TABLE keys ADD COLUMN origin INTEGER NOT NULL DEFAULT 1 CHECK (origin IN (1, 2));
-- 0 if it does not rotate by time.
ALTER TABLE keys ADD COLUMN rotation_days INTEGER NOT NULL DEFAULT 0 CHECK (rotation_days >= 0);
-- NULL if it does not, or has no committed version.
ALTER TABLE keys ADD COLUMN next_rotation INTEGER;
-- NULL unless its deletion is scheduled.
ALTER TABLE keys ADD COLUMN deletion_time INTEGER;

-- Keys without a committed version are listed too.
DROP INDEX committed_keys;
CREATE INDEX keys_by_creation ON keys (create_time, id);
CREATE INDEX keys_to_rotate ON keys (state, next_rotation) WHERE next_rotation IS NOT NULL;
CREATE INDEX keys_to_destroy ON keys (state, deletion_time);

CREATE TABLE key_tags (
  key_id BLOB NOT NULL REFERENCES keys (id),
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (key_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX tagged_keys ON key_tags (name, value, key_id);

ALTER TABLE key_versions ADD COLUMN proof BLOB NOT NULL DEFAULT x'';
ALTER TABLE key_versions ADD COLUMN uses_reserved INTEGER NOT NULL DEFAULT 0
  CHECK (uses_reserved >= 0);
-- Nobody has counted the uses of these: 2^31 of them is where rotation by use begins by default.
UPDATE key_versions SET uses_reserved = 2147483648 WHERE number IS NOT NULL;

CREATE TABLE imports (
  key_id BLOB NOT NULL PRIMARY KEY REFERENCES keys (id),
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  algorithm INTEGER NOT NULL,
  expire_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX expiring_imports ON imports (expire_time);

-- For deleting a key: no other index has all of its grants.
CREATE INDEX grants_of_key ON grants (key_id);
)sql",
};

// Whether the database is a store that this program can use: one of ours (or empty), and not of a
// later schema. Changes nothing. FAILED_PRECONDITION if not, with what to do.
absl::Status CheckSqliteSchema(SqliteDatabase& database,
                               absl::Span<const char* const> migrations = kSqliteMigrations);

// Brings the database to the last version, one transaction a version, and gives a new one its id.
// CheckSqliteSchema must have agreed.
absl::Status MigrateSqliteSchema(SqliteDatabase& database,
                                 absl::Span<const char* const> migrations = kSqliteMigrations);

}  // namespace strongroom::store

#endif  // STRONGROOM_SERVER_STORE_SQLITE_SCHEMA_H_
