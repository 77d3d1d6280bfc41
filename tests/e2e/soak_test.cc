// The server under many clients at once, while its keys are rotated, disabled and renamed: no wrong
// result, no crash, no leak, and nothing lost at the end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "platform/mutex.h"
#include "tests/e2e/operations.h"
#include "tests/e2e/server_process.h"
#include "tests/testing/softhsm.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::e2e {
namespace {

using ::testing::IsEmpty;

constexpr int kClients = 64;
constexpr int kPairGenerations = 2;
// The short form's work, about ten seconds of it. The long form has the environment's
// STRONGROOM_SOAK_SECONDS instead.
constexpr int64_t kCalls = 16000;
// How much is done between one change of the keys and the next of its kind.
constexpr int64_t kCallsBetweenRotations = 600;
constexpr int64_t kCallsBetweenOtherChanges = 50;
constexpr int64_t kCallsBeforeTermination = 3000;

// What went wrong, in any thread. The first few are enough.
class Failures {
 public:
  void Add(const std::string& what) ABSL_LOCKS_EXCLUDED(mu_) {
    constexpr size_t kMost = 20;
    MutexLock lock(mu_);
    if (failures_.size() < kMost) failures_.push_back(what);
  }
  std::vector<std::string> Take() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return std::move(failures_);
  }

 private:
  Mutex mu_;
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mu_);
};

// How many calls have been made, by which the threads keep step: there is no clock in the short
// form.
class Progress {
 public:
  void Add() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(mu_);
      ++calls_;
    }
    changed_.NotifyAll();
  }
  // Lets all that wait go, and those that will.
  void End() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(mu_);
      ended_ = true;
    }
    changed_.NotifyAll();
  }
  // Waits until so many more calls are made. False if that is not going to be.
  bool WaitForMore(int64_t calls) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    const int64_t enough = calls_ + calls;
    while (calls_ < enough && !ended_) changed_.Wait(mu_);
    return !ended_;
  }
  int64_t calls() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return calls_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

// Something that one thread switches between two states, as the others can know it: while a switch
// is under way, nobody can say which state a call meets.
class Switch {
 public:
  void Begin() { ++step_; }
  void End() { ++step_; }
  uint64_t step() const { return step_; }

  // The state during a call, from the steps before and after it; nothing if it may have been either
  // one. The first state is 0.
  static std::optional<int> StateDuring(uint64_t before, uint64_t after) {
    if (before != after || before % 2 != 0) return std::nullopt;
    return static_cast<int>(before / 2 % 2);
  }

 private:
  std::atomic<uint64_t> step_ = 0;
};

// A version that sealed, and which numbers it may have by what was acknowledged around the call.
struct SeenVersion {
  std::string id;
  int least;
  int most;
};

grpc::Status Describe(Stubs& stubs, const std::string& key, v1::Key& described) {
  grpc::ClientContext context;
  v1::DescribeKeyRequest q;
  q.set_key_id(key);
  v1::DescribeKeyResponse a;
  grpc::Status status = stubs.keys->DescribeKey(&context, q, &a);
  described = a.key();
  return status;
}

std::string CreateKey(Stubs& stubs) {
  grpc::ClientContext context;
  v1::CreateKeyResponse a;
  const grpc::Status status = stubs.keys->CreateKey(&context, {}, &a);
  EXPECT_TRUE(status.ok()) << ReasonOf(status);
  return a.key().key_id();
}

grpc::Status Rotate(Stubs& stubs, const std::string& key) {
  grpc::ClientContext context;
  v1::CreateKeyVersionRequest q;
  q.set_key_id(key);
  v1::CreateKeyVersionResponse a;
  return stubs.keys->CreateKeyVersion(&context, q, &a);
}

grpc::Status SetEnabled(Stubs& stubs, const std::string& key, bool enabled) {
  grpc::ClientContext context;
  if (enabled) {
    v1::EnableKeyRequest q;
    q.set_key_id(key);
    v1::EnableKeyResponse a;
    return stubs.keys->EnableKey(&context, q, &a);
  }
  v1::DisableKeyRequest q;
  q.set_key_id(key);
  v1::DisableKeyResponse a;
  return stubs.keys->DisableKey(&context, q, &a);
}

