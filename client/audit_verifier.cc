#include "client/audit_verifier.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace strongroom {
namespace {

using Hash = std::array<uint8_t, 32>;

// The server's lines are a tenth of it at most.
constexpr size_t kLongestLine = size_t{1} << 20;

absl::Status FileError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(what, " ", path, ": ", strerror(errno)));
}

Hash Sha256(absl::string_view bytes) {
  Hash hash = {};
  EVP_Digest(bytes.data(), bytes.size(), hash.data(), nullptr, EVP_sha256(), nullptr);
  return hash;
}

// 32 bytes in lower-case hexadecimal.
std::optional<Hash> ParseHash(absl::string_view text) {
  Hash hash;
  if (text.size() != 2 * hash.size()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    uint8_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint8_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint8_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
    hash[i / 2] = static_cast<uint8_t>(i % 2 == 0 ? digit << 4 : hash[i / 2] | digit);
  }
  return hash;
}

struct TrailFile {
  int64_t first = 0;
  std::string name;
};

absl::StatusOr<std::vector<TrailFile>> ListFiles(const std::string& directory) {
  DIR* const folder = opendir(directory.c_str());
  if (folder == nullptr) return FileError("cannot list", directory);
  std::vector<TrailFile> files;
  while (const dirent* const entry = readdir(folder)) {
    absl::string_view digits = entry->d_name;
    TrailFile file{0, entry->d_name};
    if (absl::ConsumePrefix(&digits, "audit-") && absl::ConsumeSuffix(&digits, ".jsonl") &&
        digits.size() == 20 && absl::SimpleAtoi(digits, &file.first)) {
      files.push_back(std::move(file));
    }
  }
  closedir(folder);
  std::sort(files.begin(), files.end(),
            [](const TrailFile& a, const TrailFile& b) { return a.first < b.first; });
  return files;
}

// The members that the trail itself is made of.
struct Line {
  int64_t sequence = 0;
  Hash prev = {};
  std::string time;
  // Of a seal.
  std::optional<Hash> mac;
};

