// The fault module: see fault_module.h.
//
// Each call passes two layers. The outer one is the same for every function: it counts, waits and
// fails. The inner one has the few functions whose answers are changed or recorded. Behind it is
// the real module. Uses little but the standard library, for it is loaded into other programs.

#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "hsm/internal/pkcs11.h"
#include "tests/testing/fault_control.h"

namespace strongroom::testing {
namespace {

struct Name {
  const char* name;
  CK_ULONG value;
};

// What directives may name. Any other value can be given as a hexadecimal number.
#define NAMED(constant) \
  { #constant, constant }
constexpr Name kNames[] = {
    NAMED(CKR_HOST_MEMORY),
    NAMED(CKR_GENERAL_ERROR),
    NAMED(CKR_FUNCTION_FAILED),
    NAMED(CKR_ATTRIBUTE_TYPE_INVALID),
    NAMED(CKR_DEVICE_ERROR),
    NAMED(CKR_DEVICE_MEMORY),
    NAMED(CKR_DEVICE_REMOVED),
    NAMED(CKR_ENCRYPTED_DATA_INVALID),
    NAMED(CKR_ENCRYPTED_DATA_LEN_RANGE),
    NAMED(CKR_KEY_HANDLE_INVALID),
    NAMED(CKR_KEY_NOT_WRAPPABLE),
    NAMED(CKR_MECHANISM_INVALID),
    NAMED(CKR_OBJECT_HANDLE_INVALID),
    NAMED(CKR_OPERATION_ACTIVE),
    NAMED(CKR_PIN_INCORRECT),
    NAMED(CKR_PIN_LOCKED),
    NAMED(CKR_SESSION_CLOSED),
    NAMED(CKR_SESSION_COUNT),
    NAMED(CKR_SESSION_HANDLE_INVALID),
    NAMED(CKR_TOKEN_NOT_PRESENT),
    NAMED(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    NAMED(CKR_USER_ALREADY_LOGGED_IN),
    NAMED(CKR_USER_NOT_LOGGED_IN),
    NAMED(CKR_WRAPPING_KEY_HANDLE_INVALID),
    NAMED(CKR_BUFFER_TOO_SMALL),
    NAMED(CKR_CRYPTOKI_NOT_INITIALIZED),
    NAMED(CKM_AES_GCM),
    NAMED(CKM_AES_KEY_GEN),
    NAMED(CKM_AES_KEY_WRAP_PAD),
    NAMED(CKM_EC_KEY_PAIR_GEN),
    NAMED(CKM_GENERIC_SECRET_KEY_GEN),
    NAMED(CKM_RSA_PKCS),
    NAMED(CKM_RSA_PKCS_KEY_PAIR_GEN),
    NAMED(CKM_RSA_PKCS_OAEP),
    NAMED(CKM_RSA_PKCS_PSS),
    NAMED(CKM_ECDSA),
    NAMED(CKM_ECDH1_DERIVE),
    NAMED(CKM_SHA256_HMAC),
    NAMED(CKF_USER_PIN_COUNT_LOW),
    NAMED(CKF_USER_PIN_FINAL_TRY),
    NAMED(CKF_USER_PIN_LOCKED),
    NAMED(CKA_CLASS),
    NAMED(CKA_KEY_TYPE),
    NAMED(CKA_LABEL),
    NAMED(CKA_ID),
    NAMED(CKA_TOKEN),
    NAMED(CKA_PRIVATE),
    NAMED(CKA_SENSITIVE),
    NAMED(CKA_EXTRACTABLE),
    NAMED(CKA_MODIFIABLE),
    NAMED(CKA_ENCRYPT),
    NAMED(CKA_DECRYPT),
    NAMED(CKA_WRAP),
    NAMED(CKA_UNWRAP),
    NAMED(CKA_SIGN),
    NAMED(CKA_VERIFY),
    NAMED(CKA_DERIVE),
    NAMED(CKA_ALLOWED_MECHANISMS),
    NAMED(CKA_VALUE_LEN),
    NAMED(CKA_ALWAYS_SENSITIVE),
    NAMED(CKA_NEVER_EXTRACTABLE),
    NAMED(CKA_LOCAL),
};
#undef NAMED

std::optional<CK_ULONG> ParseName(const std::string& text) {
  for (const Name& name : kNames) {
    if (text == name.name) return name.value;
  }
  if (text.rfind("0x", 0) != 0 || text.size() == 2 ||
      text.find_first_not_of("0123456789abcdefABCDEF", 2) != std::string::npos) {
    return std::nullopt;
  }
  return std::strtoul(text.c_str(), nullptr, 16);
}

std::optional<std::string> ParseHex(const std::string& text) {
  if (text.size() % 2 != 0 ||
      text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
    return std::nullopt;
  }
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::strtoul(text.substr(i, 2).c_str(), nullptr, 16)));
  }
  return bytes;
}

// Which calls of a function are meant, counted from the directive on.
struct When {
  uint64_t first = 1;
  uint64_t last = UINT64_MAX;
  uint64_t seen = 0;