grpc::Status CreateAlias(Stubs& stubs, const std::string& alias, const std::string& key) {
  grpc::ClientContext context;
  v1::CreateAliasRequest q;
  q.set_alias_name(alias);
  q.set_key_id(key);
  v1::CreateAliasResponse a;
  return stubs.keys->CreateAlias(&context, q, &a);
}

grpc::Status MoveAlias(Stubs& stubs, const std::string& alias, const std::string& key) {
  grpc::ClientContext context;
  v1::UpdateAliasRequest q;
  q.set_alias_name(alias);
  q.set_key_id(key);
  v1::UpdateAliasResponse a;
  return stubs.keys->UpdateAlias(&context, q, &a);
}

std::map<std::string, int> NumbersOfVersions(Stubs& stubs, const std::string& key) {
  std::map<std::string, int> numbers;
  v1::ListKeyVersionsRequest q;
  q.set_key_id(key);
  q.set_page_size(1000);
  do {
    grpc::ClientContext context;
    v1::ListKeyVersionsResponse a;
    const grpc::Status status = stubs.keys->ListKeyVersions(&context, q, &a);
    EXPECT_TRUE(status.ok()) << ReasonOf(status);
    for (const v1::KeyVersion& version : a.key_versions()) {
      numbers[version.key_version_id()] = version.number();
    }
    q.set_page_token(a.next_page_token());
  } while (!q.page_token().empty());
  return numbers;
}

constexpr char kAlias[] = "alias/that-moves";

// The keys that the clients use, and what is done to them meanwhile.
struct Keys {
  explicit Keys(Stubs& stubs)
      : homes({CreateKey(stubs), CreateKey(stubs)}),
        rotated(CreateKey(stubs)),
        switched(CreateKey(stubs)) {
    EXPECT_TRUE(CreateAlias(stubs, kAlias, homes[0]).ok());
    v1::Key described;
    EXPECT_TRUE(Describe(stubs, rotated, described).ok());
    first_of_rotated = described.initial_key_version_id();
  }

  // Where the alias points, in turn.
  const std::array<std::string, 2> homes;
  Switch alias;
  const std::string rotated;
  std::string first_of_rotated;
  // How many versions `rotated` is known to have.
  std::atomic<int> versions = 1;
  // Enabled and disabled in turn.
  const std::string switched;
  Switch disabled;
};

// One client: seals whatever the service can, opens what it sealed, and compares.
class Client {
 public:
  Client(const std::string& target, Keys& keys, uint32_t seed, Failures& failures)
      : stubs_(target), keys_(keys), random_(seed), failures_(failures) {}

  // One or a few calls, on something or other.
  void Work() {
    if (kept_.empty() || Chance(2)) {
      SealSomething();
    } else {
      OpenSomething();
    }
  }

  const std::vector<SeenVersion>& seen_versions() const { return seen_versions_; }
  // How often each sealing operation worked.
  const std::map<std::string, int>& worked() const { return worked_; }
  // How often a call met a key that was disabled for certain, and was refused.
  int refused() const { return refused_; }

 private:
  struct Kept {
    const SealingOperation* operation;
    Sealed sealed;
    Bound bound;
  };

  enum class Target { kHome, kAlias, kRotated, kSwitched };

  bool Chance(int in) { return Below(in) == 0; }
  int Below(int end) { return std::uniform_int_distribution<int>(0, end - 1)(random_); }

  void Fail(const std::string& operation, const std::string& what) {
    failures_.Add(absl::StrCat(operation, ": ", what));
  }

  const SealingOperation& AnyOperation() {
    const std::vector<SealingOperation>& all = SealingOperations();
    const SealingOperation& operation =
        all[static_cast<size_t>(Below(static_cast<int>(all.size())))];
    // Pairs cost more, and most of them are throttled.
    return operation.makes_pair && !Chance(4) ? AnyOperation() : operation;
  }

