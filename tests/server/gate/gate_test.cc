#include "server/gate/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr char kSocket[] = "/run/strongroom/orders.sock";
constexpr char kOperation[] = "KmsService.GenerateDataKey";
constexpr char kSecret[] = "correct horse battery staple";

std::chrono::steady_clock::time_point Now() { return std::chrono::steady_clock::now(); }

class GateTest : public ::testing::Test {
 protected:
  Call Begin(Deadline deadline = kNoDeadline) {
    return gate_.Begin(kOperation, UnixPeer{kSocket}, deadline);
  }

  // Passes the gate and keeps what was logged.
  absl::Status Pass(Call& call, const std::function<absl::Status(Call&)>& work) {
    ::testing::internal::CaptureStderr();
    const absl::Status outcome = gate_.Pass(call, work);
    logged_ = ::testing::internal::GetCapturedStderr();
    return outcome;
  }

  const Gate& gate() { return gate_; }
  const std::string& logged() { return logged_; }
  // The one line that was logged.
  nlohmann::json Line() {
    EXPECT_EQ(std::count(logged_.begin(), logged_.end(), '\n'), 1) << logged_;
    return nlohmann::json::parse(logged_);
  }

 private:
  const IdentityPolicy identities_{{{kSocket, "orders"}}, false};
  Log log_{LogLevel::kInfo};
  const Gate gate_{identities_, log_};
  std::string logged_;
};

TEST_F(GateTest, EveryCallHasAnIdOfItsOwn) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const Call call = Begin();
    EXPECT_THAT(call.request_id, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-"
                                              "[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    EXPECT_EQ(call.operation, kOperation);
    ids.insert(call.request_id);
  }
  EXPECT_EQ(ids.size(), 100u);
}

TEST_F(GateTest, CallWithoutADeadlineGetsOne) {
  const Call call = Begin(kNoDeadline);
  EXPECT_LE(call.arrival, Now());
  EXPECT_EQ(call.deadline, call.arrival + std::chrono::seconds(120));
}

TEST_F(GateTest, CallersDeadlineIsKeptUnlessItIsFarAway) {
  const Deadline soon = Now() + std::chrono::seconds(60);
  EXPECT_EQ(Begin(soon).deadline, soon);
  const Call call = Begin(Now() + std::chrono::hours(24));
  EXPECT_EQ(call.deadline, call.arrival + std::chrono::seconds(120));
}

TEST_F(GateTest, CallThatMayIsRunOnceAsItsPrincipal) {
  Call call = Begin();
  int runs = 0;
  EXPECT_OK(Pass(call, [&](Call& passed) {
    ++runs;
    EXPECT_EQ(&passed, &call);
    EXPECT_EQ(passed.principal, "orders");
    return absl::OkStatus();
  }));
  EXPECT_EQ(runs, 1);
}

TEST_F(GateTest, SuccessIsLoggedInOneLine) {
  Call call = Begin();
  ASSERT_OK(Pass(call, [](Call& passed) {
    passed.key_id = "599fa825-17de-417e-9554-bb032cc6a001";
    passed.key_version_id = "2ab1a983-7072-4bbc-a582-584b5bd8c002";
    return absl::OkStatus();
  }));
  const nlohmann::json line = Line();
  EXPECT_EQ(line["event"], "call");
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["request_id"], call.request_id);
  EXPECT_EQ(line["principal"], "orders");
  EXPECT_EQ(line["operation"], kOperation);
  EXPECT_EQ(line["key_id"], "599fa825-17de-417e-9554-bb032cc6a001");
  EXPECT_EQ(line["key_version_id"], "2ab1a983-7072-4bbc-a582-584b5bd8c002");
  EXPECT_EQ(line["outcome"], "OK");
  EXPECT_TRUE(line["duration_us"].is_number_unsigned());
}

TEST_F(GateTest, FailureIsReturnedAsItIsAndLoggedWithoutItsMessage) {
  Call call = Begin();
  const absl::Status failure =
      core::MakeError(Reason::kInvalidParameter, absl::StrCat("KeyId: \"", kSecret, "\""));
  EXPECT_EQ(Pass(call, [&](Call&) { return failure; }), failure);
  const nlohmann::json line = Line();
  EXPECT_EQ(line["request_id"], call.request_id);
  EXPECT_EQ(line["principal"], "orders");
  EXPECT_EQ(line["operation"], kOperation);
  EXPECT_EQ(line["outcome"], "InvalidParameter");
  EXPECT_EQ(line["level"], "info");
  EXPECT_THAT(logged(), Not(HasSubstr(kSecret)));
  EXPECT_THAT(logged(), Not(HasSubstr("horse")));
}