  bool Meant() {
    ++seen;
    return first <= seen && seen <= last;
  }
};

// "call=3", "call=3-", "call=3-5".
std::optional<When> ParseWhen(const std::string& text) {
  std::istringstream in(text);
  When when;
  char c;
  for (char expected : std::string("call=")) {
    if (!in.get(c) || c != expected) return std::nullopt;
  }
  if (!(in >> when.first) || when.first == 0) return std::nullopt;
  when.last = when.first;
  if (!in.get(c)) return when;
  if (c != '-') return std::nullopt;
  if (in.peek() == EOF) {
    when.last = UINT64_MAX;
    return when;
  }
  if (!(in >> when.last) || in.peek() != EOF) return std::nullopt;
  return when;
}

struct Failure {
  std::string function;
  CK_RV rv;
  bool forwarded;
  When when;
};

struct Hold {
  std::string function;
  std::string fifo;
  When when;
};

struct FakedAttribute {
  std::string label;
  CK_ATTRIBUTE_TYPE type;
  std::string value;
};

struct Decision {
  std::vector<std::string> fifos;
  std::optional<Failure> failure;
};

class State final : public FaultControl {
 public:
  static State& Get() {
    // Never destroyed: calls come until the process ends.
    static State* const state = new State;
    return *state;
  }

  void Know(const char* function, std::atomic<uint64_t>* calls, std::atomic<int64_t>* takes_us) {
    calls_[function] = calls;
    takes_us_[function] = takes_us;
  }

  std::string Apply(const std::string& directive) override {
    std::istringstream in(directive);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.empty() || words[0][0] == '#') return "";
    const std::lock_guard<std::mutex> lock(mu_);
    return Obey(words);
  }

  void Reset() override {
    const std::lock_guard<std::mutex> lock(mu_);
    failures_.clear();
    holds_.clear();
    deciding_ = false;
    vanishes_.clear();
    hidden_.clear();
    flags_ = 0;
    attributes_.clear();
    recording_ = false;
    lending_ = false;
    recorded_.clear();
    counts_file_.clear();
    for (auto& [name, calls] : calls_) *calls = 0;
    for (auto& [name, takes_us] : takes_us_) *takes_us = 0;
  }

  bool lending() const { return lending_; }

  std::map<std::string, uint64_t> Calls() override {
    std::map<std::string, uint64_t> counted;
    for (const auto& [name, calls] : calls_) {
      if (*calls != 0) counted[name] = *calls;
    }
    return counted;
  }

  std::string Recorded() override {
    const std::lock_guard<std::mutex> lock(mu_);
    return recorded_;
  }

  Decision Decide(const char* function) {
    if (!deciding_) return {};
    const std::lock_guard<std::mutex> lock(mu_);
    Decision decision;
    for (Hold& hold : holds_) {
      if (hold.function == function && hold.when.Meant()) decision.fifos.push_back(hold.fifo);
    }
    for (Failure& failure : failures_) {
      if (failure.function == function && failure.when.Meant() && !decision.failure.has_value()) {
        decision.failure = failure;
      }
    }
    return decision;
  }

  bool Vanishes() {
    const std::lock_guard<std::mutex> lock(mu_);
    bool meant = false;
    for (When& when : vanishes_) meant = when.Meant() || meant;
    return meant;
  }

  bool IsHidden(CK_MECHANISM_TYPE mechanism) {
    const std::lock_guard<std::mutex> lock(mu_);
    return std::find(hidden_.begin(), hidden_.end(), mechanism) != hidden_.end();
  }

  CK_FLAGS flags() {
    const std::lock_guard<std::mutex> lock(mu_);
    return flags_;
  }

  std::vector<FakedAttribute> attributes() {
    const std::lock_guard<std::mutex> lock(mu_);
    return attributes_;
  }

  void Record(const void* bytes, CK_ULONG size) {
    if (!recording_) return;
    const std::lock_guard<std::mutex> lock(mu_);
    if (!recording_ || bytes == nullptr || size == CK_UNAVAILABLE_INFORMATION) return;
    recorded_.append(static_cast<const char*>(bytes), size);
  }

  void WriteCounts() {
    std::string path;
    {
      const std::lock_guard<std::mutex> lock(mu_);
      path = counts_file_;
    }
    if (path.empty()) return;
    std::ofstream file(path);
    for (const auto& [name, count] : Calls()) file << name << ' ' << count << '\n';
  }

 private:
  State() = default;

