// docs/key-states.md against the rules, and against keys in each state on a real token.

#include "server/core/key_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "platform/files.h"
#include "server/core/error.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kOk[] = "OK";

// A cell of the table: "OK" or a reason, and the number of its note.
struct Cell {
  std::string answer;
  std::string note;
};
// By actions and states.
using Table = std::map<std::string, std::map<std::string, Cell>>;

std::string Answer(const absl::Status& status) {
  return status.ok() ? kOk : InfoOf(ReasonOf(status)).name;
}

std::vector<std::string> Cells(absl::string_view line) {
  std::vector<std::string> cells;
  for (absl::string_view cell : absl::StrSplit(line, '|')) {
    cells.emplace_back(absl::StripAsciiWhitespace(cell));
  }
  // Before the first bar and behind the last one.
  if (cells.size() < 2) return {};
  return std::vector<std::string>(cells.begin() + 1, cells.end() - 1);
}

// The table of the page whose header begins with "operation". What is wrong with it fails the test.
Table ReadTable() {
  const auto text = ReadFile(absl::StrCat(getenv("TEST_SRCDIR"), "/strongroom/docs/key-states.md"));
  EXPECT_OK(text);
  Table table;
  if (!text.ok()) return table;
  std::vector<std::string> header;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<std::string> cells = Cells(line);
    if (cells.empty()) {
      header.clear();
    } else if (cells[0] == "operation") {
      header = cells;
    } else if (!header.empty() && cells[0] != "---") {
      EXPECT_EQ(cells.size(), header.size()) << line;
      if (cells.size() != header.size()) continue;
      std::map<std::string, Cell>& row = table[cells[1]];
      EXPECT_TRUE(row.empty()) << "two rows of " << cells[1];
      for (size_t i = 2; i < cells.size(); ++i) {
        const std::pair<std::string, std::string> parts = absl::StrSplit(cells[i], " (");
        row[header[i]] = {parts.first, parts.second};
      }
    }
  }
  return table;
}

TEST(KeyStateTest, RulesAreThoseOfTheDocument) {
  const Table table = ReadTable();
  EXPECT_THAT(table, SizeIs(std::size(kAllKeyActions)));
  const KeyId key = *KeyId::Parse("00000000-0000-4000-8000-000000000000");
  for (KeyAction action : kAllKeyActions) {
    SCOPED_TRACE(NameOf(action));
    ASSERT_EQ(table.count(NameOf(action)), 1u);
    const std::map<std::string, Cell>& row = table.at(NameOf(action));
    EXPECT_THAT(row, SizeIs(std::size(kAllKeyStatuses)));
    for (KeyStatus status : kAllKeyStatuses) {
      SCOPED_TRACE(NameOf(status));
      ASSERT_EQ(row.count(NameOf(status)), 1u);
      const absl::Status checked = CheckAction(action, key, status);
      EXPECT_EQ(Answer(checked), row.at(NameOf(status)).answer);
      if (!checked.ok()) {
        EXPECT_THAT(checked, FailsWith(ReasonOf(checked), HasSubstr(key.ToString())));
      }
    }
  }
}

TEST(KeyStateTest, StatusFollowsFromTheRecordAndTheToken) {
  using store::KeyState;
  store::KeyRecord key;
  const auto status_of = [&](KeyState state, bool usable) {
    key.state = state;
    return StatusOf(key, usable);
  };
  EXPECT_EQ(status_of(KeyState::kEnabled, true), KeyStatus::kEnabled);
  EXPECT_EQ(status_of(KeyState::kEnabled, false), KeyStatus::kUnavailable);
  for (bool usable : {true, false}) {
    EXPECT_EQ(status_of(KeyState::kDisabled, usable), KeyStatus::kDisabled);
    EXPECT_EQ(status_of(KeyState::kPendingDeletion, usable), KeyStatus::kPendingDeletion);
    EXPECT_EQ(status_of(KeyState::kDestroying, usable), KeyStatus::kPendingDeletion);
    EXPECT_EQ(status_of(KeyState::kPendingImport, usable), KeyStatus::kPendingImport);
  }
  key.creating = true;
  EXPECT_EQ(status_of(KeyState::kEnabled, false), KeyStatus::kCreating);
  EXPECT_EQ(status_of(KeyState::kPendingImport, false), KeyStatus::kCreating);
}

