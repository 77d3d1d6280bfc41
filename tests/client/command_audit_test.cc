// `audit verify`, on trails that the server's own code wrote.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/gate/audit/trail.h"
#include "strongroom/v1/audit_service.pb.h"
#include "tests/client/command_fixture.h"
#include "tests/client/fake_server.h"
#include "tests/server/gate/audit/trail_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::command {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;

constexpr char kVerify[] = "strongroom.v1.AuditService/VerifyAuditSeals";
constexpr char kFile[] = "audit-00000000000000000001.jsonl";

class AuditCommandTest : public CommandTest {
 protected:
  // A trail of a start, three calls, a stop and its seal; and a server that has written it.
  void SetUp() override {
    CommandTest::SetUp();
    ASSERT_OK(trail_.Open());
    ASSERT_OK(trail_.WriteCalls(3));
    trail_.Close();
    // What a restarted server has of it.
    ASSERT_OK(trail_.Open());
    head_ = trail_.trail().head();
    directory_ = trail_.options.directory;
    server_->On<v1::VerifyAuditSealsRequest, v1::VerifyAuditSealsResponse>(
        kVerify, [this](const auto& request, auto* response) {
          for (const v1::AuditSeal& seal : request.seals()) {
            audit::Hash prev;
            std::copy(seal.previous_hash().begin(), seal.previous_hash().end(), prev.begin());
            const std::string bytes = audit::SealedBytes(seal.sequence(), prev);
            const auto mac = trail_.token.MakeMac(
                absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
            response->add_genuine(std::string(mac->begin(), mac->end()) == seal.mac());
          }
          response->set_head_sequence(head_.sequence);
          response->set_head_hash(std::string(head_.hash.begin(), head_.hash.end()));
          return grpc::Status::OK;
        });
  }

  Result Verify(const std::string& more = "") {
    return Run(absl::StrCat("audit verify ", directory_, " ", more));
  }
  std::string Path() const { return absl::StrCat(directory_, "/", kFile); }

  audit::TrailFixture trail_;
  audit::Head head_;
  std::string directory_;
};

TEST_F(AuditCommandTest, WholeTrailIsIntact) {
  const Result result = Verify("--output json");
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  const Json json = result.json();
  EXPECT_EQ(json["verdict"], "intact");
  EXPECT_EQ(json["records"], 7);
  EXPECT_EQ(json["files"], 1);
  EXPECT_EQ(json["first_sequence"], 1);
  EXPECT_EQ(json["last_sequence"], 7);
  EXPECT_EQ(json["first_time"], "2023-11-14T22:13:20.123456Z");
  EXPECT_EQ(json["seals"], 1);
  EXPECT_EQ(json["seals_checked"], true);
  EXPECT_EQ(json["confirmed_seals"], 1);
  EXPECT_EQ(json["head_sequence"], 7);
  EXPECT_EQ(json["unsealed_records"], 1);
  EXPECT_FALSE(json.contains("first_bad_sequence"));
  EXPECT_EQ("\n" + Verify().out, R"(
Verdict           intact
Records           7
Files             1
First sequence    1
Last sequence     7
First time        2023-11-14T22:13:20.123456Z
Last time         2023-11-14T22:13:20.123456Z
Seals             1
Seals checked     yes
Confirmed seals   1
Head sequence     7
Unsealed records  1
Being written     no
)");
}

TEST_F(AuditCommandTest, OfflineTheChainIsCheckedAndItSaysSo) {
  const Result result = Verify("--offline --output json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.json()["verdict"], "chain intact, seals not checked");
  EXPECT_EQ(result.json()["seals"], 1);
  EXPECT_EQ(result.json()["seals_checked"], false);
  EXPECT_FALSE(result.json().contains("confirmed_seals"));
  EXPECT_FALSE(result.json().contains("head_sequence"));
  EXPECT_THAT(Verify("--offline").out, HasSubstr("seals not checked"));
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(AuditCommandTest, ChangedRecordIsNamed) {
  std::vector<std::string> lines = audit::LinesOf(Path());
  lines[2].replace(lines[2].find("\"allowed\""), 9, "\"denied\"");
  audit::SetLines(Path(), lines);
  for (const char* more : {"", "--offline"}) {
    const Result result = Verify(absl::StrCat("--output json ", more));
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_EQ(result.json()["verdict"], "damaged");
    EXPECT_EQ(result.json()["first_bad_sequence"], 3);
    EXPECT_EQ(result.json()["first_bad_file"], kFile);
    EXPECT_EQ(result.json()["first_bad_line"], 3);
    EXPECT_THAT(result.json()["finding"].get<std::string>(), HasSubstr("was changed"));
  }
  EXPECT_EQ("\n" + Verify().out, R"(
Verdict             damaged
Records             7
Files               1
First sequence      1
Last sequence       3
First time          2023-11-14T22:13:20.123456Z
Last time           2023-11-14T22:13:20.123456Z
Seals               0
Seals checked       yes
Confirmed seals     0
Head sequence       7
Unsealed records    3
Being written       no
First bad sequence  3
First bad file      audit-00000000000000000001.jsonl
First bad line      3
Finding             was changed, or the one behind it was: its hash is not the "prev" of record 4
)");
}

// A forger who has everything but the key makes a seal of his own.
TEST_F(AuditCommandTest, SealThatIsNotGenuineIsDamage) {
  std::vector<std::string> lines = audit::LinesOf(Path());
  // The seal, and nothing behind it that would show the change in the chain.
  const size_t mac = lines[5].find("\"mac\":\"") + 7;
  lines[5].replace(mac, 64, std::string(64, '0'));
  lines.resize(6);
  audit::SetLines(Path(), lines);
  head_ = {};
  EXPECT_EQ(Verify("--offline").exit_code, 0);
  const Result result = Verify("--output json");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_EQ(result.json()["confirmed_seals"], 0);
  EXPECT_THAT(result.json()["finding"].get<std::string>(), HasSubstr("does not verify"));
}

TEST_F(AuditCommandTest, MissingEndIsDamage) {
  std::vector<std::string> lines = audit::LinesOf(Path());
  lines.pop_back();
  audit::SetLines(Path(), lines);
  EXPECT_EQ(Verify("--offline").exit_code, 0);
  const Result result = Verify("--output json");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_EQ(result.json()["first_bad_sequence"], 7);
  EXPECT_THAT(result.json()["finding"].get<std::string>(), HasSubstr("cut off"));
}

TEST_F(AuditCommandTest, FirstRecordIsWhereItBegins) {
  std::vector<std::string> lines = audit::LinesOf(Path());
  lines[1].replace(lines[1].find("\"allowed\""), 9, "\"denied\"");
  audit::SetLines(Path(), lines);
  EXPECT_EQ(Verify().exit_code, 1);
  const Result result = Verify("--first-record 3 --output json");
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(result.json()["first_sequence"], 3);
  EXPECT_EQ(result.json()["records"], 5);
}

TEST_F(AuditCommandTest, ServiceThatDoesNotAnswerIsNoDamage) {
  server_->Fail(kVerify, grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no"), 1);
  const Result denied = Verify();
  EXPECT_EQ(denied.exit_code, 5);
  EXPECT_THAT(denied.out, IsEmpty());
  // It answers for the head, and for the seals no more.
  int calls = 0;
  server_->On<v1::VerifyAuditSealsRequest, v1::VerifyAuditSealsResponse>(
      kVerify, [&](const auto&, auto* response) {
        response->set_head_sequence(head_.sequence);
        response->set_head_hash(std::string(head_.hash.begin(), head_.hash.end()));
        return ++calls == 1 ? grpc::Status::OK
                            : grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "later");
      });
  EXPECT_EQ(Verify().exit_code, 7);
}

TEST_F(AuditCommandTest, FolderWithoutATrailIsALocalError) {
  for (const char* more : {"", "--offline"}) {
    const Result missing = Run(absl::StrCat("audit verify nowhere ", more));
    EXPECT_EQ(missing.exit_code, 10) << missing.out;
    EXPECT_THAT(missing.err, HasSubstr("nowhere"));
  }
  const Result empty = Run("audit verify . --offline");
  EXPECT_EQ(empty.exit_code, 10) << empty.out;
  EXPECT_THAT(empty.err, HasSubstr("audit-*.jsonl"));
}

}  // namespace
}  // namespace strongroom::command