  std::string Obey(const std::vector<std::string>& words) {
    const std::string& verb = words[0];
    const size_t arguments = words.size() - 1;
    if (verb == "fail") return ObeyFail(words);
    if (verb == "hold" && (arguments == 2 || arguments == 3)) {
      if (calls_.count(words[1]) == 0) return "no such function";
      const std::optional<When> when = arguments == 3 ? ParseWhen(words[3]) : When();
      if (!when.has_value()) return "no such call=";
      holds_.push_back({words[1], words[2], *when});
      deciding_ = true;
      return "";
    }
    if (verb == "take" && arguments == 2) {
      if (takes_us_.count(words[1]) == 0) return "no such function";
      std::istringstream in(words[2]);
      int64_t microseconds = 0;
      if (!(in >> microseconds) || in.peek() != EOF || microseconds < 0) return "no such time";
      *takes_us_[words[1]] = microseconds;
      return "";
    }
    if (verb == "vanish" && arguments <= 1) {
      const std::optional<When> when = arguments == 1 ? ParseWhen(words[1]) : When();
      if (!when.has_value()) return "no such call=";
      vanishes_.push_back(*when);
      return "";
    }
    if ((verb == "hide" || verb == "flag") && arguments == 1) {
      const std::optional<CK_ULONG> value = ParseName(words[1]);
      if (!value.has_value()) return "unknown name";
      if (verb == "hide") hidden_.push_back(*value);
      if (verb == "flag") flags_ |= *value;
      return "";
    }
    if (verb == "attribute" && (arguments == 2 || arguments == 3)) {
      const std::optional<CK_ULONG> type = ParseName(words[2]);
      const std::optional<std::string> value = ParseHex(arguments == 3 ? words[3] : "");
      if (!type.has_value()) return "unknown attribute";
      if (!value.has_value()) return "the value is not hexadecimal";
      attributes_.push_back({words[1], *type, *value});
      return "";
    }
    if (verb == "lend" && arguments == 0) {
      lending_ = true;
      return "";
    }
    if (verb == "record" && arguments == 0) {
      recording_ = true;
      return "";
    }
    if (verb == "counts" && arguments == 1) {
      counts_file_ = words[1];
      return "";
    }
    return "no such directive";
  }

  std::string ObeyFail(const std::vector<std::string>& words) {
    if (words.size() < 3) return "fail FUNCTION CODE [WHEN] [forwarded]";
    const std::optional<CK_ULONG> rv = ParseName(words[2]);
    if (calls_.count(words[1]) == 0) return "no such function";
    if (!rv.has_value()) return "unknown code";
    Failure failure = {words[1], *rv, false, When()};
    for (size_t i = 3; i < words.size(); ++i) {
      if (words[i] == "forwarded") {
        failure.forwarded = true;
        continue;
      }
      const std::optional<When> when = ParseWhen(words[i]);
      if (!when.has_value()) return "no such call=";
      failure.when = *when;
    }
    failures_.push_back(failure);
    deciding_ = true;
    return "";
  }

  // Filled while the module is loaded, then only read.
  std::map<std::string, std::atomic<uint64_t>*> calls_;
  std::map<std::string, std::atomic<int64_t>*> takes_us_;
  std::mutex mu_;
  std::vector<Failure> failures_;
  std::vector<Hold> holds_;
  std::vector<When> vanishes_;
  std::vector<CK_MECHANISM_TYPE> hidden_;
  CK_FLAGS flags_ = 0;
  std::vector<FakedAttribute> attributes_;
  // Looked at before the lock is taken, for with nothing in force calls side by side shall not wait
  // for each other.
  std::atomic<bool> recording_ = false;
  std::atomic<bool> deciding_ = false;
  std::atomic<bool> lending_ = false;
  std::string recorded_;
  std::string counts_file_;
};

CK_FUNCTION_LIST real;   // the real module's
CK_FUNCTION_LIST inner;  // `real` with the functions below in place of some
CK_FUNCTION_LIST outer;  // what the caller gets

// The inner layer.

CK_RV Finalize(void* reserved) {
  State::Get().WriteCounts();
  return real.C_Finalize(reserved);
}

CK_RV GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO* info) {
  const CK_RV rv = real.C_GetTokenInfo(slot, info);
  if (rv == CKR_OK) info->flags |= State::Get().flags();
  return rv;
}

CK_RV GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE* list, CK_ULONG* count) {
  const CK_ULONG room = *count;
  const CK_RV rv = real.C_GetMechanismList(slot, list, count);
  if (rv == CKR_OK && State::Get().lending()) {
    if (list != nullptr && room > *count) list[*count] = CKM_RSA_AES_KEY_WRAP;
    if (list == nullptr || room > *count) ++*count;
  }
  // Asked for the number alone, one that is too large is as good.
  if (rv != CKR_OK || list == nullptr) return rv;
  CK_MECHANISM_TYPE* const end = std::remove_if(
      list, list + *count, [](CK_MECHANISM_TYPE type) { return State::Get().IsHidden(type); });
  *count = static_cast<CK_ULONG>(end - list);
  return rv;
}

