#include "tests/server/store/store_contract.h"

#include <array>
#include <cstdint>
#include <utility>

#include "absl/strings/str_join.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::store {
namespace {

using strongroom::testing::IsOk;

template <typename IdType>
IdType MakeId(uint8_t kind, int number) {
  std::array<uint8_t, 16> bytes = {};
  bytes[0] = kind;
  bytes[14] = static_cast<uint8_t>(number >> 8);
  bytes[15] = static_cast<uint8_t>(number);
  return IdType(bytes);
}

}  // namespace

void PrintTo(const StoreKind& kind, std::ostream* out) { *out << kind.name; }

void StoreContractTest::SetUp() {
  backend_ = GetParam().make_backend();
  ASSERT_NO_FATAL_FAILURE(Reopen());
}

void StoreContractTest::Reopen() {
  store_.reset();
  absl::StatusOr<std::unique_ptr<Store>> opened = backend_->Open();
  ASSERT_THAT(opened, IsOk());
  store_ = *std::move(opened);
}

KeyId StoreContractTest::Key(int number) { return MakeId<KeyId>(0xa0, number); }
KeyVersionId StoreContractTest::Version(int number) { return MakeId<KeyVersionId>(0x10, number); }
GrantId StoreContractTest::Grant(int number) { return MakeId<GrantId>(0x60, number); }
ImportId StoreContractTest::Import(int number) { return MakeId<ImportId>(0x30, number); }