TEST_F(GateTest, KeyThatIsTooLongIsCutInTheLog) {
  for (const absl::Status& outcome :
       {absl::OkStatus(), core::MakeError(Reason::kInvalidParameter, "KeyId: is too long")}) {
    Call call = Begin();
    // The cut is not within a character.
    Pass(call, [&](Call& passed) {
      passed.key_id = std::string(255, 'x') + "\xc3\xa4" + std::string(60000, 'x');
      return outcome;
    }).IgnoreError();
    EXPECT_EQ(Line()["key_id"], std::string(255, 'x'));
    EXPECT_LT(logged().size(), 1000u);
  }
}

TEST_F(GateTest, InternalDetailIsLogged) {
  Call call = Begin();
  EXPECT_THAT(Pass(call,
                   [](Call&) {
                     return core::FromToken(absl::UnavailableError("C_Sign: CKR_DEVICE_ERROR"));
                   }),
              FailsWith(Reason::kUnavailable, Not(HasSubstr("CKR"))));
  const nlohmann::json line = Line();
  EXPECT_EQ(line["outcome"], "Rejected.Unavailable");
  EXPECT_EQ(line["detail"], "C_Sign: CKR_DEVICE_ERROR");
  EXPECT_EQ(line["level"], "error");
}

TEST_F(GateTest, OnlyTheServersOwnFailuresAreErrorsInTheLog) {
  for (int i = 0; i <= static_cast<int>(Reason::kInternalFailure); ++i) {
    const core::ReasonInfo& info = core::InfoOf(static_cast<Reason>(i));
    Call call = Begin();
    EXPECT_THAT(Pass(call, [&](Call&) { return core::MakeError(info.reason, "no"); }),
                FailsWith(info.reason));
    EXPECT_EQ(Line()["outcome"], info.name);
    EXPECT_EQ(Line()["level"], info.http_status >= 500 ? "error" : "info") << info.name;
  }
}

TEST_F(GateTest, StatusFromElsewhereIsLoggedAsAnInternalFailureWithAllItSays) {
  Call call = Begin();
  EXPECT_FALSE(Pass(call, [](Call&) { return absl::NotFoundError("row 7"); }).ok());
  EXPECT_EQ(Line()["outcome"], "InternalFailure");
  EXPECT_EQ(Line()["detail"], "row 7");
  EXPECT_EQ(Line()["level"], "error");
}

TEST_F(GateTest, CallWhoseDeadlinePassedIsNotRun) {
  Call call = Begin(Now());
  bool ran = false;
  EXPECT_THAT(Pass(call,
                   [&](Call&) {
                     ran = true;
                     return absl::OkStatus();
                   }),
              FailsWith(Reason::kDependencyTimeout, HasSubstr("deadline")));
  EXPECT_FALSE(ran);
  EXPECT_EQ(Line()["outcome"], "DependencyTimeout");
  EXPECT_EQ(Line()["principal"], "orders");
}

TEST_F(GateTest, CallerWithoutAnIdentityIsNotRun) {
  // The identity is asked for first: a stranger learns nothing else.
  for (Deadline deadline : {kNoDeadline, Now()}) {
    for (const Peer& peer :
         {Peer(PlaintextPeer()), Peer(UnixPeer{"/tmp/other.sock"}), Peer(TlsPeer{})}) {
      Call call = gate().Begin(kOperation, peer, deadline);
      bool ran = false;
      EXPECT_THAT(Pass(call,
                       [&](Call&) {
                         ran = true;
                         return absl::OkStatus();
                       }),
                  FailsWith(Reason::kNoPermission));
      EXPECT_FALSE(ran);
      EXPECT_EQ(call.principal, "");
      EXPECT_EQ(Line()["outcome"], "Forbidden.NoPermission");
      EXPECT_EQ(Line()["principal"], "");
      EXPECT_EQ(Line()["request_id"], call.request_id);
    }
  }
}

}  // namespace
}  // namespace strongroom::gate