CK_RV GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) {
  if (State::Get().IsHidden(type)) return CKR_MECHANISM_INVALID;
  if (State::Get().lending() && type == CKM_RSA_AES_KEY_WRAP) {
    *info = {2048, 4096, CKF_WRAP | CKF_UNWRAP};
    return CKR_OK;
  }
  return real.C_GetMechanismInfo(slot, type, info);
}

void RecordAttributes(const CK_ATTRIBUTE* attributes, CK_ULONG count) {
  for (CK_ULONG i = 0; i < count; ++i) {
    State::Get().Record(attributes[i].pValue, attributes[i].ulValueLen);
  }
}

// The parameters and what they point to.
void RecordMechanism(const CK_MECHANISM* mechanism) {
  if (mechanism == nullptr || mechanism->pParameter == nullptr) return;
  State& state = State::Get();
  state.Record(mechanism->pParameter, mechanism->ulParameterLen);
  if (mechanism->mechanism == CKM_AES_GCM && mechanism->ulParameterLen == sizeof(CK_GCM_PARAMS)) {
    const auto* gcm = static_cast<const CK_GCM_PARAMS*>(mechanism->pParameter);
    state.Record(gcm->iv_ptr, gcm->iv_len);
    state.Record(gcm->aad_ptr, gcm->aad_len);
  }
  if (mechanism->mechanism == CKM_RSA_PKCS_OAEP &&
      mechanism->ulParameterLen == sizeof(CK_RSA_PKCS_OAEP_PARAMS)) {
    const auto* oaep = static_cast<const CK_RSA_PKCS_OAEP_PARAMS*>(mechanism->pParameter);
    state.Record(oaep->source_data, oaep->source_data_len);
  }
  if (mechanism->mechanism == CKM_ECDH1_DERIVE &&
      mechanism->ulParameterLen == sizeof(CK_ECDH1_DERIVE_PARAMS)) {
    const auto* ecdh = static_cast<const CK_ECDH1_DERIVE_PARAMS*>(mechanism->pParameter);
    state.Record(ecdh->public_data, ecdh->public_data_len);
    state.Record(ecdh->shared_data, ecdh->shared_data_len);
  }
}

// Most functions that carry data have one of these forms.

template <auto Function>
CK_RV InAndOut(CK_SESSION_HANDLE session, unsigned char* in, CK_ULONG in_size, unsigned char* out,
               CK_ULONG* out_size) {
  State::Get().Record(in, in_size);
  const CK_RV rv = (real.*Function)(session, in, in_size, out, out_size);
  if (rv == CKR_OK) State::Get().Record(out, *out_size);
  return rv;
}

template <auto Function>
CK_RV In(CK_SESSION_HANDLE session, unsigned char* in, CK_ULONG in_size) {
  State::Get().Record(in, in_size);
  return (real.*Function)(session, in, in_size);
}

template <auto Function>
CK_RV InTwice(CK_SESSION_HANDLE session, unsigned char* in, CK_ULONG in_size, unsigned char* second,
              CK_ULONG second_size) {
  State::Get().Record(in, in_size);
  State::Get().Record(second, second_size);
  return (real.*Function)(session, in, in_size, second, second_size);
}

template <auto Function>
CK_RV Out(CK_SESSION_HANDLE session, unsigned char* out, CK_ULONG* out_size) {
  const CK_RV rv = (real.*Function)(session, out, out_size);
  if (rv == CKR_OK) State::Get().Record(out, *out_size);
  return rv;
}

template <auto Function>
CK_RV Begin(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE key) {
  RecordMechanism(mechanism);
  return (real.*Function)(session, mechanism, key);
}

CK_RV DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism) {
  RecordMechanism(mechanism);
  return real.C_DigestInit(session, mechanism);
}

CK_RV CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE* attributes, CK_ULONG count,
                   CK_OBJECT_HANDLE* object) {
  RecordAttributes(attributes, count);
  return real.C_CreateObject(session, attributes, count, object);
}

CK_RV CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE* attributes,
                 CK_ULONG count, CK_OBJECT_HANDLE* copy) {
  RecordAttributes(attributes, count);
  return real.C_CopyObject(session, object, attributes, count, copy);
}

CK_RV SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE* attributes, CK_ULONG count) {
  RecordAttributes(attributes, count);
  return real.C_SetAttributeValue(session, object, attributes, count);
}

