#include "server/core/pair_sealer.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "platform/clock.h"
#include "platform/secret_bytes.h"

namespace strongroom::core {
namespace {

constexpr absl::string_view kAadLabel = "strongroom-reserve-1";

Deadline SomeTime() {
  constexpr std::chrono::seconds kLongestSeal(30);
  return std::chrono::steady_clock::now() + kLongestSeal;
}

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

void AppendBigEndian(std::string& text, uint64_t number, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(number >> (8 * i));
}

std::string AadOf(const StoreId& store, const ReserveEpochId& epoch, int64_t id, int32_t spec) {
  std::string aad(kAadLabel);
  aad.append(store.bytes().begin(), store.bytes().end());
  aad.append(epoch.bytes().begin(), epoch.bytes().end());
  AppendBigEndian(aad, static_cast<uint64_t>(id), 8);
  AppendBigEndian(aad, static_cast<uint32_t>(spec), 4);
  return aad;
}

}  // namespace

absl::StatusOr<store::ReservedPair> PairSealer::Seal(int64_t id, const hsm::KeptPair& pair) {
  absl::StatusOr<std::string> wrapped = token_.WrapKeptPair(pair, keys_);
  if (!wrapped.ok()) return wrapped.status();
  hsm::Iv iv;
  absl::Status status = token_.GenerateRandom(absl::MakeSpan(iv), SomeTime());
  if (!status.ok()) return status;
  std::string content;
  AppendBigEndian(content, pair.public_key().size(), 4);
  absl::StrAppend(&content, pair.public_key(), *wrapped);
  store::ReservedPair row;
  row.id = id;
  row.spec = static_cast<int32_t>(pair.spec());
  const std::string aad = AadOf(store_, epoch_, id, row.spec);
  absl::StatusOr<std::string> sealed =
      token_.Seal(keys_, iv, AsBytes(aad), AsBytes(content), SomeTime());
  if (!sealed.ok()) return sealed.status();
  ++sealed_;
  row.sealed.assign(iv.begin(), iv.end());
  row.sealed += *sealed;
  return row;
}

absl::StatusOr<hsm::KeptPair> PairSealer::Restore(const store::ReservedPair& row) {
  const absl::Status malformed = absl::InvalidArgumentError("a row of the reserve is malformed");
  if (row.sealed.size() < hsm::kIvBytes) return malformed;
  hsm::Iv iv;
  std::copy_n(row.sealed.begin(), iv.size(), iv.begin());
  const std::string aad = AadOf(store_, epoch_, row.id, row.spec);
  absl::StatusOr<SecretBytes> content = token_.Unseal(
      keys_, iv, AsBytes(aad), absl::string_view(row.sealed).substr(iv.size()), SomeTime());
  if (!content.ok()) return content.status();
  // The length of the public key in four bytes, the public key, the wrapped private key.
  const absl::string_view text = content->ExposeSecretAsText();
  if (text.size() < 4) return malformed;
  size_t length = 0;
  for (int i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(text[i]);
  if (length > text.size() - 4) return malformed;
  return token_.RestoreKeptPair(keys_, text.substr(4 + length),
                                static_cast<hsm::PairSpec>(row.spec), text.substr(4, length));
}

}  // namespace strongroom::core
