#include "server/gate/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/core/error.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/server/gate/audit/trail_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOkAndHolds;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

using Work = std::function<absl::Status(Call&)>;
using Json = nlohmann::json;

constexpr char kRootSocket[] = "/run/strongroom/root.sock";
constexpr char kOrdersSocket[] = "/run/strongroom/orders.sock";
constexpr char kSecret[] = "correct horse battery staple";
constexpr char kVersion[] = "2ab1a983-7072-4bbc-a582-584b5bd8c002";

constexpr Operation kEncrypt("KmsService.Encrypt");
constexpr Operation kDecrypt("KmsService.Decrypt");
constexpr Operation kReEncrypt("KmsService.ReEncrypt");
constexpr Operation kBatch("KmsService.BatchGenerateDataKey");
constexpr Operation kPairs("KmsService.GenerateDataKeyPair");
constexpr Operation kRandom("KmsService.GenerateRandom");
constexpr Operation kCreateGrant("KeyManagementService.CreateGrant");
constexpr Operation kRetireGrant("KeyManagementService.RetireGrant");

std::chrono::steady_clock::time_point Now() { return std::chrono::steady_clock::now(); }

Policy MakePolicy(std::vector<StatementText> statements) {
  absl::StatusOr<Policy> policy = Policy::Create("statements", std::move(statements));
  EXPECT_OK(policy);
  return policy.ok() ? *std::move(policy) : Policy();
}

// A gate on what a server has. "root" may do everything by the configuration, "orders" may use
// key() by its policy, and the rest nothing.
class GateTest : public core::KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    ASSERT_OK(trail_.Open());
    // So rare that no test sees a second token.
    const RateLimit rare = {.rate = 0.001, .burst = 2};
    RateLimits limits;
    limits[static_cast<size_t>(OperationClass::kRandom)] = rare;
    ASSERT_OK_AND_ASSIGN(limiter_, RateLimiter::Create({.defaults = limits}));
    ASSERT_NO_FATAL_FAILURE(Arrange());
    key_ = CreateKey();
    EXPECT_OK(authority_->PutKeyPolicy(
        "root", key_, MakePolicy({{.principals = {"orders"}, .operations = {"group:use"}}}),
        kNoDeadline));
  }
  void TearDown() override { Disarrange(); }

  // What hangs on the fixture's parts, which Restart() replaces.
  void Arrange() {
    ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
    authority_ = std::make_unique<Authority>(
        store(), token(), ring(), clock(), quiet_log_,
        MakePolicy({{.principals = {"root"}, .operations = {"*"}},
                    {.principals = {"orders", "billing"}, .operations = {"GenerateRandom"}}}));
    Keep(/*trail=*/true, debug_log_);
  }
  void Disarrange() {
    gate_ = nullptr;
    authority_ = nullptr;
  }
  void RestartAll() {
    Disarrange();
    Restart();
    Arrange();
  }
  // A gate that writes the trail, or none, and that log.
  void Keep(bool trail, Log& log) {
    gate_ = std::make_unique<Gate>(Gate::Parts{
        identities_, *limiter_, *authority_, trail ? &trail_.trail() : nullptr, data_keys(), log});
  }
  void KeepNoTrail() { Keep(false, info_log_); }
  // A gate that limits data keys, too.
  void LimitDataKeys(int burst) {
    RateLimits limits;
    limits[static_cast<size_t>(OperationClass::kDataKey)] =
        RateLimit{.rate = 0.001, .burst = burst};
    ASSERT_OK_AND_ASSIGN(limiter_, RateLimiter::Create({.defaults = limits}));
    Keep(/*trail=*/true, debug_log_);
  }

  std::unique_ptr<Call> Begin(Operation operation = kEncrypt, Peer peer = UnixPeer{kOrdersSocket},
                              Deadline deadline = kNoDeadline) {
    return gate_->Begin(operation, std::move(peer), deadline);
  }
  std::unique_ptr<Call> BeginAsRoot(Operation operation = kEncrypt) {
    return Begin(operation, UnixPeer{kRootSocket});
  }

  // A call's whole way, as the transport takes it. Keeps what was logged meanwhile.
  absl::Status Run(Call& call, const Work& work) {
    ::testing::internal::CaptureStderr();
    absl::Status status = gate_->Admit(call);
    status = status.ok() ? gate_->Pass(call, work) : gate_->Conclude(call, status);
    logged_ = ::testing::internal::GetCapturedStderr();
    return status;
  }
  // What comes of work that asks for `key` and ends with `outcome`.
  absl::Status RunWith(Call& call, const core::KeyReference& key,
                       const absl::Status& outcome = absl::OkStatus()) {
    return Run(call, [&](Call& passed) {
      const absl::Status permitted = passed.Authorize({key}).status();
      return permitted.ok() ? outcome : permitted;
    });
  }
  absl::Status RunPermitted(Call& call) { return RunWith(call, key_); }

  const std::string& logged() { return logged_; }
  // The one line of the log about a call.
  Json Line() {
    Json found;
    int lines = 0;
    for (const absl::string_view text : absl::StrSplit(logged_, '\n', absl::SkipEmpty())) {
      Json line = Json::parse(text.begin(), text.end());
      if (line["event"] != "call") continue;
      ++lines;
      found = std::move(line);
    }
    EXPECT_EQ(lines, 1) << logged_;
    return found;
  }

  // The records of a type in the trail.
  std::vector<Json> Records(const std::string& type = "call") {
    std::vector<Json> records;
    for (const std::string& line : audit::LinesIn(trail_.options.directory)) {
      Json record = Json::parse(line);
      if (record["type"] == type) records.push_back(std::move(record));
    }
    return records;
  }
  // The only record of a call.
  Json RecordOf(const Call& call) {
    Json found;
    int records = 0;
    for (Json& record : Records()) {
      if (record["request_id"] != call.request_id) continue;
      ++records;
      found = std::move(record);
    }
    EXPECT_EQ(records, 1) << call.request_id;
    return found;
  }
  void ExpectRecorded(const Call& call, const std::string& outcome, const std::string& reason) {
    const Json record = RecordOf(call);
    EXPECT_EQ(record.value("outcome", ""), outcome) << record;
    EXPECT_EQ(record.value("reason", ""), reason) << record;
    EXPECT_EQ(record.value("operation", ""), call.operation.FullName()) << record;
    EXPECT_EQ(record.value("principal", ""), call.principal()) << record;
    EXPECT_GE(record.value("duration_us", -1), 0) << record;
  }

  // While its folder is elsewhere, the trail cannot be written.
  void MoveTrailAway() {
    std::filesystem::rename(trail_.options.directory, trail_.options.directory + ".away");
  }
  void MoveTrailBack() {
    std::filesystem::rename(trail_.options.directory + ".away", trail_.options.directory);
  }
  const std::string& trail_directory() { return trail_.options.directory; }

  Gate& gate() { return *gate_; }
  Authority& authority() { return *authority_; }
  const KeyId& key() { return key_; }
  Log& info_log() { return info_log_; }

 private:
  const IdentityPolicy identities_{{{kRootSocket, "root"}, {kOrdersSocket, "orders"}}, false};
  Log quiet_log_{LogLevel::kError};
  Log info_log_{LogLevel::kInfo};
  Log debug_log_{LogLevel::kDebug};
  audit::TrailFixture trail_;
  std::unique_ptr<RateLimiter> limiter_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<Gate> gate_;
  KeyId key_;
  std::string logged_;
};

