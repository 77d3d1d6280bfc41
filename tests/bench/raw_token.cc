#include "tests/bench/raw_token.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/token.h"
#include "tests/hsm/raw_token.h"
#include "tests/testing/softhsm.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kSessions[] = {1, 2, 4, 8};
// A blob's header, and the binding of a call without a context.
constexpr size_t kAadBytes = 57;
constexpr size_t kKeyBytes = 32;

// Calls `once`, which returns whether it worked, in turn on each session's own thread; returns how
// many of all ended in `duration`, a second, after a warm-up of a quarter of it.
double RunOnSessions(const std::vector<hsm::RawToken>& sessions, milliseconds duration,
                     const std::function<bool(const hsm::RawToken&)>& once) {
  const auto counted_from = steady_clock::now() + duration / 4;
  const auto end = counted_from + duration;
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> threads;
  for (const hsm::RawToken& session : sessions) {
    threads.emplace_back([&] {
      int64_t count = 0;
      while (true) {
        if (!once(session)) Die("a call into the token failed");
        const auto now = steady_clock::now();
        if (now >= end) break;
        if (now >= counted_from) ++count;
      }
      sum += count;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(sum) / std::chrono::duration<double>(duration).count();
}

std::vector<hsm::RawToken> OpenSessions(const std::string& label, int count) {
  std::vector<hsm::RawToken> sessions;
  for (int i = 0; i < count; ++i) sessions.push_back(OrDie(hsm::RawToken::Open(label)));
  return sessions;
}

bool SealOnce(const hsm::RawToken& session, CK_OBJECT_HANDLE key) {
  const CK_FUNCTION_LIST& p11 = session.functions();
  std::array<unsigned char, hsm::kIvBytes + kKeyBytes> random;
  std::array<unsigned char, kAadBytes> aad = {1};
  std::array<unsigned char, kKeyBytes + hsm::kTagBytes> sealed;
  CK_ULONG size = sealed.size();
  if (p11.C_GenerateRandom(session.session(), random.data(), random.size()) != CKR_OK) return false;
  CK_GCM_PARAMS parameters = {};
  parameters.iv_ptr = random.data();
  parameters.iv_len = hsm::kIvBytes;
  parameters.iv_bits = hsm::kIvBytes * 8;
  parameters.aad_ptr = aad.data();
  parameters.aad_len = aad.size();
  parameters.tag_bits = hsm::kTagBytes * 8;
  CK_MECHANISM mechanism = {CKM_AES_GCM, &parameters, sizeof(parameters)};
  return p11.C_EncryptInit(session.session(), &mechanism, key) == CKR_OK &&
         p11.C_Encrypt(session.session(), random.data() + hsm::kIvBytes, kKeyBytes, sealed.data(),
                       &size) == CKR_OK;
}

bool GeneratePairOnce(const hsm::RawToken& session, const PairSpecName& spec) {
  const CK_FUNCTION_LIST& p11 = session.functions();
  CK_MECHANISM mechanism = {spec.modulus_bits > 0 ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN,
                            nullptr, 0};
  CK_BBOOL no = CK_FALSE;
  CK_BBOOL yes = CK_TRUE;
  auto bits = static_cast<CK_ULONG>(spec.modulus_bits);
  unsigned char exponent[] = {1, 0, 1};
  std::vector<unsigned char> curve = spec.curve;
  std::vector<CK_ATTRIBUTE> of_public = {{CKA_TOKEN, &no, sizeof(no)},
                                         {CKA_VERIFY, &yes, sizeof(yes)}};
  if (spec.modulus_bits > 0) {
    of_public.push_back({CKA_MODULUS_BITS, &bits, sizeof(bits)});
    of_public.push_back({CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent)});
  } else {
    of_public.push_back({CKA_EC_PARAMS, curve.data(), curve.size()});
  }
  CK_ATTRIBUTE of_private[] = {{CKA_TOKEN, &no, sizeof(no)},
                               {CKA_PRIVATE, &yes, sizeof(yes)},
                               {CKA_SENSITIVE, &yes, sizeof(yes)},
                               {CKA_EXTRACTABLE, &yes, sizeof(yes)},
                               {CKA_SIGN, &yes, sizeof(yes)}};
  CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_key = CK_INVALID_HANDLE;
  return p11.C_GenerateKeyPair(session.session(), &mechanism, of_public.data(), of_public.size(),
                               of_private, std::size(of_private), &public_key,
                               &private_key) == CKR_OK &&
         p11.C_DestroyObject(session.session(), public_key) == CKR_OK &&
         p11.C_DestroyObject(session.session(), private_key) == CKR_OK;
}

}  // namespace

const std::vector<PairSpecName>& PairSpecNames() {
  static const auto* const names = new std::vector<PairSpecName>{
      {"RSA_2048", v1::DATA_KEY_PAIR_SPEC_RSA_2048, 2048, {}},
      {"RSA_3072", v1::DATA_KEY_PAIR_SPEC_RSA_3072, 3072, {}},
      {"RSA_4096", v1::DATA_KEY_PAIR_SPEC_RSA_4096, 4096, {}},
      {"EC_P256",
       v1::DATA_KEY_PAIR_SPEC_EC_P256,
       0,
       {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}},
      {"EC_P384", v1::DATA_KEY_PAIR_SPEC_EC_P384, 0, {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}},
      {"EC_P521", v1::DATA_KEY_PAIR_SPEC_EC_P521, 0, {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}},
      {"EC_P256K", v1::DATA_KEY_PAIR_SPEC_EC_P256K, 0, {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}},
  };
  return *names;
}

Json SealRaw(const Json& arguments) {
  const milliseconds duration(arguments.at("milliseconds").get<int>());
  const auto softhsm = OrDie(testing::SoftHsmToken::Create());
  const auto token = OrDie(hsm::Token::Open(softhsm.options()));
  const hsm::ObjectId id = {1};
  OrDie(token->CreateVersionKeys(id, kNoDeadline));
  Json rates;
  for (const int count : kSessions) {
    const std::vector<hsm::RawToken> sessions = OpenSessions(softhsm.label(), count);
    const auto keys = sessions[0].Find(
        {{CKA_ID, std::string(id.begin(), id.end())}, {CKA_ENCRYPT, hsm::RawBool(true)}});
    if (keys.size() != 1) Die("the seal key is not there");
    rates[absl::StrCat(count)] = RunOnSessions(
        sessions, duration,
        [key = keys[0]](const hsm::RawToken& session) { return SealOnce(session, key); });
  }
  return rates;
}

Json GenerateRawPairs(const Json& arguments) {
  const milliseconds duration(arguments.at("milliseconds").get<int>());
  const auto softhsm = OrDie(testing::SoftHsmToken::Create());
  const auto token = OrDie(hsm::Token::Open(softhsm.options()));
  const std::vector<hsm::RawToken> sessions =
      OpenSessions(softhsm.label(), arguments.at("sessions"));
  for (const PairSpecName& spec : PairSpecNames()) {
    if (spec.name != arguments.at("spec")) continue;
    std::mutex mu;
    std::vector<double> each;
    const double rps = RunOnSessions(sessions, duration, [&](const hsm::RawToken& session) {
      const auto begin = steady_clock::now();
      if (!GeneratePairOnce(session, spec)) return false;
      const std::lock_guard<std::mutex> lock(mu);
      each.push_back(
          std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
      return true;
    });
    return {{"rps", rps}, {"each_ms", each}};
  }
  Die("no such spec");
}

RawPairResult RunRawPairs(const Bench& bench, const std::string& spec, int sessions,
                          milliseconds duration) {
  const Json result =
      TaskProcess(bench, "raw_pairs",
                  {{"spec", spec}, {"sessions", sessions}, {"milliseconds", duration.count()}})
          .Result();
  return {result.at("each_ms"), result.at("rps")};
}

void RawSeals::RunRound() {
  const Json rates =
      TaskProcess(bench_, "raw_seals", {{"milliseconds", bench_.duration.count()}}).Result();
  for (const int count : kSessions) rates_[count].push_back(rates.at(absl::StrCat(count)));
}

int RawSeals::best_sessions() const {
  int best = kSessions[0];
  for (const auto& [count, rates] : rates_) {
    if (Median(rates) > Median(rates_.at(best))) best = count;
  }
  return best;
}

void RawSeals::Report(Json& report) const {
  Json row;
  PutSpread(row, "rps", best());
  report["raw_seal_rps"] = row["rps"];
  for (const auto& [count, rates] : rates_) {
    Json each = {{"sessions", count}};
    PutSpread(each, "rps", rates);
    report["raw_seals"].push_back(each);
  }
}

}  // namespace strongroom::bench
