#include "client/command/key_record.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

// A service that knows no origins has keys of the token only.
std::string OriginName(KeyOrigin origin) {
  return SpecName(origin == KeyOrigin::kUnspecified ? KeyOrigin::kToken : origin);
}

std::string StateName(KeyState state) {
  return state == KeyState::kUnspecified ? "UNKNOWN" : SpecName(state);
}

std::string RotationText(int32_t days) {
  return days == 0 ? "off" : absl::StrCat("every ", days, days == 1 ? " day" : " days");
}

Record ToRecord(const Key& key, bool in_list) {
  Record record;
  const auto detail = [&] {
    if (in_list) record.ForPrograms();
  };
  record.Text("key_id", key.key_id).Text("state", StateName(key.state));
  record.Text("origin", OriginName(key.origin));
  detail();
  record.Time("create_time", key.create_time)
      .Text("initial_key_version_id", key.initial_key_version_id)
      .Text("primary_key_version_id", key.primary_key_version_id)
      .Text("description", key.description)
      .Map("tags", key.tags);
  if (!in_list) record.Text("rotation", RotationText(key.rotation_period_days)).ForPeople();
  record.Number("rotation_period_days", key.rotation_period_days).ForPrograms();
  if (key.next_rotation_time.has_value()) {
    record.Time("next_rotation_time", *key.next_rotation_time);
    detail();
  }
  if (key.deletion_time.has_value()) {
    record.Time("deletion_time", *key.deletion_time);
    detail();
  }
  record.Number("primary_uses_left", key.primary_uses_left);
  detail();
  record.Number("initial_uses_left", key.initial_uses_left);
  detail();
  return record;
}

}  // namespace

Record KeyRecord(const Key& key) { return ToRecord(key, /*in_list=*/false); }

Record KeyRecordInList(const Key& key) { return ToRecord(key, /*in_list=*/true); }

absl::StatusOr<Report> KeyReport(const absl::StatusOr<KeyResult>& result) {
  if (!result.ok()) return result.status();
  Report report{.record = KeyRecord(result->key)};
  report.record.Text("request_id", result->request_id);
  return report;
}

}  // namespace strongroom::command
