#include "client/audit_verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/gate/audit/trail.h"
#include "tests/server/gate/audit/trail_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom {
namespace {

using audit::Content;
using audit::FilesIn;
using audit::LinesOf;
using audit::SetContent;
using audit::SetLines;
using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Optional;

// Whose first bad record is `sequence`, for a reason that has `what`.
auto Names(int64_t sequence, const std::string& what) {
  return Field(&AuditReport::bad, Optional(AllOf(Field(&AuditFinding::sequence, sequence),
                                                 Field(&AuditFinding::what, HasSubstr(what)))));
}

MATCHER(IsWhole, "has no bad record") {
  if (arg.bad.has_value()) {
    *result_listener << "record " << arg.bad->sequence << " at " << arg.bad->file << ":"
                     << arg.bad->line << " " << arg.bad->what;
  }
  return !arg.bad.has_value();
}

std::string HashOf(const std::string& line) {
  std::string hash(32, '\0');
  EVP_Digest(line.data(), line.size(), reinterpret_cast<uint8_t*>(hash.data()), nullptr,
             EVP_sha256(), nullptr);
  return absl::BytesToHexString(hash);
}

// Real trails of the server, which a test then tampers with.
class AuditVerifierTest : public ::testing::Test {
 protected:
  // Four runs of the server, each "start", `calls` calls, "stop" and a seal, each in a file of its
  // own: with 3 calls the files begin at 1, 7, 13 and 19, and the seals are 6, 12, 18 and 24. The
  // seal that a rotation needs is the one that the run ended with.
  void MakeTrail(int calls = 3) {
    trail_.options.max_file_age = absl::Hours(1);
    for (int run = 0; run < 4; ++run) {
      ASSERT_OK(trail_.Open());
      ASSERT_OK(trail_.WriteCalls(calls));
      if (run == 3) break;
      // A file that is old gets a successor when the trail is closed.
      trail_.clock.Advance(absl::Hours(2));
      trail_.Close();
    }
    trail_.Close();
    files_ = FilesIn(trail_.options.directory);
    ASSERT_EQ(files_.size(), 4u);
  }

  std::string Path(size_t file) const {
    return absl::StrCat(trail_.options.directory, "/", files_[file]);
  }

  AuditReport Verify(int64_t first_record = 1) {
    AuditVerification verification;
    verification.first_record = first_record;
    if (head_.has_value()) verification.head = AuditHead{head_->sequence, head_->hash};
    if (with_server_) {
      verification.check_seals = [this](const std::vector<AuditSeal>& seals) {
        largest_question_ = std::max(largest_question_, seals.size());
        std::vector<bool> answers;
        for (const AuditSeal& seal : seals) {
          const std::string bytes = audit::SealedBytes(seal.sequence, seal.prev);
          answers.push_back(*trail_.token.MakeMac(absl::MakeConstSpan(
                                reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size())) ==
                            seal.mac);
        }
        return absl::StatusOr<std::vector<bool>>(std::move(answers));
      };
    }
    absl::StatusOr<AuditReport> report = VerifyAuditTrail(trail_.options.directory, verification);
    EXPECT_OK(report);
    return report.ok() ? *std::move(report) : AuditReport{};
  }

  // Gives the lines from this file on the hashes that they would have: what a forger does who has
  // everything but the key.
  void Rechain(size_t file) {
    std::string prev;
    for (; file < files_.size(); ++file) {
      std::vector<std::string> lines = LinesOf(Path(file));
      for (std::string& line : lines) {
        if (!prev.empty()) line.replace(line.find("\"prev\":\"") + 8, 64, prev);
        prev = HashOf(line);
      }
      SetLines(Path(file), lines);
    }
  }

