#include "tests/bench/signing.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "server/core/data_keys.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/core/private_keys.h"
#include "server/store/sqlite_store.h"
#include "tests/bench/server_process.h"
#include "tests/hsm/raw_token.h"
#include "tests/testing/softhsm.h"

namespace strongroom::bench {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status().ToString());
  return *std::move(value);
}

LoadResult Repeat(const std::function<bool()>& sign, std::chrono::milliseconds duration) {
  const auto begin = std::chrono::steady_clock::now();
  int64_t count = 0;
  while (std::chrono::steady_clock::now() < begin + duration) {
    if (!sign()) Die("a signature failed");
    ++count;
  }
  LoadResult result;
  result.calls_per_second =
      static_cast<double>(count) /
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

CK_OBJECT_HANDLE GenerateRawKey(const hsm::RawToken& raw) {
  constexpr unsigned char kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
  CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, nullptr, 0};
  CK_BBOOL no = CK_FALSE;
  CK_BBOOL yes = CK_TRUE;
  CK_ATTRIBUTE public_attributes[] = {
      {CKA_TOKEN, &no, sizeof(no)},
      {CKA_EC_PARAMS, const_cast<unsigned char*>(kP256), sizeof(kP256)}};
  CK_ATTRIBUTE private_attributes[] = {{CKA_TOKEN, &no, sizeof(no)},
                                       {CKA_PRIVATE, &yes, sizeof(yes)},
                                       {CKA_SENSITIVE, &yes, sizeof(yes)},
                                       {CKA_SIGN, &yes, sizeof(yes)}};
  CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_key = CK_INVALID_HANDLE;
  if (raw.functions().C_GenerateKeyPair(raw.session(), &mechanism, public_attributes, 2,
                                        private_attributes, 4, &public_key,
                                        &private_key) != CKR_OK) {
    Die("C_GenerateKeyPair failed");
  }
  return private_key;
}

}  // namespace

void SigningBench::Run(int rounds, std::chrono::milliseconds duration) {
  const auto softhsm = OrDie(testing::SoftHsmToken::Create("signing"));
  const auto token = OrDie(hsm::Token::Open(softhsm.options()));
  const auto store = OrDie(store::SqliteStore::Open(softhsm.directory() + "/store.db"));
  const SystemClock clock;
  core::KeyRingReport report;
  const auto ring = OrDie(core::KeyRing::Open(*store, *token, clock, {}, report));
  core::KeyLife life(*ring, *store, *token, clock, {});
  core::DataKeys data_keys(*ring, *token, 1);
  const KeyId key = OrDie(life.CreateKey({}, kNoDeadline)).record.id;
  const core::KeyPair pair =
      OrDie(data_keys.GenerateKeyPair({.key = key}, hsm::PairSpec::kEcP256, core::KeyFormat::kDer,
                                      core::Plaintext::kNotReturned, kNoDeadline));
  core::PrivateKeys private_keys(*ring, *token,
                                 {.opened_for = absl::Hours(1), .opened_at_most = 1});
  const core::Binding unbound;
  const std::string message(32, 'm');
  const auto served = [&] {
    return private_keys
        .Sign({pair.sealed.blob, unbound},
              {.scheme = core::SignatureScheme::kEcdsa,
               .hash = hsm::Hash::kSha256,
               .message = message},
              kNoDeadline)
        .ok();
  };

  const hsm::RawToken raw_token = OrDie(hsm::RawToken::Open(softhsm.label()));
  const CK_OBJECT_HANDLE raw_key = GenerateRawKey(raw_token);
  const auto raw = [&] {
    CK_MECHANISM mechanism = {CKM_ECDSA, nullptr, 0};
    unsigned char digest[32] = {1};
    unsigned char signature[64];
    CK_ULONG size = sizeof(signature);
    const CK_FUNCTION_LIST& functions = raw_token.functions();
    return functions.C_SignInit(raw_token.session(), &mechanism, raw_key) == CKR_OK &&
           functions.C_Sign(raw_token.session(), digest, sizeof(digest), signature, &size) ==
               CKR_OK;
  };

  // The key is opened before it counts.
  if (!served()) Die("a signature failed");
  for (int round = 0; round < rounds; ++round) {
    raw_.runs.push_back(Repeat(raw, duration));
    served_.runs.push_back(Repeat(served, duration));
  }
}

void SigningBench::Report(std::ostream& table, std::ostream& json) const {
  const Spread raw = raw_.Of(&LoadResult::calls_per_second);
  const Spread served = served_.Of(&LoadResult::calls_per_second);
  const Spread ratio = served_.Ratio(raw_, &LoadResult::calls_per_second);
  table << absl::StrFormat(
      "\nsigning, ECDSA P-256, one lane: C_Sign %.0f a second, of an opened key %.0f, ratio %.2f "
      "(%.2f..%.2f)\n",
      raw.median, served.median, ratio.median, ratio.least, ratio.most);
  json << absl::StrFormat(
      "{\"raw_sign_rps\":%.1f,\"served_sign_rps\":%.1f,\"ratio\":%.3f,\"ratio_least\":%.3f,"
      "\"ratio_most\":%.3f}",
      raw.median, served.median, ratio.median, ratio.least, ratio.most);
}

}  // namespace strongroom::bench