CK_RV FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE* attributes, CK_ULONG count) {
  RecordAttributes(attributes, count);
  return real.C_FindObjectsInit(session, attributes, count);
}

std::string LabelOf(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  char label[256];
  CK_ATTRIBUTE attribute = {CKA_LABEL, label, sizeof(label)};
  if (real.C_GetAttributeValue(session, object, &attribute, 1) != CKR_OK) return "";
  return std::string(label, attribute.ulValueLen);
}

CK_RV Fake(const std::string& value, CK_ATTRIBUTE* attribute) {
  const bool fits = attribute->pValue == nullptr || attribute->ulValueLen >= value.size();
  if (fits && attribute->pValue != nullptr) {
    std::memcpy(attribute->pValue, value.data(), value.size());
  }
  attribute->ulValueLen = fits ? value.size() : CK_UNAVAILABLE_INFORMATION;
  return fits ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}

CK_RV GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE* attributes, CK_ULONG count) {
  // A faked value can be longer than the real one, so the caller's room is noted first.
  const std::vector<CK_ATTRIBUTE> asked(attributes, attributes + count);
  CK_RV rv = real.C_GetAttributeValue(session, object, attributes, count);
  const std::vector<FakedAttribute> fakes = State::Get().attributes();
  const std::string label = fakes.empty() ? "" : LabelOf(session, object);
  for (CK_ULONG i = 0; i < count; ++i) {
    for (const FakedAttribute& fake : fakes) {
      if (fake.label != label || fake.type != attributes[i].type) continue;
      attributes[i].ulValueLen = asked[i].ulValueLen;
      rv = Fake(fake.value, &attributes[i]);
    }
    if (rv == CKR_OK) State::Get().Record(attributes[i].pValue, attributes[i].ulValueLen);
  }
  return rv;
}

CK_RV GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_ATTRIBUTE* attributes,
                  CK_ULONG count, CK_OBJECT_HANDLE* key) {
  RecordMechanism(mechanism);
  RecordAttributes(attributes, count);
  const CK_RV rv = real.C_GenerateKey(session, mechanism, attributes, count, key);
  if (State::Get().Vanishes() && rv == CKR_OK) real.C_DestroyObject(session, *key);
  return rv;
}

CK_RV DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE base_key,
                CK_ATTRIBUTE* attributes, CK_ULONG count, CK_OBJECT_HANDLE* key) {
  RecordMechanism(mechanism);
  RecordAttributes(attributes, count);
  return real.C_DeriveKey(session, mechanism, base_key, attributes, count, key);
}

CK_RV WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE wrapping_key,
              CK_OBJECT_HANDLE key, unsigned char* out, CK_ULONG* out_size) {
  RecordMechanism(mechanism);
  const CK_RV rv = real.C_WrapKey(session, mechanism, wrapping_key, key, out, out_size);
  if (rv == CKR_OK) State::Get().Record(out, *out_size);
  return rv;
}

// What is lent. The token decrypts raw with keys that may do that without their owner's knowledge,
// and the module does the rest.

CK_RV GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_ATTRIBUTE* of_public,
                      CK_ULONG public_count, CK_ATTRIBUTE* of_private, CK_ULONG private_count,
                      CK_OBJECT_HANDLE* public_key, CK_OBJECT_HANDLE* private_key) {
  RecordMechanism(mechanism);
  RecordAttributes(of_public, public_count);
  RecordAttributes(of_private, private_count);
  std::vector<CK_ATTRIBUTE> attributes(of_private, of_private + private_count);
  CK_BBOOL yes = CK_TRUE;
  std::vector<CK_MECHANISM_TYPE> allowed;
  for (CK_ATTRIBUTE& attribute : attributes) {
    if (!State::Get().lending()) break;
    if (attribute.type == CKA_DECRYPT) attribute.pValue = &yes;
    if (attribute.type != CKA_ALLOWED_MECHANISMS) continue;
    allowed = {*static_cast<CK_MECHANISM_TYPE*>(attribute.pValue), CKM_RSA_X_509};
    attribute.pValue = allowed.data();
    attribute.ulValueLen = allowed.size() * sizeof(allowed[0]);
  }
  return real.C_GenerateKeyPair(session, mechanism, of_public, public_count, attributes.data(),
                                private_count, public_key, private_key);
}

// XORs MGF1 with SHA-256 of the seed to the data (RFC 8017, appendix B.2.1).
void Mask(const std::string& seed, std::string& data) {
  for (size_t block = 0; block * SHA256_DIGEST_LENGTH < data.size(); ++block) {
    const std::string input = seed + std::string({'\0', '\0', '\0', static_cast<char>(block)});
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(input.data()), input.size(), hash);
    for (size_t i = 0; i < sizeof(hash) && block * sizeof(hash) + i < data.size(); ++i) {
      data[block * sizeof(hash) + i] ^= static_cast<char>(hash[i]);
    }
  }
}