  audit::TrailFixture trail_;
  std::optional<audit::Head> head_;
  bool with_server_ = true;
  size_t largest_question_ = 0;
  std::vector<std::string> files_;
};

TEST_F(AuditVerifierTest, WholeTrailIsWhole) {
  MakeTrail();
  const AuditReport report = Verify();
  EXPECT_THAT(report, IsWhole());
  EXPECT_EQ(report.records, 24);
  EXPECT_EQ(report.files, 4);
  EXPECT_EQ(report.seals, 4);
  EXPECT_EQ(report.confirmed_seals, 4);
  EXPECT_EQ(report.first_sequence, 1);
  EXPECT_EQ(report.last_sequence, 24);
  EXPECT_EQ(report.first_time, "2023-11-14T22:13:20.123456Z");
  EXPECT_EQ(report.last_time, "2023-11-15T04:13:20.123456Z");
  EXPECT_EQ(report.unsealed_records, 0);
  EXPECT_FALSE(report.being_written);
  EXPECT_EQ(files_[1], "audit-00000000000000000007.jsonl");
}

TEST_F(AuditVerifierTest, SealsAreCountedOnlyWithoutTheServer) {
  MakeTrail();
  with_server_ = false;
  const AuditReport report = Verify();
  EXPECT_THAT(report, IsWhole());
  EXPECT_EQ(report.seals, 4);
  EXPECT_EQ(report.confirmed_seals, 0);
}

TEST_F(AuditVerifierTest, ChangedFieldNamesItsRecord) {
  MakeTrail();
  for (const auto& [field, changed] :
       std::vector<std::pair<std::string, std::string>>{{"orders", "others"},
                                                        {"\"allowed\"", "\"denied\""},
                                                        {"22:13:20", "22:13:21"},
                                                        {"137", "138"},
                                                        {"}", ",\"more\":1}"}}) {
    const std::string before = Content(Path(0));
    std::vector<std::string> lines = LinesOf(Path(0));
    const size_t at = lines[2].rfind(field);
    ASSERT_NE(at, std::string::npos) << field;
    lines[2].replace(at, field.size(), changed);
    SetLines(Path(0), lines);
    const AuditReport report = Verify();
    EXPECT_THAT(report, Names(3, "was changed"));
    EXPECT_EQ(report.bad->file, files_[0]);
    EXPECT_EQ(report.bad->line, 3);
    EXPECT_EQ(report.records, 24);
    SetContent(Path(0), before);
  }
}

TEST_F(AuditVerifierTest, ChangedLastLineOfAFileNamesItsRecord) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(0));
  lines.back() = absl::StrReplaceAll(lines.back(), {{"22:13", "22:14"}});
  lines.back() = absl::StrReplaceAll(lines.back(), {{"00:13", "00:14"}});
  SetLines(Path(0), lines);
  const AuditReport report = Verify();
  EXPECT_THAT(report, Names(6, "was changed"));
  EXPECT_EQ(report.bad->file, files_[0]);
  EXPECT_EQ(report.bad->line, 6);
}

TEST_F(AuditVerifierTest, WhatIsNoRecordIsNamed) {
  MakeTrail();
  for (const auto& [line, what] : std::vector<std::pair<std::string, std::string>>{
           {"", "is not a JSON object"},
           {"[]", "is not a JSON object"},
           {"{\"seq\":4", "is not a JSON object"},
           {"{\"seq\":\"4\"}", "\"seq\""},
           {"{\"seq\":-4}", "\"seq\""},
           {"{\"seq\":4,\"prev\":\"00\"}", "\"prev\""},
           {absl::StrCat("{\"seq\":4,\"prev\":\"", std::string(64, 'A'), "\"}"), "\"prev\""},
           {absl::StrCat("{\"seq\":4,\"prev\":\"", std::string(64, 'a'), "\"}"), "\"time\""},
           {std::string(3 << 20, 'x'), "is longer than a line can be"}}) {
    const std::string before = Content(Path(0));
    std::vector<std::string> lines = LinesOf(Path(0));
    lines[3] = line;
    SetLines(Path(0), lines);
    EXPECT_THAT(Verify(), Names(4, what));
    SetContent(Path(0), before);
  }
}

TEST_F(AuditVerifierTest, DeletedLineIsMissing) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  lines.erase(lines.begin() + 2);
  SetLines(Path(1), lines);
  EXPECT_THAT(Verify(), Names(9, "record 9 is missing: record 10 stands here"));
}

TEST_F(AuditVerifierTest, DeletedFirstLineOfAFileIsMissing) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  lines.erase(lines.begin());
  SetLines(Path(1), lines);
  EXPECT_THAT(Verify(), Names(7, "record 7 is missing"));
}

TEST_F(AuditVerifierTest, DeletedAndRenumberedLineIsFound) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(3));
  lines.erase(lines.begin() + 2);
  for (size_t i = 2; i < lines.size(); ++i) {
    lines[i] = absl::StrReplaceAll(
        lines[i], {{absl::StrCat("\"seq\":", i + 20), absl::StrCat("\"seq\":", i + 19)}});
  }
  SetLines(Path(3), lines);
  EXPECT_THAT(Verify(), Names(20, "was changed"));
  Rechain(3);
  EXPECT_THAT(Verify(), Names(19, "the seal 23 does not verify: records 19 to 23"));
}

TEST_F(AuditVerifierTest, SwappedLinesAreFound) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  std::swap(lines[2], lines[3]);
  SetLines(Path(1), lines);
  EXPECT_THAT(Verify(), Names(9, "record 9 is missing: record 10 stands here"));
}