absl::Time StoreContractTest::Second(int number) {
  return absl::FromUnixSeconds(1'700'000'000) + absl::Seconds(number);
}

KeyRecord StoreContractTest::NewKey(int key, absl::Time create_time) {
  KeyRecord record;
  record.id = Key(key);
  record.description = "key " + std::to_string(key);
  record.create_time = create_time;
  return record;
}

KeyRecord StoreContractTest::MakeKey(int key, int version, absl::Time create_time) {
  return MakeKey(NewKey(key, create_time), version);
}

KeyRecord StoreContractTest::MakeKey(KeyRecord record, int version) {
  EXPECT_THAT(store().BeginKey(record, Version(version), ""), IsOk());
  EXPECT_THAT(store().CommitVersion(Version(version), "proof"), IsOk());
  record.initial_version = Version(version);
  record.primary_version = Version(version);
  if (record.rotation_days > 0) {
    record.next_rotation = record.create_time + absl::Hours(24) * record.rotation_days;
  }
  return record;
}

KeyVersionRecord StoreContractTest::MakeVersion(int key, int version, absl::Time create_time) {
  EXPECT_THAT(store().BeginVersion(Key(key), Version(version), create_time), IsOk());
  absl::StatusOr<KeyVersionRecord> committed = store().CommitVersion(Version(version), "proof");
  EXPECT_THAT(committed, IsOk());
  return committed.value_or(KeyVersionRecord{});
}

AliasRecord StoreContractTest::MakeAlias(const std::string& name, int key, absl::Time time) {
  const AliasRecord alias = {name, Key(key), time, time};
  EXPECT_THAT(store().CreateAlias(alias), IsOk());
  return alias;
}

GrantRecord StoreContractTest::NewGrant(int grant, int key, absl::Time create_time) {
  GrantRecord record;
  record.id = Grant(grant);
  record.key_id = Key(key);
  record.grantee = "grantee " + std::to_string(grant);
  record.create_time = create_time;
  record.expire_time = absl::InfiniteFuture();
  record.document = "grant " + std::to_string(grant);
  return record;
}

GrantRecord StoreContractTest::MakeGrant(int grant, int key, absl::Time create_time) {
  const GrantRecord record = NewGrant(grant, key, create_time);
  EXPECT_THAT(store().CreateGrant(record, 1'000'000), IsOk());
  return record;
}

ImportRecord StoreContractTest::MakeImport(int import, int key, absl::Time expire_time) {
  const ImportRecord record = {
      .key_id = Key(key), .id = Import(import), .algorithm = import, .expire_time = expire_time};
  EXPECT_THAT(store().PutImport(record), IsOk());
  return record;
}

KeyRecord StoreContractTest::TheKey(int key) {
  absl::StatusOr<KeyRecord> record = store().GetKey(Key(key));
  EXPECT_THAT(record, IsOk());
  return record.value_or(KeyRecord{});
}

KeyVersionRecord StoreContractTest::TheVersion(int version) {
  absl::StatusOr<KeyVersionRecord> record = store().GetKeyVersion(Version(version));
  EXPECT_THAT(record, IsOk());
  return record.value_or(KeyVersionRecord{});
}

bool operator==(const KeyRecord& a, const KeyRecord& b) {
  return a.id == b.id && a.state == b.state && a.origin == b.origin && a.creating == b.creating &&
         a.description == b.description && a.tags == b.tags && a.create_time == b.create_time &&
         a.initial_version == b.initial_version && a.primary_version == b.primary_version &&
         a.rotation_days == b.rotation_days && a.next_rotation == b.next_rotation &&
         a.deletion_time == b.deletion_time;
}

bool operator==(const KeyVersionRecord& a, const KeyVersionRecord& b) {
  return a.id == b.id && a.key_id == b.key_id && a.number == b.number &&
         a.create_time == b.create_time && a.proof == b.proof && a.uses_reserved == b.uses_reserved;
}

bool operator==(const UseBlock& a, const UseBlock& b) {
  return a.size == b.size && a.uses_reserved == b.uses_reserved;
}

bool operator==(const ImportRecord& a, const ImportRecord& b) {
  return a.key_id == b.key_id && a.id == b.id && a.algorithm == b.algorithm &&
         a.expire_time == b.expire_time;
}

bool operator==(const AliasRecord& a, const AliasRecord& b) {
  return a.name == b.name && a.key_id == b.key_id && a.create_time == b.create_time &&
         a.update_time == b.update_time;
}

bool operator==(const PendingVersion& a, const PendingVersion& b) {
  return a.id == b.id && a.key_id == b.key_id && a.first_of_key == b.first_of_key;
}

bool operator==(const GrantRecord& a, const GrantRecord& b) {
  return a.id == b.id && a.key_id == b.key_id && a.grantee == b.grantee &&
         a.retiring_principal == b.retiring_principal && a.create_time == b.create_time &&
         a.expire_time == b.expire_time && a.document == b.document && a.ended == b.ended;
}

bool operator==(const AuditHead& a, const AuditHead& b) {
  return a.sequence == b.sequence && a.hash == b.hash;
}

void PrintTo(const KeyRecord& key, std::ostream* out) {
  *out << "key " << key.id.ToString() << " state " << static_cast<int>(key.state) << " origin "
       << static_cast<int>(key.origin) << (key.creating ? " (creating)" : "") << " \""
       << key.description << "\" created " << key.create_time << " initial "
       << key.initial_version.ToString() << " primary " << key.primary_version.ToString()
       << " rotates after " << key.rotation_days << " days, next " << key.next_rotation
       << " deletion " << key.deletion_time << " tags "
       << absl::StrJoin(key.tags, ",", absl::PairFormatter("="));
}

void PrintTo(const KeyVersionRecord& version, std::ostream* out) {
  *out << "version " << version.id.ToString() << " number " << version.number << " of "
       << version.key_id.ToString() << " created " << version.create_time << " proof \""
       << version.proof << "\" uses " << version.uses_reserved;
}

void PrintTo(const UseBlock& block, std::ostream* out) {
  *out << block.size << " uses, " << block.uses_reserved << " in all";
}

void PrintTo(const ImportRecord& import, std::ostream* out) {
  *out << "import " << import.id.ToString() << " of " << import.key_id.ToString() << " algorithm "
       << import.algorithm << " expires " << import.expire_time;
}

void PrintTo(const AliasRecord& alias, std::ostream* out) {
  *out << alias.name << " of " << alias.key_id.ToString() << " created " << alias.create_time
       << " updated " << alias.update_time;
}

void PrintTo(const PendingVersion& pending, std::ostream* out) {
  *out << "pending " << pending.id.ToString() << " of " << pending.key_id.ToString()
       << (pending.first_of_key ? " (first)" : "");
}

void PrintTo(const GrantRecord& grant, std::ostream* out) {
  *out << "grant " << grant.id.ToString() << " of " << grant.key_id.ToString() << " to "
       << grant.grantee << ", retired by \"" << grant.retiring_principal << "\" created "
       << grant.create_time << " expires " << grant.expire_time << " document \"" << grant.document
       << "\"" << (grant.ended ? " (ended)" : "");
}

void PrintTo(const AuditHead& head, std::ostream* out) {
  *out << "record " << head.sequence << " with hash";
  for (const uint8_t byte : head.hash) *out << " " << int{byte};
}

}  // namespace strongroom::store