// What is wrong with the line, or "".
std::string ParseLine(absl::string_view text, Line& line) {
  const nlohmann::json object =
      nlohmann::json::parse(text.begin(), text.end(), /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return "is not a JSON object";
  const auto text_of = [&object](const char* name) -> const std::string* {
    const auto member = object.find(name);
    return member == object.end() ? nullptr : member->get_ptr<const std::string*>();
  };
  const auto sequence = object.find("seq");
  if (sequence == object.end() || !sequence->is_number_unsigned() || *sequence == 0) {
    return "has no \"seq\" that is a number from 1";
  }
  line.sequence = sequence->get<int64_t>();
  const std::string* const prev = text_of("prev");
  const std::optional<Hash> hash = prev == nullptr ? std::nullopt : ParseHash(*prev);
  if (!hash.has_value()) return "has no \"prev\" of 64 hexadecimal digits";
  line.prev = *hash;
  const std::string* const time = text_of("time");
  if (time == nullptr) return "has no \"time\"";
  line.time = *time;
  const std::string* const type = text_of("type");
  if (type == nullptr) return "has no \"type\"";
  line.mac.reset();
  if (*type == "seal") {
    const std::string* const mac = text_of("mac");
    line.mac = mac == nullptr ? std::nullopt : ParseHash(*mac);
    if (!line.mac.has_value()) return "is a seal without a \"mac\" of 64 hexadecimal digits";
  }
  return "";
}

std::string Range(int64_t first, int64_t last) {
  return first == last ? absl::StrCat("record ", first)
                       : absl::StrCat("records ", first, " to ", last);
}

class Verifier {
 public:
  explicit Verifier(const AuditVerification& verification) : verification_(verification) {}

  absl::Status Read(const std::string& directory, const TrailFile& file, bool newest) {
    file_ = &file;
    line_number_ = 0;
    first_line_of_file_ = true;
    ++report_.files;
    const std::string path = absl::StrCat(directory, "/", file.name);
    const std::unique_ptr<FILE, int (*)(FILE*)> stream(fopen(path.c_str(), "re"), fclose);
    if (stream == nullptr) return FileError("cannot open", path);
    std::vector<char> block(size_t{1} << 16);
    std::string line;
    // A line that is too long is dropped while it is read.
    bool too_long = false;
    while (const size_t size = fread(block.data(), 1, block.size(), stream.get())) {
      absl::string_view left(block.data(), size);
      while (!left.empty()) {
        const size_t end = left.find('\n');
        const absl::string_view part = left.substr(0, end);
        if (line.size() + part.size() > kLongestLine) too_long = true;
        if (!too_long) line.append(part.data(), part.size());
        if (end == absl::string_view::npos) break;
        left.remove_prefix(end + 1);
        ++line_number_;
        if (absl::Status status = ReadLine(line, too_long); !status.ok()) return status;
        line.clear();
        too_long = false;
      }
    }
    if (ferror(stream.get()) != 0) return FileError("cannot read", path);
    if (!line.empty() || too_long) {
      ++line_number_;
      if (newest) {
        report_.being_written = true;
      } else {
        Bad(last_ + 1, "is cut: its line has no end");
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<AuditReport> Finish() && {
    if (!report_.bad.has_value() && verification_.head.has_value() &&
        verification_.head->sequence > last_ &&
        verification_.head->sequence >= verification_.first_record) {
      const int64_t first = std::max(last_ + 1, verification_.first_record);
      BadAt(first,
            absl::StrCat("the end is cut off: the server has written up to record ",
                         verification_.head->sequence, ", and ",
                         Range(first, verification_.head->sequence),
                         first == verification_.head->sequence ? " is" : " are", " missing"));
    }
    if (absl::Status status = CheckSeals(); !status.ok()) return status;
    report_.last_sequence = last_;
    // Nothing of it is sealed if there is no seal.
    report_.unsealed_records =
        report_.first_sequence == 0 ? 0 : last_ - std::max(last_seal_, report_.first_sequence - 1);
    return std::move(report_);
  }

 private:
  struct PendingSeal {
    AuditSeal seal;
    std::string file;
    int64_t line = 0;
  };

  absl::Status ReadLine(const std::string& text, bool too_long) {
    // Behind the first bad record, what stands there is only counted.
    if (report_.bad.has_value()) {
      ++report_.records;
      return absl::OkStatus();
    }
    Line line;
    std::string what = too_long ? "is longer than a line can be" : ParseLine(text, line);
    // What cannot be read is before the first record as well, or that one will be missing.
    if (report_.records == 0 && file_->first < verification_.first_record &&
        (!what.empty() || line.sequence < verification_.first_record)) {
      return absl::OkStatus();
    }
    ++report_.records;
    if (!what.empty()) {
      Bad(Expected(), std::move(what));
      return absl::OkStatus();
    }
    CheckPlace(line);
    if (report_.bad.has_value()) return absl::OkStatus();
    last_ = line.sequence;
    hash_ = Sha256(text);
    last_file_ = file_->name;
    last_line_ = line_number_;
    if (report_.first_sequence == 0) {
      report_.first_sequence = line.sequence;
      report_.first_time = line.time;
    }
    report_.last_time = line.time;
    if (verification_.head.has_value() && verification_.head->sequence == line.sequence &&
        verification_.head->hash != hash_) {
      Bad(line.sequence, "is not the record that the server has written");
      return absl::OkStatus();
    }
    if (!line.mac.has_value()) return absl::OkStatus();
    ++report_.seals;
    if (!verification_.check_seals) {
      last_seal_ = line.sequence;
      return absl::OkStatus();
    }
    seals_.push_back({{line.sequence, line.prev, *line.mac}, file_->name, line_number_});
    if (seals_.size() < kAuditSealBatch) return absl::OkStatus();
    return CheckSeals();
  }

  int64_t Expected() const { return last_ == 0 ? verification_.first_record : last_ + 1; }

  // Whether the record stands where it belongs.
  void CheckPlace(const Line& line) {
    const bool first_line_of_file = std::exchange(first_line_of_file_, false);
    const int64_t expected = Expected();
    if (line.sequence > expected) {
      Bad(expected, absl::StrCat(Range(expected, line.sequence - 1),
                                 line.sequence - 1 == expected ? " is" : " are",
                                 " missing: record ", line.sequence, " stands here"));
    } else if (line.sequence < expected) {
      Bad(line.sequence, absl::StrCat("stands where record ", expected,
                                      " belongs: it is there twice, or out of order"));
    } else if (first_line_of_file && line_number_ == 1 && file_->first != line.sequence) {
      Bad(line.sequence, "is the first of a file whose name says another");
    } else if (line.sequence == 1 && line.prev != Hash{}) {
      Bad(1, "is the first, and its \"prev\" is not zeros");
    } else if (last_ != 0 && line.prev != hash_) {
      report_.bad = {
          last_, last_file_, last_line_,
          absl::StrCat("was changed, or the one behind it was: its hash is not the \"prev\" of "
                       "record ",
                       line.sequence)};
    }
  }

  void Bad(int64_t sequence, std::string what) {
    if (!report_.bad.has_value()) {
      report_.bad = {sequence, file_->name, line_number_, std::move(what)};
    }
  }

  void BadAt(int64_t sequence, std::string what) {
    report_.bad = {sequence, last_file_, last_line_, std::move(what)};
  }

  // All of them are before the first bad record, if there is one.
  absl::Status CheckSeals() {
    if (seals_.empty()) return absl::OkStatus();
    std::vector<AuditSeal> question;
    for (const PendingSeal& pending : seals_) question.push_back(pending.seal);
    const absl::StatusOr<std::vector<bool>> answer = verification_.check_seals(question);
    if (!answer.ok()) return answer.status();
    if (answer->size() != seals_.size()) {
      return absl::InternalError(
          absl::StrCat("asked about ", seals_.size(), " seals, answered ", answer->size()));
    }
    for (size_t i = 0; i < seals_.size(); ++i) {
      const PendingSeal& pending = seals_[i];
      if ((*answer)[i]) {
        ++report_.confirmed_seals;
        last_seal_ = pending.seal.sequence;
        continue;
      }
      // What it covers and no seal before it does.
      const int64_t covered = std::max(last_seal_ + 1, report_.first_sequence);
      report_.bad = {covered, pending.file, pending.line,
                     absl::StrCat("the seal ", pending.seal.sequence, " does not verify: ",
                                  Range(covered, pending.seal.sequence), " may have been changed")};
      break;
    }
    seals_.clear();
    return absl::OkStatus();
  }

  const AuditVerification& verification_;
  AuditReport report_;
  const TrailFile* file_ = nullptr;
  int64_t line_number_ = 0;
  bool first_line_of_file_ = true;
  // The newest record that is right.
  int64_t last_ = 0;
  Hash hash_ = {};
  std::string last_file_;
  int64_t last_line_ = 0;
  // The newest seal that counts.
  int64_t last_seal_ = 0;
  std::vector<PendingSeal> seals_;
};

}  // namespace

absl::StatusOr<AuditReport> VerifyAuditTrail(const std::string& directory,
                                             const AuditVerification& verification) {
  const absl::StatusOr<std::vector<TrailFile>> files = ListFiles(directory);
  if (!files.ok()) return files.status();
  size_t first = 0;
  while (first + 1 < files->size() && (*files)[first + 1].first <= verification.first_record) {
    ++first;
  }
  Verifier verifier(verification);
  for (size_t i = first; i < files->size(); ++i) {
    if (absl::Status status = verifier.Read(directory, (*files)[i], i + 1 == files->size());
        !status.ok()) {
      return status;
    }
  }
  return std::move(verifier).Finish();
}

}  // namespace strongroom