// --- The call -----------------------------------------------------------------------------------

TEST_F(GateTest, EveryCallHasAnIdOfItsOwn) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::unique_ptr<Call> call = Begin();
    EXPECT_THAT(call->request_id, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-"
                                               "[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    EXPECT_EQ(call->operation, kEncrypt);
    ids.insert(call->request_id);
  }
  EXPECT_EQ(ids.size(), 100u);
}

TEST_F(GateTest, DeadlineIsTheCallersUnlessItIsNoneOrFarAway) {
  const Deadline soon = Now() + std::chrono::seconds(60);
  EXPECT_EQ(Begin(kEncrypt, UnixPeer{kOrdersSocket}, soon)->deadline, soon);
  for (const Deadline far : {kNoDeadline, Now() + std::chrono::hours(24)}) {
    const Deadline earliest = Now() + std::chrono::seconds(120);
    const std::unique_ptr<Call> call = Begin(kEncrypt, UnixPeer{kOrdersSocket}, far);
    EXPECT_GE(call->deadline, earliest);
    EXPECT_LE(call->deadline, Now() + std::chrono::seconds(120));
  }
}

TEST_F(GateTest, CallThatMayIsRunOnceAsItsPrincipal) {
  const std::unique_ptr<Call> call = Begin();
  int runs = 0;
  EXPECT_OK(Run(*call, [&](Call& passed) {
    ++runs;
    EXPECT_EQ(&passed, call.get());
    EXPECT_EQ(passed.principal(), "orders");
    return passed.Authorize({key()}).status();
  }));
  EXPECT_EQ(runs, 1);
}

TEST_F(GateTest, CallWhoseDeadlinePassedIsNotRun) {
  const std::unique_ptr<Call> call = Begin(kEncrypt, UnixPeer{kOrdersSocket}, Now());
  bool ran = false;
  EXPECT_THAT(Run(*call,
                  [&](Call&) {
                    ran = true;
                    return absl::OkStatus();
                  }),
              FailsWith(Reason::kDependencyTimeout, HasSubstr("deadline")));
  EXPECT_FALSE(ran);
  ExpectRecorded(*call, "failed", "DependencyTimeout");
}

TEST_F(GateTest, CallerWithoutAnIdentityIsNotRun) {
  // The identity is asked for first: a stranger learns nothing else.
  for (const Deadline deadline : {kNoDeadline, Now()}) {
    for (const Peer& peer :
         {Peer(PlaintextPeer()), Peer(UnixPeer{"/tmp/other.sock"}), Peer(TlsPeer{})}) {
      const std::unique_ptr<Call> call = Begin(kRandom, peer, deadline);
      EXPECT_THAT(gate().Admit(*call), FailsWith(Reason::kNoPermission));
      EXPECT_EQ(call->principal(), "");
      EXPECT_THAT(Run(*call, [](Call&) { return absl::OkStatus(); }),
                  FailsWith(Reason::kNoPermission));
      ExpectRecorded(*call, "denied", "Forbidden.NoPermission");
      EXPECT_EQ(Line()["principal"], "");
    }
  }
}

// --- Permission ---------------------------------------------------------------------------------

TEST_F(GateTest, WorkThatDidNotAskForPermissionIsWithheld) {
  const std::unique_ptr<Call> call = Begin();
  EXPECT_THAT(Run(*call, [](Call&) { return absl::OkStatus(); }),
              FailsWith(Reason::kInternalFailure, Not(HasSubstr("permission"))));
  ExpectRecorded(*call, "failed", "InternalFailure");
  EXPECT_THAT(std::string(Line()["detail"]), HasSubstr("without asking for permission"));
}

TEST_F(GateTest, WorkThatWentOnWithoutPermissionIsWithheld) {
  const KeyId forbidden = CreateKey();
  const std::unique_ptr<Call> refused = Begin();
  EXPECT_THAT(Run(*refused,
                  [&](Call& passed) {
                    EXPECT_THAT(passed.Authorize({forbidden}), FailsWith(Reason::kNoPermission));
                    return absl::OkStatus();
                  }),
              FailsWith(Reason::kInternalFailure));
  ExpectRecorded(*refused, "failed", "InternalFailure");
  // Nor does it help to have been permitted something else before.
  const std::unique_ptr<Call> other = Begin();
  EXPECT_THAT(Run(*other,
                  [&](Call& passed) {
                    EXPECT_OK(passed.Authorize({key()}));
                    EXPECT_THAT(passed.Authorize({forbidden}), FailsWith(Reason::kNoPermission));
                    return absl::OkStatus();
                  }),
              FailsWith(Reason::kInternalFailure));
}

TEST_F(GateTest, FailureOfWorkThatDidNotAskIsReturnedAsItIs) {
  const std::unique_ptr<Call> call = Begin();
  const absl::Status failure = core::MakeError(Reason::kInvalidParameter, "key_id: no");
  EXPECT_EQ(Run(*call, [&](Call&) { return failure; }), failure);
}

TEST_F(GateTest, RetiringIsLeftToTheGrant) {
  const std::unique_ptr<Call> call = Begin(kRetireGrant);
  EXPECT_OK(Run(*call, [](Call& passed) {
    passed.LeaveToGrant();
    return absl::OkStatus();
  }));
  ExpectRecorded(*call, "allowed", "OK");
}