  Bound AnyBinding(const SealingOperation& operation) {
    if (Chance(2)) return {};
    if (operation.takes_context) return {{{"tenant", absl::StrCat(Below(5))}, {"use", "soak"}}, ""};
    return {{}, absl::StrCat("tenant=", Below(5))};
  }

  std::string NameOf(Target target) const {
    switch (target) {
      case Target::kHome:
        return keys_.homes[0];
      case Target::kAlias:
        return kAlias;
      case Target::kRotated:
        return keys_.rotated;
      case Target::kSwitched:
        return keys_.switched;
    }
    return "";
  }

  void SealSomething() {
    const SealingOperation& operation = AnyOperation();
    const Bound bound = AnyBinding(operation);
    const Target target = static_cast<Target>(Below(4));
    const uint64_t alias_before = keys_.alias.step();
    const uint64_t disabled_before = keys_.disabled.step();
    const int versions_before = keys_.versions;
    Sealed sealed;
    const grpc::Status status = operation.seal(stubs_, NameOf(target), bound, sealed);
    const std::optional<int> home = Switch::StateDuring(alias_before, keys_.alias.step());
    const std::optional<int> disabled = Switch::StateDuring(disabled_before, keys_.disabled.step());

    if (!status.ok()) {
      const std::string reason = ReasonOf(status);
      const bool throttled = operation.makes_pair && reason == "Rejected.Throttling";
      const bool refused =
          target == Target::kSwitched && disabled != 0 && reason == "Rejected.Disabled";
      if (!throttled && !refused) Fail(operation.name, reason);
      if (refused && disabled == 1) ++refused_;
      return;
    }
    ++worked_[operation.name];
    if (target == Target::kSwitched && disabled == 1) {
      Fail(operation.name, "sealed under a disabled key");
    }
    if (!IsRightKey(target, home, sealed.key_id)) Fail(operation.name, "sealed under another key");
    if (target == Target::kRotated && operation.primary) {
      // One more may have been made that its maker does not know of yet.
      seen_versions_.push_back({sealed.key_version_id, versions_before, keys_.versions + 1});
    } else if (target == Target::kRotated && sealed.key_version_id != keys_.first_of_rotated) {
      Fail(operation.name, "not sealed under the initial version");
    }
    if (operation.makes_pair && sealed.plaintext.has_value() &&
        !Match(*sealed.plaintext, sealed.public_key)) {
      Fail(operation.name, "the private key is not the public key's");
    }
    Keep({&operation, std::move(sealed), bound});
  }

  // `home` is where the alias pointed, if that is known.
  bool IsRightKey(Target target, std::optional<int> home, const std::string& key_id) const {
    if (target != Target::kAlias) return key_id == NameOf(target);
    if (home.has_value()) return key_id == keys_.homes[static_cast<size_t>(*home)];
    return key_id == keys_.homes[0] || key_id == keys_.homes[1];
  }

  void Keep(Kept kept) {
    constexpr size_t kMost = 32;
    if (kept_.size() < kMost) {
      kept_.push_back(std::move(kept));
    } else {
      kept_[static_cast<size_t>(Below(kMost))] = std::move(kept);
    }
  }

