// docs/blob-format-vectors.json against this implementation: what it encodes, what OpenSSL makes of
// the same keys and contents, and that the core opens them with the two keys in SoftHSM.

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "hsm/internal/pkcs11.h"
#include "platform/files.h"
#include "server/core/binding.h"
#include "server/core/blob.h"
#include "server/core/error.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/softhsm.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using testing::FailsWith;
using ::testing::IsEmpty;

struct Vector {
  std::string name;
  BlobHeader header;
  Binding binding;
  std::string encoded_binding;
  std::string content;
  std::string blob;
};

struct Vectors {
  std::string seal_key;
  std::string wrap_key;
  KeyId key_id;
  KeyVersionId key_version_id;
  std::vector<Vector> vectors;
};

std::string Hex(const nlohmann::json& json, const char* field) {
  return absl::HexStringToBytes(json.at(field).get<std::string>());
}

ContentKind KindOf(const std::string& name) {
  const std::map<std::string, ContentKind> kinds = {
      {"bytes", ContentKind::kBytes},
      {"wrapped bytes", ContentKind::kWrappedBytes},
      {"wrapped private key, PEM", ContentKind::kWrappedKeyAsPem},
      {"wrapped private key, DER", ContentKind::kWrappedKeyAsDer}};
  return kinds.at(name);
}

Vectors ReadVectors() {
  const absl::StatusOr<std::string> text =
      ReadFile(absl::StrCat(getenv("TEST_SRCDIR"), "/strongroom/docs/blob-format-vectors.json"));
  EXPECT_OK(text);
  const nlohmann::json json = nlohmann::json::parse(text.value_or("{}"));
  Vectors read;
  read.seal_key = Hex(json, "seal_key");
  read.wrap_key = Hex(json, "wrap_key");
  read.key_id = *KeyId::Parse(json.at("key_id").get<std::string>());
  read.key_version_id = *KeyVersionId::Parse(json.at("key_version_id").get<std::string>());
  for (const nlohmann::json& item : json.at("vectors")) {
    Vector vector;
    vector.name = item.at("name");
    vector.header.kind = KindOf(item.at("kind"));
    if (const int spec = item.at("pair_spec"); spec != 0) {
      vector.header.pair_spec = static_cast<hsm::PairSpec>(spec);
    }
    vector.header.content_bytes = item.at("content_bytes");
    vector.header.key_id = read.key_id;
    vector.header.key_version_id = read.key_version_id;
    const std::string iv = Hex(item, "iv");
    std::copy(iv.begin(), iv.end(), vector.header.iv.begin());
    if (item.contains("aad")) vector.binding = Aad(Hex(item, "aad"));
    if (item.contains("encryption_context")) {
      vector.binding = Context(item.at("encryption_context"));
    }
    vector.encoded_binding = Hex(item, "encoded_binding");
    vector.content = Hex(item, "content");
    vector.blob = Hex(item, "blob");
    read.vectors.push_back(std::move(vector));
  }
  return read;
}

const unsigned char* Bytes(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

// Ciphertext and tag.
std::string SealWithOpenSsl(const std::string& key, const std::string& iv, const std::string& aad,
                            const std::string& plaintext) {
  const CipherContext context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  std::string sealed(plaintext.size() + 16, '\0');
  int size = 0;
  EXPECT_EQ(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(key), Bytes(iv)),
            1);
  EXPECT_EQ(
      EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(aad), static_cast<int>(aad.size())),
      1);
  EXPECT_EQ(EVP_EncryptUpdate(context.get(), Bytes(sealed), &size, Bytes(plaintext),
                              static_cast<int>(plaintext.size())),
            1);
  EXPECT_EQ(EVP_EncryptFinal_ex(context.get(), Bytes(sealed) + size, &size), 1);
  EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16,
                                Bytes(sealed) + plaintext.size()),
            1);
  return sealed;
}