// EME-OAEP decoding with SHA-256 and no label (RFC 8017, section 7.1.2).
std::optional<std::string> DecodeOaep(const std::string& encoded) {
  if (encoded.size() < 2 * SHA256_DIGEST_LENGTH + 2 || encoded[0] != 0) return std::nullopt;
  std::string seed = encoded.substr(1, SHA256_DIGEST_LENGTH);
  std::string data = encoded.substr(1 + SHA256_DIGEST_LENGTH);
  Mask(data, seed);
  Mask(seed, data);
  unsigned char no_label[SHA256_DIGEST_LENGTH];
  SHA256(nullptr, 0, no_label);
  if (std::memcmp(data.data(), no_label, sizeof(no_label)) != 0) return std::nullopt;
  const size_t one = data.find_first_not_of('\0', sizeof(no_label));
  if (one == std::string::npos || data[one] != 1) return std::nullopt;
  return data.substr(one + 1);
}

std::optional<std::string> UnwrapAes(const std::string& key, const std::string& wrapped) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  std::string value(wrapped.size() + 16, '\0');
  int size = 0;
  const bool opened =
      key.size() == 32 &&
      EVP_DecryptInit_ex(context, EVP_aes_256_wrap_pad(), nullptr,
                         reinterpret_cast<const unsigned char*>(key.data()), nullptr) == 1 &&
      EVP_DecryptUpdate(context, reinterpret_cast<unsigned char*>(value.data()), &size,
                        reinterpret_cast<const unsigned char*>(wrapped.data()),
                        static_cast<int>(wrapped.size())) == 1;
  EVP_CIPHER_CTX_free(context);
  if (!opened) return std::nullopt;
  return value.substr(0, static_cast<size_t>(size));
}

bool IsLent(const CK_MECHANISM& mechanism) {
  if (!State::Get().lending()) return false;
  if (mechanism.mechanism == CKM_RSA_AES_KEY_WRAP) return true;
  return mechanism.mechanism == CKM_RSA_PKCS_OAEP &&
         static_cast<CK_RSA_PKCS_OAEP_PARAMS*>(mechanism.pParameter)->hash_alg == CKM_SHA256;
}

CK_RV UnwrapLent(CK_SESSION_HANDLE session, const CK_MECHANISM& mechanism,
                 CK_OBJECT_HANDLE unwrapping_key, const std::string& wrapped,
                 std::vector<CK_ATTRIBUTE> attributes, CK_OBJECT_HANDLE* key) {
  CK_ATTRIBUTE modulus = {CKA_MODULUS, nullptr, 0};
  CK_RV rv = real.C_GetAttributeValue(session, unwrapping_key, &modulus, 1);
  if (rv != CKR_OK) return rv;
  std::string outer = wrapped.substr(0, modulus.ulValueLen);
  const std::string inner = wrapped.substr(outer.size());
  CK_MECHANISM raw = {CKM_RSA_X_509, nullptr, 0};
  rv = real.C_DecryptInit(session, &raw, unwrapping_key);
  if (rv != CKR_OK) return rv;
  std::string encoded(modulus.ulValueLen, '\0');
  CK_ULONG size = encoded.size();
  rv = real.C_Decrypt(session, reinterpret_cast<unsigned char*>(outer.data()), outer.size(),
                      reinterpret_cast<unsigned char*>(encoded.data()), &size);
  if (rv != CKR_OK) return CKR_WRAPPED_KEY_INVALID;
  std::optional<std::string> value = DecodeOaep(encoded.substr(0, size));
  if (value.has_value() && mechanism.mechanism == CKM_RSA_AES_KEY_WRAP) {
    value = UnwrapAes(*value, inner);
  } else if (!inner.empty()) {
    value.reset();
  }
  if (!value.has_value()) return CKR_WRAPPED_KEY_INVALID;
  attributes.push_back({CKA_VALUE, value->data(), value->size()});
  return real.C_CreateObject(session, attributes.data(), attributes.size(), key);
}

CK_RV UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE unwrapping_key,
                unsigned char* wrapped, CK_ULONG wrapped_size, CK_ATTRIBUTE* attributes,
                CK_ULONG count, CK_OBJECT_HANDLE* key) {
  RecordMechanism(mechanism);
  State::Get().Record(wrapped, wrapped_size);
  RecordAttributes(attributes, count);
  if (IsLent(*mechanism)) {
    return UnwrapLent(session, *mechanism, unwrapping_key,
                      std::string(reinterpret_cast<char*>(wrapped), wrapped_size),
                      std::vector<CK_ATTRIBUTE>(attributes, attributes + count), key);
  }
  return real.C_UnwrapKey(session, mechanism, unwrapping_key, wrapped, wrapped_size, attributes,
                          count, key);
}

