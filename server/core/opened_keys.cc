#include "server/core/opened_keys.h"

#include <openssl/sha.h>

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace strongroom::core {

std::string OpenedKeys::NameOf(absl::string_view blob, const Binding& binding) {
  // The length in front, so that no byte can move from the one to the other.
  std::string framed;
  for (int shift = 56; shift >= 0; shift -= 8) {
    framed.push_back(static_cast<char>(uint64_t{blob.size()} >> shift));
  }
  absl::StrAppend(&framed, blob, binding.encoded());
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(framed.data()), framed.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

bool OpenedKeys::IsExpired(const Kept& kept, Moment now) const {
  return absl::FromChrono(now - kept.since) >= opened_for_;
}

void OpenedKeys::Remove(List::iterator position, List& gone) {
  by_name_.erase(position->name);
  gone.splice(gone.end(), list_, position);
}

void OpenedKeys::RemoveExpired(List& gone) {
  const Moment now = now_();
  for (auto position = list_.begin(); position != list_.end();) {
    const auto next = std::next(position);
    if (IsExpired(*position, now)) Remove(position, gone);
    position = next;
  }
}

OpenedKeys::Entry OpenedKeys::Find(const std::string& name) {
  List gone;
  MutexLock lock(mu_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  if (IsExpired(*found->second, now_())) {
    Remove(found->second, gone);
    return nullptr;
  }
  list_.splice(list_.begin(), list_, found->second);
  return found->second->entry;
}

void OpenedKeys::Keep(const std::string& name, Entry entry) {
  if (!keeps()) return;
  List gone;
  MutexLock lock(mu_);
  RemoveExpired(gone);
  if (const auto found = by_name_.find(name); found != by_name_.end()) Remove(found->second, gone);
  list_.push_front({name, std::move(entry), now_()});
  by_name_[name] = list_.begin();
  while (list_.size() > static_cast<size_t>(at_most_)) Remove(std::prev(list_.end()), gone);
}

void OpenedKeys::Drop(const std::string& name, const Entry& entry) {
  List gone;
  MutexLock lock(mu_);
  const auto found = by_name_.find(name);
  if (found != by_name_.end() && found->second->entry == entry) Remove(found->second, gone);
}

void OpenedKeys::DropExpired() {
  List gone;
  MutexLock lock(mu_);
  RemoveExpired(gone);
}

}  // namespace strongroom::core