TEST_F(AuditVerifierTest, DuplicatedLineIsFound) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  lines.insert(lines.begin() + 3, lines[2]);
  SetLines(Path(1), lines);
  EXPECT_THAT(Verify(), Names(9, "stands where record 10 belongs"));
}

TEST_F(AuditVerifierTest, DeletedMiddleFileIsMissing) {
  MakeTrail();
  std::filesystem::remove(Path(1));
  const AuditReport report = Verify();
  EXPECT_THAT(report, Names(7, "records 7 to 12 are missing: record 13 stands here"));
  EXPECT_EQ(report.bad->file, files_[2]);
}

TEST_F(AuditVerifierTest, DeletedFirstFileIsMissingUnlessItIsNotAskedFor) {
  MakeTrail();
  std::filesystem::remove(Path(0));
  EXPECT_THAT(Verify(), Names(1, "records 1 to 6 are missing"));
  EXPECT_THAT(Verify(6), Names(6, "record 6 is missing"));
  const AuditReport report = Verify(7);
  EXPECT_THAT(report, IsWhole());
  EXPECT_EQ(report.first_sequence, 7);
  EXPECT_EQ(report.records, 18);
}

TEST_F(AuditVerifierTest, WhatIsBeforeTheFirstRecordIsNotLookedAt) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  lines[1] = "not even JSON";
  SetLines(Path(1), lines);
  EXPECT_THAT(Verify(), Names(8, "is not a JSON object"));
  EXPECT_THAT(Verify(8), Names(8, "is missing"));
  const AuditReport report = Verify(9);
  EXPECT_THAT(report, IsWhole());
  EXPECT_EQ(report.first_sequence, 9);
  EXPECT_EQ(report.records, 16);
}

TEST_F(AuditVerifierTest, CutEndIsFoundByTheServersHead) {
  MakeTrail();
  head_ = *trail_.keeper.Load().value();
  EXPECT_EQ(head_->sequence, 24);
  EXPECT_THAT(Verify(), IsWhole());

  std::vector<std::string> lines = LinesOf(Path(3));
  lines.resize(lines.size() - 2);
  SetLines(Path(3), lines);
  EXPECT_THAT(Verify(), Names(23, "records 23 to 24 are missing"));

  std::filesystem::remove(Path(3));
  EXPECT_THAT(Verify(), Names(19, "the end is cut off"));

  std::filesystem::remove_all(trail_.options.directory);
  std::filesystem::create_directory(trail_.options.directory);
  EXPECT_THAT(Verify(), Names(1, "records 1 to 24 are missing"));
}

TEST_F(AuditVerifierTest, TruncatedFileIsFound) {
  MakeTrail();
  head_ = *trail_.keeper.Load().value();
  const std::string newest = Content(Path(3));
  SetContent(Path(3), newest.substr(0, newest.size() - 10));
  AuditReport report = Verify();
  EXPECT_THAT(report, Names(24, "the end is cut off"));
  EXPECT_TRUE(report.being_written);
  SetContent(Path(3), newest);

  const std::string middle = Content(Path(1));
  SetContent(Path(1), middle.substr(0, middle.size() - 10));
  report = Verify();
  EXPECT_THAT(report, Names(12, "is cut"));
  EXPECT_EQ(report.bad->file, files_[1]);
  EXPECT_FALSE(report.being_written);
}

TEST_F(AuditVerifierTest, HalfALineAtTheVeryEndIsBeingWritten) {
  MakeTrail();
  SetContent(Path(3), Content(Path(3)) + "{\"seq\":25,\"pre");
  const AuditReport report = Verify();
  EXPECT_THAT(report, IsWhole());
  EXPECT_TRUE(report.being_written);
  EXPECT_EQ(report.records, 24);
}

TEST_F(AuditVerifierTest, OtherHeadOfTheServerIsFound) {
  MakeTrail();
  head_ = *trail_.keeper.Load().value();
  std::vector<std::string> lines = LinesOf(Path(3));
  lines.back() = absl::StrReplaceAll(lines.back(), {{"04:13:20", "04:13:21"}});
  SetLines(Path(3), lines);
  EXPECT_THAT(Verify(), Names(24, "is not the record that the server has written"));
}