TEST_F(GateTest, EveryKeyAndNoneAtAllIsAskedFor) {
  const KeyId other = CreateKey();
  CreateAlias("alias/other", other);
  const std::unique_ptr<Call> root = BeginAsRoot();
  EXPECT_OK(Run(*root, [&](Call& passed) {
    const absl::StatusOr<Permit> permit = passed.Authorize({key(), core::Alias("alias/other")});
    if (!permit.ok()) return permit.status();
    EXPECT_THAT(permit->keys, ElementsAre(key(), other));
    return absl::OkStatus();
  }));
  EXPECT_EQ(RecordOf(*root)["key_id"], key().ToString());

  EXPECT_THAT(Run(*Begin(),
                  [&](Call& passed) {
                    return passed.Authorize({key(), other}).status();
                  }),
              FailsWith(Reason::kNoPermission));
  // The key's policy does not hold for operations without one.
  EXPECT_THAT(Run(*Begin(), [](Call& passed) { return passed.Authorize({}).status(); }),
              FailsWith(Reason::kNoPermission));
  EXPECT_OK(Run(*Begin(kRandom), [](Call& passed) { return passed.Authorize({}).status(); }));
}

TEST_F(GateTest, EncryptionContextDecidesAndAnAadIsNone) {
  EXPECT_OK(authority().PutKeyPolicy("root", key(),
                                     MakePolicy({{.principals = {"orders"},
                                                  .operations = {"group:use"},
                                                  .conditions = {.subset = {{"tenant", "a"}}}}}),
                                     kNoDeadline));
  const auto run_with = [&](std::map<std::string, std::string> context, std::string aad) {
    const std::unique_ptr<Call> call = Begin();
    return Run(*call, [&](Call& passed) {
      passed.encryption_context = context;
      passed.aad = aad;
      return passed.Authorize({key()}).status();
    });
  };
  EXPECT_OK(run_with({{"tenant", "a"}, {"more", "b"}}, ""));
  EXPECT_THAT(run_with({{"tenant", "b"}}, ""), FailsWith(Reason::kNoPermission));
  EXPECT_THAT(run_with({}, ""), FailsWith(Reason::kNoPermission));
  EXPECT_THAT(run_with({{"tenant", "a"}}, "aad"), FailsWith(Reason::kNoPermission));
}

TEST_F(GateTest, OpeningAsksForTheKeyOfTheBlob) {
  const std::string blob = Seal(key(), "plaintext").blob;
  const std::unique_ptr<Call> call = Begin(kDecrypt);
  EXPECT_OK(Run(*call, [&](Call& passed) {
    EXPECT_THAT(passed.AuthorizeOpening(blob, std::nullopt), IsOkAndHolds(std::nullopt));
    return absl::OkStatus();
  }));
  EXPECT_EQ(RecordOf(*call)["key_id"], key().ToString());

  CreateAlias("alias/orders", key());
  EXPECT_OK(Run(*Begin(kDecrypt), [&](Call& passed) {
    EXPECT_THAT(passed.AuthorizeOpening(blob, core::Alias("alias/orders")), IsOkAndHolds(key()));
    return absl::OkStatus();
  }));
}

TEST_F(GateTest, OpeningNeedsPermissionForBothKeys) {
  const KeyId forbidden = CreateKey();
  const std::string mine = Seal(key(), "plaintext").blob;
  const std::string foreign = Seal(forbidden, "plaintext").blob;
  const auto open = [&](Call& call, const std::string& blob,
                        const std::optional<core::KeyReference>& expected) {
    return Run(call,
               [&](Call& passed) { return passed.AuthorizeOpening(blob, expected).status(); });
  };
  for (const auto& [blob, expected] :
       std::vector<std::pair<std::string, std::optional<core::KeyReference>>>{
           {foreign, std::nullopt}, {foreign, key()}, {mine, forbidden}, {foreign, forbidden}}) {
    const std::unique_ptr<Call> call = Begin(kDecrypt);
    EXPECT_THAT(open(*call, blob, expected), FailsWith(Reason::kNoPermission));
    ExpectRecorded(*call, "denied", "Forbidden.NoPermission");
    if (!expected.has_value() || std::get<KeyId>(*expected) == key()) {
      // The blob's key was the reason. A key that is named is recorded as it is named.
      EXPECT_EQ(RecordOf(*call).value("key_id", ""), forbidden.ToString());
    }
    EXPECT_OK(open(*BeginAsRoot(kDecrypt), blob, expected));
  }
}