// --- Keys in each state -------------------------------------------------------------------------

class KeyStateWalkTest : public KmsFixture {
 protected:
  // A call that takes a key.
  struct Call {
    const char* name;
    std::function<absl::Status(const KeyId&)> make;
  };

  // What a key has, as far as its state lets it.
  struct Key {
    KeyId id;
    std::string alias_to_move;
    std::string alias_to_delete;
    // Sealed under the primary version.
    std::string blob;
  };

  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    other_ = CreateKey();
  }

  KeyStatus StatusNow(const KeyId& key) {
    const absl::StatusOr<KeyDescription> description = ring().Describe(key);
    EXPECT_OK(description);
    return description.ok() ? description->status : KeyStatus::kCreating;
  }

  // A key with aliases, and with a blob if it has material.
  Key MakeKey(store::KeyOrigin origin) {
    Key key;
    const auto created = life().CreateKey({.origin = origin}, kNoDeadline);
    EXPECT_OK(created);
    if (!created.ok()) return key;
    key.id = created->record.id;
    key.alias_to_move = absl::StrCat("alias/moves-", key.id.ToString());
    key.alias_to_delete = absl::StrCat("alias/goes-", key.id.ToString());
    CreateAlias(key.alias_to_move, key.id);
    CreateAlias(key.alias_to_delete, key.id);
    if (origin == store::KeyOrigin::kToken) key.blob = Seal(key.id, "text").blob;
    return key;
  }

  // As many keys in one state as there are actions; none for CREATING.
  std::vector<Key> MakeKeys(KeyStatus status) {
    std::vector<Key> keys;
    for (size_t i = 0; i < std::size(kAllKeyActions); ++i) {
      Key key = MakeKey(status == KeyStatus::kPendingImport ? store::KeyOrigin::kImported
                                                            : store::KeyOrigin::kToken);
      if (status == KeyStatus::kDisabled) Disable(key.id);
      if (status == KeyStatus::kPendingDeletion) {
        EXPECT_OK(life().ScheduleDeletion(key.id, 7));
      }
      if (status == KeyStatus::kUnavailable) {
        const KeyVersionId primary = Rotate(key.id);
        key.blob = Seal(key.id, "text").blob;
        EXPECT_OK(token().DestroyVersionKeys(primary.bytes(), kNoDeadline));
      }
      keys.push_back(std::move(key));
    }
    if (status == KeyStatus::kUnavailable) Restart();
    for (const Key& key : keys) EXPECT_EQ(StatusNow(key.id), status);
    return keys;
  }

  // All that do not change the key's state but one, the last.
  std::vector<Call> CallsFor(KeyAction action, const Key& key) {
    const auto status = [](const auto& result) { return result.status(); };
    const SealingOptions options = {.key = key.id};
    switch (action) {
      case KeyAction::kLook:
        return {{"Describe", [=, this](const KeyId& id) { return status(ring().Describe(id)); }},
                {"ListKeyVersions",
                 [=, this](const KeyId& id) { return status(ring().ListKeyVersions(id, 0, 10)); }},
                {"ListAliases",
                 [=, this](const KeyId& id) { return status(ring().ListAliases(id, "", 10)); }}};
      case KeyAction::kSeal:
        return {{"Encrypt",
                 [=, this](const KeyId&) {
                   return status(data_keys().Encrypt(options, "text", kNoDeadline));
                 }},
                {"GenerateDataKey",
                 [=, this](const KeyId&) {
                   return status(
                       data_keys().GenerateDataKey(options, 32, Plaintext::kReturned, kNoDeadline));
                 }},
                {"GenerateDataKeyWithoutPlaintext",
                 [=, this](const KeyId&) {
                   return status(data_keys().GenerateDataKey(options, 32, Plaintext::kNotReturned,
                                                             kNoDeadline));
                 }},
                {"BatchGenerateDataKey",
                 [=, this](const KeyId&) {
                   return status(data_keys().GenerateDataKeys(options, 32, 2, Plaintext::kReturned,
                                                              kNoDeadline));
                 }},
                {"GenerateKeyPair",
                 [=, this](const KeyId&) {
                   return status(data_keys().GenerateKeyPair(options, hsm::PairSpec::kEcP256,
                                                             KeyFormat::kDer, Plaintext::kReturned,
                                                             kNoDeadline));
                 }},
                {"RehearseSealing", [=, this](const KeyId& id) {
                   return data_keys().RehearseSealing(id, SealingVersion::kPrimary, std::nullopt,
                                                      kNoDeadline);
                 }}};
      case KeyAction::kOpen:
        // There is no blob of a key that waits for its material: what would open one is asked for.
        if (key.blob.empty()) {
          return {{"ForOpening", [=, this](const KeyId& id) {
                     const auto described = ring().Describe(id);
                     if (!described.ok()) return described.status();
                     return status(ring().ForOpening(id, described->record.primary_version));
                   }}};
        }
        return {{"Decrypt", [=, this](const KeyId&) { return status(Open(key.blob)); }},
                {"RehearseOpening", [=, this](const KeyId&) {
                   return data_keys().RehearseOpening(key.blob, std::nullopt, kNoDeadline);
                 }}};
      case KeyAction::kRotate:
        return {{"CreateKeyVersion", [=, this](const KeyId& id) {
                   return status(life().CreateKeyVersion(id, kNoDeadline));
                 }}};
      case KeyAction::kEnable:
        return {{"EnableKey", [=, this](const KeyId& id) { return status(life().EnableKey(id)); }}};
      case KeyAction::kDisable:
        return {
            {"DisableKey", [=, this](const KeyId& id) { return status(life().DisableKey(id)); }}};
      case KeyAction::kScheduleDeletion:
        return {{"ScheduleDeletion",
                 [=, this](const KeyId& id) { return status(life().ScheduleDeletion(id, 7)); }}};
      case KeyAction::kCancelDeletion:
        return {{"CancelDeletion",
                 [=, this](const KeyId& id) { return status(life().CancelDeletion(id)); }}};
      case KeyAction::kEdit: {
        std::vector<Call> calls = {
            {"UpdateDescription",
             [=, this](const KeyId& id) { return status(life().UpdateDescription(id, "new")); }},
            {"TagKey",
             [=, this](const KeyId& id) {
               return status(life().TagKey(id, {{"team", "payments"}}));
             }},
            {"UntagKey",
             [=, this](const KeyId& id) { return status(life().UntagKey(id, {"team"})); }},
            {"CreateAlias",
             [=, this](const KeyId& id) {
               return status(ring().CreateAlias({"alias/new-" + id.ToString()}, id));
             }},
            {"UpdateAlias, to this key", [=, this](const KeyId& id) {
               const std::string alias = "alias/other-" + id.ToString();
               CreateAlias(alias, other_);
               return status(ring().UpdateAlias({alias}, other_, id));
             }}};
        if (!key.blob.empty()) {
          calls.push_back({"UpdateRotationPolicy", [=, this](const KeyId& id) {
                             return status(life().UpdateRotationPolicy(id, 30));
                           }});
        }
        return calls;
      }
      case KeyAction::kWithdraw:
        return {{"UpdateAlias, from this key",
                 [=, this](const KeyId& id) {
                   return status(ring().UpdateAlias({key.alias_to_move}, id, other_));
                 }},
                {"DeleteAlias", [=, this](const KeyId& id) {
                   return ring().DeleteAlias({key.alias_to_delete}, id);
                 }}};
      case KeyAction::kImport:
      case KeyAction::kDeleteMaterial:
        // What MaterialImport asks before anything else; its own tests make the calls.
        return {{"Check", [=, this](const KeyId& id) { return ring().Check(action, id); }}};
    }
    return {};
  }

  // A key for calls on keys that are no obstacle.
  KeyId other_;
};