CK_RV GenerateRandom(CK_SESSION_HANDLE session, unsigned char* out, CK_ULONG size) {
  const CK_RV rv = real.C_GenerateRandom(session, out, size);
  if (rv == CKR_OK) State::Get().Record(out, size);
  return rv;
}

// The outer layer.

// Waits until the other side of the FIFO has come and gone (HoldPoint).
void WaitAt(const std::string& fifo) {
  const int fd = open(fifo.c_str(), O_RDONLY | O_CLOEXEC);
  char c;
  while (fd >= 0 && read(fd, &c, 1) > 0) {
  }
  if (fd >= 0) close(fd);
}

template <auto Member>
struct Interposer;

template <typename... Args, CK_RV (*CK_FUNCTION_LIST::*Member)(Args...)>
struct Interposer<Member> {
  static inline const char* name = nullptr;
  static inline std::atomic<uint64_t> calls = 0;
  static inline std::atomic<int64_t> takes_us = 0;

  static CK_RV Call(Args... args) {
    ++calls;
    if (takes_us == 0) return Decided(args...);
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(takes_us);
    const CK_RV rv = Decided(args...);
    std::this_thread::sleep_until(end);
    return rv;
  }

  static CK_RV Decided(Args... args) {
    const Decision decision = State::Get().Decide(name);
    for (const std::string& fifo : decision.fifos) WaitAt(fifo);
    if (decision.failure.has_value() && !decision.failure->forwarded) return decision.failure->rv;
    const CK_RV rv = (inner.*Member)(args...);
    return decision.failure.has_value() ? decision.failure->rv : rv;
  }

  static void Install(const char* function) {
    name = function;
    outer.*Member = &Call;
    State::Get().Know(name, &calls, &takes_us);
  }
};

void InstallAll() {
#define INSTALL(function) Interposer<&CK_FUNCTION_LIST::function>::Install(#function)
  INSTALL(C_Initialize);
  INSTALL(C_Finalize);
  INSTALL(C_GetInfo);
  INSTALL(C_GetSlotList);
  INSTALL(C_GetSlotInfo);
  INSTALL(C_GetTokenInfo);
  INSTALL(C_GetMechanismList);
  INSTALL(C_GetMechanismInfo);
  INSTALL(C_InitToken);
  INSTALL(C_InitPIN);
  INSTALL(C_SetPIN);
  INSTALL(C_OpenSession);
  INSTALL(C_CloseSession);
  INSTALL(C_CloseAllSessions);
  INSTALL(C_GetSessionInfo);
  INSTALL(C_GetOperationState);
  INSTALL(C_SetOperationState);
  INSTALL(C_Login);
  INSTALL(C_Logout);
  INSTALL(C_CreateObject);
  INSTALL(C_CopyObject);
  INSTALL(C_DestroyObject);
  INSTALL(C_GetObjectSize);
  INSTALL(C_GetAttributeValue);
  INSTALL(C_SetAttributeValue);
  INSTALL(C_FindObjectsInit);
  INSTALL(C_FindObjects);
  INSTALL(C_FindObjectsFinal);
  INSTALL(C_EncryptInit);
  INSTALL(C_Encrypt);
  INSTALL(C_EncryptUpdate);
  INSTALL(C_EncryptFinal);
  INSTALL(C_DecryptInit);
  INSTALL(C_Decrypt);
  INSTALL(C_DecryptUpdate);
  INSTALL(C_DecryptFinal);
  INSTALL(C_DigestInit);
  INSTALL(C_Digest);
  INSTALL(C_DigestUpdate);
  INSTALL(C_DigestKey);
  INSTALL(C_DigestFinal);
  INSTALL(C_SignInit);
  INSTALL(C_Sign);
  INSTALL(C_SignUpdate);
  INSTALL(C_SignFinal);
  INSTALL(C_SignRecoverInit);
  INSTALL(C_SignRecover);
  INSTALL(C_VerifyInit);
  INSTALL(C_Verify);
  INSTALL(C_VerifyUpdate);
  INSTALL(C_VerifyFinal);
  INSTALL(C_VerifyRecoverInit);
  INSTALL(C_VerifyRecover);
  INSTALL(C_DigestEncryptUpdate);
  INSTALL(C_DecryptDigestUpdate);
  INSTALL(C_SignEncryptUpdate);
  INSTALL(C_DecryptVerifyUpdate);
  INSTALL(C_GenerateKey);
  INSTALL(C_GenerateKeyPair);
  INSTALL(C_WrapKey);
  INSTALL(C_UnwrapKey);
  INSTALL(C_DeriveKey);
  INSTALL(C_SeedRandom);
  INSTALL(C_GenerateRandom);
  INSTALL(C_GetFunctionStatus);
  INSTALL(C_CancelFunction);
  INSTALL(C_WaitForSlotEvent);
#undef INSTALL
}

