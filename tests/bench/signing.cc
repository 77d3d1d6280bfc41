#include "tests/bench/signing.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "hsm/internal/pkcs11.h"
#include "server/core/private_keys.h"
#include "tests/bench/below_grpc.h"
#include "tests/bench/child.h"
#include "tests/hsm/raw_token.h"
#include "tests/testing/softhsm.h"

namespace strongroom::bench {
namespace {

double Repeat(const std::function<bool()>& sign, std::chrono::milliseconds duration) {
  const auto begin = std::chrono::steady_clock::now();
  int64_t count = 0;
  while (std::chrono::steady_clock::now() < begin + duration) {
    if (!sign()) Die("a signature failed");
    ++count;
  }
  return static_cast<double>(count) /
         std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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

Json Sign(const Json& arguments) {
  const std::chrono::milliseconds duration(arguments.at("milliseconds").get<int>());
  const auto softhsm = OrDie(testing::SoftHsmToken::Create());
  BelowGrpc rooms(softhsm, softhsm.options());
  const core::KeyPair pair = OrDie(rooms.data_keys().GenerateKeyPair(
      {.key = rooms.key()}, hsm::PairSpec::kEcP256, core::KeyFormat::kDer,
      core::Plaintext::kNotReturned, kNoDeadline));
  core::PrivateKeys private_keys(rooms.ring(), rooms.token(),
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
  return {{"raw_rps", Repeat(raw, duration)}, {"rps", Repeat(served, duration)}};
}

void SigningPart::RunRound() {
  const Json result =
      TaskProcess(bench_, "signing", {{"milliseconds", bench_.duration.count()}}).Result();
  raw_.push_back(result.at("raw_rps"));
  served_.push_back(result.at("rps"));
}

void SigningPart::Report(Json& report) const {
  Json row;
  PutSpread(row, "raw_sign_rps", raw_);
  PutSpread(row, "served_sign_rps", served_);
  PutSpread(row, "ratio", Ratios(served_, raw_));
  report["signing"] = row;
}

}  // namespace strongroom::bench