TEST_F(KeyStateWalkTest, KeysInEachStateAnswerAsTheDocumentSays) {
  Table table = ReadTable();
  for (KeyStatus status : kAllKeyStatuses) {
    if (status == KeyStatus::kCreating) continue;
    SCOPED_TRACE(NameOf(status));
    const std::vector<Key> keys = MakeKeys(status);
    if (HasFatalFailure()) return;
    for (size_t i = 0; i < std::size(kAllKeyActions); ++i) {
      const KeyAction action = kAllKeyActions[i];
      SCOPED_TRACE(NameOf(action));
      const Cell& cell = table[NameOf(action)][NameOf(status)];
      for (const Call& call : CallsFor(action, keys[i])) {
        SCOPED_TRACE(call.name);
        const absl::Status answer = call.make(keys[i].id);
        // Note 1: it is the version that is unavailable.
        const std::string expected = cell.note == "1)" ? "Rejected.Unavailable" : cell.answer;
        EXPECT_EQ(Answer(answer), expected) << answer;
      }
      // What was refused changed nothing.
      if (cell.answer != kOk) {
        EXPECT_EQ(StatusNow(keys[i].id), status);
      }
    }
  }
}

TEST_F(KeyStateWalkTest, KeyThatIsBeingCreatedAnswersAsTheDocumentSays) {
  Table table = ReadTable();
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKey ", point.path(), " call=1")));
  std::thread creator([&] { EXPECT_OK(life().CreateKey({}, kNoDeadline)); });
  ASSERT_OK(point.WaitUntilHeld());
  const auto creating = ring().ListKeys({.statuses = {KeyStatus::kCreating}}, std::nullopt, 10);
  EXPECT_OK(creating);
  if (creating.ok() && creating->keys.size() == 1) {
    Key key;
    key.id = creating->keys[0].record.id;
    for (KeyAction action : kAllKeyActions) {
      SCOPED_TRACE(NameOf(action));
      if (action == KeyAction::kWithdraw) continue;  // it has nothing yet
      const Cell& cell = table[NameOf(action)][NameOf(KeyStatus::kCreating)];
      for (const Call& call : CallsFor(action, key)) {
        SCOPED_TRACE(call.name);
        const absl::Status answer = call.make(key.id);
        // Note 2: there is nothing to open.
        const std::string expected = cell.note == "2)" ? "InvalidCiphertext" : cell.answer;
        EXPECT_EQ(Answer(answer), expected) << answer;
      }
      EXPECT_EQ(StatusNow(key.id), KeyStatus::kCreating);
    }
    const auto rotated = life().RotateIfDue(key.id, kNoDeadline);
    EXPECT_OK(rotated);
    EXPECT_FALSE(rotated.ok() && rotated->has_value());
  } else {
    ADD_FAILURE() << "no key is being created";
  }
  point.Release();
  creator.join();
  if (HasFailure()) return;
  EXPECT_EQ(StatusNow(creating->keys[0].record.id), KeyStatus::kEnabled);
}

TEST_F(KeyStateWalkTest, OtherVersionsOfAnUnavailableKeyWork) {
  const KeyId key = CreateKey();
  const Sealed old = Seal(key, "old");
  const KeyVersionId primary = Rotate(key);
  const Sealed lost = Seal(key, "lost");
  ASSERT_OK(token().DestroyVersionKeys(primary.bytes(), kNoDeadline));
  Restart();
  EXPECT_EQ(StatusNow(key), KeyStatus::kUnavailable);
  ExpectOpens(old.blob, Binding(), "old");
  EXPECT_THAT(Open(lost.blob), FailsWith(Reason::kUnavailable, HasSubstr(primary.ToString())));
  EXPECT_OK(
      data_keys().Encrypt({.key = key, .version = SealingVersion::kInitial}, "text", kNoDeadline));
  EXPECT_THAT(data_keys().Encrypt({.key = key}, "text", kNoDeadline),
              FailsWith(Reason::kUnavailable));
  // A new primary version makes up for it.
  Rotate(key);
  EXPECT_EQ(StatusNow(key), KeyStatus::kEnabled);
  ExpectOpens(Seal(key, "new").blob, Binding(), "new");
}

}  // namespace
}  // namespace strongroom::core