// RFC 5649.
std::string WrapWithOpenSsl(const std::string& key, const std::string& plaintext) {
  const CipherContext context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  std::string wrapped(plaintext.size() + 16, '\0');
  int size = 0;
  EXPECT_EQ(EVP_EncryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, Bytes(key), nullptr),
            1);
  EXPECT_EQ(EVP_EncryptUpdate(context.get(), Bytes(wrapped), &size, Bytes(plaintext),
                              static_cast<int>(plaintext.size())),
            1);
  wrapped.resize(static_cast<size_t>(size));
  return wrapped;
}

// What goes under GCM.
std::string Inside(const Vector& vector, const std::string& wrap_key) {
  std::string content = vector.content;
  if (vector.header.kind == ContentKind::kBytes) return content;
  if (vector.header.kind == ContentKind::kWrappedBytes) {
    // As SoftHSM does with a secret before it wraps it.
    content.resize((content.size() + 7) / 8 * 8, '\0');
  }
  return WrapWithOpenSsl(wrap_key, content);
}

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key ReadPrivateKey(const std::string& text, ContentKind kind) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free);
  return Key(kind == ContentKind::kWrappedKeyAsPem
                 ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr)
                 : d2i_PrivateKey_bio(bio.get(), nullptr),
             &EVP_PKEY_free);
}

TEST(BlobVectorsTest, CoverEveryKindAndBinding) {
  std::set<ContentKind> kinds;
  std::set<char> bindings;
  for (const Vector& vector : ReadVectors().vectors) {
    kinds.insert(vector.header.kind);
    bindings.insert(vector.encoded_binding[0]);
  }
  EXPECT_EQ(kinds.size(), 4u);
  EXPECT_EQ(bindings, (std::set<char>{0, 1, 2}));
}

TEST(BlobVectorsTest, BindingsAreEncodedAlike) {
  for (const Vector& vector : ReadVectors().vectors) {
    EXPECT_EQ(vector.binding.encoded(), vector.encoded_binding) << vector.name;
  }
}

TEST(BlobVectorsTest, HeadersAreEncodedAndReadAlike) {
  for (const Vector& vector : ReadVectors().vectors) {
    SCOPED_TRACE(vector.name);
    EXPECT_EQ(vector.header.Encode(), vector.blob.substr(0, BlobHeader::kBytes));
    const std::optional<ParsedBlob> parsed = ParseBlob(vector.blob);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->header.kind, vector.header.kind);
    EXPECT_EQ(parsed->header.pair_spec, vector.header.pair_spec);
    EXPECT_EQ(parsed->header.content_bytes, vector.header.content_bytes);
    EXPECT_EQ(parsed->header.key_id, vector.header.key_id);
    EXPECT_EQ(parsed->header.key_version_id, vector.header.key_version_id);
    EXPECT_EQ(parsed->header.iv, vector.header.iv);
  }
}

TEST(BlobVectorsTest, OpenSslSealsTheSameBytes) {
  const Vectors read = ReadVectors();
  for (const Vector& vector : read.vectors) {
    SCOPED_TRACE(vector.name);
    const std::string header = vector.header.Encode();
    EXPECT_EQ(SealWithOpenSsl(read.seal_key,
                              std::string(vector.header.iv.begin(), vector.header.iv.end()),
                              header + vector.encoded_binding, Inside(vector, read.wrap_key)),
              vector.blob.substr(BlobHeader::kBytes));
  }
}

class BlobVectorsInTokenTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    store::KeyRecord key;
    key.id = vectors_.key_id;
    ASSERT_OK(store().BeginKey(key, vectors_.key_version_id, ""));
    ASSERT_OK(store().CommitVersion(vectors_.key_version_id, "proof"));
    ASSERT_NO_FATAL_FAILURE(Import());
    // What was not generated in the token is refused; that is what these attributes tell.
    for (const char* label : {"strongroom-seal", "strongroom-wrap"}) {
      for (const char* attribute : {"CKA_LOCAL", "CKA_ALWAYS_SENSITIVE", "CKA_NEVER_EXTRACTABLE"}) {
        ASSERT_OK(faults().Apply(absl::StrCat("attribute ", label, " ", attribute, " 01")));
      }
    }
    ASSERT_NO_FATAL_FAILURE(Restart());
    ASSERT_THAT(report().unusable, IsEmpty());
    ASSERT_EQ(report().versions, 1);
  }

  const std::vector<Vector>& vectors() { return vectors_.vectors; }

 private:
  // Puts the vectors' two keys into the token, as they would have been generated there.
  void Import() {
    void* library = dlopen(testing::kSoftHsmModule, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr);
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    CK_FUNCTION_LIST* functions = nullptr;
    ASSERT_EQ(get(&functions), CKR_OK);
    CK_SLOT_ID slots[2];
    CK_ULONG count = 2;
    // SoftHSM's first slot is the one with the test's token. It is logged in: a Token is open.
    ASSERT_EQ(functions->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    CK_SESSION_HANDLE session;
    ASSERT_EQ(functions->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr,
                                       nullptr, &session),
              CKR_OK);
    ImportKey(*functions, session, "strongroom-seal", vectors_.seal_key, CKM_AES_GCM);
    ImportKey(*functions, session, "strongroom-wrap", vectors_.wrap_key, CKM_AES_KEY_WRAP_PAD);
    EXPECT_EQ(functions->C_CloseSession(session), CKR_OK);
  }

  void ImportKey(const CK_FUNCTION_LIST& functions, CK_SESSION_HANDLE session, std::string label,
                 std::string value, CK_MECHANISM_TYPE mechanism) {
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_BBOOL seals = mechanism == CKM_AES_GCM ? CK_TRUE : CK_FALSE;
    CK_BBOOL wraps = seals == CK_TRUE ? CK_FALSE : CK_TRUE;
    hsm::ObjectId id = vectors_.key_version_id.bytes();
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &object_class, sizeof(object_class)},
        {CKA_KEY_TYPE, &type, sizeof(type)},
        {CKA_LABEL, label.data(), label.size()},
        {CKA_ID, id.data(), id.size()},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_EXTRACTABLE, &no, sizeof(no)},
        {CKA_MODIFIABLE, &no, sizeof(no)},
        {CKA_ENCRYPT, &seals, sizeof(seals)},
        {CKA_DECRYPT, &seals, sizeof(seals)},
        {CKA_WRAP, &wraps, sizeof(wraps)},
        {CKA_UNWRAP, &wraps, sizeof(wraps)},
        {CKA_SIGN, &no, sizeof(no)},
        {CKA_VERIFY, &no, sizeof(no)},
        {CKA_DERIVE, &no, sizeof(no)},
        {CKA_ALLOWED_MECHANISMS, &mechanism, sizeof(mechanism)},
        {CKA_VALUE, value.data(), value.size()},
    };
    CK_OBJECT_HANDLE object;
    ASSERT_EQ(functions.C_CreateObject(session, attributes, std::size(attributes), &object),
              CKR_OK);
  }

  const Vectors vectors_ = ReadVectors();
};

TEST_F(BlobVectorsInTokenTest, EveryVectorOpens) {
  for (const Vector& vector : vectors()) {
    SCOPED_TRACE(vector.name);
    if (!vector.header.pair_spec.has_value()) {
      ExpectOpens(vector.blob, vector.binding, vector.content);
      continue;
    }
    // The token encodes the key anew when it gives it out: SoftHSM leaves the public half away.
    ASSERT_OK_AND_ASSIGN(const Opened opened, Open(vector.blob, vector.binding));
    const Key actual = ReadPrivateKey(Text(opened.plaintext), vector.header.kind);
    const Key expected = ReadPrivateKey(vector.content, ContentKind::kWrappedKeyAsDer);
    ASSERT_NE(actual, nullptr);
    ASSERT_NE(expected, nullptr);
    EXPECT_EQ(EVP_PKEY_eq(actual.get(), expected.get()), 1);
  }
}

TEST_F(BlobVectorsInTokenTest, NoVectorOpensUnderAnothersBinding) {
  for (const Vector& vector : vectors()) {
    for (const Vector& other : vectors()) {
      if (other.encoded_binding == vector.encoded_binding) continue;
      EXPECT_THAT(Open(vector.blob, other.binding), FailsWith(Reason::kInvalidCiphertext))
          << vector.name << " under the binding of " << other.name;
    }
  }
}

}  // namespace
}  // namespace strongroom::core