bool ReadDirectives(const char* path) {
  std::ifstream file(path);
  if (!file) {
    std::cerr << "fault module: cannot read " << path << "\n";
    return false;
  }
  for (std::string line; std::getline(file, line);) {
    const std::string wrong = State::Get().Apply(line);
    if (wrong.empty()) continue;
    std::cerr << "fault module: " << path << ": " << line << ": " << wrong << "\n";
    return false;
  }
  return true;
}

bool LoadRealModule() {
  const char* path = std::getenv("STRONGROOM_TEST_MODULE");
  if (path == nullptr) {
    std::cerr << "fault module: STRONGROOM_TEST_MODULE names no module to forward to\n";
    return false;
  }
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  const auto get = library != nullptr
                       ? reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"))
                       : nullptr;
  CK_FUNCTION_LIST* functions = nullptr;
  if (get == nullptr || get(&functions) != CKR_OK) {
    std::cerr << "fault module: cannot load " << path << "\n";
    return false;
  }
  real = *functions;
  inner = real;
  inner.C_Finalize = &Finalize;
  inner.C_GetTokenInfo = &GetTokenInfo;
  inner.C_GetMechanismList = &GetMechanismList;
  inner.C_GetMechanismInfo = &GetMechanismInfo;
  inner.C_CreateObject = &CreateObject;
  inner.C_GetAttributeValue = &GetAttributeValue;
  inner.C_CopyObject = &CopyObject;
  inner.C_SetAttributeValue = &SetAttributeValue;
  inner.C_FindObjectsInit = &FindObjectsInit;
#define HEAR(form, function) inner.function = &form<&CK_FUNCTION_LIST::function>
  HEAR(Begin, C_EncryptInit);
  HEAR(InAndOut, C_Encrypt);
  HEAR(InAndOut, C_EncryptUpdate);
  HEAR(Out, C_EncryptFinal);
  HEAR(Begin, C_DecryptInit);
  HEAR(InAndOut, C_Decrypt);
  HEAR(InAndOut, C_DecryptUpdate);
  HEAR(Out, C_DecryptFinal);
  HEAR(InAndOut, C_Digest);
  HEAR(In, C_DigestUpdate);
  HEAR(Out, C_DigestFinal);
  HEAR(Begin, C_SignInit);
  HEAR(InAndOut, C_Sign);
  HEAR(In, C_SignUpdate);
  HEAR(Out, C_SignFinal);
  HEAR(Begin, C_SignRecoverInit);
  HEAR(InAndOut, C_SignRecover);
  HEAR(Begin, C_VerifyInit);
  HEAR(InTwice, C_Verify);
  HEAR(In, C_VerifyUpdate);
  HEAR(In, C_VerifyFinal);
  HEAR(Begin, C_VerifyRecoverInit);
  HEAR(InAndOut, C_VerifyRecover);
  HEAR(InAndOut, C_DigestEncryptUpdate);
  HEAR(InAndOut, C_DecryptDigestUpdate);
  HEAR(InAndOut, C_SignEncryptUpdate);
  HEAR(InAndOut, C_DecryptVerifyUpdate);
  HEAR(Out, C_GetOperationState);
  HEAR(In, C_SeedRandom);
#undef HEAR
  inner.C_DigestInit = &DigestInit;
  inner.C_GenerateKey = &GenerateKey;
  inner.C_GenerateKeyPair = &GenerateKeyPair;
  inner.C_DeriveKey = &DeriveKey;
  inner.C_WrapKey = &WrapKey;
  inner.C_UnwrapKey = &UnwrapKey;
  inner.C_GenerateRandom = &GenerateRandom;
  outer.version = real.version;
  const char* directives = std::getenv("STRONGROOM_TEST_FAULTS");
  return directives == nullptr || ReadDirectives(directives);
}

CK_RV GetFunctionList(CK_FUNCTION_LIST** list) {
  static const bool loaded = LoadRealModule();
  if (!loaded) return CKR_GENERAL_ERROR;
  *list = &outer;
  return CKR_OK;
}

// Before either of the two functions below can be called.
[[maybe_unused]] const bool installed = [] {
  InstallAll();
  // Not the exported one by its name: that could be another library's.
  outer.C_GetFunctionList = &GetFunctionList;
  return true;
}();

}  // namespace

extern "C" {

CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) { return GetFunctionList(list); }

FaultControl* StrongroomFaultControl() { return &State::Get(); }

}  // extern "C"

}  // namespace strongroom::testing
