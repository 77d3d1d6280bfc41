#ifndef STRONGROOM_TESTS_SERVER_STORE_STORE_CONTRACT_H_
#define STRONGROOM_TESTS_SERVER_STORE_STORE_CONTRACT_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "server/store/ids.h"
#include "server/store/store.h"

namespace strongroom::store {

// What the comments of store.h promise, as tests that every implementation passes. To run them on
// one, link this library and instantiate the suite:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContractTest, ::testing::Values(StoreKind{...}));

// One database of its own, on which stores are opened one after the other.
class StoreBackend {
 public:
  virtual ~StoreBackend() = default;
  // The first call makes the store; later ones find it as it was left. The store of the call before
  // is gone.
  virtual absl::StatusOr<std::unique_ptr<Store>> Open() = 0;
};

struct StoreKind {
  std::string name;
  std::function<std::unique_ptr<StoreBackend>()> make_backend;
};
void PrintTo(const StoreKind& kind, std::ostream* out);

class StoreContractTest : public ::testing::TestWithParam<StoreKind> {
 protected:
  void SetUp() override;

  Store& store() { return *store_; }
  // Closes the store and opens it again. Wrap it in ASSERT_NO_FATAL_FAILURE.
  void Reopen();

  // Ids that order as their numbers do.
  static KeyId Key(int number);
  static KeyVersionId Version(int number);
  static GrantId Grant(int number);
  static ImportId Import(int number);
  static absl::Time Second(int number);

  // A record to begin a key with; its versions are not set.
  static KeyRecord NewKey(int key, absl::Time create_time = Second(0));
  // Begins and commits a key with its first version, and returns it as the store should show it.
  KeyRecord MakeKey(int key, int version, absl::Time create_time = Second(0));
  KeyRecord MakeKey(KeyRecord record, int version);
  KeyVersionRecord MakeVersion(int key, int version, absl::Time create_time = Second(0));
  AliasRecord MakeAlias(const std::string& name, int key, absl::Time time = Second(0));
  // A record of a grant that does not expire.
  static GrantRecord NewGrant(int grant, int key, absl::Time create_time = Second(0));
  GrantRecord MakeGrant(int grant, int key, absl::Time create_time = Second(0));
  ImportRecord MakeImport(int import, int key, absl::Time expire_time = Second(0));
  // What the store says of a key or version that is there.
  KeyRecord TheKey(int key);
  KeyVersionRecord TheVersion(int version);

 private:
  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<Store> store_;
};

// For comparing and printing in tests.
bool operator==(const KeyRecord& a, const KeyRecord& b);
bool operator==(const KeyVersionRecord& a, const KeyVersionRecord& b);
bool operator==(const UseBlock& a, const UseBlock& b);
bool operator==(const ImportRecord& a, const ImportRecord& b);
bool operator==(const AliasRecord& a, const AliasRecord& b);
bool operator==(const PendingVersion& a, const PendingVersion& b);
bool operator==(const GrantRecord& a, const GrantRecord& b);
bool operator==(const AuditHead& a, const AuditHead& b);
void PrintTo(const KeyRecord& key, std::ostream* out);
void PrintTo(const KeyVersionRecord& version, std::ostream* out);
void PrintTo(const UseBlock& block, std::ostream* out);
void PrintTo(const ImportRecord& import, std::ostream* out);
void PrintTo(const AliasRecord& alias, std::ostream* out);
void PrintTo(const PendingVersion& pending, std::ostream* out);
void PrintTo(const GrantRecord& grant, std::ostream* out);
void PrintTo(const AuditHead& head, std::ostream* out);

}  // namespace strongroom::store

#endif  // STRONGROOM_TESTS_SERVER_STORE_STORE_CONTRACT_H_
