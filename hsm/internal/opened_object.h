#ifndef STRONGROOM_HSM_INTERNAL_OPENED_OBJECT_H_
#define STRONGROOM_HSM_INTERNAL_OPENED_OBJECT_H_

#include <utility>

#include "hsm/internal/lanes.h"
#include "hsm/internal/pkcs11.h"

namespace strongroom::hsm::internal {

// A session object that outlasts the call that made it: made on one lane, used on any, and
// destroyed on any when this goes. Thread-safe.
class OpenedObject {
 public:
  // `lanes` outlives this.
  OpenedObject(LanePool& lanes, LentObject object) : lanes_(lanes), object_(std::move(object)) {}
  ~OpenedObject() { lanes_.Destroy(std::move(object_)); }
  OpenedObject(const OpenedObject&) = delete;
  OpenedObject& operator=(const OpenedObject&) = delete;

  // A session has ended since the object was made, and perhaps the object with it; its handle may
  // be another object's by now.
  bool IsLost() const { return lanes_.endings() != object_.endings; }
  CK_OBJECT_HANDLE handle() const { return object_.handle; }

 private:
  LanePool& lanes_;
  LentObject object_;
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_OPENED_OBJECT_H_
