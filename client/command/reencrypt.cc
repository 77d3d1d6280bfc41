#include "client/command/reencrypt.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/command/blob_files.h"
#include "client/command/exit_code.h"
#include "client/command/interrupt.h"
#include "client/command/progress.h"
#include "client/command/replace_file.h"
#include "platform/mutex.h"

namespace strongroom::command {
namespace {

constexpr int kMostParallel = 64;

// A service that limits rates says how long to wait; a run over many files is what it means.
constexpr int kMostThrottled = 20;
constexpr absl::Duration kShortestWait = absl::Milliseconds(100);
constexpr absl::Duration kLongestWait = absl::Seconds(30);
// How soon a wait notices that it is to end.
constexpr absl::Duration kTick = absl::Milliseconds(50);

// The key version that a blob names, as a UUID; empty if it is no blob of the version that
// docs/blob-format.md describes.
std::string VersionOf(absl::string_view blob) {
  constexpr absl::string_view kBegin("SRKB\x01", 5);
  constexpr size_t kVersionOffset = 28;
  constexpr size_t kIdBytes = 16;
  if (!absl::StartsWith(blob, kBegin) || blob.size() < kVersionOffset + kIdBytes) return "";
  const std::string hex = absl::BytesToHexString(blob.substr(kVersionOffset, kIdBytes));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

enum class Outcome { kDone, kSkipped };

// One run over all files. Its threads share it.
class Run {
 public:
  Run(const Client& client, const ReEncryptArguments& arguments, ReEncryptRequest request,
      BlobFiles files, std::string primary_version)
      : client_(client),
        arguments_(arguments),
        request_(std::move(request)),
        files_(std::move(files.files)),
        skippable_(arguments.out_folder.empty() && request_.source_aad.empty() &&
                   request_.source_encryption_context == request_.destination_encryption_context),
        primary_version_(std::move(primary_version)),
        failures_(std::move(files.failures)) {
    counts_.failed = failures_.size();
    counts_.total = files_.size() + failures_.size();
  }

  void Go(const Streams& streams) {
    Progress progress(streams.err, streams.err_is_terminal);
    const size_t threads = std::min(static_cast<size_t>(arguments_.parallel), files_.size());
    std::vector<std::thread> workers;
    for (size_t i = 0; i < threads; ++i) {
      workers.emplace_back([this, &progress] { Work(&progress); });
    }
    for (std::thread& worker : workers) worker.join();
    MutexLock lock(mutex_);
    progress.Finish(counts_);
  }

  // When all threads are done.
  Report TakeReport() {
    MutexLock lock(mutex_);
    std::sort(failures_.begin(), failures_.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    Report report;
    if (!failures_.empty()) {
      report.list = Report::List{.name = "failures", .with_record = true};
      for (const auto& [name, status] : failures_) {
        Record record;
        record.Text("file", name)
            .Text("reason", ReasonOf(status))
            .Text("message", std::string(status.message()))
            .Text("request_id", ErrorDetailOf(status).value_or(ErrorDetail{}).request_id);
        report.list->items.push_back(std::move(record));
      }
      report.exit_code = ExitCode::kPartly;
    }
    const size_t left = counts_.total - counts_.finished();
    report.record.Number("files", static_cast<int64_t>(counts_.total))
        .Number(arguments_.authority.dry_run ? "would_work" : "done",
                static_cast<int64_t>(counts_.done))
        .Number("skipped", static_cast<int64_t>(counts_.skipped))
        .Number("failed", static_cast<int64_t>(counts_.failed));
    if (left > 0) {
      report.record.Number("not_begun", static_cast<int64_t>(left));
      report.exit_code = ExitCode::kPartly;
    }
    return report;
  }

 private:
  void Work(Progress* progress) {
    while (const BlobFile* file = Next()) {
      const absl::StatusOr<Outcome> outcome = Do(*file);
      MutexLock lock(mutex_);
      // It was not begun after all: the wait for its turn was interrupted.
      if (!outcome.ok() && interrupt_.requested() && absl::IsCancelled(outcome.status())) continue;
      if (!outcome.ok()) {
        ++counts_.failed;
        failures_.emplace_back(file->name, outcome.status());
      } else {
        ++(*outcome == Outcome::kDone ? counts_.done : counts_.skipped);
      }
      progress->Show(counts_, std::chrono::steady_clock::now());
    }
  }

  const BlobFile* Next() {
    MutexLock lock(mutex_);
    if (interrupt_.requested() || next_ == files_.size()) return nullptr;
    return &files_[next_++];
  }

  absl::StatusOr<Outcome> Do(const BlobFile& file) {
    absl::StatusOr<FileRead> read = ReadForReplacing(file.path);
    if (!read.ok()) return read.status();
    if (skippable_ && !primary_version_.empty() && VersionOf(read->content) == primary_version_) {
      return Outcome::kSkipped;
    }
    absl::StatusOr<ReEncryptResult> result = Call(read->content);
    if (arguments_.authority.dry_run && WouldHaveWorked(result.status())) return Outcome::kDone;
    if (!result.ok()) return result.status();
    if (skippable_ && !result->key_version_id.empty() &&
        result->key_version_id == result->source_key_version_id) {
      return Outcome::kSkipped;
    }
    if (result->ciphertext_blob.empty()) {
      return absl::InternalError("the service answered without a blob");
    }
    absl::Status status = Write(file, *read, result->ciphertext_blob);
    if (!status.ok()) return status;
    return Outcome::kDone;
  }

  absl::StatusOr<ReEncryptResult> Call(const std::string& blob) {
    ReEncryptRequest request = request_;
    request.ciphertext_blob = blob;
    for (int throttled = 0;; ++throttled) {
      absl::StatusOr<ReEncryptResult> result = client_.ReEncrypt(request);
      const std::optional<ErrorDetail> detail = ErrorDetailOf(result.status());
      if (result.ok() || !detail.has_value() || detail->reason != Reason::kThrottling ||
          throttled == kMostThrottled) {
        return result;
      }
      const absl::Duration wait =
          std::clamp(detail->retry_delay.value_or(absl::Seconds(1)), kShortestWait, kLongestWait);
      for (absl::Duration waited; waited < wait; waited += kTick) {
        if (interrupt_.requested()) return absl::CancelledError("interrupted");
        std::this_thread::sleep_for(absl::ToChronoMilliseconds(kTick));
      }
    }
  }

  absl::Status Write(const BlobFile& file, const FileRead& read, const std::string& blob) {
    if (arguments_.out_folder.empty()) return ReplaceFile(file.path, read, blob);
    const std::filesystem::path path = std::filesystem::path(arguments_.out_folder) / file.relative;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) {
      return LocalError(
          absl::StrCat("cannot make ", path.parent_path().string(), ": ", error.message()));
    }
    return WriteNewFile(path, read, blob, arguments_.force);
  }

  const Client& client_;
  const ReEncryptArguments& arguments_;
  const ReEncryptRequest request_;
  const std::vector<BlobFile> files_;
  // Whether a blob under the destination's primary version would only be made again.
  const bool skippable_;
  // Empty if that is not known.
  const std::string primary_version_;
  const Interrupt interrupt_;

  Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  FileCounts counts_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, absl::Status>> failures_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<ReEncryptRequest> RequestOf(const ReEncryptArguments& arguments) {
  ReEncryptRequest request{
      .source_key_id = arguments.source_key_id,
      .destination_key_id = arguments.destination_key_id,
      .dry_run = arguments.authority.dry_run,
  };
  const bool apart = !arguments.source_context.empty() || !arguments.destination_context.empty();
  if (apart && !arguments.binding.context.empty()) {
    return UsageError(
        "give --context, of both the old blob and the new one, or --source-context and "
        "--destination-context");
  }
  absl::StatusOr<EncryptionContext> both = ContextOf(arguments.binding);
  if (!both.ok()) return both.status();
  absl::StatusOr<EncryptionContext> source =
      ParseContext("--source-context", arguments.source_context);
  if (!source.ok()) return source.status();
  absl::StatusOr<EncryptionContext> destination =
      ParseContext("--destination-context", arguments.destination_context);
  if (!destination.ok()) return destination.status();
  request.source_encryption_context = apart ? *source : *both;
  request.destination_encryption_context = apart ? *destination : *both;
  absl::StatusOr<std::string> aad = AadOf(arguments.binding);
  if (!aad.ok()) return aad.status();
  request.source_aad = *std::move(aad);
  absl::StatusOr<std::vector<std::string>> tokens =
      ReadGrantTokens(arguments.authority.grant_token_files);
  if (!tokens.ok()) return tokens.status();
  request.grant_tokens = *std::move(tokens);
  return request;
}

// Two files must not become one.
absl::Status CheckOutNames(const ReEncryptArguments& arguments, const BlobFiles& files) {
  if (arguments.out_folder.empty()) return absl::OkStatus();
  std::set<std::string> names;
  for (const BlobFile& file : files.files) {
    if (!names.insert(file.relative).second) {
      return UsageError(absl::StrCat("two files would become ", arguments.out_folder, "/",
                                     file.relative, "; do them one after the other"));
    }
  }
  return absl::OkStatus();
}

// The destination's primary version; empty for whom may not know, or where it cannot be told. What
// is wrong with the key for all files ends the run before it begins.
absl::StatusOr<std::string> PrimaryVersion(const Client& client, const ReEncryptRequest& request) {
  absl::StatusOr<KeyResult> key = client.keys().Describe(
      {.key_id = request.destination_key_id, .grant_tokens = request.grant_tokens});
  if (key.ok()) return key->key.primary_key_version_id;
  if (absl::IsPermissionDenied(key.status()) || absl::IsUnimplemented(key.status())) return "";
  return key.status();
}

}  // namespace

absl::StatusOr<Report> ReEncrypt(const Client& client, const Streams& streams,
                                 const ReEncryptArguments& arguments) {
  if (arguments.files.empty() && arguments.folders.empty()) {
    return UsageError("name files, or a folder with --recursive");
  }
  if (arguments.parallel < 1 || arguments.parallel > kMostParallel) {
    return UsageError(absl::StrCat("--parallel takes 1 to ", kMostParallel));
  }
  if (arguments.force && arguments.out_folder.empty()) {
    return UsageError("--force goes with --out-dir; without it, files are rewritten anyway");
  }
  absl::StatusOr<ReEncryptRequest> request = RequestOf(arguments);
  if (!request.ok()) return request.status();
  BlobFiles files = FindBlobFiles(arguments.files, arguments.folders);
  absl::Status status = CheckOutNames(arguments, files);
  if (!status.ok()) return status;
  absl::StatusOr<std::string> primary = PrimaryVersion(client, *request);
  if (!primary.ok()) return primary.status();

  Run run(client, arguments, *std::move(request), std::move(files), *std::move(primary));
  run.Go(streams);
  return run.TakeReport();
}

}  // namespace strongroom::command