TEST_F(GateTest, OpeningTellsOfAbsentKeysOnlyThoseWhoMayKnow) {
  const KeyId forbidden = CreateKey();
  const std::string foreign = Seal(forbidden, "plaintext").blob;
  const KeyId absent = KeyId::FromRandom({7});
  std::string lost = foreign;
  const size_t at = lost.find(std::string(forbidden.bytes().begin(), forbidden.bytes().end()));
  ASSERT_NE(at, std::string::npos);
  std::copy(absent.bytes().begin(), absent.bytes().end(), lost.begin() + at);
  const auto open = [&](std::unique_ptr<Call> call, const std::string& blob,
                        const std::optional<core::KeyReference>& expected = std::nullopt) {
    return Run(*call,
               [&](Call& passed) { return passed.AuthorizeOpening(blob, expected).status(); });
  };
  // In the same words as for a key that is there.
  EXPECT_EQ(open(Begin(kDecrypt), lost), open(Begin(kDecrypt), foreign));
  EXPECT_THAT(open(Begin(kDecrypt), lost), FailsWith(Reason::kNoPermission));
  EXPECT_EQ(open(BeginAsRoot(kDecrypt), lost), core::InvalidCiphertext());
  EXPECT_EQ(open(BeginAsRoot(kDecrypt), lost, key()), core::InvalidCiphertext());
  // A key that the caller names is another matter.
  EXPECT_THAT(open(BeginAsRoot(kDecrypt), foreign, absent), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(open(BeginAsRoot(kDecrypt), foreign, core::Alias("alias/absent")),
              FailsWith(Reason::kAliasNotFound));
  for (const char* no_blob : {"", "no blob"}) {
    EXPECT_EQ(open(Begin(kDecrypt), no_blob), core::InvalidCiphertext());
  }
}

TEST_F(GateTest, ReEncryptingNeedsBothPermissionsEachForItsKey) {
  const KeyId destination = CreateKey();
  const std::string blob = Seal(key(), "plaintext").blob;
  struct Case {
    std::vector<std::string> source, destination;
    // Empty if both are permitted.
    std::string denied;
  };
  const std::string from = key().ToString();
  const std::string to = destination.ToString();
  const Case cases[] = {
      {{"ReEncryptFrom"}, {"ReEncryptTo"}, ""},
      {{"group:open"}, {"group:seal"}, ""},
      {{"ReEncryptFrom"}, {"ReEncryptFrom"}, to},
      {{"ReEncryptTo"}, {"ReEncryptTo"}, from},
      // For the wrong key each.
      {{"ReEncryptTo"}, {"ReEncryptFrom"}, from},
      {{"group:seal", "Decrypt"}, {"group:use"}, from},
      {{"group:use"}, {"group:open", "Encrypt", "GenerateDataKey"}, to},
  };
  for (const Case& one : cases) {
    const auto put = [&](const KeyId& id, const std::vector<std::string>& operations) {
      EXPECT_OK(authority().PutKeyPolicy(
          "root", id, MakePolicy({{.principals = {"orders"}, .operations = operations}}),
          kNoDeadline));
    };
    put(key(), one.source);
    put(destination, one.destination);
    const std::unique_ptr<Call> call = Begin(kReEncrypt);
    const absl::Status status = Run(*call, [&](Call& passed) {
      const absl::StatusOr<ReEncryptionPermit> permit =
          passed.AuthorizeReEncryption(blob, std::nullopt, destination, {});
      if (!permit.ok()) return permit.status();
      EXPECT_EQ(permit->expected_source, std::nullopt);
      EXPECT_EQ(permit->destination, destination);
      return absl::OkStatus();
    });
    EXPECT_EQ(RecordOf(*call)["key_id"], one.denied.empty() ? to : one.denied);
    if (one.denied.empty()) {
      EXPECT_OK(status);
      EXPECT_EQ(RecordOf(*call)["target"], absl::StrCat("from ", from));
    } else {
      EXPECT_THAT(status, FailsWith(Reason::kNoPermission));
      ExpectRecorded(*call, "denied", "Forbidden.NoPermission");
    }
  }
}

TEST_F(GateTest, ReEncryptingIsPermittedByEachHalfsOwnContext) {
  const KeyId destination = CreateKey();
  const std::string blob = Seal(key(), "plaintext").blob;
  const auto put = [&](const KeyId& id, const std::string& operation, const std::string& tenant) {
    EXPECT_OK(authority().PutKeyPolicy("root", id,
                                       MakePolicy({{.principals = {"orders"},
                                                    .operations = {operation},
                                                    .conditions = {.equals = {{"t", tenant}}}}}),
                                       kNoDeadline));
  };
  put(key(), "ReEncryptFrom", "old");
  put(destination, "ReEncryptTo", "new");
  const auto run = [&](const EncryptionContext& source, const std::string& source_aad,
                       const EncryptionContext& new_context) {
    const std::unique_ptr<Call> call = Begin(kReEncrypt);
    absl::Status status = Run(*call, [&](Call& passed) {
      passed.encryption_context = source;
      passed.aad = source_aad;
      return passed.AuthorizeReEncryption(blob, std::nullopt, destination, new_context).status();
    });
    // The record has the source's.
    EXPECT_EQ(RecordOf(*call).value("context", Json::object()), Json(source));
    return status;
  };
  const EncryptionContext old_one = {{"t", "old"}};
  const EncryptionContext new_one = {{"t", "new"}};
  EXPECT_OK(run(old_one, "", new_one));
  EXPECT_THAT(run(new_one, "", old_one), FailsWith(Reason::kNoPermission));
  EXPECT_THAT(run(old_one, "", old_one), FailsWith(Reason::kNoPermission));
  EXPECT_THAT(run(new_one, "", new_one), FailsWith(Reason::kNoPermission));
  EXPECT_THAT(run(old_one, "", {}), FailsWith(Reason::kNoPermission));
  EXPECT_THAT(run(old_one, "aad", new_one), FailsWith(Reason::kNoPermission));
}

TEST_F(GateTest, ReEncryptingTellsOfAbsentKeysOnlyThoseWhoMayKnow) {
  const KeyId forbidden = CreateKey();
  const KeyId absent = KeyId::FromRandom({7});
  const std::string mine = Seal(key(), "plaintext").blob;
  std::string lost = mine;
  const size_t at = lost.find(std::string(key().bytes().begin(), key().bytes().end()));
  ASSERT_NE(at, std::string::npos);
  std::copy(absent.bytes().begin(), absent.bytes().end(), lost.begin() + at);
  const auto run = [&](std::unique_ptr<Call> call, const std::string& blob,
                       const std::optional<core::KeyReference>& expected,
                       const core::KeyReference& destination) {
    return Run(*call, [&](Call& passed) {
      return passed.AuthorizeReEncryption(blob, expected, destination, {}).status();
    });
  };
  const auto as_root = [&] { return BeginAsRoot(kReEncrypt); };
  EXPECT_OK(run(as_root(), mine, key(), forbidden));
  EXPECT_EQ(run(as_root(), lost, std::nullopt, key()), core::InvalidCiphertext());
  EXPECT_THAT(run(as_root(), mine, absent, key()), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(run(as_root(), mine, std::nullopt, absent), FailsWith(Reason::kKeyNotFound));
  const auto as_orders = [&] { return Begin(kReEncrypt); };
  EXPECT_OK(run(as_orders(), mine, std::nullopt, key()));
  EXPECT_EQ(run(as_orders(), "no blob", std::nullopt, key()), core::InvalidCiphertext());
  for (const KeyId& other : {forbidden, absent}) {
    EXPECT_EQ(run(as_orders(), mine, other, key()), run(as_orders(), mine, forbidden, key()));
    EXPECT_EQ(run(as_orders(), mine, std::nullopt, other),
              run(as_orders(), mine, std::nullopt, forbidden));
    EXPECT_THAT(run(as_orders(), mine, std::nullopt, other), FailsWith(Reason::kNoPermission));
  }
  EXPECT_EQ(run(as_orders(), lost, std::nullopt, key()),
            run(as_orders(), Seal(forbidden, "plaintext").blob, std::nullopt, key()));
}

TEST_F(GateTest, ReEncryptingRecordsBothGrantsThatAllowedIt) {
  const KeyId source = CreateKey();
  const KeyId destination = CreateKey();
  const auto grant = [&](const KeyId& id, const std::string& operation) {
    const Demand demand = {kCreateGrant, id};
    const absl::StatusOr<Permit> permit =
        authority().Decide({.principal = "root", .demands = {&demand, 1}});
    EXPECT_OK(permit);
    const absl::StatusOr<CreatedGrant> created = authority().CreateGrant(
        *permit, {.grantee = "orders", .operations = {operation}}, kNoDeadline);
    EXPECT_OK(created);
    return created->grant->id.ToString();
  };
  const std::string from = grant(source, "ReEncryptFrom");
  const std::string to = grant(destination, "ReEncryptTo");
  const auto record = [&](const KeyId& one, const KeyId& other) {
    const std::string blob = Seal(one, "plaintext").blob;
    const std::unique_ptr<Call> call = Begin(kReEncrypt);
    EXPECT_OK(Run(*call, [&](Call& passed) {
      return passed.AuthorizeReEncryption(blob, std::nullopt, other, {}).status();
    }));
    return RecordOf(*call);
  };
  EXPECT_EQ(record(source, destination)["grant_id"], absl::StrCat(from, ",", to));
  EXPECT_EQ(record(source, key())["grant_id"], from);
  EXPECT_EQ(record(key(), destination)["grant_id"], to);
  EXPECT_FALSE(record(key(), key()).contains("grant_id"));
}

// --- Rate limits --------------------------------------------------------------------------------

TEST_F(GateTest, RateIsLimitedByPrincipalAndClass) {
  const Work work = [](Call& passed) { return passed.Authorize({}).status(); };
  // Strangers use nothing up, whom they may say they are.
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(Run(*Begin(kRandom, PlaintextPeer()), work).ok());
  }
  EXPECT_OK(Run(*Begin(kRandom), work));
  EXPECT_OK(Run(*Begin(Operation("KmsInstanceService.GenerateRandom")), work));
  const std::unique_ptr<Call> throttled = Begin(kRandom);
  bool ran = false;
  const absl::Status refused = Run(*throttled, [&](Call&) {
    ran = true;
    return absl::OkStatus();
  });
  EXPECT_THAT(refused, FailsWith(Reason::kThrottling, HasSubstr("orders")));
  EXPECT_GT(core::RetryDelayOf(refused).value_or(absl::ZeroDuration()), absl::Seconds(1));
  EXPECT_FALSE(ran);
  ExpectRecorded(*throttled, "failed", "Rejected.Throttling");
  // Another class, and another principal.
  EXPECT_OK(RunPermitted(*Begin()));
  EXPECT_OK(Run(*BeginAsRoot(kRandom), work));
}

TEST_F(GateTest, BatchCountsAsItsKeysOnceItIsPermitted) {
  ASSERT_NO_FATAL_FAILURE(LimitDataKeys(10));
  const auto run = [&](int64_t count, bool dry_run, const KeyId& on) {
    const std::unique_ptr<Call> call = Begin(kBatch);
    call->count = count;
    call->dry_run = dry_run;
    return RunWith(*call, on);
  };
  const KeyId forbidden = CreateKey();
  // These are a call each.
  EXPECT_THAT(run(5, false, forbidden), FailsWith(Reason::kNoPermission));
  EXPECT_THAT(run(5, true, key()), FailsWith(Reason::kDryRunOperation));
  // Eight of ten are left.
  EXPECT_OK(run(4, false, key()));
  EXPECT_OK(run(2, false, key()));
  EXPECT_THAT(run(3, false, key()), FailsWith(Reason::kThrottling, HasSubstr("a batch of 3 is 3")));
  // That was a call, too; one more there is.
  EXPECT_OK(run(1, false, key()));
  EXPECT_THAT(RunPermitted(*Begin()), FailsWith(Reason::kThrottling));
}

TEST_F(GateTest, BatchThatIsThrottledIsNotDone) {
  ASSERT_NO_FATAL_FAILURE(LimitDataKeys(10));
  EXPECT_OK(RunPermitted(*Begin()));
  const std::unique_ptr<Call> call = Begin(kBatch);
  call->count = 10;
  bool permitted = false;
  const absl::Status refused = Run(*call, [&](Call& passed) {
    const absl::Status status = passed.Authorize({key()}).status();
    permitted = status.ok();
    return status;
  });
  EXPECT_THAT(refused, FailsWith(Reason::kThrottling));
  EXPECT_TRUE(core::RetryDelayOf(refused).has_value());
  EXPECT_FALSE(permitted);
  ExpectRecorded(*call, "failed", "Rejected.Throttling");
  EXPECT_EQ(RecordOf(*call)["count"], 10);
}

TEST_F(GateTest, BatchThatNeverFitsIsRefusedWhoeverAsks) {
  ASSERT_NO_FATAL_FAILURE(LimitDataKeys(10));
  for (const KeyId& on : {key(), CreateKey()}) {
    const std::unique_ptr<Call> call = Begin(kBatch);
    call->count = 11;
    const absl::Status refused = RunWith(*call, on);
    EXPECT_THAT(refused, FailsWith(Reason::kInvalidParameter, HasSubstr("count: 11")));
    EXPECT_FALSE(core::RetryDelayOf(refused).has_value());
  }
  const std::unique_ptr<Call> dry_run = Begin(kBatch);
  dry_run->count = 11;
  dry_run->dry_run = true;
  const absl::Status verdict = RunPermitted(*dry_run);
  EXPECT_THAT(verdict, FailsWith(Reason::kValidationError));
  EXPECT_EQ(core::MetadataOf(verdict)["failed_check"], "request");
}

// --- The trail ----------------------------------------------------------------------------------

TEST_F(GateTest, BatchHasOneRecordThatSaysHowMany) {
  const std::unique_ptr<Call> whole = Begin(kBatch);
  whole->count = 1000;
  EXPECT_OK(RunPermitted(*whole));
  ExpectRecorded(*whole, "allowed", "OK");
  EXPECT_EQ(RecordOf(*whole)["count"], 1000);
  EXPECT_FALSE(RecordOf(*whole).contains("target"));
  const std::unique_ptr<Call> no_batch = Begin();
  EXPECT_OK(RunPermitted(*no_batch));
  EXPECT_FALSE(RecordOf(*no_batch).contains("count"));
}

TEST_F(GateTest, WhyABatchWasDoneInPartIsLogged) {
  const std::unique_ptr<Call> call = Begin(kBatch);
  EXPECT_OK(Run(*call, [&](Call& passed) {
    passed.shortfall = core::FromToken(absl::UnavailableError("C_Encrypt: CKR_DEVICE_REMOVED"));
    return passed.Authorize({key()}).status();
  }));
  ExpectRecorded(*call, "allowed", "OK");
  const Json line = Line();
  EXPECT_EQ(line["level"], "error");
  EXPECT_EQ(line["outcome"], "Rejected.Unavailable");
  EXPECT_EQ(line["detail"], "C_Encrypt: CKR_DEVICE_REMOVED");
}

TEST_F(GateTest, EveryOutcomeIsRecordedOnce) {
  const KeyId forbidden = CreateKey();
  const std::unique_ptr<Call> allowed = Begin();
  EXPECT_OK(RunPermitted(*allowed));
  ExpectRecorded(*allowed, "allowed", "OK");

  const std::unique_ptr<Call> denied = Begin();
  EXPECT_THAT(RunWith(*denied, forbidden), FailsWith(Reason::kNoPermission));
  ExpectRecorded(*denied, "denied", "Forbidden.NoPermission");

  const std::unique_ptr<Call> bad_token = Begin();
  bad_token->grant_tokens = {"srg1.forged"};
  EXPECT_THAT(RunPermitted(*bad_token), FailsWith(Reason::kInvalidGrantToken));
  ExpectRecorded(*bad_token, "denied", "InvalidGrantToken");

  const std::unique_ptr<Call> absent = BeginAsRoot();
  EXPECT_THAT(RunWith(*absent, core::Alias("alias/absent")), FailsWith(Reason::kAliasNotFound));
  ExpectRecorded(*absent, "failed", "Forbidden.AliasNotFound");

  for (const Reason reason :
       {Reason::kDisabled, Reason::kUnavailable, Reason::kInvalidCiphertext, Reason::kThrottling}) {
    const std::unique_ptr<Call> failed = Begin();
    EXPECT_THAT(RunWith(*failed, key(), core::MakeError(reason, "no")), FailsWith(reason));
    ExpectRecorded(*failed, "failed", core::InfoOf(reason).name);
  }
  const std::unique_ptr<Call> foreign = Begin();
  EXPECT_FALSE(RunWith(*foreign, key(), absl::NotFoundError("row 7")).ok());
  ExpectRecorded(*foreign, "failed", "InternalFailure");
  EXPECT_THAT(Records(), SizeIs(9));
}

TEST_F(GateTest, RecordHasTheKeyThatWasUsedOrTheNameThatWasGiven) {
  CreateAlias("alias/orders", key());
  CreateAlias("alias/forbidden", CreateKey());
  const auto run = [&](Call& call, const std::string& name) {
    call.key_id = name;
    return RunWith(call, core::Alias(name));
  };
  const std::unique_ptr<Call> allowed = Begin();
  EXPECT_OK(run(*allowed, "alias/orders"));
  EXPECT_EQ(RecordOf(*allowed)["key_id"], key().ToString());
  // Also if it fails later.
  const std::unique_ptr<Call> failed = Begin();
  failed->key_id = "alias/orders";
  EXPECT_FALSE(
      RunWith(*failed, core::Alias("alias/orders"), core::MakeError(Reason::kDisabled, "no")).ok());
  EXPECT_EQ(RecordOf(*failed)["key_id"], key().ToString());

  for (const char* name : {"alias/forbidden", "alias/absent"}) {
    const std::unique_ptr<Call> denied = Begin();
    EXPECT_THAT(run(*denied, name), FailsWith(Reason::kNoPermission));
    EXPECT_EQ(RecordOf(*denied)["key_id"], name);
  }
}

TEST_F(GateTest, RecordHasTheVersionAndWhatTheCallIsBoundTo) {
  const std::unique_ptr<Call> plain = Begin();
  EXPECT_OK(RunPermitted(*plain));
  for (const char* member : {"context", "aad_sha256", "key_version_id", "grant_id", "dry_run"}) {
    EXPECT_FALSE(RecordOf(*plain).contains(member)) << member;
  }

  const std::unique_ptr<Call> with_context = Begin();
  EXPECT_OK(Run(*with_context, [&](Call& passed) {
    passed.encryption_context = {{"tenant", "a"}, {"purpose", "\"invoices\"\n"}};
    passed.key_version_id = kVersion;
    return passed.Authorize({key()}).status();
  }));
  const Json record = RecordOf(*with_context);
  EXPECT_EQ(record["context"], Json({{"tenant", "a"}, {"purpose", "\"invoices\"\n"}}));
  EXPECT_EQ(record["key_version_id"], kVersion);

  // Of an Aad, which may be anything, there is the digest (FIPS 180-2, B.1).
  const std::unique_ptr<Call> with_aad = Begin();
  EXPECT_OK(Run(*with_aad, [&](Call& passed) {
    passed.aad = "abc";
    return passed.Authorize({key()}).status();
  }));
  EXPECT_EQ(RecordOf(*with_aad)["aad_sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_FALSE(RecordOf(*with_aad).contains("context"));
}

TEST_F(GateTest, RecordNamesTheGrantThatAllowedIt) {
  const KeyId other = CreateKey();
  const Demand demand = {kCreateGrant, other};
  ASSERT_OK_AND_ASSIGN(const Permit permit,
                       authority().Decide({.principal = "root", .demands = {&demand, 1}}));
  ASSERT_OK_AND_ASSIGN(const CreatedGrant grant,
                       authority().CreateGrant(
                           permit, {.grantee = "orders", .operations = {"Encrypt"}}, kNoDeadline));
  const std::unique_ptr<Call> call = Begin();
  call->grant_tokens = {grant.token};
  EXPECT_OK(RunWith(*call, other));
  EXPECT_EQ(RecordOf(*call)["grant_id"], grant.grant->id.ToString());
}

TEST_F(GateTest, AnswerIsWithheldIfItsRecordCannotBeWritten) {
  for (const absl::Status& outcome :
       {absl::OkStatus(), core::MakeError(Reason::kDisabled, "is disabled")}) {
    const std::unique_ptr<Call> call = Begin();
    const absl::Status status = Run(*call, [&](Call& passed) {
      EXPECT_OK(passed.Authorize({key()}));
      MoveTrailAway();
      return outcome;
    });
    EXPECT_THAT(status, FailsWith(Reason::kServiceUnavailableTemporary,
                                  AllOf(HasSubstr("audit trail"), Not(HasSubstr("/")))));
    EXPECT_EQ(core::RetryDelayOf(status), absl::Seconds(1));
    const Json line = Line();
    EXPECT_EQ(line["outcome"], "ServiceUnavailableTemporary");
    EXPECT_EQ(line["level"], "error");
    EXPECT_THAT(std::string(line["detail"]), HasSubstr(trail_directory()));
    MoveTrailBack();
    EXPECT_THAT(audit::LinesIn(trail_directory()), Each(Not(HasSubstr(call->request_id))));
    EXPECT_OK(RunPermitted(*Begin()));
  }
}

TEST_F(GateTest, NothingIsBegunWhileTheTrailCannotBeWritten) {
  const std::unique_ptr<Call> withheld = Begin();
  EXPECT_FALSE(Run(*withheld, [&](Call& passed) {
                 MoveTrailAway();
                 return passed.Authorize({key()}).status();
               }).ok());
  for (int i = 0; i < 2; ++i) {
    // Refused without a token of the rate limit, too.
    const std::unique_ptr<Call> call = Begin(kRandom);
    bool ran = false;
    const absl::Status status = Run(*call, [&](Call& passed) {
      ran = true;
      return passed.Authorize({}).status();
    });
    EXPECT_THAT(status, FailsWith(Reason::kServiceUnavailableTemporary, HasSubstr("audit trail")));
    EXPECT_EQ(core::RetryDelayOf(status), absl::Seconds(1));
    EXPECT_FALSE(ran);
    EXPECT_EQ(Line()["outcome"], "ServiceUnavailableTemporary");
  }
  // It comes back by itself, and says how many had no record.
  MoveTrailBack();
  for (int i = 0; i < 2; ++i) {
    const std::unique_ptr<Call> call = Begin(kRandom);
    EXPECT_OK(Run(*call, [](Call& passed) { return passed.Authorize({}).status(); }));
    ExpectRecorded(*call, "allowed", "OK");
  }
  EXPECT_THAT(Records(), SizeIs(2));
  ASSERT_THAT(Records("recovered"), SizeIs(1));
  EXPECT_EQ(Records("recovered")[0]["refused"], 3);
}

TEST_F(GateTest, CallThatIsRefusedAtTheGateIsWithheldLikeAnyOther) {
  MoveTrailAway();
  EXPECT_THAT(Run(*Begin(kRandom, PlaintextPeer()), [](Call&) { return absl::OkStatus(); }),
              FailsWith(Reason::kServiceUnavailableTemporary));
  MoveTrailBack();
}

// --- Dry runs -----------------------------------------------------------------------------------

// What a dry run's error carries.
std::map<std::string, std::string> Verdict(const std::string& failed_check,
                                           const std::string& token) {
  return {{"failed_check", failed_check}, {"token", token}};
}

TEST_F(GateTest, DryRunThatWouldWorkSaysSo) {
  const std::unique_ptr<Call> call = Begin();
  call->dry_run = true;
  const absl::Status status = RunPermitted(*call);
  EXPECT_THAT(status, FailsWith(Reason::kDryRunOperation));
  EXPECT_EQ(core::MetadataOf(status), Verdict("none", "able"));
  ExpectRecorded(*call, "allowed", "DryRunOperationError");
  EXPECT_EQ(RecordOf(*call)["dry_run"], true);
}

TEST_F(GateTest, DryRunNamesTheCheckThatFailed) {
  const absl::Status wrong = core::MakeError(Reason::kInvalidParameter, "plaintext: is empty");
  const auto run = [&](std::unique_ptr<Call> call, const Work& work, const std::string& outcome,
                       const std::string& reason) {
    call->dry_run = true;
    const absl::Status status = Run(*call, work);
    ExpectRecorded(*call, outcome, reason);
    EXPECT_EQ(RecordOf(*call)["dry_run"], true);
    return status;
  };

  const absl::Status request = run(
      Begin(), [&](Call&) { return wrong; }, "failed", "ValidationError");
  EXPECT_THAT(request, FailsWith(Reason::kValidationError, "dry run: plaintext: is empty"));
  EXPECT_EQ(core::MetadataOf(request), Verdict("request", "able"));

  const KeyId forbidden = CreateKey();
  for (const KeyId& denied : {forbidden, KeyId::FromRandom({7})}) {
    const absl::Status permission = run(
        Begin(), [&](Call& passed) { return passed.Authorize({denied}).status(); }, "denied",
        "AccessDeniedError");
    EXPECT_THAT(permission, FailsWith(Reason::kAccessDenied, HasSubstr("dry run: orders may not")));
    EXPECT_EQ(core::MetadataOf(permission), Verdict("permission", "able"));
  }
  const absl::Status forged = run(
      Begin(),
      [&](Call& passed) {
        passed.grant_tokens = {"srg1.forged"};
        return passed.Authorize({key()}).status();
      },
      "denied", "AccessDeniedError");
  EXPECT_EQ(core::MetadataOf(forged), Verdict("permission", "able"));

  // Before and after the permission.
  const absl::Status absent = run(
      BeginAsRoot(),
      [&](Call& passed) { return passed.Authorize({KeyId::FromRandom({7})}).status(); }, "failed",
      "ValidationError");
  EXPECT_EQ(core::MetadataOf(absent), Verdict("key", "able"));
  Disable(key());
  const absl::Status disabled = run(
      Begin(),
      [&](Call& passed) {
        EXPECT_OK(passed.Authorize({key()}));
        return data_keys().RehearseSealing(key(), core::SealingVersion::kPrimary, std::nullopt,
                                           passed.deadline);
      },
      "failed", "ValidationError");
  EXPECT_THAT(disabled, FailsWith(Reason::kValidationError));
  EXPECT_EQ(core::MetadataOf(disabled), Verdict("key", "able"));
}

TEST_F(GateTest, DryRunTellsWhatTheTokenCannot) {
  ASSERT_OK(faults().Apply("hide CKM_RSA_PKCS_KEY_PAIR_GEN"));
  ASSERT_NO_FATAL_FAILURE(RestartAll());
  const auto run = [&](std::optional<hsm::PairSpec> spec, const core::KeyReference& named) {
    const std::unique_ptr<Call> call = BeginAsRoot(kPairs);
    call->dry_run = true;
    call->pair_spec = spec;
    return Run(*call, [&](Call& passed) {
      const absl::StatusOr<Permit> permit = passed.Authorize({named});
      if (!permit.ok()) return permit.status();
      return data_keys().RehearseSealing(permit->key(0), core::SealingVersion::kPrimary, spec,
                                         passed.deadline);
    });
  };
  const absl::Status unable = run(hsm::PairSpec::kRsa2048, key());
  EXPECT_THAT(unable, FailsWith(Reason::kValidationError));
  EXPECT_EQ(core::MetadataOf(unable), Verdict("token", "unable"));
  // It is told besides, if something else fails first.
  EXPECT_EQ(core::MetadataOf(run(hsm::PairSpec::kRsa2048, KeyId::FromRandom({7}))),
            Verdict("key", "unable"));
  EXPECT_EQ(core::MetadataOf(run(hsm::PairSpec::kEcP256, key())), Verdict("none", "able"));

  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_DEVICE_REMOVED"));
  EXPECT_EQ(core::MetadataOf(run(std::nullopt, key())), Verdict("token", "away"));
  EXPECT_EQ(core::MetadataOf(run(std::nullopt, KeyId::FromRandom({7}))), Verdict("key", "away"));
  faults().Reset();
}

TEST_F(GateTest, TokenThatIsAwayWhenTheKeyWasPermittedIsTheTokensFault) {
  for (const Reason reason :
       {Reason::kUnavailable, Reason::kDependencyTimeout, Reason::kThrottling}) {
    const std::unique_ptr<Call> call = Begin();
    call->dry_run = true;
    const absl::Status status = RunWith(*call, key(), core::MakeError(reason, "no"));
    EXPECT_THAT(status, FailsWith(Reason::kValidationError));
    EXPECT_EQ(core::MetadataOf(status), Verdict("token", "away"));
  }
}

TEST_F(GateTest, DryRunDoesNotHideTheServersMistakes) {
  const std::unique_ptr<Call> broken = Begin();
  broken->dry_run = true;
  EXPECT_THAT(RunWith(*broken, key(), core::MakeInternalFailure("row 7")),
              FailsWith(Reason::kInternalFailure));
  const std::unique_ptr<Call> unasked = Begin();
  unasked->dry_run = true;
  EXPECT_THAT(Run(*unasked, [](Call&) { return absl::OkStatus(); }),
              FailsWith(Reason::kInternalFailure));
}

// --- The log ------------------------------------------------------------------------------------

TEST_F(GateTest, WithoutATrailCallsAreLoggedInOneLine) {
  KeepNoTrail();
  const std::unique_ptr<Call> call = Begin();
  EXPECT_OK(Run(*call, [&](Call& passed) {
    passed.key_version_id = kVersion;
    return passed.Authorize({key()}).status();
  }));
  const Json line = Line();
  EXPECT_EQ(line["event"], "call");
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["request_id"], call->request_id);
  EXPECT_EQ(line["principal"], "orders");
  EXPECT_EQ(line["operation"], "KmsService.Encrypt");
  EXPECT_EQ(line["key_id"], key().ToString());
  EXPECT_EQ(line["key_version_id"], kVersion);
  EXPECT_EQ(line["outcome"], "OK");
  EXPECT_TRUE(line["duration_us"].is_number_unsigned());
  EXPECT_THAT(Records(), IsEmpty());

  EXPECT_FALSE(RunWith(*Begin(), CreateKey()).ok());
  EXPECT_EQ(Line()["level"], "info");
  EXPECT_EQ(Line()["outcome"], "Forbidden.NoPermission");
}

TEST_F(GateTest, OnlyTheServersOwnFailuresAreErrorsInTheLog) {
  for (const bool trail : {true, false}) {
    if (!trail) KeepNoTrail();
    for (int i = 0; i <= static_cast<int>(Reason::kInternalFailure); ++i) {
      const core::ReasonInfo& info = core::InfoOf(static_cast<Reason>(i));
      EXPECT_THAT(Run(*Begin(), [&](Call&) { return core::MakeError(info.reason, "no"); }),
                  FailsWith(info.reason));
      EXPECT_EQ(Line()["outcome"], info.name);
      EXPECT_EQ(Line()["level"], info.http_status >= 500 ? "error"
                                 : trail                 ? "debug"
                                                         : "info")
          << info.name;
    }
  }
}

TEST_F(GateTest, WhatTheTrailHasIsNotLoggedAgain) {
  Keep(/*trail=*/true, info_log());
  EXPECT_OK(RunPermitted(*Begin()));
  EXPECT_EQ(logged(), "");
  EXPECT_FALSE(RunWith(*Begin(), CreateKey()).ok());
  EXPECT_EQ(logged(), "");
  EXPECT_FALSE(Run(*Begin(), [](Call&) { return core::MakeInternalFailure("row 7"); }).ok());
  EXPECT_EQ(Line()["level"], "error");
}

TEST_F(GateTest, KeyThatIsTooLongIsCutInTheLog) {
  KeepNoTrail();
  for (const absl::Status& outcome :
       {absl::OkStatus(), core::MakeError(Reason::kInvalidParameter, "KeyId: is too long")}) {
    // The cut is not within a character.
    EXPECT_EQ(Run(*Begin(kRetireGrant),
                  [&](Call& passed) {
                    passed.LeaveToGrant();
                    passed.key_id = std::string(255, 'x') + "\xc3\xa4" + std::string(60000, 'x');
                    return outcome;
                  }),
              outcome);
    EXPECT_EQ(Line()["key_id"], std::string(255, 'x'));
    EXPECT_LT(logged().size(), 1000u);
  }
}

TEST_F(GateTest, InternalDetailIsLogged) {
  EXPECT_THAT(
      RunWith(*Begin(), key(), core::FromToken(absl::UnavailableError("C_Sign: CKR_DEVICE_ERROR"))),
      FailsWith(Reason::kUnavailable, Not(HasSubstr("CKR"))));
  EXPECT_EQ(Line()["outcome"], "Rejected.Unavailable");
  EXPECT_EQ(Line()["detail"], "C_Sign: CKR_DEVICE_ERROR");
  // Of a status from elsewhere, all that it says.
  EXPECT_FALSE(RunWith(*Begin(), key(), absl::NotFoundError("row 7")).ok());
  EXPECT_EQ(Line()["outcome"], "InternalFailure");
  EXPECT_EQ(Line()["detail"], "row 7");
}

TEST_F(GateTest, NothingSecretIsLoggedOrRecorded) {
  for (const bool trail : {true, false}) {
    if (!trail) KeepNoTrail();
    const std::unique_ptr<Call> call = Begin();
    call->aad = kSecret;
    const absl::Status repeats =
        core::MakeError(Reason::kInvalidParameter, absl::StrCat("plaintext: \"", kSecret, "\""));
    EXPECT_EQ(RunWith(*call, key(), repeats), repeats);
    EXPECT_EQ(Line()["outcome"], "InvalidParameter");
    EXPECT_THAT(logged(), Not(HasSubstr("horse")));
    const std::unique_ptr<Call> with_token = Begin();
    with_token->grant_tokens = {kSecret};
    EXPECT_FALSE(RunPermitted(*with_token).ok());
    EXPECT_THAT(logged(), Not(HasSubstr("horse")));
  }
  EXPECT_THAT(Records(), SizeIs(2));
  EXPECT_THAT(audit::LinesIn(trail_directory()), Each(Not(HasSubstr("horse"))));
}

}  // namespace
}  // namespace strongroom::gate
