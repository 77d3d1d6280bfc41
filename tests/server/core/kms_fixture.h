#ifndef STRONGROOM_TESTS_SERVER_CORE_KMS_FIXTURE_H_
#define STRONGROOM_TESTS_SERVER_CORE_KMS_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/secret_bytes.h"
#include "server/core/binding.h"
#include "server/core/data_keys.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/core/parameters.h"
#include "server/core/use_budget.h"
#include "server/store/sqlite_store.h"
#include "server/store/store.h"
#include "tests/server/core/faulty_store.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/softhsm.h"

namespace strongroom::core {

class FakeClock final : public Clock {
 public:
  absl::Time Now() const override { return now_; }
  std::chrono::steady_clock::time_point MonotonicNow() const override { return monotonic_; }
  // Time passes.
  void Advance(absl::Duration duration) {
    now_ += duration;
    monotonic_ += absl::ToChronoNanoseconds(duration);
  }
  // Somebody sets the clock.
  void Set(absl::Time now) { now_ = now; }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1700000000);
  std::chrono::steady_clock::time_point monotonic_{};
};

// For what a test knows to be right.
Binding Aad(absl::string_view aad);
Binding Context(const std::map<std::string, std::string>& context);
inline KeyReference Alias(const std::string& name) { return AliasName{name}; }

inline std::string Text(const SecretBytes& secret) {
  return std::string(secret.ExposeSecretAsText());
}

// A store, a SoftHSM behind the fault module, and the core on both: what a server has. Each test
// has its own.
class KmsFixture : public ::testing::Test {
 protected:
  static constexpr int kPairGenerations = 2;

  void SetUp() override;

  // As a server starts and ends. Between Stop() and Start() nothing is open.
  void Start();
  void Stop();
  void Restart();
  // Start() in two steps, for tests whose ring does not open.
  void OpenTokenAndStore();
  absl::StatusOr<std::unique_ptr<KeyRing>> OpenRing();

  const testing::SoftHsmToken& softhsm() { return *softhsm_; }
  testing::FaultModule& faults() { return *faults_; }
  // What Start() opens.
  hsm::TokenOptions& token_options() { return token_options_; }
  std::string& store_path() { return store_path_; }
  UseLimits& use_limits() { return use_limits_; }
  KeyLife::Options& life_options() { return life_options_; }

  hsm::Token& token() { return *token_; }
  FaultyStore& store() { return *store_; }
  KeyRing& ring() { return *ring_; }
  KeyLife& life() { return *life_; }
  DataKeys& data_keys() { return *data_keys_; }
  FakeClock& clock() { return clock_; }
  // Of the last Start() or OpenRing().
  const KeyRingReport& report() { return report_; }

  // These fail the test where the call does.
  KeyId CreateKey();
  KeyVersionId Rotate(const KeyId& key);
  void Enable(const KeyId& key);
  void Disable(const KeyId& key);
  void CreateAlias(const std::string& name, const KeyId& key);
  // Seals a text.
  Sealed Seal(const KeyId& key, absl::string_view plaintext, const Binding& binding = {});

  absl::StatusOr<Opened> Open(absl::string_view blob, const Binding& binding = {}) {
    return data_keys().Decrypt(blob, binding, std::nullopt, std::nullopt, kNoDeadline);
  }
  void ExpectOpens(absl::string_view blob, const Binding& binding, absl::string_view plaintext);

 private:
  std::optional<testing::SoftHsmToken> softhsm_;
  std::optional<testing::FaultModule> faults_;
  hsm::TokenOptions token_options_;
  std::string store_path_;
  UseLimits use_limits_;
  KeyLife::Options life_options_;
  FakeClock clock_;
  KeyRingReport report_;
  std::unique_ptr<hsm::Token> token_;
  std::unique_ptr<store::SqliteStore> sqlite_store_;
  std::unique_ptr<FaultyStore> store_;
  std::unique_ptr<KeyRing> ring_;
  std::unique_ptr<KeyLife> life_;
  std::unique_ptr<DataKeys> data_keys_;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_TESTS_SERVER_CORE_KMS_FIXTURE_H_
