#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "client/client.h"
#include "strongroom/v1/audit_service.pb.h"
#include "tests/client/client_fixture.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"

namespace strongroom {
namespace {

using ::strongroom::testing::Expect;
using ::strongroom::testing::ExpectEqual;
using ::strongroom::testing::IsOk;
using ::strongroom::testing::StatusIs;
using ::strongroom::testing::Unavailable;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kVerify[] = "strongroom.v1.AuditService/VerifyAuditSeals";

using AuditClientTest = ::strongroom::testing::ClientTest;

TEST_F(AuditClientTest, SealsAreAskedAboutAndAnswersUnpacked) {
  v1::VerifyAuditSealsResponse answer;
  answer.add_genuine(true);
  answer.add_genuine(false);
  answer.set_head_sequence(12);
  answer.set_head_hash(std::string(32, '\xab'));
  answer.set_request_id("request");
  v1::VerifyAuditSealsRequest seen, expected;
  Expect(server_.get(), kVerify, answer, &seen);
  AuditSeal first{.sequence = 5}, second{.sequence = 10};
  first.prev.fill(1);
  first.mac.fill(2);
  second.prev.fill(3);
  second.mac.fill(0xff);
  ASSERT_OK_AND_ASSIGN(const VerifyAuditSealsResult result,
                       client_->audit().VerifyAuditSeals({first, second}));
  EXPECT_THAT(result.genuine, ElementsAre(true, false));
  EXPECT_EQ(result.head.sequence, 12);
  EXPECT_THAT(result.head.hash, ::testing::Each(0xab));
  EXPECT_EQ(result.request_id, "request");
  for (const auto& [sequence, prev, mac] : {std::tuple(5, '\1', '\2'), {10, '\3', '\xff'}}) {
    v1::AuditSeal& seal = *expected.add_seals();
    seal.set_sequence(sequence);
    seal.set_previous_hash(std::string(32, prev));
    seal.set_mac(std::string(32, mac));
  }
  ExpectEqual(seen, expected);
}

TEST_F(AuditClientTest, HeadOfATrailWithoutRecordsHasNoHash) {
  ASSERT_OK_AND_ASSIGN(const VerifyAuditSealsResult result, client_->audit().VerifyAuditSeals({}));
  EXPECT_EQ(result.head.sequence, 0);
  EXPECT_THAT(result.genuine, SizeIs(0));
}

TEST_F(AuditClientTest, AnswerThatDoesNotFitIsAnError) {
  v1::VerifyAuditSealsRequest seen;
  v1::VerifyAuditSealsResponse answer;
  Expect(server_.get(), kVerify, answer, &seen);
  EXPECT_THAT(client_->audit().VerifyAuditSeals({AuditSeal{}}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("1 seals")));
  for (const size_t size : {0, 31, 33}) {
    answer.set_head_sequence(1);
    answer.set_head_hash(std::string(size, 'h'));
    Expect(server_.get(), kVerify, answer, &seen);
    EXPECT_THAT(client_->audit().VerifyAuditSeals({}),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("not 32")))
        << size;
  }
}

TEST_F(AuditClientTest, UnavailableIsTriedAgain) {
  server_->Fail(kVerify, Unavailable(), 1);
  EXPECT_OK(client_->audit().VerifyAuditSeals({}));
  EXPECT_THAT(server_->calls(), SizeIs(2));
}

}  // namespace
}  // namespace strongroom