TEST_F(AuditVerifierTest, RechainedEditBreaksTheNextSeal) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  lines[1] = absl::StrReplaceAll(lines[1], {{"orders", "others"}});
  SetLines(Path(1), lines);
  Rechain(1);
  const AuditReport report = Verify();
  EXPECT_THAT(report, Names(7, "the seal 12 does not verify: records 7 to 12"));
  EXPECT_EQ(report.bad->file, files_[1]);
  EXPECT_EQ(report.bad->line, 6);
  EXPECT_EQ(report.confirmed_seals, 1);
  EXPECT_EQ(report.unsealed_records, 18);
  // Which only the server can say.
  with_server_ = false;
  EXPECT_THAT(Verify(), IsWhole());
}

TEST_F(AuditVerifierTest, ForgedSealDoesNotVerify) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  lines.back().replace(lines.back().find("\"mac\":\"") + 7, 64, std::string(64, 'a'));
  SetLines(Path(1), lines);
  Rechain(1);
  EXPECT_THAT(Verify(), Names(7, "the seal 12 does not verify"));
}

TEST_F(AuditVerifierTest, SealFromElsewhereDoesNotVerify) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  const std::string other = LinesOf(Path(0)).back();
  const size_t mac = other.find("\"mac\":\"");
  lines.back().replace(lines.back().find("\"mac\":\""), std::string::npos, other.substr(mac));
  SetLines(Path(1), lines);
  Rechain(1);
  EXPECT_THAT(Verify(), Names(7, "the seal 12 does not verify"));
}

TEST_F(AuditVerifierTest, SealedChangeIsNamedBeforeALaterOne) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(1));
  lines[1] = absl::StrReplaceAll(lines[1], {{"orders", "others"}});
  SetLines(Path(1), lines);
  Rechain(1);
  lines = LinesOf(Path(3));
  lines.erase(lines.begin() + 2);
  SetLines(Path(3), lines);
  EXPECT_THAT(Verify(), Names(7, "the seal 12 does not verify"));
}

TEST_F(AuditVerifierTest, SealsCanBeLeftOutAndTheirRecordsAreUnsealed) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(3));
  lines.pop_back();
  SetLines(Path(3), lines);
  const AuditReport report = Verify();
  EXPECT_THAT(report, IsWhole());
  EXPECT_EQ(report.unsealed_records, 5);
}

TEST_F(AuditVerifierTest, RenamedFileIsFound) {
  MakeTrail();
  std::filesystem::rename(
      Path(1), absl::StrCat(trail_.options.directory, "/audit-00000000000000000008.jsonl"));
  EXPECT_THAT(Verify(), Names(7, "whose name says another"));
}

TEST_F(AuditVerifierTest, FirstRecordBeginsTheChain) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(0));
  lines[0].replace(lines[0].find("\"prev\":\"") + 8, 64, std::string(64, 'a'));
  SetLines(Path(0), lines);
  EXPECT_THAT(Verify(), Names(1, "\"prev\" is not zeros"));
}

TEST_F(AuditVerifierTest, EndCutOffWhileTheServerWasDownIsFoundLater) {
  MakeTrail();
  std::vector<std::string> lines = LinesOf(Path(3));
  lines.resize(lines.size() - 3);
  SetLines(Path(3), lines);
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(1));
  head_ = trail_.trail().head();
  trail_.Close();
  EXPECT_THAT(Verify(), Names(22, "records 22 to 24 are missing: record 25 stands here"));
}

TEST_F(AuditVerifierTest, SealsAreAskedAboutInBatches) {
  trail_.options.max_file_bytes = 1;
  for (int run = 0; run < 130; ++run) ASSERT_OK(trail_.Open());
  trail_.Close();
  const AuditReport report = Verify();
  EXPECT_THAT(report, IsWhole());
  EXPECT_GE(report.seals, 130);
  EXPECT_EQ(report.confirmed_seals, report.seals);
  EXPECT_EQ(largest_question_, static_cast<size_t>(kAuditSealBatch));
}

TEST_F(AuditVerifierTest, ServerThatCannotBeAskedIsAnError) {
  MakeTrail();
  AuditVerification verification;
  verification.check_seals = [](const std::vector<AuditSeal>&) {
    return absl::StatusOr<std::vector<bool>>(absl::UnavailableError("away"));
  };
  EXPECT_THAT(VerifyAuditTrail(trail_.options.directory, verification),
              testing::StatusIs(absl::StatusCode::kUnavailable));
  verification.check_seals = [](const std::vector<AuditSeal>&) {
    return absl::StatusOr<std::vector<bool>>(std::vector<bool>{true});
  };
  EXPECT_THAT(VerifyAuditTrail(trail_.options.directory, verification),
              testing::StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(VerifyAuditTrail("/nonexistent", {}),
              testing::StatusIs(absl::StatusCode::kUnavailable, HasSubstr("/nonexistent")));
}

}  // namespace
}  // namespace strongroom
