#include "server/gate/audit/trail_end.h"

#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/gate/audit/file.h"
#include "server/gate/audit/hasher.h"

namespace strongroom::audit {
namespace {

// What every line begins with.
struct LineStart {
  int64_t sequence = 0;
  std::string prev;
  absl::Time time;
};

std::optional<LineStart> ParseLineStart(absl::string_view line) {
  constexpr size_t kHashDigits = 64;
  LineStart start;
  if (!absl::ConsumePrefix(&line, "{\"seq\":")) return std::nullopt;
  const size_t digits = line.find(',');
  // Eighteen digits: no line of a forger brings the sequence to its end.
  if (digits == absl::string_view::npos || digits > 18 ||
      !absl::SimpleAtoi(line.substr(0, digits), &start.sequence) || start.sequence <= 0) {
    return std::nullopt;
  }
  line.remove_prefix(digits);
  if (!absl::ConsumePrefix(&line, ",\"prev\":\"") || line.size() < kHashDigits) return std::nullopt;
  start.prev = std::string(line.substr(0, kHashDigits));
  line.remove_prefix(kHashDigits);
  if (!absl::ConsumePrefix(&line, "\",\"time\":\"")) return std::nullopt;
  if (!absl::ParseTime(absl::RFC3339_full, line.substr(0, line.find('"')), &start.time, nullptr)) {
    return std::nullopt;
  }
  return start;
}

std::string Hex(const Hash& hash) {
  std::string text;
  AppendHex(hash, text);
  return text;
}

class Reader {
 public:
  explicit Reader(const std::optional<Head>& remembered) : remembered_(remembered) {}

  absl::Status Read(const std::string& path) {
    end_.file_size = 0;
    end_.file_began.reset();
    end_.torn_bytes = 0;
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "re"), fclose);
    if (file == nullptr) return SystemError("cannot open", path);
    char* line = nullptr;
    size_t capacity = 0;
    ssize_t size;
    while ((size = getline(&line, &capacity, file.get())) > 0) {
      if (line[size - 1] != '\n') {
        end_.torn_bytes = size;
        break;
      }
      ReadLine(absl::string_view(line, static_cast<size_t>(size) - 1));
      end_.file_size += size;
    }
    free(line);
    if (ferror(file.get()) != 0) return SystemError("cannot read", path);
    return absl::OkStatus();
  }

  TrailEnd Finish(int64_t newest_file) && {
    if (remembered_.has_value() && !seen_) {
      if (!any_ && newest_file == remembered_->sequence + 1) {
        // The file that was begun after this seal, before its first record.
        end_.head = *remembered_;
      } else {
        Damage(absl::StrCat("record ", remembered_->sequence,
                            ", which is remembered as sealed, is missing or another one"));
      }
    } else if (!any_ && newest_file != 1) {
      Damage(absl::StrCat("there is no record before ", newest_file));
    }
    if (!any_) end_.head.sequence = std::max(end_.head.sequence, newest_file - 1);
    return std::move(end_);
  }

 private:
  void ReadLine(absl::string_view line) {
    const Hash hash = hasher_.Hash(line);
    const std::optional<LineStart> start = ParseLineStart(line);
    if (!start.has_value()) {
      Damage(absl::StrCat("what stands behind record ", end_.head.sequence, " is no record"));
    } else {
      if (!any_) {
        // The link to the file before, which may be stored elsewhere.
        seen_ = remembered_.has_value() && remembered_->sequence == start->sequence - 1 &&
                start->prev == Hex(remembered_->hash);
      } else if (start->sequence != end_.head.sequence + 1 || start->prev != Hex(end_.head.hash)) {
        Damage(absl::StrCat("record ", start->sequence, " does not follow from record ",
                            end_.head.sequence));
      }
      if (remembered_.has_value() && *remembered_ == Head{start->sequence, hash}) seen_ = true;
      if (end_.file_size == 0) end_.file_began = start->time;
    }
    end_.head.hash = hash;
    if (start.has_value()) {
      end_.head.sequence = std::max(end_.head.sequence, start->sequence);
      any_ = true;
    }
  }

  // The first is told.
  void Damage(std::string what) {
    if (end_.damage.empty()) end_.damage = std::move(what);
  }

  const std::optional<Head> remembered_;
  Hasher hasher_;
  TrailEnd end_;
  bool any_ = false;
  bool seen_ = false;
};

}  // namespace

absl::StatusOr<TrailEnd> ReadTrailEnd(const std::string& directory,
                                      const std::vector<int64_t>& files,
                                      const std::optional<Head>& remembered) {
  size_t first = files.size() - 1;
  while (first > 0 && remembered.has_value() && files[first] > remembered->sequence) --first;
  // One more: the newest may have no whole line.
  if (first > 0) --first;
  Reader reader(remembered);
  for (size_t i = first; i < files.size(); ++i) {
    if (absl::Status status = reader.Read(absl::StrCat(directory, "/", FileName(files[i])));
        !status.ok()) {
      return status;
    }
  }
  return std::move(reader).Finish(files.back());
}

}  // namespace strongroom::audit
