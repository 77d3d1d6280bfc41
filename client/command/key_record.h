#ifndef STRONGROOM_CLIENT_COMMAND_KEY_RECORD_H_
#define STRONGROOM_CLIENT_COMMAND_KEY_RECORD_H_

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// How a key is shown: alone, or as one line of a list, where a table has room for less.
Record KeyRecord(const Key& key);
Record KeyRecordInList(const Key& key);

// Of what answers with a key as it is now.
absl::StatusOr<Report> KeyReport(const absl::StatusOr<KeyResult>& result);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_KEY_RECORD_H_
