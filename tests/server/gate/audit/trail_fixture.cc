#include "tests/server/gate/audit/trail_fixture.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/testing/test_directory.h"

namespace strongroom::audit {

absl::StatusOr<Mac> FakeToken::MakeMac(absl::Span<const uint8_t> message) {
  {
    MutexLock lock(mu_);
    ++attempts_;
    asked_.NotifyAll();
  }
  on_mac();
  if (away_) return absl::UnavailableError("the token is away");
  constexpr char kKey[] = "a key that never leaves";
  Mac mac;
  HMAC(EVP_sha256(), kKey, sizeof(kKey), message.data(), message.size(), mac.data(), nullptr);
  return mac;
}

void FakeToken::AwaitAttempts(int attempts) {
  MutexLock lock(mu_);
  const int until = attempts_ + attempts;
  while (attempts_ < until) asked_.Wait(mu_);
}

int FakeToken::attempts() {
  MutexLock lock(mu_);
  return attempts_;
}

absl::StatusOr<std::optional<Head>> FakeKeeper::Load() {
  MutexLock lock(mu_);
  return head_;
}

absl::Status FakeKeeper::Save(const Head& head) {
  MutexLock lock(mu_);
  head_ = head;
  saved_.NotifyAll();
  return absl::OkStatus();
}

Head FakeKeeper::AwaitSaved(int64_t sequence) {
  MutexLock lock(mu_);
  while (!head_.has_value() || head_->sequence < sequence) saved_.Wait(mu_);
  return *head_;
}

void FakeKeeper::Forget() {
  MutexLock lock(mu_);
  head_.reset();
}

TrailFixture::TrailFixture() {
  options.directory = absl::StrCat(*testing::MakeTestDirectory(), "/audit");
  options.server_version = "1.2.3";
  options.seal_interval = absl::Hours(1);
  options.fsync_interval = absl::Hours(1);
  options.seal_patience = absl::Hours(1);
  options.retry_interval = absl::ZeroDuration();
}

absl::Status TrailFixture::Open() {
  trail_.reset();
  absl::StatusOr<std::unique_ptr<Trail>> opened =
      Trail::Open(options, token.Sealer(), keeper, clock, log);
  if (!opened.ok()) return opened.status();
  trail_ = *std::move(opened);
  return absl::OkStatus();
}

absl::Status TrailFixture::WriteCalls(int count) {
  for (int i = 0; i < count; ++i) {
    if (absl::Status status = trail_->Write(SampleRecord()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

Record SampleRecord() {
  static const auto* const context =
      new std::map<std::string, std::string>{{"tenant", "42"}, {"purpose", "invoices"}};
  Record record;
  record.request_id = "01890a5d-ac96-774b-bcce-b302099a8057";
  record.principal = "spiffe://bank.example/ns/payments/sa/orders";
  record.operation = "KmsService.GenerateDataKey";
  record.key_id = "1f0e4d4e-52a7-4a0d-9d8f-5b7c0c2c9a11";
  record.key_version_id = "7c6ad1a5-9f7e-4a8c-8a31-0f1f6a1f2b10";
  record.context = context;
  record.outcome = Outcome::kAllowed;
  record.reason = "OK";
  record.duration_us = 137;
  return record;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    files.push_back(entry.path().filename().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void SetContent(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::vector<std::string> LinesOf(const std::string& path) {
  std::vector<std::string> lines = absl::StrSplit(Content(path), '\n');
  // Behind the last newline there is nothing, or half a line.
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<std::string> LinesIn(const std::string& directory) {
  std::vector<std::string> all;
  for (const std::string& file : FilesIn(directory)) {
    for (std::string& line : LinesOf(absl::StrCat(directory, "/", file))) {
      all.push_back(std::move(line));
    }
  }
  return all;
}

void SetLines(const std::string& path, const std::vector<std::string>& lines) {
  SetContent(path, lines.empty() ? "" : absl::StrCat(absl::StrJoin(lines, "\n"), "\n"));
}

}  // namespace strongroom::audit