  void OpenSomething() {
    Kept& kept = kept_[static_cast<size_t>(Below(static_cast<int>(kept_.size())))];
    const std::vector<OpeningOperation>& all = OpeningOperations();
    // Only the first one takes a context.
    const OpeningOperation& operation =
        kept.bound.context.empty() ? all[static_cast<size_t>(Below(static_cast<int>(all.size())))]
                                   : all.front();
    Bound bound = kept.bound;
    const bool wrong = Chance(8);
    if (wrong) bound = {{}, "another"};
    const uint64_t disabled_before = keys_.disabled.step();
    std::string content;
    const grpc::Status status = operation.open(stubs_, kept.sealed, bound, content);
    const std::optional<int> disabled = Switch::StateDuring(disabled_before, keys_.disabled.step());
    const bool of_switched = kept.sealed.key_id == keys_.switched;

    if (!status.ok()) {
      const std::string reason = ReasonOf(status);
      const bool refused = of_switched && disabled != 0 && reason == "Rejected.Disabled";
      const bool did_not_open = wrong && reason == "InvalidCiphertext";
      if (!refused && !did_not_open) {
        Fail(operation.name, absl::StrCat(reason, " for a blob of ", kept.operation->name));
      }
      return;
    }
    if (wrong) Fail(operation.name, "opened with another binding");
    if (of_switched && disabled == 1) Fail(operation.name, "opened under a disabled key");
    if (!kept.sealed.plaintext.has_value()) {
      // The first opening tells; later ones have to agree.
      kept.sealed.plaintext = content;
      if (kept.operation->makes_pair && !Match(content, kept.sealed.public_key)) {
        Fail(kept.operation->name, "the private key is not the public key's");
      }
    } else if (content != *kept.sealed.plaintext) {
      Fail(operation.name, absl::StrCat("a blob of ", kept.operation->name, " opens wrong"));
    }
  }

  Stubs stubs_;
  Keys& keys_;
  std::mt19937 random_;
  Failures& failures_;
  std::vector<Kept> kept_;
  std::vector<SeenVersion> seen_versions_;
  std::map<std::string, int> worked_;
  int refused_ = 0;
};

// When the clients have done enough.
std::function<bool()> WhenEnough(Progress& progress) {
  int seconds = 0;
  const char* text = getenv("STRONGROOM_SOAK_SECONDS");
  if (text != nullptr && absl::SimpleAtoi(text, &seconds)) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    return [end] { return std::chrono::steady_clock::now() >= end; };
  }
  return [&progress] { return progress.calls() >= kCalls; };
}

class SoakTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(softhsm_, testing::SoftHsmToken::Create());
    ASSERT_NO_FATAL_FAILURE(StartServer());
  }

  void StartServer() {
    ASSERT_OK_AND_ASSIGN(server_, ServerProcess::Start(*softhsm_, kPairGenerations));
  }

  void EndServer() {
    server_->Terminate();
    EXPECT_OK(server_->WaitForGoodEnd());
  }

  ServerProcess& server() { return *server_; }

 private:
  std::optional<testing::SoftHsmToken> softhsm_;
  std::unique_ptr<ServerProcess> server_;
};

