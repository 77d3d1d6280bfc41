#ifndef STRONGROOM_SERVER_CORE_OPENED_KEYS_H_
#define STRONGROOM_SERVER_CORE_OPENED_KEYS_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/opened_key.h"
#include "platform/mutex.h"
#include "server/core/binding.h"
#include "server/store/ids.h"

namespace strongroom::core {

// A private key that is open in the token, and whose it is.
struct OpenedPrivateKey {
  KeyId key_id;
  KeyVersionId key_version_id;
  hsm::OpenedKey key;
};

// Keys that stay open in the token for a while, by the blobs and bindings that opened them. A key
// that goes from here is destroyed when nobody uses it any more. Thread-safe.
class OpenedKeys {
 public:
  // Monotonic time.
  using Moment = std::chrono::steady_clock::time_point;
  using Entry = std::shared_ptr<const OpenedPrivateKey>;

  // Keeps nothing if either of the first two is zero.
  OpenedKeys(absl::Duration opened_for, int at_most, std::function<Moment()> now)
      : opened_for_(opened_for), at_most_(at_most), now_(std::move(now)) {}

  bool keeps() const { return opened_for_ > absl::ZeroDuration() && at_most_ > 0; }

  // What names a blob and its binding and nothing else.
  static std::string NameOf(absl::string_view blob, const Binding& binding);

  // Null if there is none, or none any more.
  Entry Find(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // From now on, not from when it is used. Another one of this name goes.
  void Keep(const std::string& name, Entry entry) ABSL_LOCKS_EXCLUDED(mu_);
  // Lets `entry` go, and not one that took its place.
  void Drop(const std::string& name, const Entry& entry) ABSL_LOCKS_EXCLUDED(mu_);
  void DropExpired() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Kept {
    std::string name;
    Entry entry;
    Moment since;
  };
  using List = std::list<Kept>;

  bool IsExpired(const Kept& kept, Moment now) const;
  // Moves it to `gone`, for the token is not to be called with the lock held.
  void Remove(List::iterator position, List& gone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RemoveExpired(List& gone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const absl::Duration opened_for_;
  const int at_most_;
  const std::function<Moment()> now_;

  Mutex mu_;
  // The one used last is first.
  List list_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, List::iterator> by_name_ ABSL_GUARDED_BY(mu_);
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_OPENED_KEYS_H_