TEST_F(SoakTest, ManyClientsWhileKeysChangeGetRightResults) {
  auto stubs = std::make_unique<Stubs>(server().target());
  Keys keys(*stubs);
  Failures failures;
  Progress progress;
  const std::function<bool()> enough = WhenEnough(progress);

  // Runs `change` again and again, on a connection of its own.
  const auto keep_changing = [&](int64_t calls_between,
                                 const std::function<grpc::Status(Stubs&, int)>& change) {
    return std::thread([&failures, &progress, calls_between, change, target = server().target()] {
      Stubs own(target);
      for (int turn = 0; progress.WaitForMore(calls_between); ++turn) {
        const grpc::Status status = change(own, turn);
        if (!status.ok()) failures.Add(absl::StrCat("changing a key: ", ReasonOf(status)));
      }
    });
  };
  std::vector<std::thread> changers;
  changers.push_back(keep_changing(kCallsBetweenRotations, [&](Stubs& own, int) {
    grpc::Status status = Rotate(own, keys.rotated);
    if (status.ok()) ++keys.versions;
    return status;
  }));
  changers.push_back(keep_changing(kCallsBetweenOtherChanges, [&](Stubs& own, int turn) {
    keys.disabled.Begin();
    grpc::Status status = SetEnabled(own, keys.switched, turn % 2 == 1);
    keys.disabled.End();
    return status;
  }));
  changers.push_back(keep_changing(kCallsBetweenOtherChanges, [&](Stubs& own, int turn) {
    keys.alias.Begin();
    grpc::Status status = MoveAlias(own, kAlias, keys.homes[turn % 2 == 0 ? 1 : 0]);
    keys.alias.End();
    return status;
  }));

  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(server().target(), keys, i, failures));
    threads.emplace_back([&progress, &enough, client = clients.back().get()] {
      while (!enough()) {
        client->Work();
        progress.Add();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  progress.End();
  for (std::thread& thread : changers) thread.join();

  EXPECT_THAT(failures.Take(), IsEmpty());
  const std::map<std::string, int> numbers = NumbersOfVersions(*stubs, keys.rotated);
  EXPECT_EQ(static_cast<int>(numbers.size()), keys.versions);
  EXPECT_GT(keys.versions, 1);
  std::map<std::string, int> worked;
  int refused = 0;
  for (const auto& client : clients) {
    refused += client->refused();
    for (const auto& [operation, times] : client->worked()) worked[operation] += times;
    for (const SeenVersion& seen : client->seen_versions()) {
      const auto number = numbers.find(seen.id);
      ASSERT_NE(number, numbers.end()) << "sealed under a version that was never made";
      EXPECT_GE(number->second, seen.least) << "sealed under an old version";
      EXPECT_LE(number->second, seen.most);
    }
  }
  EXPECT_GT(refused, 0);
  for (const SealingOperation& operation : SealingOperations()) {
    EXPECT_GT(worked[operation.name], 0) << operation.name;
    RecordProperty(operation.name, worked[operation.name]);
  }
  // An idle client takes seconds to see that the server wants to end its connection.
  clients.clear();
  stubs.reset();
  EndServer();
}

TEST_F(SoakTest, TerminationUnderLoadLosesNothing) {
  const std::string key = CreateKey(*std::make_unique<Stubs>(server().target()));
  Failures failures;
  Progress progress;
  std::atomic<bool> terminated = false;
  std::vector<std::vector<Sealed>> acknowledged(kClients);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i, own = std::make_shared<Stubs>(server().target())] {
      const std::vector<SealingOperation>& operations = SealingOperations();
      for (size_t turn = i;; ++turn) {
        const SealingOperation& operation = operations[turn % operations.size()];
        Sealed sealed;
        const grpc::Status status = operation.seal(*own, key, {}, sealed);
        progress.Add();
        if (status.ok()) {
          acknowledged[i].push_back(std::move(sealed));
          continue;
        }
        const std::string reason = ReasonOf(status);
        if (operation.makes_pair && reason == "Rejected.Throttling") continue;
        // gRPC says CANCELLED of a call that comes just as the server stops listening.
        if (!terminated || (status.error_code() != grpc::StatusCode::UNAVAILABLE &&
                            status.error_code() != grpc::StatusCode::CANCELLED)) {
          failures.Add(absl::StrCat(operation.name, ": ", reason));
          progress.End();
        }
        return;
      }
    });
  }
  threads.emplace_back([&, own = std::make_shared<Stubs>(server().target())] {
    grpc::Status status;
    while (status.ok() && progress.WaitForMore(kCallsBetweenRotations)) status = Rotate(*own, key);
    if (!status.ok() && !terminated) failures.Add(absl::StrCat("rotating: ", ReasonOf(status)));
  });
  EXPECT_TRUE(progress.WaitForMore(kCallsBeforeTermination));
  terminated = true;
  server().Terminate();
  progress.End();
  EXPECT_OK(server().WaitForGoodEnd());
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(failures.Take(), IsEmpty());

  ASSERT_NO_FATAL_FAILURE(StartServer());
  auto stubs = std::make_unique<Stubs>(server().target());
  size_t opened = 0;
  for (const std::vector<Sealed>& of_client : acknowledged) {
    for (const Sealed& sealed : of_client) {
      std::string content;
      const grpc::Status status = OpeningOperations().front().open(*stubs, sealed, {}, content);
      ASSERT_TRUE(status.ok()) << ReasonOf(status);
      EXPECT_EQ(content, sealed.plaintext.value_or(content));
      EXPECT_TRUE(sealed.public_key.empty() || Match(content, sealed.public_key));
      ++opened;
    }
  }
  EXPECT_GT(opened, 0u);
  stubs.reset();
  EndServer();
}

}  // namespace
}  // namespace strongroom::e2e
